"""Folders that appear whole or not at all. What ends an unpacking half-way is in tests/data/test_archives.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.core.errors import ResourceProblem
from graft.core.folders import add_folder, whole_folder, write_copy


def copy(path: Path, *pieces: bytes) -> None:
    write_copy(path, pieces, writer="test", needed_bytes=9, mtime=1_000_000_000.0)


def test_files_and_folders_appear_together(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "made", writer="test") as folder:
        copy(folder / "a" / "b.bin", b"in ", b"", b"pieces")
        add_folder(folder / "empty")
        assert not (tmp_path / "made").exists()
    assert (tmp_path / "made" / "a" / "b.bin").read_bytes() == b"in pieces"
    assert (tmp_path / "made" / "a" / "b.bin").stat().st_mtime == 1_000_000_000.0
    assert (tmp_path / "made" / "empty").is_dir()
    assert list(tmp_path.iterdir()) == [tmp_path / "made"]


def test_what_was_there_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "old").touch()
    with whole_folder(tmp_path / "made", writer="test") as folder:
        copy(folder / "new", b"x")
    assert [path.name for path in (tmp_path / "made").iterdir()] == ["new"]


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_an_error_leaves_the_old_folder(error: BaseException, tmp_path: Path) -> None:
    def content() -> Iterator[bytes]:
        yield b"a beginning"
        raise error

    (tmp_path / "made").mkdir()
    with pytest.raises(type(error)), whole_folder(tmp_path / "made", writer="test") as folder:
        write_copy(folder / "new", content(), writer="test", needed_bytes=0, mtime=0.0)
    assert list(tmp_path.iterdir()) == [tmp_path / "made"]


def test_a_file_is_written_once_and_the_place_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(ResourceProblem) as twice, whole_folder(tmp_path / "made", writer="test") as folder:
        copy(folder / "a", b"x")
        copy(folder / "a", b"y")
    with pytest.raises(ResourceProblem) as nowhere, whole_folder(tmp_path / "gone" / "made", writer="test"):
        pass
    assert {twice.value.code, nowhere.value.code} == {"cannot_write"}
    assert list(tmp_path.iterdir()) == []
