"""A finished classifier measured again: on its own test photos, or on other labelled ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from graft.bundle.bundle import Bundle
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.progress import Progress
from graft.core.records import record_hash
from graft.data.records import Manifest, Photo, Split
from graft.data.stream import stream_pixels
from graft.evaluation.metrics import evaluate as measure
from graft.evaluation.records import Evaluation
from graft.pipeline.intake import Intake, read_data
from graft.pipeline.predict import bundle_of
from graft.pipeline.run import Made, Run

BATCH_IMAGES = 32


def evaluate(run: Path, data: Path | None, *, split: Split = "test", progress: Progress) -> Evaluation:
    """Classify photos with the run's bundle, from their files, and measure the answers.

    Without `data`, the photos are the run's own `split`; with it, all photos of `data` that carry no split, else those
    of its test split. Classes are matched by name; a class that the classifier does not know is refused.
    """
    with Bundle.load(bundle_of(run)) as bundle:
        judged = _given(data, bundle.classes, progress) if data else _own(Run.open(run), split)
        answers = _classify(bundle, judged.root, judged.photos, judged.manifest, progress)
        return measure(
            answers,
            judged.labels,
            bundle.classes,
            manifest_hash=record_hash(judged.manifest),
            bundle_hash=bundle.sha256(),
            split=judged.split,
            seed=judged.manifest.seed,
        )


@dataclass(frozen=True)
class _Judged:
    """The photos to measure on; `labels` index the bundle's classes."""

    root: Path
    manifest: Manifest
    photos: tuple[Photo, ...]
    labels: np.ndarray
    split: Literal["train", "validation", "test", "given"]


def _own(run: Run, split: Split) -> _Judged:
    manifest, root = run.read(Manifest), Path(run.read(Made).data)
    photos = tuple(photo for photo in manifest.photos if photo.split == split)
    if not photos:
        raise BadInput(f"The run must have {split} photos, got none.", hint="Choose another --split.", code="no_photos")
    if not root.is_dir():
        raise BadInput(
            f"The run's photos must still be in {root}, but it is not there.",
            hint=f"Give a folder of labelled photos: graft evaluate {run.path} DATA.",
            code="not_found",
        )
    return _Judged(root, manifest, photos, np.array([photo.label for photo in photos]), split)


def _given(data: Path, classes: Sequence[str], progress: Progress) -> _Judged:
    intake: Intake = read_data(data, split="70/15/15", seed=0, on_bad="quarantine", progress=progress)
    manifest = intake.manifest
    unknown = [name for name in manifest.classes if name not in classes]
    if unknown:
        raise BadInput(
            f"DATA must have classes the classifier knows, such as {classes[0]}, got {', '.join(unknown[:12])}.",
            hint="Rename the folders, or train again with these classes.",
            code="class_set_changed",
        )
    tested = tuple(photo for photo in manifest.photos if photo.split == "test")
    photos = tested if manifest.split_origin == "given" and tested else manifest.photos
    places = [classes.index(name) for name in manifest.classes]
    return _Judged(intake.root, manifest, photos, np.array([places[photo.label] for photo in photos]), "given")


def _classify(
    bundle: Bundle, root: Path, photos: tuple[Photo, ...], manifest: Manifest, progress: Progress
) -> np.ndarray:
    answers = np.empty((len(photos), len(bundle.classes)), np.float32)
    batches = stream_pixels(
        root,
        photos,
        side_pixels=bundle.manifest.side_pixels,
        geometry=bundle.manifest.preprocessing.geometry,
        limits=manifest.limits,
        batch_images=BATCH_IMAGES,
        workers=machine.threads(),
    )
    with progress.stage("Classifying photos", len(photos), "photos") as stage:
        for rows, pixels in batches:
            answers[list(rows)] = bundle.predict_pixels(pixels)
            stage.advance(len(rows))
    return answers
