"""What fine-tuning reads: stored activations of several views of each photo at the cut, or pixels of fresh ones."""

from collections.abc import Sequence

import numpy as np

from graft.core import machine
from graft.data.records import Manifest, Photo
from graft.features.extraction import extract_views
from graft.features.sources import PixelSource, Source, StoredSource
from graft.pipeline.layouts import Layout, asked
from graft.pipeline.leaving import Work
from graft.pipeline.scoring import rows_of
from graft.pipeline.workspace import feature_store
from graft.training.tuning.records import Schedule
from graft.training.tuning.task import Task


def sources(work: Work, layout: Layout, schedule: Schedule) -> tuple[Source, Source | None]:
    """The training photos in all their views, and the validation photos as they are; None where there are none."""
    photos = work.intake.manifest.photos
    train = [photo for photo in photos if photo.split == "train"]
    validation = [photo for photo in photos if photo.split == "validation"]
    if not layout.cut:
        return _fresh(work, train), _fresh(work, validation) if validation else None
    first = _stored(work, layout, train, schedule.views)
    return first, _stored(work, layout, validation, 1) if validation else None


def task_of(
    work: Work,
    layout: Layout,
    schedule: Schedule,
    train: Source,
    validation: Source | None,
    *,
    class_weighted: bool,
) -> Task:
    """Everything the training loop needs."""
    resolved, manifest = work.resolved, work.intake.manifest
    labels = np.array([photo.label for photo in manifest.photos])
    return Task(
        backbone=resolved.record,
        side_pixels=resolved.plan.side_pixels,
        weights=resolved.weights,
        schedule=schedule,
        tuning=asked(work),
        start=layout.start,
        classes=len(manifest.classes),
        train=train,
        train_labels=labels[rows_of(manifest, "train")],
        validation=validation,
        validation_labels=labels[rows_of(manifest, "validation")] if validation else None,
        class_weights=_class_weights(manifest) if class_weighted else None,
        seed=resolved.plan.seed,
        threads=resolved.plan.threads,
    )


def _stored(work: Work, layout: Layout, photos: Sequence[Photo], views: int) -> StoredSource:
    resolved = work.resolved
    plan = resolved.plan
    found = extract_views(
        work.intake.root,
        photos,
        layout.program(plan),
        resolved.weights,
        augmentation=asked(work).augmentation,
        seed=plan.seed,
        views=views,
        store=feature_store(),
        scratch=work.scratch,
        cache=machine.cache_directory(),
        rules=work.intake.manifest.rules,
        workers=machine.threads(),
        threads=plan.threads,
        progress=work.progress,
        kind=plan.engine,
    )
    whole = [found.values[output.name] for output in layout.outputs if output.pooling == "none"]
    vectors = [found.values[output.name] for output in layout.outputs if output.pooling == "avg"]
    return StoredSource(whole, vectors)


def _fresh(work: Work, photos: Sequence[Photo]) -> PixelSource:
    plan = work.resolved.plan
    return PixelSource(
        work.intake.root,
        photos,
        side_pixels=plan.side_pixels,
        preprocessing=plan.preprocessing,
        rules=work.intake.manifest.rules,
        augmentation=asked(work).augmentation,
        seed=plan.seed,
        workers=machine.threads(),
        scratch=work.scratch,
    )


def _class_weights(manifest: Manifest) -> np.ndarray:
    """Each class the same weight in all, 1 in the mean over the training photos: `(class,)` float32."""
    labels = [photo.label for photo in manifest.photos if photo.split == "train"]
    counts = np.bincount(labels, minlength=len(manifest.classes))
    return (len(labels) / (len(counts) * np.maximum(counts, 1))).astype(np.float32)
