"""Odd names and odd kinds of files: each is used, ignored or quarantined, and none stops the scan or hangs it."""

import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from graft.bundle.records import Failure
from graft.cli.console import json_line
from graft.core.errors import IntegrityProblem
from graft.core.progress import SilentProgress
from graft.core.records import from_json, to_json
from graft.data.inspection.summary import inspect_manifest
from graft.data.records import Manifest
from graft.data.scan import Scan
from graft.data.stream import stream_pixels
from graft.pipeline.photos import each_answer
from graft.pipeline.predict import predict
from graft.pipeline.run import Run
from graft.pipeline.train import train
from tests.data.folders import RULES, make_folder, manifest_of, photo_bytes, scanned
from tests.pipeline.conftest import draw_photo, options

pytestmark = pytest.mark.timeout(120)
ODD_NAMES = [
    "with space .png",
    " leading.png",
    "ends with dot..png",
    "emoji \U0001f385\U0001f3fd.png",
    "new\nline.png",
    "tab\tand \x01.png",
    "quote'\"<script>&.png",
    "-rf.png",
    "%2e%2e.png",
    "~.png",
    "$(id).png",
    "back\\slash.png",
    "\u202egnp.png",
    "n" * 251 + ".png",
    "con.png",
    "PHOTO.PNG",
]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with so many good photos that one odd file is far below the allowed share."""
    return make_folder(tmp_path / "data", {"a": 20, "b": 20})


def put(path: Path, number: int = 1_000) -> None:
    """Write a photo, or skip where the file system does not take the name."""
    try:
        path.write_bytes(photo_bytes(number))
    except OSError:
        pytest.skip("this file system does not take the name")


def quarantined(result: Scan) -> dict[str, str]:
    return {item.path: item.code for item in result.quarantined}


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_names(root: Path, name: str) -> None:
    put(root / "a" / name)
    manifest = manifest_of(root)
    path = f"a/{name}"
    assert path in {photo.path for photo in manifest.photos}
    assert from_json(Manifest, to_json(manifest), source="") == manifest
    inspect_manifest(manifest)
    photos = [photo for photo in manifest.photos if photo.path == path]
    options = {"side_pixels": 8, "geometry": "crop", "rules": RULES, "batch_images": 1, "workers": 1}
    assert len(list(stream_pixels(root, photos, **options))) == 1


@pytest.mark.parametrize("name", [".hidden.png", "Thumbs.db", "._photo.jpg", "desktop.ini", ".DS_Store"])
def test_what_systems_leave_behind_is_ignored(root: Path, name: str) -> None:
    put(root / "a" / name)
    result = scanned(root)
    assert f"a/{name}" in result.source.ignored
    assert len(result.good) == 40
    assert not result.quarantined


def test_what_archives_leave_behind_is_ignored(root: Path) -> None:
    make_folder(root, {"__MACOSX/a": 2, "a/__MACOSX": 1}, first=500)
    result = scanned(root)
    assert result.source.classes == ("a", "b")
    assert {"__MACOSX", "a/__MACOSX"} <= set(result.source.ignored)


def test_composed_and_decomposed_twins_are_two_photos(root: Path) -> None:
    put(root / "a" / "K\u00e4fer.png", 1_000)
    put(root / "a" / "Ka\u0308fer.png", 1_001)
    if len(list((root / "a").iterdir())) == 21:
        pytest.skip("this file system takes both for one name")
    assert len(scanned(root).good) == 42


def test_case_twins_of_files_are_two_photos(root: Path) -> None:
    put(root / "a" / "x.png", 1_000)
    put(root / "a" / "X.png", 1_001)
    if len(list((root / "a").iterdir())) == 21:
        pytest.skip("this file system takes both for one name")
    assert len(scanned(root).good) == 42


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text on this system")
@pytest.mark.parametrize("place", ["file", "class"])
def test_a_name_that_is_no_text(root: Path, place: str) -> None:
    base = os.fsencode(root)
    if place == "file":
        with open(base + b"/a/\xff\xfe.png", "wb") as file:
            file.write(photo_bytes(1_000))
    else:
        (root / "b").rename(os.fsdecode(base + b"/\xff"))
        make_folder(root, {"c": 20}, first=900)
    result = scanned(root)
    path = "a/\\xff\\xfe.png" if place == "file" else "\\xff"
    assert quarantined(result) == {path: "unreadable"}
    to_json(result.quarantined[0])


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_pipes_and_sockets_do_not_hang(root: Path, tmp_path: Path) -> None:
    os.mkfifo(root / "a" / "pipe.png")
    os.mkfifo(root / "a" / "pipe")
    result = scanned(root)
    assert quarantined(result) == {"a/pipe.png": "not_a_file"}
    assert "a/pipe" in result.source.ignored
    (root / "a" / "link.png").symlink_to("/dev/zero")
    assert quarantined(scanned(root))["a/link.png"] == "outside_root"


def link(place: Path, target: Path | str) -> None:
    try:
        place.symlink_to(target)
    except OSError:
        pytest.skip("this system does not let us make links")


def test_links(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(photo_bytes(2_000))
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "x.png").write_bytes(photo_bytes(2_001))
    (root / "extra").mkdir()
    shutil.move(root / "a" / "photo_000.png", root / "extra" / "original.png")
    put(root / "extra" / "other.png")
    link(root / "a" / "inside.png", "../extra/original.png")
    link(root / "a" / "outside.png", tmp_path / "secret.png")
    link(root / "a" / "up.png", "../../secret.png")
    make_folder(root, {"b/more": 100}, first=3_000)
    link(root / "a" / "circle.png", "circle.png")
    link(root / "a" / "dangling.png", "nothing.png")
    link(root / "a" / "again", "..")
    link(root / "b" / "folder", tmp_path / "folder")
    result = scanned(root)
    assert quarantined(result) == {
        "a/outside.png": "outside_root",
        "a/up.png": "outside_root",
        "a/circle.png": "unreadable",
        "a/dangling.png": "not_found",
        "a/again": "not_a_file",
        "b/folder": "outside_root",
    }
    assert "a/inside.png" in {item.entry.path for item in result.good}
    assert not any(item.sha256 for item in result.quarantined)  # nothing outside was read


def test_a_hard_link_is_a_copy(root: Path) -> None:
    try:
        os.link(root / "a" / "photo_000.png", root / "a" / "hard.png")
    except OSError:
        pytest.skip("this file system has no hard links")
    photos = {photo.path: photo for photo in manifest_of(root).photos}
    assert photos["a/hard.png"].group == photos["a/photo_000.png"].group


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to this user")
def test_what_may_not_be_read(root: Path) -> None:
    make_folder(root, {"b/closed": 1}, first=700)
    (root / "a" / "photo_000.png").chmod(0)
    (root / "b" / "closed").chmod(0)
    try:
        assert quarantined(scanned(root)) == {"a/photo_000.png": "unreadable", "b/closed": "unreadable"}
    finally:
        (root / "b" / "closed").chmod(0o700)


def test_a_folder_that_cannot_be_listed(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_folder(root, {"b/closed": 1}, first=700)
    real = os.scandir

    def scandir(path: Path):
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert quarantined(scanned(root)) == {"b/closed": "unreadable"}


def test_a_table_cannot_reach_out(root: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.png").write_bytes(photo_bytes(2_000))
    rows = [f"{name}/photo_{number:03}.png,{name}" for name in "ab" for number in range(20)]
    rows += ["../secret.png,a", f"{tmp_path}/secret.png,b"]
    (root / "t.csv").write_text("\n".join(["path,label", *rows]))
    result = scanned(root / "t.csv")
    assert set(quarantined(result).values()) == {"outside_root"}
    assert len(result.quarantined) == 2


@dataclass(frozen=True)
class Odd:
    """A folder with good photos of odd names and things that are no photos, and the outcome by path."""

    root: Path
    good: frozenset[str]
    bad: dict[str, str]
    ignored: frozenset[str]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Odd:
    place = tmp_path_factory.mktemp("odd")
    root = place / "data"
    pixels = iter(range(1_000))
    for label in ("checks", "plain"):
        (root / label).mkdir(parents=True)
        for number in range(90):
            draw_photo(label, next(pixels)).save(root / label / f"{number:03}.png")
    good = {f"{label}/{number:03}.png" for label in ("checks", "plain") for number in range(90)}
    twins = ("K\u00e4fer.png", "Ka\u0308fer.png", "x.png", "X.png")
    for name in (*ODD_NAMES, *twins):
        try:
            draw_photo("plain", next(pixels)).save(root / "plain" / name, "PNG")
        except (OSError, ValueError):
            continue
        good.add(f"plain/{name}")
    os.link(root / "plain" / "000.png", root / "plain" / "hard.png")
    (root / "plain" / "inside.png").symlink_to("001.png")
    good |= {"plain/hard.png", "plain/inside.png"}
    ignored = {"plain/.hidden.png", "plain/Thumbs.db", "plain/__MACOSX", "__MACOSX"}
    for path in ignored:
        target = root / path
        if "__MACOSX" in path:
            target.mkdir()
            target = target / "._x.png"
        draw_photo("plain", next(pixels)).save(target, "PNG")
    draw_photo("plain", next(pixels)).save(place / "secret.png")
    os.mkfifo(root / "plain" / "pipe.png")
    (root / "plain" / "circle.png").symlink_to("circle.png")
    (root / "plain" / "dangling.png").symlink_to("nothing.png")
    (root / "plain" / "zero.png").symlink_to("/dev/zero")
    (root / "plain" / "outside.png").symlink_to(place / "secret.png")
    bad = {"pipe": "not_a_file", "circle": "unreadable", "dangling": "not_found"}
    bad |= {"zero": "outside_root", "outside": "outside_root"}
    bad = {f"plain/{name}.png": code for name, code in bad.items()}
    (place / "folder").mkdir()
    (root / "plain" / "again").symlink_to("..")
    (root / "plain" / "folder").symlink_to(place / "folder")
    bad |= {"plain/again": "not_a_file", "plain/folder": "outside_root"}
    if write_undecodable(root / "plain"):
        bad |= {"plain/\\xff\\xfe.png": "unreadable"}
    return Odd(root, frozenset(good), bad, frozenset(ignored))


def write_undecodable(folder: Path) -> str:
    """A photo whose name is not valid Unicode, and its path; empty where the file system does not take the name."""
    name = os.fsencode(folder) + b"/\xff\xfe.png"
    try:
        with open(name, "wb") as file:
            file.write(photo_bytes(7_000))
    except OSError:
        return ""
    return os.fsdecode(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes with names")
def test_training_and_prediction_take_the_same_odd_names(odd: Odd, tmp_path: Path) -> None:
    """Scan, training and prediction agree on a folder; a link out of it is answered only where it is named itself."""
    result = train(options(odd.root, tmp_path / "run"), progress=SilentProgress())
    manifest = Run.open(result.run).read(Manifest)
    assert {photo.path for photo in manifest.photos} == odd.good
    assert {item.path: item.code for item in manifest.quarantined} == odd.bad
    assert set(manifest.ignored) == odd.ignored
    groups = {photo.path: photo.group for photo in manifest.photos}
    assert groups["plain/hard.png"] == groups["plain/000.png"]
    assert groups["plain/inside.png"] == groups["plain/001.png"]

    wanted = {path: "" for path in odd.good} | odd.bad
    named = {answer.path: answer for answer in predict(result.run, [str(odd.root)], top=1, progress=SilentProgress())}
    found = {Path(path).relative_to(odd.root).as_posix(): getattr(each, "code", "") for path, each in named.items()}
    assert found == wanted
    assert list(named) == sorted(named)
    wanted |= {"plain/zero.png": "not_a_file", "plain/outside.png": ""}
    files = {path: code for path, code in wanted.items() if not (odd.root / path).is_dir() and "\\x" not in path}
    each = predict(result.run, [str(odd.root / path) for path in files], top=1, progress=SilentProgress())
    assert [getattr(answer, "code", "") for answer in each] == list(files.values())


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="names are text on this system")
def test_a_name_that_is_no_text_is_refused_also_where_it_is_named(tmp_path: Path) -> None:
    """Its answer could not be written down; the name is told with what cannot be read as bytes."""
    path = write_undecodable(tmp_path)
    if not path:
        pytest.skip("this file system does not take the name")
    asked: list[Path] = []

    def answer(paths: Iterable[Path]) -> Iterator[Failure]:
        asked.extend(paths)
        yield from ()

    for named in (path, str(tmp_path)):
        (failure,) = each_answer([named], answer, SilentProgress())
        assert (failure.code, failure.path) == ("unreadable", f"{tmp_path}/\\xff\\xfe.png")
        assert failure.message == "The name must be valid Unicode, got bytes that are not."
        assert json.loads(json_line({"path": failure.path}))["path"].encode()
    assert asked == []


def test_a_photo_that_changes_after_the_scan_is_told(root: Path) -> None:
    """Also where it stays an image, as a JPEG with zeros inside does: its hash is asked again when it is read."""
    damaged = root / "a" / "photo_000.png"
    photos = [photo for photo in manifest_of(root).photos if photo.path == "a/photo_000.png"]
    options = {"side_pixels": 8, "geometry": "crop", "rules": RULES, "batch_images": 1, "workers": 1}
    assert len(list(stream_pixels(root, photos, **options))) == 1
    damaged.write_bytes(damaged.read_bytes() + b"\0")
    with pytest.raises(IntegrityProblem) as caught:
        list(stream_pixels(root, photos, **options))
    assert caught.value.code == "changed_since_scan"
