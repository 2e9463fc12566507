"""What a head's layers are on a given map: names, shapes, parameters. Pure: nothing is built."""

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from graft.core.errors import BadInput
from graft.training.heads.records import (
    BatchNormalization,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    GlobalMaxPooling,
    Head,
    Layer,
)

Shape = tuple[int, ...]  # without the batch: (height, width, channel), (token, width), or (width,)

KERAS_NAMES: Final = {
    Flatten: "Flatten",
    GlobalAveragePooling: "GlobalAveragePooling2D",
    GlobalMaxPooling: "GlobalMaxPooling2D",
    Dense: "Dense",
    Dropout: "Dropout",
    Convolution: "Conv2D",
    BatchNormalization: "BatchNormalization",
}


@dataclass(frozen=True)
class HeadLayer:
    """One layer of a head on a certain map."""

    name: str
    kind: str  # Keras' name of the class
    shape: Shape  # of its output
    parameters: int = 0
    trainable_parameters: int = 0  # when nothing is frozen: without the statistics that are tracked
    trainable_tensors: int = 0
    multiply_adds: int = 0  # for one image

    @property
    def statistics(self) -> int:
        """Parameters that are tracked, not learned: moving means and variances."""
        return self.parameters - self.trainable_parameters


def names(head: Head, taken: Collection[str] = ()) -> tuple[str, ...]:
    """One name for each layer, the last one's included: its kind, then `kind_1`, `kind_2` … as Keras counts.

    No name is one of `taken`, as those of the network below.
    """
    used = {head.name, *taken}
    found: list[str] = []
    for layer in head.layers:
        name: str = layer.kind
        number = 0
        while name in used:
            number += 1
            name = f"{layer.kind}_{number}"
        used.add(name)
        found.append(name)
    return (*found, head.name)


def units_of(classes: int, *, binary_units: int = 1) -> int:
    """Units of the last layer: one a class, or for two classes `binary_units`."""
    return binary_units if classes == 2 else classes


def head_layers(head: Head, map_shape: Shape, units: int, taken: Collection[str] = ()) -> tuple[HeadLayer, ...]:
    """Every layer of `head` on a map of this shape, the last one with `units` units included.

    Raises:
        BadInput: a layer cannot read what the one before it gives, as a convolution of another size than its map.
    """
    named = names(head, taken)
    shape = map_shape
    found: list[HeadLayer] = []
    for layer, name in zip((*head.layers, Dense(units=units, activation="linear")), named, strict=True):
        found.append(_on(layer, name, shape))
        shape = found[-1].shape
    return tuple(found)


def _on(layer: Layer, name: str, shape: Shape) -> HeadLayer:
    """One layer that reads `shape`."""
    kind = KERAS_NAMES[type(layer)]
    if isinstance(layer, Flatten):
        return HeadLayer(name, kind, (math.prod(shape),))
    if isinstance(layer, GlobalAveragePooling | GlobalMaxPooling):
        return HeadLayer(name, kind, _pooled(layer, shape))
    if isinstance(layer, Convolution):
        return _convolution(layer, name, shape)
    if isinstance(layer, BatchNormalization):
        channels = shape[-1]
        return HeadLayer(name, kind, shape, 4 * channels, 2 * channels, 2)
    if isinstance(layer, Dense):
        return _dense(layer, name, shape)
    return HeadLayer(name, kind, shape)


def _pooled(layer: GlobalAveragePooling | GlobalMaxPooling, shape: Shape) -> Shape:
    if len(shape) == 2:
        return (2 * shape[1],)  # of a transformer: over the patches' tokens, then the class token
    if len(shape) != 3:
        raise BadInput(
            f"A {layer.kind} must read a map with positions, got a vector of {shape[0]:,} numbers.",
            hint="Put it before flatten and dense, or leave it out.",
        )
    return shape[2:]


def _dense(layer: Dense, name: str, shape: Shape) -> HeadLayer:
    if len(shape) != 1:
        raise BadInput(
            f"A dense layer must read a vector, got a map of {said(shape)}.",
            hint="Put flatten or global_average_pooling before it.",
        )
    kernel = shape[0] * layer.units
    return HeadLayer(name, "Dense", (layer.units,), kernel + layer.units, kernel + layer.units, 2, kernel)


def _convolution(layer: Convolution, name: str, shape: Shape) -> HeadLayer:
    side = layer.kernel_pixels
    if len(shape) != 3:
        raise BadInput(
            f"A convolution must read a map of height, width and channels, got {said(shape)}.",
            hint="Put it before flatten and the poolings.",
        )
    if shape[:2] != (side, side):
        raise BadInput(
            f"The head's convolution of {side} x {side} must read a map of {side} x {side}, got {shape[0]} x "
            f"{shape[1]}.",
            hint=f"Choose an --image-size at which the network's last map is {side} x {side}, or give the head a "
            f"convolution of {shape[0]} x {shape[1]}.",
        )
    kernel = side * side * shape[2] * layer.filters
    learned = kernel + layer.filters
    return HeadLayer(name, "Conv2D", (1, 1, layer.filters), learned, learned, 2, kernel)


def said(shape: Shape) -> str:
    """A shape for people: `7 x 7 x 1280`."""
    return " x ".join(map(str, shape))
