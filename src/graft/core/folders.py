"""Whole folders: many files that appear at once, for content that can be made again."""

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from graft.core.files import crash_point, disk_problem, remove_tree, temporary_path


@contextlib.contextmanager
def whole_folder(path: Path, *, writer: str) -> Iterator[Path]:
    """A new folder beside `path` to fill, which takes its place when the context ends: whole, or not at all.

    What is at `path` is removed just before. The files are not brought to the disk one by one as results are: thousands
    of times waiting for it would take longer than the work that needs them. So this is for what can be made again, and
    whose reader notices files that a power failure cut short. Raises ResourceProblem (`disk_full`, `cannot_write`).
    """
    unfinished = temporary_path(path.parent)
    crash_point(writer, "before_write")
    try:
        with _told(path, 0):
            unfinished.mkdir()
        yield unfinished
        crash_point(writer, "before_rename")
        if os.path.lexists(path):
            crash_point(writer, "before_old_removed")
            remove_tree(path)
        with _told(path, 0):
            unfinished.rename(path)
        crash_point(writer, "after_rename")
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)  # the first error is the one to tell; the rest is swept later
        raise


def write_copy(path: Path, content: Iterable[bytes], *, writer: str, needed_bytes: int, mtime: float) -> None:
    """Write one new file, last changed at `mtime`, into a folder of `whole_folder`; parents are made.

    Raises ResourceProblem (`disk_full`, `cannot_write`); an error raised by `content` itself passes through.
    """
    with _told(path, needed_bytes):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("xb", buffering=0)
    with file:
        for piece in content:
            view = memoryview(piece)
            while view:
                with _told(path, needed_bytes):
                    view = view[file.write(view) or 0 :]
                crash_point(writer, "half_written")
    with _told(path, needed_bytes):
        os.utime(path, (mtime, mtime))


def add_folder(path: Path) -> None:
    """Make a folder and its parents inside a folder of `whole_folder`; one that is there is fine."""
    with _told(path, 0):
        path.mkdir(parents=True, exist_ok=True)


@contextlib.contextmanager
def _told(path: Path, needed_bytes: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_problem(error, path, needed_bytes) from error
