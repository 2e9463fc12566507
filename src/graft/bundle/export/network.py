"""A bundle as one Keras model: pixels in, calibrated probabilities out."""

from typing import Any

import numpy as np

from graft.backbones.networks import DataFormat
from graft.backbones.records import GREY_WEIGHTS, Preprocessing
from graft.backbones.weights import WeightsFile
from graft.data.augmentation.normalization import Whitening
from graft.features.graphs import loaded_network, outputs_of, preprocessed
from graft.features.preprocessing import whitening_of
from graft.features.records import Program
from graft.training.linear import as_softmax
from graft.training.records import Classifier

OUTPUT = "probabilities"
HEAD = "logits"  # in the names of the last layers, which stay in float32 where the rest is in smaller numbers
SCALED = "scaled"  # in the names of those that scale what the head reads, which stay so too


def classifier_model(
    program: Program, weights: WeightsFile, classifier: Classifier, *, data_format: DataFormat = "channels_last"
) -> Any:
    """A model (photo, side, side, 3) uint8 RGB -> (photo, class) float32, preprocessing and temperature inside.

    It computes what `training.linear.classify` does with the network's outputs where nothing is rounded. Where it can
    be, it is made of layers alone, which is all that Keras' older files can hold.
    """
    import keras

    network = loaded_network(program, weights, data_format=data_format)
    pixels = keras.Input((program.side_pixels, program.side_pixels, 3), dtype="uint8", name="pixels")
    given = _prepared(pixels, program.preprocessing, whitening_of(program.preprocessing, weights))
    outputs = outputs_of(given, network, program.outputs)
    logits = _logits([keras.layers.Flatten(data_format="channels_last")(each) for each in outputs], classifier)
    return keras.Model(pixels, keras.layers.Softmax(name=OUTPUT, dtype="float32")(logits), name="classifier")


def operations(model: Any) -> list[str]:
    """What in a model is no layer: names, the networks inside it looked into too."""
    import keras

    found = []
    for each in model.operations:
        if isinstance(each, keras.Model):
            found += operations(each)
        elif not isinstance(each, keras.layers.Layer):
            found.append(each.name)
    return found


def _prepared(pixels: Any, preprocessing: Preprocessing, whitening: Whitening | None) -> Any:
    """What `graphs.preprocessed` gives, of layers alone: channels are put in order by a convolution of one pixel."""
    import keras

    if preprocessing.normalization is not None:
        return preprocessed(pixels, preprocessing, whitening)
    values = keras.layers.Rescaling(1.0, name="numbers")(pixels)
    order = np.eye(3)[::-1] if preprocessing.channel_order == "bgr" else np.eye(3)
    kernel, bias = order * np.asarray(preprocessing.scale), np.asarray(preprocessing.offset)
    if preprocessing.channels == 1:
        grey = np.asarray(GREY_WEIGHTS)[:, np.newaxis]
        kernel, bias = kernel @ grey, bias @ grey
    if np.array_equal(kernel, np.eye(3)) and not bias.any():
        return values
    layer = keras.layers.Conv2D(len(bias), 1, name="prepared", data_format="channels_last")
    result = layer(values)
    layer.set_weights([kernel[np.newaxis, np.newaxis], bias])
    return result


def _logits(outputs: list[Any], classifier: Classifier) -> Any:
    """The head. Each output is scaled, weighed and added for itself: in int8 each then has a range of its own."""
    import keras

    classifier = as_softmax(classifier)
    kernel, bias = classifier.kernel / classifier.temperature, classifier.bias / classifier.temperature
    if classifier.hidden:
        (values,) = (_scaled(each, classifier.mean, classifier.scale, SCALED) for each in outputs)
        for number, layer in enumerate(classifier.hidden):
            values = _dense(values, layer.kernel, layer.bias, f"hidden_{number}", activation=layer.activation)
        return _dense(values, kernel, bias, HEAD)
    parts: list[Any] = []
    at = 0
    for number, each in enumerate(outputs):
        rows = slice(at, at + each.shape[1])
        scaled = _scaled(each, classifier.mean[rows], classifier.scale[rows], f"{SCALED}_{number}")
        parts.append(_dense(scaled, kernel[rows], bias * (not parts), f"{HEAD}_{number}"))
        at = rows.stop
    return keras.layers.Add(name=HEAD)(parts) if len(parts) > 1 else parts[0]


def _scaled(values: Any, mean: np.ndarray, scale: np.ndarray, name: str) -> Any:
    """`(values - mean) * scale`, as the layer that every backend and converter knows for it."""
    import keras

    layer = keras.layers.BatchNormalization(epsilon=0.0, name=name)
    result = layer(values, training=False)
    layer.set_weights([scale, np.zeros_like(mean), mean, np.ones_like(mean)])
    return result


def _dense(values: Any, kernel: np.ndarray, bias: np.ndarray, name: str, *, activation: str = "linear") -> Any:
    import keras

    layer = keras.layers.Dense(len(bias), activation=activation, name=name)
    result = layer(values)
    layer.set_weights([kernel, bias])
    return result
