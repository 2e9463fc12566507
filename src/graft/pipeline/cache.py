"""The cache as its owner sees it: what is there, whether it is sound, and how to get the disk back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graft.core import machine
from graft.core.errors import BadInput, GraftError
from graft.core.files import free_bytes
from graft.core.progress import Progress
from graft.core.records import from_json
from graft.features.forms import RECORD_FILE
from graft.features.records import CompiledForm, Program
from graft.features.store import PROGRAM_FILE, shard_rows
from graft.pipeline.kept import CHECKS, PLACES, Item, anyone_works, items, sweep
from graft.pipeline.workspace import cap_bytes

SAFE = tuple(kind for kind in PLACES if kind not in ("weights", "other"))
HELD = ("weights", "archives")  # what a process at work may come back to, and cannot make again
CLEARABLE = (*(kind for kind in PLACES if kind not in ("scratch", "other")), "all")


@dataclass(frozen=True)
class Kind:
    """All things of one kind together. `used_seconds` is when one was last used, None where there is none."""

    name: str
    count: int
    size_bytes: int
    used_seconds: float | None


@dataclass(frozen=True)
class Network:
    """What is kept of one network: rows of activations, and compiled forms."""

    kind: str
    backbone: str
    side_pixels: int
    read: str  # the outputs, shortened
    rows: int
    size_bytes: int
    used_seconds: float


@dataclass(frozen=True)
class CacheFacts:
    """The whole cache."""

    path: Path
    cap_bytes: int
    free_bytes: int
    kinds: tuple[Kind, ...]
    networks: tuple[Network, ...]


@dataclass(frozen=True)
class Damaged:
    """One thing that is not what was stored."""

    kind: str
    path: Path
    problem: str
    removed: bool


@dataclass(frozen=True)
class Verified:
    """What was read, and what of it is damaged."""

    count: int
    size_bytes: int
    damaged: tuple[Damaged, ...]

    def left(self) -> tuple[Damaged, ...]:
        """What is damaged and still there."""
        return tuple(each for each in self.damaged if not each.removed)


@dataclass(frozen=True)
class Cleared:
    """What went, what stayed because it is in use, and what `all` leaves alone."""

    kinds: tuple[Kind, ...]
    in_use: int
    weights_kept: int

    def size_bytes(self) -> int:
        """Bytes given back."""
        return sum(kind.size_bytes for kind in self.kinds)


def show_cache() -> CacheFacts:
    """Look; nothing is hashed."""
    cache = machine.cache_directory()
    found = list(items(cache))
    return CacheFacts(
        path=cache,
        cap_bytes=cap_bytes(cache),
        free_bytes=free_bytes(cache),
        kinds=_by_kind(found, PLACES),
        networks=(*_stored_networks(found), *_compiled_networks(found)),
    )


def verify_cache(*, repair: bool, progress: Progress) -> Verified:
    """Read everything against its hash. With `repair`, what is damaged is removed: it is made again when needed."""
    found = [item for item in items(machine.cache_directory()) if item.kind in CHECKS]
    size = sum(item.size_bytes for item in found)
    damaged = []
    with progress.stage("Verifying the cache", size >> 20, "MB") as stage:
        done = 0
        for item in found:
            if problem := item.problem():
                removed = repair and item.remove()
                damaged.append(Damaged(item.kind, item.path, problem, removed))
            stage.advance((done + item.size_bytes >> 20) - (done >> 20))
            done += item.size_bytes
    return Verified(len(found), size, tuple(damaged))


def clear_cache(kind: str) -> Cleared:
    """Remove one kind, or `all` but weights: a user would have to give those again.

    Running processes go on: weights and archives stay while one works, and what they can make again they do.
    """
    if kind not in CLEARABLE:
        raise BadInput(f"KIND must be one of {', '.join(CLEARABLE)}, got {kind!r}.")
    cache = machine.cache_directory()
    wanted = SAFE if kind == "all" else (kind,)
    found = list(items(cache))
    gone, in_use = [], 0
    for item in (each for each in found if each.kind in wanted):
        if not (item.kind in HELD and anyone_works(cache)) and item.remove():
            gone.append(item)
        else:
            in_use += item.size_bytes > 0
    sweep(cache)
    kept = sum(item.kind == "weights" for item in found) if kind == "all" else 0
    return Cleared(_by_kind(gone, wanted), in_use, kept)


def _by_kind(found: Sequence[Item], kinds: Iterable[str]) -> tuple[Kind, ...]:
    return tuple(
        Kind(
            name,
            sum(item.size_bytes > 0 for item in own),
            sum(item.size_bytes for item in own),
            max((item.used_seconds for item in own), default=None),
        )
        for name in kinds
        for own in [[item for item in found if item.kind == name]]
    )


def _stored_networks(found: Sequence[Item]) -> list[Network]:
    """Activations by program, as far as the store knows what they are of."""
    folders: dict[Path, list[Item]] = {}
    for item in found:
        if item.kind == "activations":
            folders.setdefault(item.path.parent, []).append(item)
    networks = []
    for folder, shards in folders.items():
        program = _read(Program, folder / PROGRAM_FILE)
        networks.append(
            Network(
                "activations",
                program.backbone if program else "?",
                program.side_pixels if program else 0,
                _outputs(program) if program else "",
                sum(shard_rows(shard.path) for shard in shards),
                sum(shard.size_bytes for shard in shards),
                max(shard.used_seconds for shard in shards),
            )
        )
    return sorted(networks, key=lambda each: -each.size_bytes)


def _compiled_networks(found: Sequence[Item]) -> list[Network]:
    networks = []
    for item in found:
        form = _read(CompiledForm, item.path / RECORD_FILE) if item.kind == "compiled" else None
        if form is not None:
            name = form.backbone or "?"
            networks.append(Network("compiled", name, form.side_pixels, "", 0, item.size_bytes, item.used_seconds))
    return sorted(networks, key=lambda each: -each.size_bytes)


def _outputs(program: Program) -> str:
    names = [output.name for output in program.outputs]
    return names[0] if len(names) == 1 else f"{names[0]} … {names[-1]} ({len(names)})"


def _read(cls: type[Any], path: Path) -> Any:
    """A record, or None where it does not read: only people are told of it."""
    try:
        return from_json(cls, path.read_bytes(), source=path.name)
    except (OSError, GraftError):
        return None
