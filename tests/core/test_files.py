"""Atomic files, directories, space and strays. What ends a writer half-way is in tests/crash."""

import errno
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.core import files
from graft.core.errors import BadInput, ResourceProblem
from tests.crash import faults


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", b""),
        (b"x", b"x"),
        (bytearray(b"more"), b"more"),
        (memoryview(b"a view"), b"a view"),
        ([b"in ", b"", b"pieces"], b"in pieces"),
        ([], b""),
    ],
)
def test_content_replaces_what_was_there(content: files.Piece | list[bytes], expected: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"the old content")
    files.write_atomic(path, content, writer="test")
    assert path.read_bytes() == expected
    assert list(tmp_path.iterdir()) == [path]


def test_pieces_are_joined_in_order(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "file", (bytes([number]) * number for number in range(100)), writer="test")
    assert (tmp_path / "file").read_bytes() == b"".join(bytes([number]) * number for number in range(100))


def test_views_of_wide_items_are_written_as_bytes(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "file", [memoryview(b"01234567").cast("I")], writer="test")
    assert (tmp_path / "file").read_bytes() == b"01234567"


def test_short_writes_of_the_system_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, view: real(descriptor, view[:3]))
    files.write_atomic(tmp_path / "file", b"0123456789", writer="test")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "not the disk's"), ValueError("no"), KeyboardInterrupt()])
def test_errors_of_the_content_pass_through(error: BaseException, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"old")

    def content() -> Iterator[bytes]:
        yield b"a beginning"
        raise error

    with pytest.raises(type(error)) as caught:
        files.write_atomic(tmp_path / "file", content(), writer="test")
    assert caught.value is error
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_disk_full_tells_the_bytes_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = faults.install(monkeypatch, tmp_path)
    shim.fail("write", errno.ENOSPC)
    with pytest.raises(ResourceProblem, match=r"needs 1000 bytes, but \d+ bytes are free") as caught:
        files.write_atomic(tmp_path / "file", b"x" * 1000, writer="test")
    assert caught.value.code == "disk_full"
    shim.fail("write", errno.ENOSPC, after=1)
    with pytest.raises(ResourceProblem, match="needs 5000 bytes"):
        files.write_atomic(tmp_path / "file", [b"x" * 1000], writer="test", needed_bytes=5000)


def test_first_error_is_told_when_the_temporary_file_cannot_be_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unlink(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "cannot remove either")

    shim = faults.install(monkeypatch, tmp_path)
    shim.fail("fsync", errno.ENOSPC)
    monkeypatch.setattr(Path, "unlink", unlink)
    with pytest.raises(ResourceProblem) as caught:
        files.write_atomic(tmp_path / "file", b"x", writer="test")
    assert caught.value.code == "disk_full"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no fsync of directories")
def test_directory_fsync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = faults.install(monkeypatch, tmp_path)
    shim.fail("fsync", errno.EINVAL, after=1)  # a network disk that does not know it
    files.write_atomic(tmp_path / "file", b"x", writer="test")
    shim.fail("fsync", errno.EIO, after=1)
    with pytest.raises(ResourceProblem):
        files.write_atomic(tmp_path / "file", b"y", writer="test")


def test_windows_rename_over_a_file_that_is_open_for_a_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "WINDOWS", True)
    monkeypatch.setattr(files, "RENAME_PAUSE_SECONDS", 0.0)
    shim = faults.install(monkeypatch, tmp_path)
    shim.fail("replace", errno.EACCES, times=files.RENAME_TRIES - 1)
    files.write_atomic(tmp_path / "file", b"new", writer="test")
    assert (tmp_path / "file").read_bytes() == b"new"
    assert ("open", ".") not in shim.seen  # no directory fsync
    shim.fail("replace", errno.EACCES, times=files.RENAME_TRIES)
    with pytest.raises(ResourceProblem) as caught:
        files.write_atomic(tmp_path / "file", b"newer", writer="test")
    assert caught.value.code == "cannot_write"
    assert (tmp_path / "file").read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom permissions bind")
def test_read_only_folder_for_real(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(ResourceProblem) as caught:
            files.write_atomic(tmp_path / "file", b"x", writer="test")
    finally:
        tmp_path.chmod(0o700)
    assert caught.value.code == "cannot_write"


def test_a_folder_in_the_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").mkdir()
    with pytest.raises(ResourceProblem) as caught:
        files.write_atomic(tmp_path / "file", b"x", writer="test")
    assert caught.value.code == "cannot_write"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_a_link_is_replaced_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"untouched")
    (tmp_path / "link").symlink_to("other")
    files.write_atomic(tmp_path / "link", b"new", writer="test")
    assert not (tmp_path / "link").is_symlink()
    assert (tmp_path / "other").read_bytes() == b"untouched"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no umask")
def test_the_users_umask_decides_the_permissions(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_atomic(tmp_path / "file", b"x", writer="test")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


def test_names_of_255_bytes_can_be_written(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / ("n" * 255), b"x", writer="test")
    assert (tmp_path / ("n" * 255)).read_bytes() == b"x"


def test_temporary_names_are_unique_and_say_whose_they_are(tmp_path: Path) -> None:
    names = {files.temporary_path(tmp_path).name for _ in range(1000)}
    assert len(names) == 1000
    assert all(f"-{os.getpid()}-" in name for name in names)
    assert all(len(name) < 120 and Path(name).match(files.STRAY_PATTERN) for name in names)


def test_crash_point_does_nothing_without_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAFT_CRASH_AT", "other:before_write")
    for point in files.CRASH_POINTS:
        files.crash_point("test", point)


def test_make_directory(tmp_path: Path) -> None:
    files.make_directory(tmp_path / "a" / "b" / "c")
    files.make_directory(tmp_path / "a" / "b" / "c")
    assert (tmp_path / "a" / "b" / "c").is_dir()
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BadInput) as caught:
        files.make_directory(tmp_path / "file")
    assert caught.value.code == "already_exists"
    with pytest.raises(ResourceProblem) as refused:
        files.make_directory(tmp_path / "file" / "below")
    assert refused.value.code == "cannot_write"


def test_remove_tree(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "below").mkdir(parents=True)
    (tree / "below" / "file").write_bytes(b"x")
    (tmp_path / "file").write_bytes(b"x")
    files.remove_tree(tree)
    files.remove_tree(tree)
    files.remove_tree(tmp_path / "file")
    files.remove_file(tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_remove_tree_where_a_folder_in_use_cannot_be_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def rename(*_: object) -> None:
        raise PermissionError(errno.EACCES, "in use")

    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_bytes(b"x")
    monkeypatch.setattr(Path, "rename", rename)
    files.remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_remove_tree_does_not_follow_links(tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_bytes(b"x")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    files.remove_tree(tmp_path / "tree")
    files.remove_tree(tmp_path / "link")
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept" / "file").exists()


def test_sweep_removes_old_strays_only(tmp_path: Path) -> None:
    old, young, tree = (files.temporary_path(tmp_path) for _ in range(3))
    tree.mkdir()
    (tree / "part").write_bytes(b"x")
    others = [tmp_path / "photo.tmp", tmp_path / ".graft-notes", tmp_path / "record.json"]
    for path in (old, young, *others):
        path.write_bytes(b"x")
    hour_ago = time.time() - 3600
    for path in (old, tree, *others):
        os.utime(path, (hour_ago, hour_ago))
    assert files.sweep_stray(tmp_path, older_than_seconds=30.0) == 2
    assert sorted(tmp_path.iterdir()) == sorted([young, *others])
    assert files.sweep_stray(tmp_path / "missing", older_than_seconds=30.0) == 0


def test_space(tmp_path: Path) -> None:
    free = files.free_bytes(tmp_path / "not" / "there" / "yet")
    assert free > 0
    files.require_space(tmp_path, 1, "Writing one byte")
    with pytest.raises(
        ResourceProblem, match=rf"^Writing all needs {1 << 62} bytes .* but \d+ bytes are free"
    ) as caught:
        files.require_space(tmp_path, 1 << 62, "Writing all")
    assert caught.value.code == "disk_full"


@pytest.mark.skipif(sys.platform != "darwin", reason="macOS' own way to flush the drive")
def test_macos_flush(tmp_path: Path) -> None:
    files.write_atomic(tmp_path / "file", b"x", writer="test")
