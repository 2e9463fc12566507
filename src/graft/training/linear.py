"""The head as functions of arrays: NumPy only, so that prediction needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from graft.core.errors import BadInput
from graft.evaluation.calibration import softmax
from graft.features.records import Output
from graft.features.table import as_stored
from graft.training.records import Classifier


def features_matrix(values: Mapping[str, np.ndarray], outputs: Sequence[Output], *, rounded: bool = True) -> np.ndarray:
    """Concatenate what a head reads, in the order of `outputs`: `(photo, width)` float32, `rounded` as in the store.

    `values[output.name]` has shape `(photo, channel)`, or `(photo, height, width, channel)` for a whole activation.
    Training reads what was stored as float16 (whole activations: bfloat16), so prediction rounds the same way and sees
    the same numbers.
    """
    columns = [np.asarray(values[output.name]) for output in outputs]
    if rounded:
        columns = [as_stored(column, output) for column, output in zip(columns, outputs, strict=True)]
    return np.concatenate([column.reshape(len(column), -1).astype(np.float32) for column in columns], axis=1)


def classify(classifier: Classifier, values: Mapping[str, np.ndarray], *, rounded: bool = True) -> np.ndarray:
    """Calibrated class probabilities `(photo, class)` float32 from what a network gave for the head's outputs.

    What the network gave is `rounded` as training has seen it; other programs, that exports are for, do not do so.
    """
    return probabilities(classifier, features_matrix(values, classifier.outputs, rounded=rounded))


def in_float32(classifier: Classifier) -> Classifier:
    """The classifier for features that were computed in float32, whatever those were that it belongs to.

    Rounding to bfloat16 inside a network moves its features as a whole, by little; a head that scales steeply would
    take that for a difference between photos.
    """
    if classifier.shift is None:
        return classifier
    return replace(classifier, mean=classifier.mean + classifier.shift, shift=None)


def decision(classifier: Classifier, features: np.ndarray) -> np.ndarray:
    """Logits before the temperature: `(photo, unit)` float32, for features `(photo, width)`.

    There is one unit for each class, or a single one (class 1 against class 0) for a sigmoid head.
    """
    width = classifier.mean.shape[0]
    if features.ndim != 2 or features.shape[1] != width:
        raise BadInput(f"features must have shape (photos, {width}), got {features.shape}")
    values = (features - classifier.mean) * classifier.scale
    for layer in classifier.hidden:
        values = values @ layer.kernel + layer.bias
        if layer.activation == "relu":
            values = np.maximum(values, 0)
    return np.asarray(values @ classifier.kernel + classifier.bias, np.float32)


def class_logits(units: np.ndarray) -> np.ndarray:
    """Logits with one column for each class; a single sigmoid unit z becomes (0, z), which softmax leaves equal."""
    if units.shape[1] != 1:
        return units
    return np.concatenate([np.zeros_like(units), units], axis=1)


def probabilities(classifier: Classifier, features: np.ndarray) -> np.ndarray:
    """Calibrated class probabilities `(photo, class)` float32 of features `(photo, width)`."""
    logits = class_logits(decision(classifier, features))
    return softmax(logits, classifier.temperature).astype(np.float32)


def as_softmax(classifier: Classifier) -> Classifier:
    """The same binary classifier with two softmax units; others are returned as they are."""
    if classifier.kernel.shape[1] != 1:
        return classifier
    half = np.concatenate([-classifier.kernel, classifier.kernel], axis=1) / 2
    bias = np.concatenate([-classifier.bias, classifier.bias]) / 2
    return replace(classifier, kernel=half.astype(np.float32), bias=bias.astype(np.float32))


def as_sigmoid(classifier: Classifier) -> Classifier:
    """The same binary classifier with one sigmoid unit of weight `kernel[:, 1] - kernel[:, 0]`.

    Public, the inverse of `as_softmax`: gives a classifier with two units the head of a single one, with equal answers.
    """
    units = classifier.kernel.shape[1]
    if units == 1:
        return classifier
    if units != 2:
        raise BadInput(f"a sigmoid head must have two classes, got {units}")
    kernel = classifier.kernel[:, 1:] - classifier.kernel[:, :1]
    return replace(classifier, kernel=kernel, bias=classifier.bias[1:] - classifier.bias[:1])
