"""What lies in the cache: each thing that is kept, how large, when it was last used, whether it is still what it was.

Everything but imported weights can be made again. A thing goes only where no running process can miss it: weights and
unpacked archives stay while a process works; all else is made again by whoever finds it gone. What goes unasked,
because the cache is full, was not used a moment ago either, but for activations.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from graft.backbones import layers
from graft.core.errors import BadInput, GraftError, ResourceProblem
from graft.core.files import Lock, remove_file, remove_tree, sweep_stray
from graft.core.records import from_sealed_json
from graft.core.tensors import read_tensors, tensors_sha256
from graft.data.archives.unpacking import WHOLE, damage
from graft.data.fingerprints import SUFFIX as FINGERPRINTS
from graft.data.fingerprints import check_fingerprints
from graft.data.scan import ScanMemory
from graft.evaluation.ranking import Ranking
from graft.features.forms import CONSTANTS_FILE, GRAPH_FILE, RECORD_FILE, stored_form
from graft.features.store import PROGRAM_FILE, SUFFIX, shard_problem

RECENT_SECONDS = 600.0  # far longer than from finding a thing to holding on to it
CAPPED = ("activations", "compiled", "scans", "archives", "tables")
SWEPT = ("store/*/*", "compiled/*", "weights", "scan/scans", "archives/*", "layers", "rankings", "downloads")
LEFT_SECONDS = 3600.0  # no writer takes nearly as long over one file
ALIVE = ".lock"  # in a scratch folder: held while its process works


@dataclass(frozen=True)
class Item:
    """One thing that is kept: a file, or a folder with several."""

    kind: str
    path: Path
    size_bytes: int
    used_seconds: float  # since the epoch

    def problem(self) -> str:
        """What is damaged about it; empty where nothing is."""
        check = CHECKS.get(self.kind)
        return check(self.path) if check else ""

    def remove(self) -> bool:
        """Whether it is gone now. False where it is in use."""
        try:
            REMOVERS.get(self.kind, remove_tree)(self.path)
        except ResourceProblem:
            return False  # somebody has it open (Windows), holds its lock, or the cache is not ours to change
        return True


def items(cache: Path, kinds: Iterable[str] | None = None) -> Iterator[Item]:
    """Everything in the cache, kind by kind; or some kinds only."""
    for kind in PLACES if kinds is None else kinds:
        for path in sorted(PLACES[kind](cache)):
            if item := _item(kind, path):
                yield item


def is_alive(scratch: Path) -> bool:
    """Whether the process that made this scratch folder still works."""
    if not (scratch / ALIVE).exists():
        return False
    lock = Lock(scratch / ALIVE, wait_seconds=0.0)
    try:
        lock.acquire()
    except ResourceProblem as error:
        return error.code == "locked"
    lock.release()
    return False


def anyone_works(cache: Path) -> bool:
    """Whether a process, this one too, uses the cache now: reads photos, trains, answers."""
    return any(is_alive(folder) for folder in cache.glob("scratch/*") if folder.is_dir())


def is_recent(item: Item) -> bool:
    """Whether it was used a moment ago, maybe by a process that goes on using it."""
    return time.time() - item.used_seconds < RECENT_SECONDS


def sweep(cache: Path) -> None:
    """Remove what nobody has use for: notes on activations that are gone, and what killed writers left."""
    with suppress(ResourceProblem):  # a cache that can only be read is swept by nobody
        for note in cache.glob(f"store/*/*/{PROGRAM_FILE}"):
            if not any(note.parent.glob(f"*{SUFFIX}")):
                remove_file(note)
        for pattern in SWEPT:
            for folder in cache.glob(pattern):
                sweep_stray(folder, LEFT_SECONDS)


def trim(cache: Path, cap_bytes: int) -> int:
    """Keep what can be made again under the cap, all of it together; returns how many things went, the oldest first.

    What is in use does not go and does not count: archives while any process works, and everything but activations
    where it was used a moment ago. Activations count always, or a run could fill the disk with them.
    """
    kinds = [kind for kind in CAPPED if kind != "archives" or not anyone_works(cache)]
    found = [item for item in items(cache, kinds) if item.kind == "activations" or not is_recent(item)]
    excess = sum(item.size_bytes for item in found) - cap_bytes
    removed = 0
    for item in sorted(found, key=lambda item: item.used_seconds):
        if excess <= 0:
            break
        if item.remove():
            excess -= item.size_bytes
            removed += 1
    return removed


def _item(kind: str, path: Path) -> Item | None:
    size, used = 0, 0.0
    try:
        for file in _files(path):
            facts = file.lstat()
            size += facts.st_size
            # an unpacked archive's files bear one fixed time: its folder tells when it was used
            used = max(used, facts.st_mtime) if kind != "archives" else path.stat().st_mtime
    except OSError:
        return None  # it went away meanwhile
    return Item(kind, path, size, used) if used else None


def _files(path: Path) -> Iterator[Path]:
    if not path.is_dir() or path.is_symlink():
        yield path
        return
    for place, _, names in os.walk(path):
        yield from (Path(place, name) for name in names if name not in ("lock", ALIVE))


def _scans(cache: Path) -> Iterator[Path]:
    """Verdicts, and beside them the fingerprints of the same photos."""
    for suffix in (".json", FINGERPRINTS):
        yield from cache.glob(f"scan/scans/*{suffix}")


def _downloads(cache: Path) -> Iterator[Path]:
    return (path for path in cache.glob("downloads/[!.]*") if path.suffix != ".lock")


def _other(cache: Path) -> Iterator[Path]:
    known = {"store", "compiled", "weights", "scan", "archives", "layers", "rankings", "downloads", "keras", "scratch"}
    if cache.is_dir():
        yield from (path for path in cache.iterdir() if path.name not in known)


PLACES: Mapping[str, Callable[[Path], Iterator[Path]]] = MappingProxyType(
    {
        "activations": lambda cache: cache.glob(f"store/*/*/*{SUFFIX}"),
        "compiled": lambda cache: cache.glob("compiled/*"),
        "weights": lambda cache: cache.glob("weights/*.safetensors"),
        "scans": _scans,
        "archives": lambda cache: cache.glob("archives/*"),
        "tables": lambda cache: (path for name in ("layers", "rankings") for path in cache.glob(f"{name}/*.json")),
        "downloads": _downloads,
        "keras": lambda cache: cache.glob("keras"),
        "scratch": lambda cache: cache.glob("scratch/*"),
        "other": _other,
    }
)


def _scan_problem(path: Path) -> str:
    if path.suffix == FINGERPRINTS:
        return _told(lambda: check_fingerprints(path))
    return _told(lambda: from_sealed_json(ScanMemory, path.read_bytes(), source=path.name))


def _table_problem(path: Path) -> str:
    cls: type[object] = layers.LayerTable if path.parent.name == layers.FOLDER else Ranking
    return _told(lambda: from_sealed_json(cls, path.read_bytes(), source=path.name))


def _weights_problem(path: Path) -> str:
    def read() -> None:
        with read_tensors(path) as file:
            if tensors_sha256(file.tensors) != file.metadata.get("tensors_sha256"):
                raise BadInput(f"{path.name} does not match its hash.")

    return _told(read)


def _archive_problem(path: Path) -> str:
    found: list[str] = []
    if (path / WHOLE).exists():
        problem = _told(lambda: found.append(damage(path / WHOLE, path.name)))
        return "".join(found) or problem
    return ""


def _told(read: Callable[[], object]) -> str:
    """What went wrong while reading; a thing that is gone has no damage."""
    try:
        read()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return f"it cannot be read: {error.strerror}"
    except GraftError as error:
        return "" if error.code == "not_found" else error.message
    return ""


CHECKS: Mapping[str, Callable[[Path], str]] = MappingProxyType(
    {
        "activations": shard_problem,
        "compiled": lambda path: stored_form(path, path.name)[1],
        "weights": _weights_problem,
        "scans": _scan_problem,
        "archives": _archive_problem,
        "tables": _table_problem,
    }
)


def _remove_compiled(folder: Path) -> None:
    """The record first: without it the form does not exist. The lock stays, for others may wait for it."""
    with Lock(folder / "lock", wait_seconds=0.0):
        for name in (RECORD_FILE, GRAPH_FILE, CONSTANTS_FILE):
            remove_file(folder / name)


def _remove_archive(place: Path) -> None:
    with Lock(place / "lock", wait_seconds=0.0):
        remove_tree(place / WHOLE)


def _remove_download(path: Path) -> None:
    """Not what a process fetches now. The lock stays, for others may wait for it."""
    name = path.name.removesuffix(".json").removesuffix(".part")
    with Lock(path.with_name(f"{name}.lock"), wait_seconds=0.0):
        remove_tree(path)


def _remove_scratch(folder: Path) -> None:
    if is_alive(folder):
        raise ResourceProblem(f"{folder} must not be in use.", code="locked")
    with suppress(FileNotFoundError):
        remove_tree(folder)


REMOVERS: Mapping[str, Callable[[Path], None]] = MappingProxyType(
    {
        "compiled": _remove_compiled,
        "archives": _remove_archive,
        "downloads": _remove_download,
        "scratch": _remove_scratch,
    }
)
