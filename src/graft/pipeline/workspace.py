"""Where a pipeline keeps what it can make again: the activation store, and folders for the time of one run."""

import os
import re
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from graft.core import machine
from graft.core.errors import BadInput, ResourceProblem
from graft.core.files import Lock, make_directory, remove_tree
from graft.features.store import Store, default_cap_bytes
from graft.pipeline.kept import ALIVE, is_alive, trim

LEFT_SECONDS = 86_400.0  # far longer than anything here takes


def feature_store() -> Store:
    """The activation store in this user's cache."""
    folder, cache = _folder("store"), machine.cache_directory()
    cap = cap_bytes(cache)
    return Store(folder, cap, make_room=lambda: trim(cache, cap))


def cap_bytes(cache: Path) -> int:
    """What all that can be made again may take together, while nobody uses it: GRAFT_CACHE_CAP, else the default."""
    given = os.environ.get("GRAFT_CACHE_CAP", "").strip()
    if not given:
        return default_cap_bytes(cache)
    match = re.fullmatch(r"(\d{1,12}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)b?", given.lower())
    if match is None:
        raise BadInput(
            f"GRAFT_CACHE_CAP must be a size as 500MB or 5GB, got {given[:40]!r}.", hint="Unset it or correct it."
        )
    number, unit, binary = match.groups()
    return int(float(number) * (1024 if binary else 1000) ** "_kmgt".index(unit or "_"))


@contextmanager
def working(*, tidy: bool = True) -> Iterator[None]:
    """While the context lasts, nothing that this process may need is removed from the cache by another.

    With `tidy` the cache is brought under its cap first, which takes a look at everything in it.
    """
    cache = machine.cache_directory()
    if tidy:
        trim(cache, cap_bytes(cache))
    with ExitStack() as stack:
        with suppress(ResourceProblem):  # a cache that can only be read is still a cache
            stack.enter_context(scratch_folder())
        yield


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder that goes with its context: beside the cache, on a disk, for memory maps must not fill a RAM disk.

    Folders that killed processes left a day ago and earlier are swept.
    """
    folder = _folder("scratch")
    for left in folder.iterdir():
        with suppress(OSError):  # another process sweeps too
            if time.time() - left.stat().st_mtime > LEFT_SECONDS and not is_alive(left):
                remove_tree(left)
    with (
        tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as scratch,
        Lock(Path(scratch) / ALIVE),
    ):
        yield Path(scratch)


def _folder(name: str) -> Path:
    folder = machine.cache_directory() / name
    make_directory(folder)
    return folder
