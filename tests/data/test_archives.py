"""Archives as DATA: unpacked once, whole or not at all, and found again. What must be refused is in tests/hostile."""

import errno
import os
import shutil
import subprocess
import sys
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from graft.core import folders
from graft.core.errors import BadInput, IntegrityProblem, ResourceProblem
from graft.core.files import CRASH_EXIT_STATUS
from graft.core.progress import SilentProgress
from graft.data.archives import unpacking as archives
from graft.data.archives.unpacking import FILES, RECORD, WHOLE, find_unpacked, is_archive, plain_name, unpack
from graft.data.sources import read_source
from tests.data.folders import make_folder, photo_bytes

PROGRESS = SilentProgress()
ROOT = Path(__file__).resolve().parents[2]


def zipped(folder: Path, path: Path, below: str = "") -> Path:
    """A zip of a folder's files, each name with `below` in front."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for each in sorted(folder.rglob("*")):
            packed.write(each, below + each.relative_to(folder).as_posix())
    return path


def tarred(folder: Path, path: Path, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        packed.add(folder, folder.name)
    return path


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "photos", {"cat": 3, "dog": 2, "dog/night": 1})


@pytest.fixture
def archive(photos: Path, tmp_path: Path) -> Path:
    return zipped(photos, tmp_path / "photos.zip")


def names(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file())


@pytest.fixture
def times_unpacked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Path]]:
    """The folders that were written anew."""
    seen: list[Path] = []
    genuine = archives.whole_folder

    def counted(path: Path, *, writer: str) -> object:
        seen.append(path)
        return genuine(path, writer=writer)

    monkeypatch.setattr(archives, "whole_folder", counted)
    yield seen


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
def test_each_kind_holds_what_the_folder_held(kind: str, photos: Path, tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "no ending"
    if kind == "zip":
        zipped(photos, path)
    else:
        tarred(photos, path, kind.replace("tar", "w").replace(".", ":"))
    found = unpack(path, cache, progress=PROGRESS)
    assert names(found.root) == names(photos)
    assert all((found.root / name).read_bytes() == (photos / name).read_bytes() for name in names(photos))
    assert read_source(found.root).entries == read_source(photos).entries


def test_the_second_time_nothing_is_unpacked(archive: Path, cache: Path, times_unpacked: list[Path]) -> None:
    first = unpack(archive, cache, progress=PROGRESS)
    renamed = archive.rename(archive.with_name("other.bin"))
    second = unpack(renamed, cache, progress=PROGRESS)
    assert second.root == first.root and len(times_unpacked) == 1


def test_a_changed_archive_is_another_folder(archive: Path, photos: Path, cache: Path) -> None:
    first = unpack(archive, cache, progress=PROGRESS)
    (photos / "cat" / "new.png").write_bytes(photo_bytes(99))
    second = unpack(zipped(photos, archive), cache, progress=PROGRESS)
    assert second.root != first.root
    assert "cat/new.png" in names(second.root) and "cat/new.png" not in names(first.root)


def _remove_one(root: Path) -> None:
    (root / "cat" / "photo_000.png").unlink()


def _shorten_one(root: Path) -> None:
    path = root / "cat" / "photo_000.png"
    path.write_bytes(path.read_bytes()[:-1])
    os.utime(path, (archives.UNPACKED_TIME,) * 2)


def _write_to_one(root: Path) -> None:
    path = root / "cat" / "photo_000.png"
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


def _add_one(root: Path) -> None:
    path = root / "cat" / "more.png"
    path.write_bytes(photo_bytes(77))
    os.utime(path, (archives.UNPACKED_TIME,) * 2)


def _add_a_folder(root: Path) -> None:
    (root / "cow").mkdir()


def _remove_all(root: Path) -> None:
    shutil.rmtree(root)


def _remove_the_record(root: Path) -> None:
    (root.parent / RECORD).unlink()


def _damage_the_record(root: Path) -> None:
    (root.parent / RECORD).write_bytes(b"{}")


def _link_one(root: Path) -> None:
    path = root / "cat" / "photo_000.png"
    path.rename(root.parent / "moved")
    try:
        path.symlink_to(root.parent / "moved")
    except OSError:
        pytest.skip("links cannot be made here")


DAMAGES = (
    *(_remove_one, _shorten_one, _write_to_one, _add_one, _add_a_folder, _remove_all),
    *(_remove_the_record, _damage_the_record, _link_one),
)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda each: each.__name__.strip("_"))
def test_a_damaged_folder_is_unpacked_anew(
    damage: Callable[[Path], None], archive: Path, photos: Path, cache: Path, times_unpacked: list[Path]
) -> None:
    root = unpack(archive, cache, progress=PROGRESS).root
    assert root.name == FILES and root.parent.name == WHOLE
    damage(root)
    again = unpack(archive, cache, progress=PROGRESS)
    assert len(times_unpacked) == 2
    assert names(again.root) == names(photos)
    assert all((again.root / name).read_bytes() == (photos / name).read_bytes() for name in names(photos))


def test_the_time_of_files_survives_being_looked_at(archive: Path, cache: Path, times_unpacked: list[Path]) -> None:
    root = unpack(archive, cache, progress=PROGRESS).root
    for name in names(root):
        (root / name).read_bytes()
    unpack(archive, cache, progress=PROGRESS)
    assert len(times_unpacked) == 1


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        ({"photos/cat": 1, "photos/dog": 1}, ["cat", "dog"]),
        ({"a/b/photos/cat": 1, "a/b/photos/dog": 1}, ["cat", "dog"]),
        ({"photos/train/cat": 1, "photos/train/dog": 1, "photos/test/cat": 1}, ["test", "train"]),
        ({"train/cat": 1, "train/dog": 1}, ["cat", "dog"]),
        ({"cat": 2}, ["cat"]),
        ({"photos/cat": 2}, ["cat"]),
        ({"cat": 1, "cat/night": 1}, ["cat"]),
        ({"photos/cat": 1, "photos/dog": 1, "__MACOSX/photos": 1}, ["cat", "dog"]),
    ],
    ids=["one top", "three tops", "splits below", "one split", "one class", "class below", "class with folders", "mac"],
)
def test_single_top_folders_are_passed(
    counts: dict[str, int], expected: list[str], tmp_path: Path, cache: Path
) -> None:
    data = make_folder(tmp_path / "data", counts)
    (data / "readme.txt").write_text("words")
    found = unpack(zipped(data, tmp_path / "x.zip"), cache, progress=PROGRESS)
    assert sorted(path.name for path in found.root.iterdir() if path.is_dir()) == expected


def test_empty_class_folders_are_kept(tmp_path: Path, cache: Path) -> None:
    data = make_folder(tmp_path / "data", {"cat": 1, "dog": 1, "cow": 0})
    found = unpack(zipped(data, tmp_path / "x.zip"), cache, progress=PROGRESS)
    assert read_source(found.root).empty_classes == ("cow",)


def test_letters_in_parts_are_unpacked_as_they_are(tmp_path: Path, cache: Path, times_unpacked: list[Path]) -> None:
    data = make_folder(tmp_path / "data", {unicodedata.normalize("NFD", "K\u00e4fer"): 1, "\u6a39": 1})
    path = zipped(data, tmp_path / "x.zip")
    found = unpack(path, cache, progress=PROGRESS)
    assert read_source(found.root).classes == ("K\u00e4fer", "\u6a39")
    unpack(path, cache, progress=PROGRESS)
    assert len(times_unpacked) == 1


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        *(("photos.zip", "photos"), ("photos.tar.gz", "photos"), ("Photos.TGZ", "Photos"), ("a.b.tar", "a.b")),
        *((".zip", ".zip"), ("photos", "photos"), ("table.csv", "table.csv")),
    ],
)
def test_plain_names(name: str, plain: str, tmp_path: Path) -> None:
    assert plain_name(tmp_path / name) == plain


def test_a_folder_named_like_an_archive_keeps_its_name(tmp_path: Path) -> None:
    (tmp_path / "photos.zip").mkdir()
    assert plain_name(tmp_path / "photos.zip") == "photos.zip"
    assert not is_archive(tmp_path / "photos.zip")


@pytest.mark.parametrize("content", [b"", b"path,label\n", bytes(2048), photo_bytes(1), b"7z\xbc\xaf\x27\x1c"])
def test_what_is_no_archive(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(content)
    assert not is_archive(tmp_path / "x.zip")
    with pytest.raises(BadInput, match="a zip or tar of one"):
        read_source(tmp_path / "x.zip")


def test_found_again_by_hash(archive: Path, photos: Path, cache: Path) -> None:
    first = unpack(archive, cache, progress=PROGRESS)
    moved = archive.rename(archive.with_name("moved.zip"))
    assert find_unpacked(archive, first.sha256, cache, progress=PROGRESS).root == first.root
    shutil.rmtree(cache)
    with pytest.raises(BadInput, match=r"must still be in the archive .*photos\.zip, but it is not there") as caught:
        find_unpacked(archive, first.sha256, cache, progress=PROGRESS)
    assert caught.value.code == "not_found"
    moved.rename(archive)
    assert names(find_unpacked(archive, first.sha256, cache, progress=PROGRESS).root) == names(photos)
    shutil.rmtree(cache)
    (photos / "cat" / "photo_000.png").unlink()
    zipped(photos, archive)
    with pytest.raises(BadInput, match="but it holds something else now"):
        find_unpacked(archive, first.sha256, cache, progress=PROGRESS)


# What ends the unpacking half-way leaves nothing that looks whole.


def left(cache: Path) -> list[str]:
    """What a killed or failed unpacking left, without the lock."""
    return sorted(path.name for path in cache.glob("archives/*/*") if path.name != "lock")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(errno.EIO, "broken"), OSError(errno.ENOSPC, "full")])
def test_an_interrupted_unpacking_leaves_nothing(
    error: BaseException, archive: Path, photos: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine, calls = os.utime, []

    def utime(path: object, times: tuple[float, float] | None = None) -> None:
        if times is not None:
            calls.append(path)
            if len(calls) == 4:
                raise error
        genuine(path, times)  # type: ignore[call-overload]

    with monkeypatch.context() as patch:
        patch.setattr(folders.os, "utime", utime)
        with pytest.raises((KeyboardInterrupt, ResourceProblem)) as caught:
            unpack(archive, cache, progress=PROGRESS)
    if isinstance(error, OSError):
        assert caught.value.code == ("disk_full" if error.errno == errno.ENOSPC else "cannot_write")  # type: ignore[attr-defined]
    assert left(cache) == []
    assert names(unpack(archive, cache, progress=PROGRESS).root) == names(photos)


def test_too_little_room_is_told_before_anything_is_written(
    archive: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graft.core.files.free_bytes", lambda path: 10_000)
    with pytest.raises(
        ResourceProblem, match=r"Unpacking photos\.zip needs \d+ bytes .* 10000 bytes are free"
    ) as caught:
        unpack(archive, cache, progress=PROGRESS)
    assert caught.value.code == "disk_full" and left(cache) == []


def child(archive: Path, cache: Path, **environment: str) -> "subprocess.Popen[str]":
    code = (
        "import sys; from pathlib import Path; from graft.core.progress import SilentProgress;"
        "from graft.data.archives.unpacking import unpack;"
        "print(unpack(Path(sys.argv[1]), Path(sys.argv[2]), progress=SilentProgress()).root)"
    )
    paths = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(
        [sys.executable, "-c", code, str(archive), str(cache)],
        env=os.environ | environment | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    "point", ["before_write", "half_written", "before_rename", "before_old_removed", "after_rename"]
)
def test_a_crash_leaves_the_folder_absent_or_whole(point: str, archive: Path, photos: Path, cache: Path) -> None:
    if point == "before_old_removed":
        _remove_one(unpack(archive, cache, progress=PROGRESS).root)
    ended = child(archive, cache, GRAFT_CRASH_AT=f"{archives.WRITER}:{point}")
    assert ended.wait(60) == CRASH_EXIT_STATUS, f"never passed {point}"
    whole = [path.parent.name for path in cache.glob(f"archives/*/*/{RECORD}")]
    assert (WHOLE in whole) == (point in ("after_rename", "before_old_removed"))
    assert names(unpack(archive, cache, progress=PROGRESS).root) == names(photos)
    if point != "after_rename":
        assert left(cache) == [WHOLE], "what the killed process left was not cleared away"


def test_several_processes_unpack_once(archive: Path, photos: Path, cache: Path) -> None:
    running = [child(archive, cache) for _ in range(4)]
    roots = {process.communicate(timeout=60)[0].strip() for process in running}
    assert [process.returncode for process in running] == [0] * 4
    (root,) = roots
    assert names(Path(root)) == names(photos)
    assert left(cache) == [WHOLE]


def test_the_second_of_two_waits(archive: Path, cache: Path, times_unpacked: list[Path]) -> None:
    """A process that finds the lock taken says so and, once it is free, finds the work done."""
    from graft.core.locks import Lock

    said: list[str] = []

    class Talking(SilentProgress):
        def say(self, text: str) -> None:
            said.append(text)
            lock.release()

    root = unpack(archive, cache, progress=PROGRESS).root
    _remove_one(root)
    lock = Lock(root.parents[1] / "lock")
    lock.acquire()
    unpack(archive, cache, progress=Talking())
    assert said == ["Another graft process is unpacking this archive: waiting for it."]


def test_an_archive_that_changes_meanwhile_is_not_unpacked(
    archive: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genuine = archives._judge

    def judge(*arguments: object) -> object:
        return genuine(*arguments)[:-1]  # type: ignore[arg-type]

    monkeypatch.setattr(archives, "_judge", judge)
    with pytest.raises(IntegrityProblem, match="must stay as it is"):
        unpack(archive, cache, progress=PROGRESS)
    assert left(cache) == []
