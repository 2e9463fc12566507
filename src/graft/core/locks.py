"""A lock between processes of one host, with a lease: the death or the hanging of its holder blocks nobody for long."""

import contextlib
import errno
import os
import platform
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from graft.core.errors import ResourceProblem

POLL_SECONDS = 0.05
GUARD_POLL_SECONDS = 0.001
MAX_OWNER_BYTES = 200
BUSY = frozenset({errno.EAGAIN, errno.EACCES, getattr(errno, "EDEADLK", errno.EAGAIN)})
LOCKED_BYTE = 1 << 30  # Windows locks are binding, so the locked byte lies beyond the content


class Lock:
    """Mutual exclusion for the processes and threads that name the same `path`; use it as a context.

    Two files work together. `path` holds the name of the owner and is read and written only under a system lock held
    for microseconds. The owner keeps a second file beside it, `.graft-OWNER.tmp`, under a system lock as long as it
    lives, and touches it several times in a lease. A waiter takes over when the system lock on that second file is
    gone (the owner died: at once) or when the file was not touched for a whole lease of the waiter's own clock (the
    owner hangs).

    `acquire` raises ResourceProblem (`locked`) after `wait_seconds`. An owner that was stopped longer than its lease
    may have lost the lock: `check` raises then, and long work calls it before it commits.
    """

    def __init__(self, path: Path, lease_seconds: float = 30.0, wait_seconds: float = 600.0) -> None:
        self.path = path
        self.lease_seconds = lease_seconds
        self.wait_seconds = wait_seconds
        self._owner = ""
        self._live = -1
        self._stop = threading.Event()
        self._heart: threading.Thread | None = None

    def acquire(self) -> None:
        """Take the lock, waiting for up to `wait_seconds`."""
        if self._owner:
            raise ResourceProblem(f"{self.path} must not be locked twice by one holder.", code="locked")
        give_up = time.monotonic() + self.wait_seconds
        seen, seen_at = ("", 0), time.monotonic()
        while True:
            with _guarded(self.path) as guard:
                owner = _read_owner(guard)
                beat = self._beat(owner)
                if (owner, beat) != seen:
                    seen, seen_at = (owner, beat), time.monotonic()
                expired = time.monotonic() - seen_at > self.lease_seconds
                if not owner or beat < 0 or expired:
                    self._take(guard, owner)
                    return
            if time.monotonic() >= give_up:
                raise ResourceProblem(
                    f"{self.path} must be free within {self.wait_seconds:g} seconds, got: held by {owner}.",
                    hint="Wait until the other graft process has ended, or end it.",
                    code="locked",
                )
            time.sleep(min(POLL_SECONDS, self.lease_seconds / 10))

    def release(self) -> None:
        """Give the lock back; nothing happens where it was lost or never taken."""
        if not self._owner:
            return
        self._stop.set()
        if self._heart is not None:
            self._heart.join()
        with _guarded(self.path) as guard:
            if _read_owner(guard) == self._owner:
                _write_owner(guard, "")
            os.close(self._live)
            self._live_path(self._owner).unlink(missing_ok=True)
        self._owner, self._live = "", -1

    def check(self) -> None:
        """Raise ResourceProblem (`locked`) unless this object still holds the lock."""
        with _guarded(self.path) as guard:
            owner = _read_owner(guard)
        if not self._owner or owner != self._owner:
            raise ResourceProblem(
                f"{self.path} must still be held, got: another process took it over after {self.lease_seconds:g} s.",
                hint="This process was stopped for a while; run the same command again.",
                code="locked",
            )

    def __enter__(self) -> Self:
        """Acquire."""
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release."""
        self.release()

    def _live_path(self, owner: str) -> Path:
        return self.path.with_name(f".graft-{owner}.tmp")

    def _beat(self, owner: str) -> int:
        """When the owner last touched its file, in its file system's time; -1 where the owner is dead."""
        if not owner:
            return -1
        try:
            descriptor = os.open(self._live_path(owner), os.O_RDWR)
        except FileNotFoundError:
            return -1
        try:
            return -1 if _try_lock(descriptor) else os.fstat(descriptor).st_mtime_ns
        finally:
            os.close(descriptor)

    def _take(self, guard: int, before: str) -> None:
        """Become the owner; called under the guard."""
        if before:
            with contextlib.suppress(OSError):  # Windows: a hanging owner still has it open
                self._live_path(before).unlink(missing_ok=True)
        host = "".join(letter for letter in platform.node() if letter.isalnum() or letter == "-")[:40]
        owner = f"{host}-{os.getpid()}-{os.urandom(8).hex()}"
        self._live = os.open(self._live_path(owner), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        _try_lock(self._live)
        _write_owner(guard, owner)
        self._owner = owner
        self._stop.clear()
        self._heart = threading.Thread(target=self._keep_alive, args=(owner,), daemon=True, name="graft-lock")
        self._heart.start()

    def _keep_alive(self, owner: str) -> None:
        """Touch the living file until released, lost or removed."""
        while not self._stop.wait(self.lease_seconds / 5):
            try:
                os.utime(self._live_path(owner))
            except OSError:
                return  # taken over, or the disk is gone: `check` tells the owner


@contextlib.contextmanager
def _guarded(path: Path) -> Iterator[int]:
    """The lock's own file, open and under the system lock; held for microseconds, so waiting for it is plain."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            while not _try_lock(descriptor):
                time.sleep(GUARD_POLL_SECONDS)
            yield descriptor
        finally:
            os.close(descriptor)  # also ends the system lock
    except OSError as error:
        raise _unlockable(path, error) from error


def _unlockable(path: Path, error: OSError) -> ResourceProblem:
    return ResourceProblem(
        f"{path} must be on a disk that can be written to and locked, got: {(error.strerror or str(error)).lower()}.",
        hint="Check the folder's permissions, or set GRAFT_CACHE to a folder on a local disk.",
        code="cannot_write",
    )


def _try_lock(descriptor: int) -> bool:
    """Take the system's exclusive lock on an open file without waiting; it ends with the process at the latest."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in BUSY:
            return False
        raise
    return True


def _read_owner(guard: int) -> str:
    os.lseek(guard, 0, os.SEEK_SET)
    text = os.read(guard, MAX_OWNER_BYTES).decode("ascii", errors="replace").strip()
    # What is no owner's name (a torn write after a power loss) belongs to nobody and must not become a path.
    return text if text and all(letter.isalnum() or letter == "-" for letter in text) else ""


def _write_owner(guard: int, owner: str) -> None:
    os.lseek(guard, 0, os.SEEK_SET)
    os.write(guard, owner.encode("ascii", errors="replace").ljust(MAX_OWNER_BYTES))
