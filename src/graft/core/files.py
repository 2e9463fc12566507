"""The one module that writes: atomic files, directories, disk space, stray files and locks."""

import contextlib
import errno
import io
import os
import platform
import re
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from graft.core.errors import BadInput, ResourceProblem
from graft.core.locks import Lock as Lock

CRASH_POINTS = (
    "before_write",
    "half_written",
    "before_fsync",
    "before_rename",
    "after_rename",
    "before_directory_fsync",
    "before_old_removed",
)
CRASH_EXIT_STATUS = 137
STRAY_PATTERN = ".graft-*.tmp"
FULL = frozenset({errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)})
NO_DIRECTORY_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EBADF})
WINDOWS = os.name == "nt"
RENAME_TRIES = 8  # Windows: a virus scanner or a reader may hold the old file for a moment
RENAME_PAUSE_SECONDS = 0.02
CREATE = os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
PIECE_BYTES = 16 << 20  # some systems refuse a single write of 2 GiB or more

Piece = bytes | bytearray | memoryview


def crash_point(writer: str, point: str) -> None:
    """End the process at once where the environment variable GRAFT_CRASH_AT is `writer:point`; for crash tests."""
    if os.environ.get("GRAFT_CRASH_AT") == f"{writer}:{point}":
        os._exit(CRASH_EXIT_STATUS)


def write_atomic(path: Path, content: Piece | Iterable[Piece], *, writer: str, needed_bytes: int = 0) -> None:
    """Write a file so that a reader finds the old content or the new one, whole, whatever happens meanwhile.

    A temporary file beside `path` is written, brought to the disk and renamed over `path`; then the directory is
    brought to the disk. The rename also removes the old content, so the point `before_old_removed` lies just before
    it and is passed only where there is something to replace. A symbolic link at `path` is replaced, not followed.

    `writer` names the kind of artefact in crash points. `needed_bytes`, where known, is told when the disk is full.
    Raises ResourceProblem (`disk_full`, `cannot_write`); an error raised by `content` itself passes through. Nothing
    is left behind after an error.
    """
    pieces: Iterable[Piece] = (content,) if isinstance(content, bytes | bytearray | memoryview) else content
    if not needed_bytes and isinstance(content, bytes | bytearray | memoryview):
        needed_bytes = memoryview(content).nbytes
    temporary = temporary_path(path.parent)
    crash_point(writer, "before_write")
    try:
        _write_temporary(temporary, pieces, path=path, writer=writer, needed_bytes=needed_bytes)
        _put_in_place(temporary, path, writer, needed_bytes)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell; the rest is swept later
            temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def assemble_atomic(path: Path, *, writer: str) -> Iterator["Assembly"]:
    """An empty file to fill in any order, which appears at `path` whole when the context ends without an error.

    For content that is too large to be held or written twice. Otherwise as `write_atomic`.
    """
    temporary = temporary_path(path.parent)
    crash_point(writer, "before_write")
    try:
        with _told(path, 0):
            descriptor = os.open(temporary, os.O_RDWR | CREATE, 0o666)
        with Assembly(path, descriptor) as file:
            yield file
            with _told(path, 0):
                crash_point(writer, "half_written")
                crash_point(writer, "before_fsync")
                _fsync(descriptor)
        _put_in_place(temporary, path, writer, 0)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell; the rest is swept later
            temporary.unlink(missing_ok=True)
        raise


class Assembly(io.RawIOBase):
    """A file under way, for `assemble_atomic`: what its disk refuses is a ResourceProblem that names the final path."""

    def __init__(self, path: Path, descriptor: int) -> None:
        super().__init__()
        self.path = path
        self._descriptor = descriptor

    def allocate(self, size_bytes: int) -> None:
        """Take the file's whole size from the disk at once: a full disk is told before the work, not after it."""
        with _told(self.path, size_bytes):
            allocate(self._descriptor, size_bytes)

    def write(self, data: Piece) -> int:  # type: ignore[override]  # bytes in any form, as RawIOBase documents
        """Write all of `data` where the file stands, and return its number of bytes."""
        view = memoryview(data).cast("B")
        with _told(self.path, len(view)):
            _write_all(self._descriptor, view)
        return len(view)

    def readinto(self, buffer: Piece) -> int:  # type: ignore[override]
        """Fill `buffer` from where the file stands, and return how many bytes there were."""
        view = memoryview(buffer).cast("B")
        with _told(self.path, 0):
            data = os.read(self._descriptor, len(view))
        view[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place."""
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        """The place the file stands at."""
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Close once."""
        if not self.closed:
            super().close()
            with _told(self.path, 0):
                os.close(self._descriptor)  # a network disk may report a full quota only here


class Journal:
    """A new file that grows while others read it: what was added is there for them at once and never changes.

    For logs alone: a crash leaves what was added so far. Artefacts are written by `write_atomic`. Raises
    ResourceProblem; `path` must not exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with _told(path, 0):
            self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | CREATE, 0o666)

    def write(self, data: Piece) -> None:
        """Add all of `data` at the end."""
        view = memoryview(data).cast("B")
        with _told(self.path, len(view)):
            _write_all(self._descriptor, view)

    def close(self) -> None:
        """Close; closed more than once, the second time does nothing."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            with _told(self.path, 0):
                os.close(descriptor)


def allocate(descriptor: int, size_bytes: int) -> None:
    """Give an open file its size, its disk blocks taken where the system can; raises OSError."""
    take = getattr(os, "posix_fallocate", None)
    if take and size_bytes:
        take(descriptor, 0, size_bytes)
    else:
        os.truncate(descriptor, size_bytes)


def temporary_path(directory: Path) -> Path:
    """A new name in `directory` for a file or folder that `sweep_stray` may remove once it is old.

    Host, process and a random number: process numbers alone collide between hosts that share a disk.
    """
    host = re.sub(r"[^A-Za-z0-9-]", "", platform.node())[:40]
    return directory / f".graft-{host}-{os.getpid()}-{os.urandom(8).hex()}.tmp"


def make_directory(path: Path) -> None:
    """Make a directory and its parents; one that exists is fine. Raises ResourceProblem or BadInput."""
    with _told(path, 0):
        missing = [each for each in (path, *path.parents) if not each.exists()]
        try:
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise BadInput(
                f"{path} must be a folder, got something else of that name.",
                hint="Remove it or name another place.",
                code="already_exists",
            ) from None
        for each in missing:
            _fsync_directory(each.parent)


def remove_file(path: Path) -> None:
    """Remove a file; a missing one is fine. Raises ResourceProblem."""
    with _told(path, 0):
        path.unlink(missing_ok=True)


def remove_tree(path: Path) -> None:
    """Remove a directory with all it holds, or a single file; a missing one is fine. Links are not followed.

    The directory first gets a stray's name, so that a crash leaves it whole or gone, never half there.
    """
    if path.is_symlink() or path.is_file():
        remove_file(path)
        return
    if not path.exists():
        return
    doomed = temporary_path(path.parent)
    try:
        path.rename(doomed)
    except OSError:
        doomed = path  # Windows: no rename while a file inside is open; remove what can be removed
    with _told(path, 0):
        shutil.rmtree(doomed)


def mark_used(path: Path) -> None:
    """Let a kept file bear the time of this use, for the order in which such files go."""
    with contextlib.suppress(OSError):  # a cache that can only be read is still a cache
        os.utime(path)


def sweep_stray(directory: Path, older_than_seconds: float) -> int:
    """Remove what crashed writers left in `directory` and return how many were removed.

    Only temporary files and folders whose last change is older than `older_than_seconds` (the lease of the lock that
    guards the place) are touched: a younger one may belong to a living writer.
    """
    removed = 0
    for path in sorted(directory.glob(STRAY_PATTERN)):
        try:
            age_seconds = time.time() - path.lstat().st_mtime
        except FileNotFoundError:
            continue  # its writer has just renamed it
        if age_seconds > older_than_seconds:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path, ignore_errors=True)
            else:
                remove_file(path)
            removed += not os.path.lexists(path)
    return removed


def free_bytes(path: Path) -> int:
    """Bytes an unprivileged process may still write on the disk of `path`, which need not exist yet."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        return shutil.disk_usage(place).free
    except OSError as error:
        raise disk_problem(error, path, 0) from None


def require_space(path: Path, needed_bytes: int, purpose: str) -> None:
    """Refuse (`disk_full`) to begin `purpose` where the disk of `path` has fewer than `needed_bytes` free."""
    free = free_bytes(path)
    if free < needed_bytes:
        raise ResourceProblem(
            f"{purpose} needs {needed_bytes} bytes at {path}, but {free} bytes are free there.",
            hint="Free some space or name a place on another disk.",
            code="disk_full",
        )


def _write_temporary(temporary: Path, pieces: Iterable[Piece], *, path: Path, writer: str, needed_bytes: int) -> None:
    """Create, fill and fsync the temporary file. Errors of `pieces` pass; those of the disk become coded."""
    with _told(path, needed_bytes):
        descriptor = os.open(temporary, os.O_WRONLY | CREATE, 0o666)
    written, halved = 0, False
    try:
        for piece in pieces:
            view = memoryview(piece).cast("B")
            with _told(path, max(needed_bytes, written + len(view))):
                if not halved and view:
                    _write_all(descriptor, view[: len(view) // 2])
                    crash_point(writer, "half_written")
                    view, written, halved = view[len(view) // 2 :], written + len(view) // 2, True
                _write_all(descriptor, view)
            written += len(view)
        with _told(path, max(needed_bytes, written)):
            crash_point(writer, "before_fsync")
            _fsync(descriptor)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error is the one to tell
            os.close(descriptor)
        raise
    with _told(path, max(needed_bytes, written)):
        os.close(descriptor)  # a network disk may report a full quota only here


def _put_in_place(temporary: Path, path: Path, writer: str, needed_bytes: int) -> None:
    """Rename the finished temporary file over `path` and make the name durable."""
    with _told(path, needed_bytes):
        crash_point(writer, "before_rename")
        if os.path.lexists(path):
            crash_point(writer, "before_old_removed")
        _replace(temporary, path)
        crash_point(writer, "after_rename")
        crash_point(writer, "before_directory_fsync")
        _fsync_directory(path.parent)


def _write_all(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view[:PIECE_BYTES]) :]


def _fsync(descriptor: int) -> None:
    """Bring a file's content to the disk; macOS' fsync stops at the drive's cache, so ask for more there."""
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # not every file system knows it
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
            return
    os.fsync(descriptor)


def _replace(temporary: Path, path: Path) -> None:
    """Rename over `path`; where the system is Windows, an open old file may need a few tries."""
    for left in reversed(range(RENAME_TRIES if WINDOWS else 1)):
        try:
            temporary.replace(path)
        except PermissionError:
            if not left:
                raise
            time.sleep(RENAME_PAUSE_SECONDS)
        else:
            return


def _fsync_directory(directory: Path) -> None:
    """Make names durable, where the system can: Windows cannot open a directory, some network disks refuse."""
    if WINDOWS:
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_DIRECTORY_FSYNC:
            raise
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _told(path: Path, needed_bytes: int) -> Iterator[None]:
    """Turn an OSError into the ResourceProblem that says what is wrong with the place."""
    try:
        yield
    except OSError as error:
        raise disk_problem(error, path, needed_bytes) from error


def disk_problem(error: OSError, path: Path, needed_bytes: int) -> ResourceProblem:
    """What to tell where a place cannot be written to: `disk_full` or `cannot_write`."""
    reason = (error.strerror or str(error) or "unknown reason").lower()
    if error.errno not in FULL:
        return ResourceProblem(
            f"{path} must be in a folder that exists and can be written to, got: {reason}.",
            hint="Check that the folder is there, its permissions and the disk, or name another place.",
            code="cannot_write",
        )
    with contextlib.suppress(OSError, ResourceProblem):
        free = shutil.disk_usage(path.parent).free
        return ResourceProblem(
            f"Writing {path} needs {max(needed_bytes, 1)} bytes, but {free} bytes are free on its disk ({reason}).",
            hint="Free some space or name a place on another disk; then run the same command again.",
            code="disk_full",
        )
    return ResourceProblem(f"Writing {path} needs {max(needed_bytes, 1)} bytes ({reason}).", code="disk_full")
