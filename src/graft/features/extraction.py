"""Photos in, activations out: what the store has is taken from it, the rest is decoded, computed and stored at once."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.weights import WeightsFile
from graft.core.errors import BadInput, ResourceProblem
from graft.core.progress import Progress
from graft.core.records import record_hash
from graft.data.images import decoder_identity
from graft.data.records import ImageRules, Photo
from graft.data.stream import stream_pixels
from graft.features.compiled import is_compiled
from graft.features.engines import EngineKind, engine_identity, open_engine
from graft.features.protocol import Batch, Engine
from graft.features.records import Activations, Program
from graft.features.store import Store, row_id, store_key
from graft.features.table import Table, as_stored

SHARD_BYTES = 32 << 20
SHARD_ROWS = 2048
SHARD_SECONDS = 30.0  # what an interrupted run loses at most, on slow networks


def extract(
    root: Path,
    photos: Sequence[Photo],
    program: Program,
    weights: WeightsFile,
    *,
    store: Store,
    scratch: Path,
    cache: Path,
    rules: ImageRules,
    workers: int,
    threads: int,
    progress: Progress,
    kind: EngineKind = "openvino",
) -> Activations:
    """The program's outputs for `photos`, row by row, from the store where it has them.

    Values are (photo, width) float16 for vectors and (photo, height, width, channel) bfloat16 for whole activations;
    large ones are memory maps in the folder `scratch`, which must outlive them. Otherwise as `fill`.
    """
    table = Table(scratch, len(photos))
    filled = fill(
        table,
        root,
        photos,
        program,
        weights,
        store=store,
        cache=cache,
        rules=rules,
        workers=workers,
        threads=threads,
        progress=progress,
        kind=kind,
    )
    return Activations(
        program_hash=record_hash(program),
        values=table.finish([output.name for output in program.outputs]),
        computed=filled.computed,
        reused=filled.reused,
        events=filled.events,
    )


class Sink(Protocol):
    """Where rows go: a `Table`, a file."""

    def write(self, positions: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """Take `values[name][i]` for row `positions[i]`; each row comes once, in any order."""


@dataclass(frozen=True)
class Filled:
    """What it took: rows computed now, rows found in the store, and what the store had to repair."""

    computed: int
    reused: int
    events: tuple[str, ...]


def fill(
    sink: Sink,
    root: Path,
    photos: Sequence[Photo],
    program: Program,
    weights: WeightsFile,
    *,
    store: Store,
    cache: Path,
    rules: ImageRules,
    workers: int,
    threads: int,
    progress: Progress,
    kind: EngineKind = "openvino",
    exact: bool = False,
) -> Filled:
    """Give the program's outputs for `photos` to `sink`, row by row, from the store where it has them.

    `workers` threads decode while `threads` compute; both read ahead by a few batches only, so memory does not grow
    with the photos. The same bytes are computed once, and a photo's values do not depend on which others are asked for.
    Another process that computes rows of the same program is waited for, and its work reused. Values are as `as_stored`
    makes them, or with `exact` float32, and are then kept so in the store, apart from the others.

    Raises: `BadInput` no_photos, `IntegrityProblem` changed_since_scan naming the file, and what `open_engine` raises.
    """
    if not photos:
        raise BadInput("'photos' must hold at least one photo, got none.", code="no_photos")
    engine_name = engine_identity(program, kind=kind, threads=threads)
    work = _Work(
        key=store_key(program, engine=engine_name, decoder=decoder_identity(rules), exact=exact),
        store=store,
        sink=sink,
        places=_places(photos),
        exact=exact,
    )
    work.reuse()
    if work.places:
        with _alone(work, progress):
            work.reuse()  # what another process stored while this one waited for it
            missing = [photos[places[0]] for places in work.places.values()]
            if missing:
                store.describe(work.key, program)
                source = _Source(root, missing, rules, workers)
                with opened_engine(program, weights, kind, threads, cache, progress) as engine:
                    work.compute(engine, source, progress)
    return Filled(work.computed, work.reused, tuple(work.events))


@dataclass(frozen=True)
class _Source:
    """Photos to decode, and how."""

    root: Path
    photos: Sequence[Photo]
    rules: ImageRules
    workers: int

    def batches(self, program: Program) -> Iterator[Batch]:
        """The photos' pixels as the program wants them; row numbers count `photos`."""
        return stream_pixels(
            self.root,
            self.photos,
            side_pixels=program.side_pixels,
            geometry=program.preprocessing.geometry,
            rules=self.rules,
            batch_images=program.batch_images,
            workers=self.workers,
        )


@dataclass
class _Work:
    """One extraction under way. `places` maps each row that is still missing to where it belongs in the answer."""

    key: str
    store: Store
    sink: Sink
    places: dict[str, list[int]]
    exact: bool
    events: list[str] = field(default_factory=list)
    computed: int = 0
    reused: int = 0

    def reuse(self) -> None:
        """Take from the store what it has."""
        rows = tuple(self.places)
        for block in self.store.get(self.key, rows, self.events.append):
            self.reused += self._settle([rows[position] for position in block.positions], block.values)

    def compute(self, engine: Engine, source: _Source, progress: Progress) -> None:
        """Compute all missing rows, which are those of `source`, and store them, also where a run is interrupted."""
        self.events.extend(engine.events)
        program, rows = engine.program, tuple(self.places)
        pending = _Pending(self.store, self.key)
        with progress.stage(f"Reading photos with {_title(program)}", len(rows), "photos") as stage:
            try:
                for numbers, outputs in engine.run(source.batches(program)):
                    names = [rows[number] for number in numbers]
                    values = {
                        output.name: outputs[output.name] if self.exact else as_stored(outputs[output.name], output)
                        for output in program.outputs
                    }
                    self.computed += self._settle(names, values)
                    pending.add(names, values)
                    stage.advance(len(names))
            finally:
                pending.flush()

    def _settle(self, names: Sequence[str], values: Mapping[str, np.ndarray]) -> int:
        """Hand values on for all their places; returns how many rows of the answer that settled."""
        places = [self.places.pop(name) for name in names]
        sources = np.repeat(np.arange(len(names)), [len(each) for each in places])
        targets = np.concatenate(places)
        self.sink.write(targets, {name: array[sources] for name, array in values.items()})
        return len(targets)


@dataclass
class _Pending:
    """Computed rows that wait until a shard is full."""

    store: Store
    key: str
    names: list[str] = field(default_factory=list)
    parts: list[Mapping[str, np.ndarray]] = field(default_factory=list)
    size_bytes: int = 0
    since: float = field(default_factory=time.monotonic)

    def add(self, names: Sequence[str], values: Mapping[str, np.ndarray]) -> None:
        """Keep rows; write a shard where there is enough for one."""
        self.names.extend(names)
        self.parts.append(values)
        self.size_bytes += sum(array.nbytes for array in values.values())
        full = self.size_bytes >= SHARD_BYTES or len(self.names) >= SHARD_ROWS
        if full or time.monotonic() - self.since > SHARD_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Write what there is."""
        if self.names:
            joined = {name: np.concatenate([part[name] for part in self.parts]) for name in self.parts[0]}
            self.store.put(self.key, self.names, joined)
        self.names, self.parts, self.size_bytes, self.since = [], [], 0, time.monotonic()


def _places(photos: Sequence[Photo]) -> dict[str, list[int]]:
    """Rows to read and where each belongs: photos with the same bytes are one row."""
    places: dict[str, list[int]] = {}
    for position, photo in enumerate(photos):
        places.setdefault(row_id(photo.sha256), []).append(position)
    return places


@contextmanager
def _alone(work: _Work, progress: Progress) -> Iterator[None]:
    """Hold the lock of the work's key, telling the user where another process has it."""
    lock = work.store.lock(work.key, wait_seconds=0.0)
    try:
        lock.acquire()
    except ResourceProblem as error:
        if error.code != "locked":
            raise
        progress.say("Another graft process is reading photos in the same way: waiting, to reuse what it computes.")
        lock = work.store.lock(work.key)
        lock.acquire()
    try:
        work.store.sweep(work.key)
        work.store.compact(work.key)
        yield
    finally:
        lock.release()


@contextmanager
def opened_engine(
    program: Program, weights: WeightsFile, kind: EngineKind, threads: int, cache: Path, progress: Progress
) -> Iterator[Engine]:
    """The engine, with word to the user where it has to be made ready first."""
    if kind == "openvino" and is_compiled(program, cache):
        engine = open_engine(program, weights, kind=kind, threads=threads, cache=cache)
    else:
        with progress.stage(f"Preparing {_title(program)} for this machine (once)", None, ""):
            engine = open_engine(program, weights, kind=kind, threads=threads, cache=cache)
    with engine:
        yield engine


def _title(program: Program) -> str:
    return find(program.backbone).title
