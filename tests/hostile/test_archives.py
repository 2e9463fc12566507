"""Archives that would write elsewhere, fill the disk or show two faces: refused as a whole, with nothing written."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.cli.main import main
from graft.core.errors import BadInput
from graft.core.progress import SilentProgress
from graft.data.archives import members as archive_members
from graft.data.archives import unpacking as archives
from graft.data.archives.members import name_problem, path_of
from tests.hostile.archive_attacks import GOOD, Line, attacks, good_archives, tar_of, zip_of

ATTACKS = {name: (build, named) for name, build, named in attacks()}
posix_only = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
PROGRESS = SilentProgress()


def tree(root: Path) -> dict[str, bytes | str | None]:
    """Everything below a folder: names, contents, targets of links."""
    found: dict[str, bytes | str | None] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_symlink():
            found[name] = str(path.readlink())
        else:
            found[name] = path.read_bytes() if path.is_file() else None
    return found


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with an own empty cache, a neighbour that must stay as it is, and the current folder inside."""
    (tmp_path / "cache" / "scratch").mkdir(parents=True)  # where each command has its mark while it works
    (tmp_path / "work").mkdir()
    (tmp_path / "neighbour").write_bytes(b"untouched")
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path / "work")
    yield tmp_path


def refuse(archive: Path, named: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command must refuse the archive in one sentence that names the member, and leave no trace."""
    before = tree(place)
    status = main(["inspect", str(archive), "--json"])
    told = json.loads(capsys.readouterr().out).get("error", {"code": "accepted"})
    assert (status, told["code"]) == (2, "archive_unsafe"), told
    assert repr(named)[1:-1] in told["message"]
    assert tree(place) == before, "something was written"


# Of the two that count to 100,000, one does so for real.
@pytest.mark.parametrize("name", [name for name in ATTACKS if name != "tar: 100,001 entries"])
def test_attacks_are_refused_and_nothing_is_written(name: str, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build, named = ATTACKS[name]
    archive = place / "photos.bin"  # the ending says nothing
    archive.write_bytes(build())
    refuse(archive, named, place, capsys)


def test_too_many_members_of_a_tar(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_members, "MAX_ENTRIES", 500)
    (place / "photos.tar").write_bytes(ATTACKS["tar: 100,001 entries"][0]())
    refuse(place / "photos.tar", "many", place, capsys)


# Names that climb find the root of the disk at once; the destination may be a link to elsewhere.
@posix_only
@pytest.mark.parametrize("name", [name for name in ATTACKS if "100,001" not in name])
def test_attacks_from_the_root_and_into_a_linked_place(
    name: str, place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "elsewhere").mkdir()
    (place / "cache" / "archives").symlink_to(place / "elsewhere")
    build, named = ATTACKS[name]
    (place / "photos.zip").write_bytes(build())
    top = set(Path("/").iterdir())
    monkeypatch.chdir("/")
    refuse(place / "photos.zip", named, place, capsys)
    assert set(Path("/").iterdir()) == top


@posix_only
def test_a_good_archive_goes_where_the_cache_is_linked_to(place: Path) -> None:
    (place / "elsewhere").mkdir()
    (place / "cache" / "archives").symlink_to(place / "elsewhere")
    (place / "photos.zip").write_bytes(zip_of())
    found = archives.unpack(place / "photos.zip", place / "cache", progress=PROGRESS)
    assert (found.root / "cats" / "1.jpg").read_bytes() == GOOD
    assert list((place / "elsewhere").iterdir()) == [place / "elsewhere" / found.sha256]


@posix_only
def test_a_link_planted_in_the_place_of_the_folder_is_replaced(place: Path) -> None:
    (place / "photos.zip").write_bytes(zip_of())
    found = archives.unpack(place / "photos.zip", place / "cache", progress=PROGRESS)
    whole = place / "cache" / "archives" / found.sha256 / archives.WHOLE
    whole.rename(place / "moved")
    whole.symlink_to(place / "moved")
    archives.unpack(place / "photos.zip", place / "cache", progress=PROGRESS)
    assert whole.is_dir() and not whole.is_symlink()
    assert (place / "moved" / archives.RECORD).exists()


@pytest.mark.parametrize(("name", "data"), list(good_archives()), ids=[name for name, _ in good_archives()])
def test_what_usual_programs_pack_is_unpacked(name: str, data: bytes, place: Path) -> None:
    (place / "photos").write_bytes(data)
    assert archives.is_archive(place / "photos")
    found = archives.unpack(place / "photos", place / "cache", progress=PROGRESS)
    files = {path: content for path, content in tree(found.root).items() if content is not None}
    assert files == {"cats/1.jpg": GOOD, "dogs/1.jpg": GOOD}


@pytest.mark.parametrize("share", [0.3, 0.6, 0.8, 0.9, 0.99])
@pytest.mark.parametrize("name", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_a_cut_archive_is_damaged(name: str, share: float, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = dict(good_archives())[name]
    if name == "tar":  # a tar ends with a lot of padding
        data = data[: 4 * 512]
    (place / "photos").write_bytes(data[: int(len(data) * share)])
    judge_damage(place, capsys)


def judge_damage(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(place)
    status = main(["inspect", str(place / "photos"), "--json"])
    told = json.loads(capsys.readouterr().out)["error"]
    assert (status, told["code"]) == (2, "archive_damaged"), told
    assert tree(place) == before, "something was written"


@pytest.mark.parametrize(
    "data",
    [
        zip_of(Line(b"cats/2.jpg", crc=7)),
        zip_of(Line(b"cats/2.jpg", b"x" * 5000, 8, size=5001)),
        zip_of()[:-4] + b"\xff\xff\xff\xff",
        b"PK\3\4" + bytes(100),
        b"\x1f\x8b" + bytes(100),
        tar_of()[:2048],
        tar_of()[:1024] + b"\x01" * 4096,
    ],
    ids=["checksum", "too short", "end", "no zip", "no gzip", "no end", "damaged header"],
)
def test_damage_is_told(data: bytes, place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "photos").write_bytes(data)
    judge_damage(place, capsys)


@pytest.mark.parametrize(("method", "name"), [(12, "bzip2"), (14, "LZMA"), (93, "Zstandard"), (77, "method 77")])
def test_other_compressions_of_zips_are_named(method: int, name: str, place: Path, capsys) -> None:
    (place / "photos.zip").write_bytes(zip_of(Line(b"cats/2.jpg", method=method)))
    assert main(["inspect", str(place / "photos.zip"), "--json"]) == 2
    told = json.loads(capsys.readouterr().out)["error"]
    assert told["code"] == "archive_unsupported" and f"got {name} for 'cats/2.jpg'" in told["message"]
    assert told["message"].startswith("The archive photos.zip") and "Pack it again" in told["hint"]


def test_compressed_data_that_are_no_tar(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import gzip

    (place / "photos").write_bytes(gzip.compress(b"path,label\n" * 200))
    judge_damage(place, capsys)


@given(st.text(alphabet=st.sampled_from("ab./\\:C\0é~ \n"), min_size=1, max_size=20), st.booleans())
def test_a_harmless_name_stays_below_its_folder(name: str, windows: bool) -> None:
    if name_problem(name, windows=windows):
        return
    root = "/srv/out"
    target = os.path.normpath(f"{root}/{path_of(name)}")
    assert target == root or target.startswith(root + "/")
    assert "\0" not in target and "\\" not in target
    assert ".." not in path_of(name).split("/")


@pytest.mark.parametrize("name", ["con", "NUL.jpg", "a/com1.png", "a.", "a /b.jpg", "xy:z", "what?.jpg", "a\nb"])
def test_names_that_windows_cannot_keep(name: str) -> None:
    assert name_problem(name, windows=True)
    assert not name_problem(name, windows=False)


# The gate must be able to fail: without the judgement, the same attacks do write what they are meant to.


def without_judgement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_members, "name_problem", lambda name: "")
    monkeypatch.setattr(archives, "_target", lambda root, member, path, archive: Path(os.path.normpath(root / path)))


@posix_only
@pytest.mark.parametrize("name", ["zip: parent", "tar: parent", "zip: parent after a valid prefix"])
def test_sabotage_without_the_names_judged_files_leave_their_folder(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_judgement(monkeypatch)
    (place / "photos").write_bytes(ATTACKS[name][0]())
    archives.unpack(place / "photos", place / "cache", progress=PROGRESS)
    (evil,) = place.rglob("evil.jpg")
    assert archives.FILES not in evil.relative_to(place).parts


@posix_only
def test_the_last_guard_holds_alone(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive_members, "name_problem", lambda name: "")
    (place / "photos").write_bytes(ATTACKS["zip: parent"][0]())
    with pytest.raises(BadInput) as caught:
        archives.unpack(place / "photos", place / "cache", progress=PROGRESS)
    assert caught.value.code == "archive_unsafe"
    assert list(place.rglob("evil.jpg")) == []


@pytest.mark.parametrize(
    "name", ["zip: ratio", "zip: link", "zip: setuid", "tar: link out", "tar: pipe", "tar: device", "zip: 42.zip"]
)
def test_sabotage_without_the_judge_the_archive_is_accepted(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(archives.Checker, "check", lambda self, member: path_of(member.name))
    monkeypatch.setattr(archives.Checker, "check_head", lambda self, member, head: None)
    (place / "photos").write_bytes(ATTACKS[name][0]())
    with pytest.raises(AssertionError):
        refuse(place / "photos", ATTACKS[name][1], place, capsys)
