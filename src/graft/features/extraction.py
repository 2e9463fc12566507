"""Photos in, activations out: what the store has is taken from it, the rest is decoded, computed and stored at once."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

from graft.backbones.weights import WeightsFile
from graft.core.errors import BadInput
from graft.core.progress import Progress
from graft.core.records import record_hash
from graft.data.augmentation.records import Augmentation
from graft.data.images import decoder_identity
from graft.data.records import ImageRules, Photo
from graft.data.stream import PhotoReader, require_training, stream_views
from graft.features.compiled import is_compiled
from graft.features.engines import EngineKind, engine_identity, open_engine
from graft.features.protocol import Batch, Engine
from graft.features.records import Activations, Program, ViewActivations
from graft.features.store import Store, row_id, store_key
from graft.features.table import Table
from graft.features.work import Filled as Filled
from graft.features.work import Row, Work, title
from graft.features.work import Sink as Sink


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


def extract_views(
    root: Path,
    photos: Sequence[Photo],
    program: Program,
    weights: WeightsFile,
    *,
    augmentation: Augmentation,
    seed: int,
    views: int,
    store: Store,
    scratch: Path,
    cache: Path,
    rules: ImageRules,
    workers: int,
    threads: int,
    progress: Progress,
    kind: EngineKind = "openvino",
    exact: bool = False,
    judged_augmented: bool = False,
) -> ViewActivations:
    """The program's outputs for `views` views of each photo: view 0, the photo itself, and augmented ones.

    Where all are `judged_augmented`, view 1 is the first. Values are (view, photo, …), otherwise as those of `extract`,
    or float32 with `exact`. View 0 is the row that `extract` and `fill` give and keep; the others are kept by seed and
    augmentation too, so that more views of a kind add to those there. A photo is decoded twice at most.

    With `exact` and the engine "keras" the values are, bit for bit, what the frozen part gives inside a training step
    on the same backend, seen so for TensorFlow and torch (XLA adds up in another order), if `program.batch_images` is
    the batch that is trained on: other shapes gave the same bits wherever tried, but no library promises it.

    Raises: `IntegrityProblem` split_leak where several views are wanted of a photo that is no training photo, unless
    all are `judged_augmented`; otherwise as `fill`.
    """
    if views > 1 and not judged_augmented:
        require_training(photos)
    table = Table(scratch, views * len(photos))
    with _extraction(
        root, program, weights, store, cache, rules, workers, threads, progress, kind, exact, judged_augmented
    ) as extraction:
        done = [] if judged_augmented else [extraction.run(table, _photo_rows(photos))]
        if augmented := _view_rows(photos, views, first=0 if judged_augmented else 1):
            done.append(extraction.run(table, augmented, augmentation, seed))
    arrays = table.finish([output.name for output in program.outputs])
    return ViewActivations(
        program_hash=record_hash(program),
        values={name: array.reshape(views, len(photos), *array.shape[1:]) for name, array in arrays.items()},
        computed=sum(each.computed for each in done),
        reused=sum(each.reused for each in done),
        events=tuple(dict.fromkeys(event for each in done for event in each.events)),
    )


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
    with _extraction(
        root, program, weights, store, cache, rules, workers, threads, progress, kind, exact
    ) as extraction:
        return extraction.run(sink, _photo_rows(photos))


@contextmanager
def _extraction(
    root: Path,
    program: Program,
    weights: WeightsFile,
    store: Store,
    cache: Path,
    rules: ImageRules,
    workers: int,
    threads: int,
    progress: Progress,
    kind: EngineKind,
    exact: bool,
    judged_augmented: bool = False,
) -> Iterator["_Extraction"]:
    """An extraction whose engine is opened by the first row that must be computed, and closed at the end."""
    with ExitStack() as stack:
        yield _Extraction(
            root=root,
            program=program,
            store=store,
            rules=rules,
            workers=workers,
            progress=progress,
            identity=engine_identity(program, kind=kind, threads=threads),
            exact=exact,
            judged_augmented=judged_augmented,
            engine=lru_cache(None)(
                lambda: stack.enter_context(opened_engine(program, weights, kind, threads, cache, progress))
            ),
        )


@dataclass(frozen=True)
class _Extraction:
    """What all rows of an extraction have in common. `engine()` opens the engine, the first time."""

    root: Path
    program: Program
    store: Store
    rules: ImageRules
    workers: int
    progress: Progress
    identity: str
    exact: bool
    judged_augmented: bool
    engine: Callable[[], Engine]

    def run(self, sink: Sink, rows: dict[str, Row], augmentation: Augmentation | None = None, seed: int = 0) -> Filled:
        """Give all `rows`, photos as they are or augmented, to the sink."""
        key = store_key(
            self.program,
            engine=self.identity,
            decoder=decoder_identity(self.rules),
            exact=self.exact,
            augmentation=augmentation,
            seed=seed,
        )
        work = Work(key=key, store=self.store, sink=sink, rows=rows, exact=self.exact)
        work.reuse()
        if work.rows:
            with work.alone(self.progress):
                work.reuse()  # what another process stored while this one waited for it
                if work.rows:
                    self.store.describe(key, self.program)
                    unit = "photos" if augmentation is None else "views"
                    batches = self._batches(work, augmentation or Augmentation(), seed)
                    work.compute(self.engine(), batches, self.progress, unit)
        return Filled(work.computed, work.reused, tuple(work.events))

    def _batches(self, work: Work, augmentation: Augmentation, seed: int) -> Iterator[Batch]:
        """The pixels of all missing rows, in their order; each photo is decoded once."""
        reader = PhotoReader(
            root=self.root,
            side_pixels=self.program.side_pixels,
            geometry=self.program.preprocessing.geometry,
            rules=self.rules,
            augmentation=augmentation,
            seed=seed,
            judged_augmented=self.judged_augmented,
        )
        groups = [list(group) for _, group in groupby(work.rows.values(), key=lambda row: row.photo.sha256)]
        wanted = [(group[0].photo, tuple(row.view for row in group)) for group in groups]
        return stream_views(reader, wanted, batch_images=self.program.batch_images, workers=self.workers)


def _photo_rows(photos: Sequence[Photo]) -> dict[str, Row]:
    """View 0 of each photo, at the photo's place."""
    if not photos:
        raise BadInput("'photos' must hold at least one photo, got none.", code="no_photos")
    rows: dict[str, Row] = {}
    for place, photo in enumerate(photos):
        rows.setdefault(row_id(photo.sha256), Row(photo, 0)).places.append(place)
    return rows


def _view_rows(photos: Sequence[Photo], views: int, *, first: int) -> dict[str, Row]:
    """Views 1 and up, all of a photo together so that it is decoded once; view 1 stands at `first` of (view, photo)."""
    rows: dict[str, Row] = {}
    for place, photo in enumerate(photos):
        for number in range(first, views):
            view = number - first + 1
            row = rows.setdefault(row_id(photo.sha256, view), Row(photo, view))
            row.places.append(number * len(photos) + place)
    return rows


@contextmanager
def opened_engine(
    program: Program, weights: WeightsFile, kind: EngineKind, threads: int, cache: Path, progress: Progress
) -> Iterator[Engine]:
    """The engine, with word to the user where it has to be made ready first."""
    if kind == "openvino" and is_compiled(program, cache):
        engine = open_engine(program, weights, kind=kind, threads=threads, cache=cache)
    else:
        with progress.stage(f"Preparing {title(program)} for this machine (once)", None, ""):
            engine = open_engine(program, weights, kind=kind, threads=threads, cache=cache)
    with engine:
        yield engine
