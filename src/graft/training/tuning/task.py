"""What a phase of training is given and what it gives back, as plain values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from graft.backbones.records import BackboneRecord
from graft.backbones.weights import WeightsFile
from graft.features.sources import Source
from graft.training.heads.records import Head
from graft.training.records import Classifier
from graft.training.tuning.records import Epoch, Schedule, Tuning


@dataclass(frozen=True)
class Task:
    """One phase of training. Equal tasks on one machine give equal bytes.

    The arrays of a source are the cut's tensors in the cut's order, then one vector: the averages of those of the
    head's taps that lie at or below the cut, in the order of `start.taps` (no such array where there is none). With an
    empty `schedule.cut` the only array is the network's input: pixels after preprocessing, float32. Where no tap lies
    above the cut, the cut's tensors are of no use and may be left out.

    With `head` the classifier has layers of its own: `start` then says what it reads, one layer, whole (`pooling`
    "none") or its averages or maxima; and a source's arrays are the cut's tensors alone, or where the cut is that very
    layer, what is read of it.
    """

    backbone: BackboneRecord
    side_pixels: int
    weights: WeightsFile
    schedule: Schedule
    tuning: Tuning
    start: Classifier  # the probe's solution: taps, mean and scale stay, kernel and bias are trained further
    head: Head | None  # layers of the classifier's own; None: `start` is all there is
    classes: int
    train: Source
    train_labels: np.ndarray  # (photo,) integers, the number of each photo's class
    validation: Source | None  # view 0 of each photo is read, never another
    validation_labels: np.ndarray | None
    class_weights: np.ndarray | None  # (class,) float32; None: all alike
    seed: int
    threads: int
    head_tensors: Mapping[str, np.ndarray] = field(default_factory=dict)  # as a phase before left them; empty: drawn


@dataclass(frozen=True)
class Tuned:
    """The trained network with its classifier: those of the best epoch, or of the last one without validation."""

    tensors: dict[str, np.ndarray]  # the whole backbone's, by `layer/weight`, float32
    classifier: Classifier  # temperature 1; one sigmoid unit where the start had one; layers folded to affine ones
    head_tensors: dict[str, np.ndarray]  # of `Task.head`, by `layer/weight`, for a phase after this one; else empty
    epochs: tuple[Epoch, ...]
    best_epoch: int  # 0: stopped before the first one ended; tensors and classifier are those of the start
    stopped: bool  # because `stop()` said so: another call with the same checkpoints goes on
    stopped_early: bool  # a phase ended because the validation loss had not become better for its patience
    frozen_sha256: str  # of the backbone's frozen tensors, equal before and after
    events: tuple[str, ...]


@dataclass(frozen=True)
class StepTimes:
    """Seconds that one batch takes, and that it takes until the first one is done."""

    train: float  # a training step, reading the batch included
    forward: float  # a validation batch
    opening: float  # building the network, loading its weights, compiling the steps
