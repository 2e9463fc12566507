"""A shim between Graft and the operating system: records the calls that write, and makes chosen ones fail."""

import errno
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from graft.core.files import STRAY_PATTERN

CALLS = ("open", "write", "fsync", "close", "replace")


@dataclass
class Faults:
    """The calls seen so far as (name, file name), and the error each kind of call shall meet."""

    seen: list[tuple[str, str]] = field(default_factory=list)
    errors: dict[str, list[OSError | None]] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)

    def fail(self, call: str, number: int, *, after: int = 0, times: int = 1) -> None:
        """Let `call` raise the OSError of errno `number`, `times` times after `after` good calls."""
        self.errors[call] = [None] * after + [OSError(number, os.strerror(number))] * times

    def meet(self, call: str, name: str) -> None:
        """Record a call, and raise what is due."""
        self.seen.append((call, name))
        due = self.errors.get(call)
        if due and (error := due.pop(0)) is not None:
            raise error


def install(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Faults:
    """Watch what happens to files in `directory` and to the directory itself, until the test ends."""
    faults = Faults()
    real = {call: getattr(os, call) for call in CALLS}

    def watched(path: Any) -> bool:
        return isinstance(path, str | Path) and Path(path) in {directory, directory / Path(path).name}

    def open_(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if not watched(path):
            return real["open"](path, flags, *rest, **named)
        name = "." if Path(path) == directory else Path(path).name
        faults.meet("open", name)
        descriptor = real["open"](path, flags, *rest, **named)
        faults.names[descriptor] = name
        return descriptor

    def on_descriptor(call: str) -> Callable[..., Any]:
        def stand_in(descriptor: int, *rest: Any) -> Any:
            if descriptor in faults.names:
                name = faults.names[descriptor]
                if call == "close":
                    del faults.names[descriptor]
                    real[call](descriptor, *rest)
                    return faults.meet(call, name)
                faults.meet(call, name)
            return real[call](descriptor, *rest)

        return stand_in

    def replace(source: Any, target: Any, **named: Any) -> None:
        if watched(target):
            faults.meet("replace", Path(target).name)
        real["replace"](source, target, **named)

    monkeypatch.setattr(os, "open", open_)
    monkeypatch.setattr(os, "replace", replace)
    for call in ("write", "fsync", "close"):
        monkeypatch.setattr(os, call, on_descriptor(call))
    return faults


# Each way a disk can fail under a writer: (name, call, errno, good calls before it, code).
DISK_FAULTS = (
    ("read-only folder", "open", errno.EACCES, 0, "cannot_write"),
    ("read-only disk", "open", errno.EROFS, 0, "cannot_write"),
    ("vanished folder", "open", errno.ENOENT, 0, "cannot_write"),
    ("full at once", "write", errno.ENOSPC, 0, "disk_full"),
    ("full half-way", "write", errno.ENOSPC, 1, "disk_full"),
    ("file too large", "write", errno.EFBIG, 1, "disk_full"),
    ("over quota", "write", getattr(errno, "EDQUOT", errno.ENOSPC), 1, "disk_full"),
    ("broken disk", "write", errno.EIO, 1, "cannot_write"),
    ("full at fsync", "fsync", errno.ENOSPC, 0, "disk_full"),
    ("broken at fsync", "fsync", errno.EIO, 0, "cannot_write"),
    ("over quota at close", "close", getattr(errno, "EDQUOT", errno.ENOSPC), 0, "disk_full"),
    ("permission lost midway", "replace", errno.EACCES, 0, "cannot_write"),
    ("vanished midway", "replace", errno.ENOENT, 0, "cannot_write"),
)


def let_leases_pass(place: Path) -> None:
    """Make what killed processes left below a folder two days old, so that the next one may sweep it."""
    then = time.time() - 2 * 86_400
    for path in place.rglob(STRAY_PATTERN):
        os.utime(path, (then, then))
