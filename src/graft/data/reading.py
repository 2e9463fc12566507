"""The bytes of one photo file, read without waiting on pipes, without following links out, and never too many."""

import io
import os
import stat
from pathlib import Path

from graft.core.errors import ImageRefused
from graft.data.containers import ARCHIVE_HEAD_BYTES, refuse_archive
from graft.data.limits import check_bytes
from graft.data.records import ImageRules


def read_bytes(path: Path, *, rules: ImageRules, root: Path | None = None) -> bytes:
    """The content of a regular file, never waiting on a pipe and never reading more than the limit.

    Raises `ImageRefused`: `not_found`, `not_a_file`, `unreadable`, `too_many_bytes`, and with `root` `outside_root`
    where the path leads out of that folder by a link or by "..".
    """
    try:
        if root is not None and leads_out(path, root):
            raise ImageRefused(
                "The file must lie in the data folder, got a path that leads out of it.", code="outside_root"
            )
        if not stat.S_ISREG(path.stat().st_mode):
            raise ImageRefused("The path must be a file, got a folder, pipe or device.", code="not_a_file")
        # the file may be exchanged for a pipe between the two calls: without waiting, and looked at again
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        with open(os.open(path, flags), "rb", buffering=0) as file:  # noqa: PTH123 (a descriptor, not a path)
            facts = os.fstat(file.fileno())
            if not stat.S_ISREG(facts.st_mode):
                raise ImageRefused("The path must be a file, got a pipe or device.", code="not_a_file")
            if facts.st_size > rules.max_bytes:
                refuse_archive(file.read(ARCHIVE_HEAD_BYTES))  # no limit that could be raised helps with one
            check_bytes(facts.st_size, rules)
            return _read_at_most(file, rules.max_bytes + 1)
    except FileNotFoundError:
        raise ImageRefused("The file must exist, got a path to nothing.", code="not_found") from None
    except (OSError, RuntimeError, ValueError) as error:  # RuntimeError: a circle of links
        reason = getattr(error, "strerror", None) or str(error)
        raise ImageRefused(f"The file must be readable, got: {reason}.", code="unreadable") from error


def leads_out(path: Path, root: Path) -> bool:
    """Whether `path` leads out of the folder `root` by a link or by ".."; raises `OSError` or `RuntimeError` where it
    leads nowhere."""
    return _may_leave(path, root) and not path.resolve(strict=True).is_relative_to(root.resolve())


def _may_leave(path: Path, root: Path) -> bool:
    """Whether `path` could lead out of `root`: anything but plain names below it. Saves resolving every path."""
    try:
        parts = path.relative_to(root).parts
    except ValueError:
        return True
    if ".." in parts:
        return True
    here = str(root)
    for part in parts:
        here = f"{here}{os.sep}{part}"
        if os.path.islink(here):  # noqa: PTH114 (a Path object for each part doubles the time of a scan's hashing)
            return True
    return False


def _read_at_most(file: io.FileIO, count: int) -> bytes:
    pieces = []
    while count > 0 and (piece := file.read(count)):
        pieces.append(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
