"""A head while it is trained: its layers on Keras' backend, what they begin with, and what of them changes."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.features.records import Pooling
from graft.training.heads.folding import folded, pooling_of
from graft.training.heads.records import (
    BatchNormalization,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    Head,
    Layer,
)
from graft.training.heads.shapes import Shape, head_layers, names
from graft.training.linear import as_softmax
from graft.training.records import Classifier


def fresh_start(head: Head, layer: str, map_shape: Shape, classes: int, units: int, seed: int) -> Classifier:
    """The classifier that a head of its own layers begins as, reading the output of `layer`, of shape `map_shape`.

    Its kernel and bias are the last layer's own. Kernels are drawn from `seed`, one stream for each layer: Glorot and
    Bengio's uniform distribution, as Keras begins; biases are zero, BatchNormalization changes nothing.

    Raises:
        BadInput: the head does not fit the map, or `units` the classes.
    """
    if units != classes and (units, classes) != (1, 2):
        raise BadInput(f"The head's last layer must have one unit for each of {classes} classes, got {units}.")
    pooling = pooling_of(head)
    tensors = initial_tensors(head, map_shape, units, seed)
    kernel, bias = tensors[f"{head.name}/kernel"], tensors[f"{head.name}/bias"]
    width = math.prod(read_shape(map_shape, pooling))
    zeros, ones = np.zeros(width, np.float32), np.ones(width, np.float32)
    start = Classifier((layer,), zeros, ones, kernel, bias, temperature=1.0, pooling=pooling)
    return replace(folded(head, start, tensors), kernel=kernel, bias=bias)


def read_shape(map_shape: Shape, pooling: Pooling) -> Shape:
    """Shape of what is read of a layer's output; see `graft.features.graphs.pooled`."""
    if pooling == "none" or len(map_shape) == 1:
        return map_shape
    return map_shape[2:] if len(map_shape) == 3 else (2 * map_shape[1],)


def initial_tensors(head: Head, map_shape: Shape, units: int, seed: int) -> dict[str, np.ndarray]:
    """What every layer of a head begins with on a map of this shape, by `layer/weight`, float32."""
    tensors: dict[str, np.ndarray] = {}
    shape = map_shape
    layers = (*head.layers, Dense(units=units))
    for layer, name, found in zip(layers, names(head), head_layers(head, map_shape, units), strict=True):
        if isinstance(layer, Dense):
            tensors |= _drawn(name, (shape[-1], layer.units), seed)
        elif isinstance(layer, Convolution):
            tensors |= _drawn(name, (layer.kernel_pixels, layer.kernel_pixels, shape[-1], layer.filters), seed)
        elif isinstance(layer, BatchNormalization):
            zeros, ones = np.zeros(shape[-1], np.float32), np.ones(shape[-1], np.float32)
            values = {"gamma": ones, "beta": zeros, "moving_mean": zeros, "moving_variance": ones}
            tensors |= {f"{name}/{weight}": value for weight, value in values.items()}
        shape = found.shape
    return tensors


def _drawn(name: str, shape: Shape, seed: int) -> dict[str, np.ndarray]:
    places = math.prod(shape[:-2])
    limit = math.sqrt(6 / (places * (shape[-2] + shape[-1])))
    kernel = stream(seed, "head", name).uniform(-limit, limit, shape).astype(np.float32)
    return {f"{name}/kernel": kernel, f"{name}/bias": np.zeros(shape[-1], np.float32)}


class TrainedHead(Protocol):
    """What turns the features that a network gives into logits, and the variables that do it."""

    @property
    def trainable(self) -> dict[str, Any]:
        """Variables that training changes, by `layer/weight`."""

    @property
    def tracked(self) -> dict[str, Any]:
        """Statistics that change while training, by no gradient."""

    @property
    def frozen(self) -> dict[str, Any]:
        """Variables that stay."""

    @property
    def seeds(self) -> list[Any]:
        """States of the random generators of dropout."""

    def logits(self, features: Sequence[Any], *, training: bool) -> Any:
        """Logits `(batch, class)` float32."""


@dataclass(frozen=True)
class LinearHead:
    """The probe's solution, trained further: averages of taps, joined, standardised, multiplied."""

    start: Classifier  # with one unit for each class
    kernel: Any
    bias: Any
    dropout: float
    generator: Any  # keras.random.SeedGenerator of that dropout

    @property
    def trainable(self) -> dict[str, Any]:
        """See `TrainedHead`."""
        return {"kernel": self.kernel, "bias": self.bias}

    @property
    def tracked(self) -> dict[str, Any]:
        """See `TrainedHead`."""
        return {}

    @property
    def frozen(self) -> dict[str, Any]:
        """See `TrainedHead`."""
        return {}

    @property
    def seeds(self) -> list[Any]:
        """See `TrainedHead`."""
        return [self.generator.state]

    def logits(self, features: Sequence[Any], *, training: bool) -> Any:
        """See `TrainedHead`. `features`: (batch, width) float32 of each tap."""
        import keras
        from keras import ops

        joined = ops.concatenate(features, axis=1) if len(features) > 1 else features[0]
        joined = (joined - ops.convert_to_tensor(self.start.mean)) * ops.convert_to_tensor(self.start.scale)
        if training and self.dropout:
            joined = keras.random.dropout(joined, self.dropout, seed=self.generator)
        return ops.matmul(joined, self.kernel) + self.bias


def linear_head(start: Classifier, dropout: float) -> LinearHead:
    """The head without layers of its own; a single sigmoid unit is trained as two softmax units, which is equal."""
    import keras

    two = as_softmax(start)
    return LinearHead(
        start=two,
        kernel=keras.Variable(np.asarray(two.kernel, np.float32), name="kernel"),
        bias=keras.Variable(np.asarray(two.bias, np.float32), name="bias"),
        dropout=dropout,
        generator=keras.random.SeedGenerator(0),
    )


@dataclass(frozen=True)
class LayeredHead:
    """Typed layers as Keras' own, then the last one: a matrix product in float32."""

    layers: tuple[Any, ...]  # keras.Layer, from the bottom up, without a pooling that is part of the reading
    name: str  # of the last layer
    kernel: Any
    bias: Any

    @property
    def trainable(self) -> dict[str, Any]:
        """See `TrainedHead`."""
        last = {f"{self.name}/kernel": self.kernel, f"{self.name}/bias": self.bias}
        return {f"{layer.name}/{each.name}": each for layer in self.layers for each in layer.trainable_weights} | last

    @property
    def tracked(self) -> dict[str, Any]:
        """See `TrainedHead`."""
        return self._others(trained=True)

    @property
    def frozen(self) -> dict[str, Any]:
        """See `TrainedHead`."""
        return self._others(trained=False)

    @property
    def seeds(self) -> list[Any]:
        """See `TrainedHead`."""
        return [layer.seed_generator.state for layer in self.layers if hasattr(layer, "seed_generator")]

    def logits(self, features: Sequence[Any], *, training: bool) -> Any:
        """See `TrainedHead`. `features`: what is read of the one layer, whole or as one vector."""
        from keras import ops

        values = features[0]
        for layer in self.layers:
            values = layer(values, training=training)
        units = ops.matmul(ops.cast(values, "float32"), self.kernel) + self.bias
        if self.bias.shape[0] > 1:
            return units
        return ops.concatenate([ops.zeros_like(units), units], axis=1)  # softmax of these is the unit's sigmoid

    def _others(self, *, trained: bool) -> dict[str, Any]:
        chosen = [layer for layer in self.layers if layer.trainable == trained]
        return {f"{layer.name}/{each.name}": each for layer in chosen for each in layer.non_trainable_weights}


def layered_head(
    head: Head, start: Classifier, map_shape: Shape, given: Mapping[str, np.ndarray], *, normalizes: bool, seed: int
) -> LayeredHead:
    """A head on a layer's output of shape `map_shape`, in Keras' current precision.

    `given` are the tensors that a phase before left, by `layer/weight`; without any they are drawn from `seed`, and the
    last layer begins as `start`. BatchNormalization is trained where it `normalizes`, and otherwise uses what it has.

    Raises:
        BadInput: the head fits neither the map nor what `start` says is read, or `given` not the head.
    """
    import keras

    if start.pooling != pooling_of(head):
        raise BadInput(f"The head must read its layer with pooling {pooling_of(head)}, got {start.pooling}.")
    initial = initial_tensors(head, map_shape, len(start.bias), seed)
    last = {f"{head.name}/kernel": start.kernel, f"{head.name}/bias": start.bias}
    tensors = {**initial, **(given or last)}
    if {name: each.shape for name, each in tensors.items()} != {name: each.shape for name, each in initial.items()}:
        raise BadInput("The tensors that the head begins with must be those of its layers, got others.")
    values = keras.Input(read_shape(map_shape, start.pooling))
    made = []
    read = 0 if start.pooling == "none" else 1  # layers that are part of the reading
    for layer, name in list(zip(head.layers, names(head), strict=False))[read:]:
        made.append(_keras_layer(layer, name))
        values = made[-1](values)
        made[-1].trainable = normalizes or not isinstance(layer, BatchNormalization)
        for weight in made[-1].weights:
            weight.assign(tensors[f"{name}/{weight.name}"])
    kernel, bias = (
        keras.Variable(np.asarray(tensors[f"{head.name}/{weight}"], np.float32), name=weight)
        for weight in ("kernel", "bias")
    )
    return LayeredHead(tuple(made), head.name, kernel, bias)


def _keras_layer(layer: Layer, name: str) -> Any:
    """One layer below the last."""
    from keras import layers

    if isinstance(layer, Dense):
        return layers.Dense(layer.units, activation=layer.activation, name=name)
    if isinstance(layer, Convolution):
        size, activation = layer.kernel_pixels, layer.activation
        return layers.Conv2D(layer.filters, size, activation=activation, data_format="channels_last", name=name)
    if isinstance(layer, BatchNormalization):
        return layers.BatchNormalization(name=name)
    if isinstance(layer, Dropout):
        return layers.Dropout(layer.rate, seed=0, name=name)
    if isinstance(layer, Flatten):
        return layers.Flatten(data_format="channels_last", name=name)
    if isinstance(layer, GlobalAveragePooling):
        return layers.GlobalAveragePooling2D(data_format="channels_last", name=name)
    return layers.GlobalMaxPooling2D(data_format="channels_last", name=name)
