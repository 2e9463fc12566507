"""Rows under way: from the store or an engine to where they belong, and into the store as they are computed."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from graft.backbones.catalogue import find
from graft.core.errors import ResourceProblem
from graft.core.progress import Progress
from graft.data.records import Photo
from graft.features.protocol import Batch, Engine
from graft.features.records import Program
from graft.features.store import Store
from graft.features.table import as_stored

SHARD_BYTES = 32 << 20
SHARD_ROWS = 2048
SHARD_SECONDS = 30.0  # what an interrupted run loses at most, on slow networks


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


@dataclass(frozen=True)
class Row:
    """One row to read: a view of a photo, and its places in the answer (photos with the same bytes are one row)."""

    photo: Photo
    view: int
    places: list[int] = field(default_factory=list)


@dataclass
class Work:
    """One extraction under way. `rows` are those that are still missing, by their names in the store."""

    key: str
    store: Store
    sink: Sink
    rows: dict[str, Row]
    exact: bool
    events: list[str] = field(default_factory=list)
    computed: int = 0
    reused: int = 0

    def reuse(self) -> None:
        """Take from the store what it has."""
        rows = tuple(self.rows)
        for block in self.store.get(self.key, rows, self.events.append):
            self.reused += self._settle([rows[position] for position in block.positions], block.values)

    def compute(self, engine: Engine, batches: Iterator[Batch], progress: Progress, unit: str) -> None:
        """Compute all missing rows from their pixels and store them, also where a run is interrupted."""
        self.events.extend(engine.events)
        program, rows = engine.program, tuple(self.rows)
        pending = _Pending(self.store, self.key)
        with progress.stage(f"Reading {unit} with {title(program)}", len(rows), unit) as stage:
            try:
                for numbers, outputs in engine.run(batches):
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

    @contextmanager
    def alone(self, progress: Progress) -> Iterator[None]:
        """Hold the lock of the work's key, telling the user where another process has it."""
        lock = self.store.lock(self.key, wait_seconds=0.0)
        try:
            lock.acquire()
        except ResourceProblem as error:
            if error.code != "locked":
                raise
            progress.say("Another graft process is reading photos in the same way: waiting, to reuse what it computes.")
            lock = self.store.lock(self.key)
            lock.acquire()
        try:
            self.store.sweep(self.key)
            self.store.compact(self.key)
            yield
        finally:
            lock.release()

    def _settle(self, names: Sequence[str], values: Mapping[str, np.ndarray]) -> int:
        """Hand values on for all their places; returns how many rows of the answer that settled."""
        places = [self.rows.pop(name).places for name in names]
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


def title(program: Program) -> str:
    """The network's name for people."""
    return find(program.backbone).title
