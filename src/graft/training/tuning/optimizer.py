"""Optimisers as functions of one tensor, and the course of the learning rate: the same numbers on every backend.

Keras' own optimisers are not used: they hold their state, know one rate for all layers, and are replaced by other
classes on torch. The formulas and defaults are theirs.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from graft.training.tuning.records import OptimizerName, Phase

SLOTS: Mapping[OptimizerName, tuple[str, ...]] = MappingProxyType(
    {"adam": ("mean", "square"), "adamw": ("mean", "square"), "sgd": ("velocity",), "rmsprop": ("square",)}
)
MEAN_DECAY = 0.9  # Adam's beta 1
SQUARE_DECAY = 0.999  # Adam's beta 2
RMS_DECAY = 0.9
EPSILON = 1e-7
# Numbers of one step that all tensors share, float32, in this order: see `scalars`.
RATE, CORRECTION, KEEP, SHARE = range(4)


def updated(
    phase: Phase, parameter: Any, gradient: Any, slots: Sequence[Any], numbers: Any, *, factor: float, decays: bool
) -> tuple[Any, tuple[Any, ...]]:
    """A parameter after one step, and its slots; tensors of the backend, `slots` as `SLOTS` names them.

    `numbers` are those of `scalars`. `factor` is the parameter's own share of the learning rate; `decays`, whether
    weight decay applies to it (decoupled: Loshchilov and Hutter, arXiv 1711.05101).
    """
    from keras import ops

    rate = numbers[RATE] * factor
    if decays and phase.weight_decay:
        parameter = parameter - parameter * (rate * phase.weight_decay)
    if phase.optimizer == "sgd":  # Nesterov's form
        velocity = slots[0] * phase.momentum - gradient * rate
        return parameter + velocity * phase.momentum - gradient * rate, (velocity,)
    if phase.optimizer == "rmsprop":
        square = slots[0] * RMS_DECAY + ops.square(gradient) * (1 - RMS_DECAY)
        return parameter - gradient * rate / ops.sqrt(square + EPSILON), (square,)
    mean = slots[0] + (gradient - slots[0]) * (1 - MEAN_DECAY)
    square = slots[1] + (ops.square(gradient) - slots[1]) * (1 - SQUARE_DECAY)
    return parameter - mean * (rate * numbers[CORRECTION]) / (ops.sqrt(square) + EPSILON), (mean, square)


def averaged(average: Any, parameter: Any, numbers: Any) -> Any:
    """The exponential moving average of a parameter after one more step."""
    return average + (parameter - average) * (1 - numbers[KEEP])


def scalars(phase: Phase, step: int, steps_per_epoch: int, averaging: float, n_photos: int) -> np.ndarray:
    """What step `step` (from 0, of the phase) needs beside tensors: `(4,)` float32.

    The learning rate; Adam's correction of its slots, which begin at zero; how much of the moving average is kept
    (less in the first steps, when there is little to average); and one photo's share in the batch's mean loss.
    """
    done = step + 1
    correction = math.sqrt(1 - SQUARE_DECAY**done) / (1 - MEAN_DECAY**done)
    keep = min(averaging, (1 + done) / (10 + done))
    return np.array([rate_at(phase, step, steps_per_epoch), correction, keep, 1 / n_photos], np.float32)


def rate_at(phase: Phase, step: int, steps_per_epoch: int) -> float:
    """The learning rate of a phase's step `step`, counted from 0."""
    total = phase.epochs * steps_per_epoch
    warmup = min(phase.warmup_epochs * steps_per_epoch, total)
    if step + 1 < warmup:
        return phase.rate * (step + 1) / warmup
    since = max(0.0, step - warmup)
    if phase.decay == "inverse_time":
        return phase.rate / (1 + phase.decay_rate * since)
    if phase.decay == "none" or total <= warmup:
        return phase.rate
    falling = 0.5 * (1 + math.cos(math.pi * since / (total - warmup)))
    return phase.rate * (phase.final_share + (1 - phase.final_share) * falling)
