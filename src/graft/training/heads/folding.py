"""A trained head's layers as the few affine ones that ship: prediction needs neither Keras nor its backends."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from graft.core.errors import BadInput
from graft.features.records import Pooling
from graft.training.heads.records import (
    BatchNormalization,
    Convolution,
    Dense,
    GlobalAveragePooling,
    GlobalMaxPooling,
    Head,
)
from graft.training.heads.shapes import names
from graft.training.records import Classifier, Hidden

EPSILON = 1e-3  # Keras' own, of BatchNormalization

Tensors = Mapping[str, np.ndarray]


def pooling_of(head: Head) -> Pooling:
    """How a head reads its one layer: a pooling that comes first is part of the reading.

    Raises:
        BadInput: another pooling stands where there may be several positions; no affine layer says what it does.
    """
    if not head.layers:
        return "none"
    first = head.layers[0]
    convolved = False
    for number, layer in enumerate(head.layers):
        convolved = convolved or isinstance(layer, Convolution)
        if number and not convolved and isinstance(layer, GlobalAveragePooling | GlobalMaxPooling):
            raise BadInput(
                f"A head's {layer.kind} must be its first layer or follow its convolution, got {first.kind} before it.",
                hint=f"Put {layer.kind} first.",
            )
    if isinstance(first, GlobalAveragePooling):
        return "avg"
    return "max" if isinstance(first, GlobalMaxPooling) else "none"


def folded(head: Head, start: Classifier, tensors: Tensors) -> Classifier:
    """The classifier that answers as the head does when nothing is dropped.

    `start` says what is read, and of which width; `tensors` are those of every layer, by `layer/weight`. A convolution
    as large as its map is affine on the flattened map; BatchNormalization goes into the affine layer before it or,
    where an activation lies between, into the one after it. Flatten, Dropout and a pooling over what has one position
    change nothing.
    """
    width = len(start.mean)
    hidden: list[Hidden] = []
    waiting: _Scaled | None = None
    *below, last = names(head)
    for layer, name in zip(head.layers, below, strict=True):
        if isinstance(layer, Dense | Convolution):
            kernel, bias = _affine(tensors, name, waiting)
            hidden.append(Hidden(kernel, bias, layer.activation))
            width, waiting = kernel.shape[1], None
        elif isinstance(layer, BatchNormalization):
            scaled = _scaled(tensors, name, width)
            if hidden and hidden[-1].activation == "linear" and waiting is None:
                hidden[-1] = scaled.after(hidden[-1])
            else:
                waiting = scaled if waiting is None else scaled.following(waiting)
    kernel, bias = _affine(tensors, last, waiting)
    return replace(start, kernel=kernel, bias=bias, temperature=1.0, hidden=tuple(hidden))


@dataclass(frozen=True)
class _Scaled:
    """`values * scale + shift`, of each value by itself; `(width,)` float64."""

    scale: np.ndarray
    shift: np.ndarray

    def following(self, first: "_Scaled") -> "_Scaled":
        """`first`, then this."""
        return _Scaled(first.scale * self.scale, first.shift * self.scale + self.shift)

    def after(self, layer: Hidden) -> Hidden:
        """An affine layer with this behind it."""
        return replace(
            layer,
            kernel=(layer.kernel * self.scale).astype(np.float32),
            bias=(layer.bias * self.scale + self.shift).astype(np.float32),
        )


def _scaled(tensors: Tensors, name: str, width: int) -> _Scaled:
    """What BatchNormalization does with its tracked statistics, on a flattened map of `width` values."""
    gamma, beta, mean, variance = (
        tensors[f"{name}/{weight}"].astype(np.float64) for weight in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / np.sqrt(variance + EPSILON)
    positions = width // len(scale)  # channels come last, so they come again at each position
    return _Scaled(np.tile(scale, positions), np.tile(beta - mean * scale, positions))


def _affine(tensors: Tensors, name: str, waiting: _Scaled | None) -> tuple[np.ndarray, np.ndarray]:
    """A layer's kernel `(width, unit)` and bias, what waits below it folded in."""
    bias = tensors[f"{name}/bias"]
    kernel = tensors[f"{name}/kernel"].reshape(-1, len(bias))
    if waiting is None:
        return kernel, bias
    exact = kernel.astype(np.float64)
    return (exact * waiting.scale[:, np.newaxis]).astype(np.float32), (bias + waiting.shift @ exact).astype(np.float32)
