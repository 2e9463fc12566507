"""What fine-tuning is given and what it gives back, as plain values."""

from dataclasses import dataclass

import numpy as np

from graft.backbones.records import BackboneRecord
from graft.backbones.weights import WeightsFile
from graft.features.sources import Source
from graft.training.records import LinearClassifier
from graft.training.tuning.records import Epoch, Schedule, Tuning


@dataclass(frozen=True)
class Task:
    """One fine-tuning. Equal tasks on one machine give equal bytes.

    The arrays of a source are the cut's tensors in the cut's order, then one vector: the averages of those of the
    head's taps that lie at or below the cut, in the order of `start.taps` (no such array where there is none). With an
    empty `schedule.cut` the only array is the network's input: pixels after preprocessing, float32. Where no tap lies
    above the cut, the cut's tensors are of no use and may be left out.
    """

    backbone: BackboneRecord
    side_pixels: int
    weights: WeightsFile
    schedule: Schedule
    tuning: Tuning
    start: LinearClassifier  # the probe's solution: taps, mean and scale stay, kernel and bias are trained further
    classes: int
    train: Source
    train_labels: np.ndarray  # (photo,) integers, the number of each photo's class
    validation: Source | None  # view 0 of each photo is read, never another
    validation_labels: np.ndarray | None
    class_weights: np.ndarray | None  # (class,) float32; None: all alike
    seed: int
    threads: int


@dataclass(frozen=True)
class Tuned:
    """The fine-tuned network with its classifier: those of the best epoch, or of the last one without validation."""

    tensors: dict[str, np.ndarray]  # the whole backbone's, by `layer/weight`, float32
    classifier: LinearClassifier  # temperature 1; one sigmoid unit where the start had one
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
