"""A run's classifier for other programs: converted, compared on its own photos, and left only where it is the same."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from graft.bundle.bundle import Bundle
from graft.bundle.export.exporting import DESCRIPTION, Photos, export_bundle
from graft.bundle.export.formats import check_possible
from graft.bundle.export.records import Export, Format, Numbers
from graft.core import machine
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.progress import Progress
from graft.core.randomness import stream
from graft.data.records import Photo, Split
from graft.data.stream import stream_pixels
from graft.pipeline.evaluate import Judged, given_photos, own_photos
from graft.pipeline.predict import bundle_of
from graft.pipeline.run import Run
from graft.pipeline.workspace import scratch_folder, working

MOST_COMPARED: Final = 5000  # at least 2,000 where there are so many: fewer do not show one answer in a thousand
MOST_CALIBRATED: Final = 200  # each is computed with all of its activations kept
LARGEST_BYTES: Final = 1 << 30  # of their pixels, which are all in memory
LARGEST_LOSS: Final = 0.01  # of the right answers, between two precisions of the same classifier
BATCH_IMAGES: Final = 32


@dataclass(frozen=True)
class Exported:
    """What was left where. `note` says what could not be compared."""

    folder: Path
    export: Export
    size_bytes: int
    note: str


@working(tidy=False)
def export(
    source: Path,
    *,
    format: Format,
    numbers: Numbers = "float32",
    output: Path | None = None,
    data: Path | None = None,
    progress: Progress,
) -> Exported:
    """Export the classifier of a run, or of a bundle's file, into a folder of its own.

    It is compared with the bundle on the run's test photos, or on the photos of `data`; int8 is calibrated on the
    run's training photos, or on those of `data`. Of a file alone only the golden examples are compared.

    Raises: as `export_bundle`, also where the classifier itself is worse in float32 than it was trained to be;
    `BadInput` already_exists for a folder that holds anything but an earlier export.
    """
    check_possible(format, numbers)
    path = bundle_of(source)
    base = source if source.is_dir() else path.with_suffix("")
    folder = output or base.with_name(f"{base.resolve().name}-{format}{'' if numbers == 'float32' else f'-{numbers}'}")
    _check_folder(folder)
    with _parents_only_with(folder), scratch_folder() as scratch, Bundle.load(path, precision="float32") as bundle:
        judged, seen = _photos(source, data, bundle, "test", progress), None
        if numbers == "int8" and source.is_dir():
            seen = own_photos(Run.open(source), "train", progress)
        elif numbers == "int8":
            judged, seen = _halves(judged)
        compared = _pixels(judged, bundle, MOST_COMPARED, progress)
        _check_float32(bundle, compared)
        made = export_bundle(
            bundle,
            format,
            folder,
            numbers=numbers,
            compared=compared,
            calibration=_pixels(seen, bundle, MOST_CALIBRATED, progress).pixels if seen else None,
            scratch=scratch,
            progress=progress,
        )
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Exported(folder, made, size, "" if made.parity.n_photos else NOT_COMPARED)


NOT_COMPARED: Final = "There were no photos to compare its answers on, only the golden examples: give a run or --data."


def _check_float32(bundle: Bundle, compared: Photos) -> None:
    """Refuse a classifier that in float32, which exports compute in, is worse than in what it was trained in.

    A steep head makes much of the little that the features of both differ by. One photo more or less proves nothing.
    """
    known = compared.labels >= 0
    with Bundle.load(bundle.path, check=False) as trained:
        if trained.precision == bundle.precision or not known.any():
            return
        wanted, got = (
            int((each.predict_pixels(compared.pixels[known]).argmax(axis=1) == compared.labels[known]).sum())
            for each in (trained, bundle)
        )
        if wanted - got > max(1.0, LARGEST_LOSS * wanted):
            raise IntegrityProblem(
                f"The classifier must be as good in float32, which exports compute in, as in {trained.precision}, but "
                f"it is right on {got:,} of {known.sum():,} photos instead of {wanted:,}.",
                hint="Nothing was left. Train it with --precision float32.",
                code="golden_mismatch",
            )


def _photos(source: Path, data: Path | None, bundle: Bundle, split: Split, progress: Progress) -> Judged | None:
    """Labelled photos: of `data`, else the run's own of this split; None where there are none."""
    if data is not None:
        return given_photos(source, data, None, bundle.classes, bundle.rules, progress)
    if not source.is_dir():
        return None
    run = Run.open(source)
    try:
        return own_photos(run, split, progress)
    except BadInput as problem:
        if problem.code != "no_photos" or split != "test":
            raise
        return own_photos(run, "validation", progress)  # data that came without a test split


def _halves(judged: Judged | None) -> tuple[Judged | None, Judged | None]:
    """The photos in two halves: one to compare on, one to calibrate on; None where there are none."""
    if judged is None:
        return None, None
    order = stream(judged.manifest.seed, "calibration").permutation(len(judged.photos))
    first, second = (
        replace(judged, photos=tuple(judged.photos[row] for row in rows), labels=judged.labels[rows])
        for rows in (np.sort(order[::2]), np.sort(order[1::2]))
    )
    return first, second


def _pixels(judged: Judged | None, bundle: Bundle, most: int, progress: Progress) -> Photos:
    """At most so many of the photos, drawn by the manifest's seed, as the network is given them."""
    side = bundle.manifest.side_pixels
    if judged is None:
        return Photos(np.empty((0, side, side, 3), np.uint8), np.empty(0, int))
    most = min(most, LARGEST_BYTES // (side * side * 3))
    drawn = np.sort(stream(judged.manifest.seed, "export").permutation(len(judged.photos))[:most])
    photos: list[Photo] = [judged.photos[number] for number in drawn]
    pixels = np.empty((len(photos), side, side, 3), np.uint8)
    batches = stream_pixels(
        judged.root,
        photos,
        side_pixels=side,
        geometry=bundle.manifest.preprocessing.geometry,
        rules=judged.manifest.rules,
        batch_images=BATCH_IMAGES,
        workers=machine.threads(),
    )
    with progress.stage("Reading photos", len(photos), "photos") as stage:
        for rows, values in batches:
            pixels[list(rows)] = values
            stage.advance(len(rows))
    return Photos(pixels, judged.labels[drawn])


@contextmanager
def _parents_only_with(folder: Path) -> Iterator[None]:
    """Folders above that are made meanwhile go again where `folder` does not come to be."""
    missing = [each for each in folder.parents if not each.exists()]
    try:
        yield
    finally:
        if not folder.exists():
            for each in missing:  # the nearest first
                with suppress(OSError):  # never made, or somebody put something there
                    each.rmdir()


def _check_folder(folder: Path) -> None:
    if folder.exists() and not (folder / DESCRIPTION).is_file() and (not folder.is_dir() or any(folder.iterdir())):
        raise BadInput(
            f"The export must go into a new folder or replace an earlier export, but {folder} holds something else.",
            hint="Name another with -o.",
            code="already_exists",
        )
