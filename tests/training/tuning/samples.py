"""Tasks for the engine's tests: random photos through a small part of the built-in backbone."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.freezing import Freeze
from graft.backbones.weights import builtin
from graft.core.randomness import stream
from graft.features.sources import StoredSource
from graft.training.records import Classifier
from graft.training.tuning.records import Phase, Schedule, Tuning
from graft.training.tuning.task import Task

SIDE = 48
TAPS = ("s3_a_relu", "s3_out", "head_relu")
WIDTHS = (256, 256, 512)
TRAINED = ("s3_b", "head")
CUT = ("s3_down_relu",)  # (3, 3, 256) at this size
PHASE = Phase(name="all", freeze=Freeze(kind="all"), epochs=2, rate=1e-3)  # `schedule` says what is trained


def classifier(classes: int, taps: Sequence[str] = TAPS, *, units: int | None = None) -> Classifier:
    """A classifier with small random weights."""
    record = find("sprout")
    width = sum(dict(zip(record.taps, record.tap_widths, strict=True))[tap] for tap in taps)
    numbers = stream(5, "classifier")
    return Classifier(
        taps=tuple(taps),
        mean=numbers.normal(0.3, 0.1, width).astype(np.float32),
        scale=numbers.uniform(0.5, 2, width).astype(np.float32),
        kernel=numbers.normal(0, 0.02, (width, units or classes)).astype(np.float32),
        bias=np.zeros(units or classes, np.float32),
        temperature=1.3,
    )


def activations(n_views: int, n_photos: int, *, name: str) -> np.ndarray:
    """What could lie at the cut: (view, photo, 3, 3, 256) float32, not below zero; views of a photo are alike."""
    numbers = stream(7, name)
    photos = numbers.normal(0.2, 0.6, (n_photos, 3, 3, 256))
    return np.maximum(photos + numbers.normal(0, 0.1, (n_views, n_photos, 3, 3, 256)), 0).astype(np.float32)


def schedule(
    *,
    phase: Phase = PHASE,
    cut: tuple[str, ...] = CUT,
    trained: tuple[str, ...] = TRAINED,
    views: int = 3,
    batch_images: int = 8,
    precision: str = "float32",
) -> Schedule:
    return Schedule(
        cut=cut,
        trained=trained,
        n_trained_parameters=1,
        n_frozen_parameters=1,
        views=views,
        store_bytes=0,
        batch_images=batch_images,
        precision=precision,
        phase=phase,
        reason="for a test",
    )


def task(
    backend: str,
    *,
    tuning: Tuning | None = None,
    plan: Schedule | None = None,
    start: Classifier | None = None,
    n_photos: int = 20,
    n_validation: int = 9,
    classes: int = 3,
    class_weights: np.ndarray | None = None,
) -> Task:
    """A task that reads stored activations."""
    labels = stream(9, "labels").integers(0, classes, n_photos + n_validation)
    return Task(
        backbone=find("sprout"),
        side_pixels=SIDE,
        weights=builtin("sprout", Path()),
        schedule=plan or schedule(),
        tuning=tuning or Tuning(backend=backend, averaging=0.9),
        start=start or classifier(classes),
        head=None,
        classes=classes,
        train=StoredSource([activations(3, n_photos, name="train")]),
        train_labels=labels[:n_photos],
        validation=StoredSource([activations(1, n_validation, name="validation")]) if n_validation else None,
        validation_labels=labels[n_photos:] if n_validation else None,
        class_weights=class_weights,
        seed=3,
        threads=2,
    )
