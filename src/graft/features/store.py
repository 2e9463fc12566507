"""The activation store: what was computed once is kept by content, verified when read, and dropped when old."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graft.core.errors import BadInput, IntegrityProblem, ResourceProblem
from graft.core.files import Lock, free_bytes, make_directory, mark_used, remove_file, sweep_stray, write_atomic
from graft.core.hashing import sha256_json
from graft.core.records import to_json, to_value
from graft.core.tensors import TensorFile, read_tensors, tensors_sha256, write_tensors
from graft.data.augmentation.records import Augmentation
from graft.data.augmentation.views import AUGMENTATION_VERSION
from graft.features.records import Program

STORE_VERSION = 1  # raise it when equal keys would mean other values or another layout
LEASE_SECONDS = 30.0
WAIT_SECONDS = 7 * 24 * 3600.0  # a holder that died or hangs is replaced after the lease; a living one makes progress
LARGEST_CAP_BYTES = 20 << 30
FREE_SHARE = 0.2
KEY_TENSOR = "key"
ROWS_TENSOR = "rows"
VALUES_PREFIX = "values/"
SUFFIX = ".safetensors"
PROGRAM_FILE = "program.json"  # for people who ask what is kept; nothing is decided by it
SMALL_BYTES = 4 << 20
MANY_SHARDS = 64  # small ones of one key: each run on a few new photos leaves one, and readers open them all
JOINED_BYTES = 32 << 20
WRITER = "shard"

Report = Callable[[str], None]


@dataclass(frozen=True)
class Block:
    """Rows found in one shard. `positions` index the rows asked for; `values[name]` has as many rows, in that order."""

    positions: np.ndarray
    values: dict[str, np.ndarray]


@dataclass(frozen=True)
class Store:
    """Shards `directory/KEY[:2]/KEY/SHA256.safetensors`: each holds some rows of one program's outputs.

    A shard's name is the hash of its tensors, key and rows among them, so writers cannot disturb each other: the same
    content has the same name, and other content another one. Readers verify that hash each time; a shard that fails it
    is removed, reported and, because its rows are then missing, computed anew.
    """

    directory: Path
    cap_bytes: int
    make_room: Callable[[], int] | None = None  # called after something was added, in place of `evict`

    def get(self, key: str, rows: Sequence[str], report: Report) -> Iterator[Block]:
        """Blocks of the `rows` (all different) that are there, one shard in memory at a time; each row at most once.

        `report` is called with one sentence for each shard that had to be removed.
        """
        wanted = {row: position for position, row in enumerate(rows)}
        for path in self._shards(key):
            if not wanted:
                return
            try:
                block = _read_shard(path, key, wanted)
            except BadInput:
                continue  # evicted, removed by another reader since the folder was listed, or not ours to read
            except IntegrityProblem as error:
                self._drop(path, error, report)
                continue
            if block is not None:
                yield block

    def put(self, key: str, rows: Sequence[str], values: Mapping[str, np.ndarray]) -> None:
        """Keep `values[name][i]` for `rows[i]`. Then the least recently used shards go until the cap is kept."""
        tensors = _tensors(key, rows, {VALUES_PREFIX + name: array for name, array in values.items()})
        if sum(array.nbytes for array in tensors.values()) > self.cap_bytes:
            return
        folder = self._folder(key)
        make_directory(folder)
        write_tensors(folder / f"{tensors_sha256(tensors)}{SUFFIX}", tensors, metadata={}, writer=WRITER)
        (self.make_room or self.evict)()

    def lock(self, key: str, wait_seconds: float = WAIT_SECONDS) -> Lock:
        """Held by whoever computes rows of `key`: others wait and then find them, instead of computing them too."""
        make_directory(self._folder(key))
        return Lock(self._folder(key) / "lock", lease_seconds=LEASE_SECONDS, wait_seconds=wait_seconds)

    def describe(self, key: str, program: Program) -> None:
        """Note beside the shards of `key` what they are of."""
        path = self._folder(key) / PROGRAM_FILE
        if not path.exists():
            make_directory(path.parent)
            write_atomic(path, to_json(program), writer="record")

    def compact(self, key: str) -> int:
        """Join the small shards of `key` where there are many; returns how many went. The caller holds the key's lock.

        A joined shard is there before its parts go: a reader meets their rows twice or once. One that listed the folder
        before misses them, and looks again once it has the lock.
        """
        small = [path for path in self._shards(key) if _size(path) <= SMALL_BYTES]
        if len(small) <= MANY_SHARDS:
            return 0
        removed = 0
        for paths in _portions(small):
            joined = _joined(paths, key)
            if joined is not None:
                name = f"{tensors_sha256(joined)}{SUFFIX}"
                write_tensors(self._folder(key) / name, joined, metadata={}, writer=WRITER)
                removed += sum(_try_remove(path) for path in paths if path.name != name)
        return removed

    def evict(self) -> int:
        """Remove shards, least recently used first, until they fit under the cap; returns how many went."""
        aged = sorted((used, size, path) for path, size, used in self._sizes())
        excess = sum(size for _, size, _ in aged) - self.cap_bytes
        removed = 0
        for _, size, path in aged:
            if excess <= 0:
                break
            if _try_remove(path):
                excess -= size
                removed += 1
        return removed

    def size_bytes(self) -> int:
        """Bytes of all shards."""
        return sum(size for _, size, _ in self._sizes())

    def clear(self) -> int:
        """Remove all shards and return how many went. Who reads one finishes; who computes goes on and stores again.

        Folders and locks stay: another process may be working in them.
        """
        return sum(_try_remove(path) for path, _, _ in list(self._sizes()))

    def sweep(self, key: str) -> int:
        """Remove what crashed writers left behind for `key`."""
        return sweep_stray(self._folder(key), LEASE_SECONDS)

    def _folder(self, key: str) -> Path:
        return self.directory / key[:2] / key

    def _shards(self, key: str) -> list[Path]:
        return sorted(self._folder(key).glob(f"*{SUFFIX}"))

    def _sizes(self) -> Iterator[tuple[Path, int, int]]:
        """Path, bytes and time of last use (nanoseconds) of each shard that is there."""
        for path in self.directory.glob(f"*/*/*{SUFFIX}"):
            try:
                facts = path.stat()
            except FileNotFoundError:
                continue  # another process evicted it meanwhile
            yield path, facts.st_size, facts.st_mtime_ns

    def _drop(self, path: Path, error: IntegrityProblem, report: Report) -> None:
        gone = "removed" if _try_remove(path) else "ignored"
        report(f"A stored shard was damaged and {gone}; its rows are computed again: {error.message}")


def shard_problem(path: Path) -> str:
    """What is damaged about a shard; empty where nothing is, or where it is gone."""
    try:
        with read_tensors(path, source=path.name, code="hash_mismatch") as file:
            _verify(file, path, path.parent.name)
    except IntegrityProblem as error:
        return error.message
    except BadInput:
        return ""  # evicted meanwhile
    return ""


def shard_rows(path: Path) -> int:
    """How many rows a shard has, by its header; 0 where it does not read."""
    try:
        with read_tensors(path, source=path.name) as file:
            return bytes(file.tensors[ROWS_TENSOR]).count(b"\n") + 1
    except (BadInput, IntegrityProblem, KeyError):
        return 0


def default_cap_bytes(directory: Path) -> int:
    """20 GiB or a fifth of the free disk, whichever is less."""
    return min(LARGEST_CAP_BYTES, int(free_bytes(directory) * FREE_SHARE))


def store_key(
    program: Program,
    *,
    engine: str,
    decoder: str,
    exact: bool = False,
    augmentation: Augmentation | None = None,
    seed: int = 0,
) -> str:
    """Everything a value depends on beside photo and view: program, engine, decoder, and the version of the layout.

    `exact` values are kept in float32, apart from the others. Augmented views have keys of their own, which depend on
    the `augmentation`, the `seed` and the version of what makes them too; without one the key is that of the photos
    as they are, for which the seed means nothing.
    """
    parts = {"program": to_value(program), "engine": engine, "decoder": decoder, "version": STORE_VERSION}
    if exact:
        parts["values"] = "float32"
    if augmentation is not None:
        parts["views"] = {"augmentation": to_value(augmentation), "seed": seed, "version": AUGMENTATION_VERSION}
    return sha256_json(parts)


def row_id(sha256: str, view: int = 0) -> str:
    """A photo's name in the store: hash of its bytes and number of the view."""
    return f"{sha256}:{view}"


def _tensors(key: str, rows: Sequence[str], values: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A shard's tensors; `values` by their names in the file."""
    return {KEY_TENSOR: _as_bytes(key), ROWS_TENSOR: _as_bytes("\n".join(rows)), **values}


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # evicted meanwhile


def _portions(paths: Sequence[Path]) -> Iterator[list[Path]]:
    """The files in their order, together as many as one joined shard shall hold."""
    portion: list[Path] = []
    for path in paths:
        if portion and sum(map(_size, portion)) + _size(path) > JOINED_BYTES:
            yield portion
            portion = []
        portion.append(path)
    yield portion


def _joined(paths: Sequence[Path], key: str) -> dict[str, np.ndarray] | None:
    """The rows of several shards as the tensors of one, each row once; None where a shard is gone or damaged."""
    rows: list[str] = []
    parts: list[dict[str, np.ndarray]] = []
    known: set[str] = set()
    for path in paths:
        try:
            with read_tensors(path, source=path.name, code="hash_mismatch") as file:
                _verify(file, path, key)
                names = bytes(file.tensors[ROWS_TENSOR]).decode().split("\n")
                new = [number for number, name in enumerate(names) if name not in known]
                rows += [names[number] for number in new]
                known.update(names)
                values = {name: each for name, each in file.tensors.items() if name.startswith(VALUES_PREFIX)}
                parts.append({name: each[new] for name, each in values.items()})
        except (BadInput, IntegrityProblem):
            return None  # the next reader removes and reports what is damaged
    return _tensors(key, rows, {name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _as_bytes(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def _read_shard(path: Path, key: str, wanted: dict[str, int]) -> Block | None:
    """The wanted rows of a shard, which are then no longer wanted; None where it has none of them."""
    with read_tensors(path, source=path.name, code="hash_mismatch") as file:
        _verify(file, path, key)
        names = bytes(file.tensors[ROWS_TENSOR]).decode().split("\n")
        found = [(number, wanted.pop(name)) for number, name in enumerate(names) if name in wanted]
        if not found:
            return None
        numbers, positions = (np.array(each, np.int64) for each in zip(*found, strict=True))
        values = {
            name.removeprefix(VALUES_PREFIX): tensor[numbers]
            for name, tensor in file.tensors.items()
            if name.startswith(VALUES_PREFIX)
        }
    mark_used(path)
    return Block(positions, values)


def _verify(file: TensorFile, path: Path, key: str) -> None:
    if not {KEY_TENSOR, ROWS_TENSOR} <= file.tensors.keys():
        raise IntegrityProblem(f"{path.name} must name its key and rows, got neither.", code="hash_mismatch")
    if tensors_sha256(file.tensors) != path.name.removesuffix(SUFFIX):
        raise IntegrityProblem(f"{path.name} must have the hash it is named by, got another.", code="hash_mismatch")
    if bytes(file.tensors[KEY_TENSOR]) != key.encode():
        raise IntegrityProblem(f"{path.name} must lie under its own key, got under {key}.", code="hash_mismatch")


def _try_remove(path: Path) -> bool:
    """Whether the file is gone now; on Windows one that somebody reads cannot be removed."""
    try:
        remove_file(path)
    except ResourceProblem:
        return False
    return True
