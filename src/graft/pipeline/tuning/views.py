"""What fine-tuning reads: stored activations of several views of each photo at the cut, or pixels of fresh ones."""

from collections.abc import Mapping, Sequence

import numpy as np

from graft.core import machine
from graft.data.records import Photo
from graft.features.extraction import extract_views
from graft.features.preprocessing import whitening_of
from graft.features.sources import PixelSource, Source, StoredSource
from graft.pipeline.scoring import rows_of
from graft.pipeline.tuning.layouts import Layout
from graft.pipeline.work import Work
from graft.training.heads.records import Head
from graft.training.logistic import balanced_weights
from graft.training.records import Classifier
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
    begun: tuple[Classifier, Mapping[str, np.ndarray]] | None = None,
) -> Task:
    """Everything the training loop needs.

    `begun` is what a phase before this one left: its classifier, and the tensors of the head's own layers.
    """
    resolved, manifest, tuning = work.resolved, work.intake.manifest, work.tuning
    start, head_tensors = begun or (layout.start, {})
    labels = np.array([photo.label for photo in manifest.photos])
    return Task(
        backbone=resolved.record,
        side_pixels=resolved.plan.side_pixels,
        weights=resolved.weights,
        schedule=schedule,
        tuning=tuning,
        start=start,
        head=tuning.head if isinstance(tuning.head, Head) else None,
        head_tensors=head_tensors,
        classes=len(manifest.classes),
        train=train,
        train_labels=labels[rows_of(manifest, "train")],
        validation=validation,
        validation_labels=labels[rows_of(manifest, "validation")] if validation else None,
        class_weights=balanced_weights(labels[rows_of(manifest, "train")]) if class_weighted else None,
        seed=resolved.plan.seed,
        threads=resolved.plan.threads,
    )


def _stored(work: Work, layout: Layout, photos: Sequence[Photo], views: int) -> StoredSource:
    resolved = work.resolved
    plan = resolved.plan
    found = extract_views(
        work.intake.root,
        photos,
        layout.program(plan, resolved.weights.sha256),
        resolved.weights,
        augmentation=work.tuning.augmentation,
        seed=plan.seed,
        views=views,
        store=work.store_for(resolved.weights),
        scratch=work.scratch,
        cache=machine.cache_directory(),
        rules=work.intake.manifest.rules,
        workers=machine.threads(),
        threads=plan.threads,
        progress=work.progress,
        kind=plan.engine,
        judged_augmented=work.judged_augmented,
    )
    whole = [found.values[output.name] for output in layout.outputs if output.pooling == "none"]
    vectors = [found.values[output.name] for output in layout.outputs if output.pooling != "none"]
    return StoredSource(whole, vectors)


def _fresh(work: Work, photos: Sequence[Photo]) -> PixelSource:
    plan = work.resolved.plan
    return PixelSource(
        work.intake.root,
        photos,
        side_pixels=plan.side_pixels,
        preprocessing=plan.preprocessing,
        rules=work.intake.manifest.rules,
        augmentation=work.tuning.augmentation,
        seed=plan.seed,
        workers=machine.threads(),
        scratch=work.scratch,
        judged_augmented=work.judged_augmented,
        whitening=whitening_of(plan.preprocessing, work.resolved.weights),
    )
