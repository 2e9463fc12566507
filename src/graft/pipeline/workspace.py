"""Where a pipeline keeps what it can make again: the activation store, and folders for the time of one run."""

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from graft.core import machine
from graft.core.files import make_directory, remove_tree
from graft.features.store import Store, default_cap_bytes

LEFT_SECONDS = 86_400.0  # far longer than anything here takes


def feature_store() -> Store:
    """The activation store in this user's cache."""
    folder = _folder("store")
    return Store(folder, default_cap_bytes(folder))


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that goes with its context: beside the cache, on a disk, for memory maps must not fill a RAM disk.

    Folders that killed processes left a day ago and earlier are swept.
    """
    for left in _folder("scratch").iterdir():
        with suppress(OSError):  # another process sweeps too
            if time.time() - left.stat().st_mtime > LEFT_SECONDS:
                remove_tree(left)
    with tempfile.TemporaryDirectory(dir=_folder("scratch"), ignore_cleanup_errors=True) as scratch:
        yield Path(scratch)


def _folder(name: str) -> Path:
    folder = machine.cache_directory() / name
    make_directory(folder)
    return folder
