"""Keras models that give a program's outputs: plain for reference, with pixels as input for conversion."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.networks import DataFormat, build, data_format_of
from graft.backbones.records import GREY_WEIGHTS, Preprocessing
from graft.backbones.weights import WeightsFile, load_into
from graft.core.telemetry import import_openvino
from graft.data.augmentation.normalization import SMALLEST_SCALE, Normalizer, Whitening
from graft.features.records import Output, Program


def loaded_network(program: Program, weights: WeightsFile, *, data_format: DataFormat = "channels_last") -> Any:
    """The program's network with its weights, and with its top where the program says so."""
    include_top = bool(program.top_sha256)
    record = find(program.backbone)
    network = build(record, side_pixels=program.side_pixels, include_top=include_top, data_format=data_format)
    load_into(network, weights, include_top=include_top)
    return network


def joined_outputs(network: Any, outputs: Sequence[Output]) -> tuple[Any, dict[str, tuple[int, ...]]]:
    """A model (network input) -> (batch, everything) float32, and the shape of each output in it, without batch.

    All outputs flattened into one tensor: one evaluation gives them all, and none can be mistaken for another.
    `network` is channels-last.
    """
    import keras

    tensors = [read(network, output, channels_first=False) for output in outputs]
    shapes = {output.name: tuple(tensor.shape[1:]) for output, tensor in zip(outputs, tensors, strict=True)}
    flat = [keras.layers.Flatten(data_format="channels_last")(tensor) for tensor in tensors]
    joined = keras.layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
    return keras.Model(network.input, joined), shapes


def exact_forward(model: Any, batch_images: int) -> Callable[[np.ndarray], np.ndarray]:
    """A Keras model of one input and one output as a function of `batch_images` rows, computed in float32.

    On Keras' OpenVINO backend `predict` will not do: it lets the processor choose bfloat16, and is off by a percent.
    """
    import keras

    if keras.backend.backend() != "openvino":
        return lambda given: np.asarray(keras.ops.convert_to_numpy(model.predict_on_batch(given)))
    core = import_openvino().Core()
    # Windows cannot remove what is still mapped; the system's own cleaning of temporary files does it then.
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = str(Path(folder) / "model.xml")
        signature = [keras.InputSpec(shape=(batch_images, *model.input_shape[1:]), dtype=model.inputs[0].dtype)]
        model.export(path, format="openvino", verbose=False, input_signature=signature)
        compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda given: np.array(compiled({0: given})[0])


def separate(joined: np.ndarray, shapes: dict[str, tuple[int, ...]]) -> dict[str, np.ndarray]:
    """The outputs by name from what a model of `joined_outputs` gave: (batch, everything) -> (batch, *shape) each."""
    values = {}
    at = 0
    for name, shape in shapes.items():
        width = int(np.prod(shape))
        values[name] = np.ascontiguousarray(joined[:, at : at + width]).reshape(len(joined), *shape)
        at += width
    return values


def pixels_model(network: Any, program: Program, whitening: Whitening | None = None) -> Any:
    """A model (batch, side, side, 3) uint8 RGB -> the program's outputs in order, preprocessing inside.

    `network` is channels-first where it can be: OpenVINO computes so, and in a channels-last network it mostly
    transposes. Whole activations leave channels-last.
    """
    import keras

    side = program.side_pixels
    pixels = keras.Input((side, side, 3), dtype="uint8", name="pixels")
    given = preprocessed(pixels, program.preprocessing, whitening)
    return keras.Model(pixels, outputs_of(given, network, program.outputs))


def outputs_of(given: Any, network: Any, outputs: Sequence[Output]) -> list[Any]:
    """The outputs in order, from what the network is given: (batch, height, width, channels), as its input expects."""
    import keras

    channels_first = data_format_of(network) == "channels_first"
    if channels_first:
        given = keras.ops.transpose(given, (0, 3, 1, 2))
    inner = keras.Model(network.input, [read(network, output, channels_first=channels_first) for output in outputs])
    values: list[Any] = inner(given)
    return values


def preprocessed(pixels: Any, preprocessing: Preprocessing, whitening: Whitening | None = None) -> Any:
    """The symbolic twin of `preprocessing.network_input`: (batch, height, width, 3) uint8 -> (…, channels) float32."""
    import keras

    values = keras.ops.cast(pixels, "float32")
    if preprocessing.channel_order == "bgr":
        values = keras.ops.take(values, np.array([2, 1, 0], "int32"), axis=-1)
    scale = np.asarray(preprocessing.scale, np.float32).reshape(1, 1, 1, 3)
    offset = np.asarray(preprocessing.offset, np.float32).reshape(1, 1, 1, 3)
    values = values * scale + offset
    if preprocessing.channels == 1:
        values = keras.ops.sum(values * np.asarray(GREY_WEIGHTS, np.float32), axis=-1, keepdims=True)
    fitted = preprocessing.normalization
    return values if fitted is None else normalized(values, Normalizer(fitted, whitening))


def normalized(values: Any, normalizer: Normalizer) -> Any:
    """The symbolic twin of `Normalizer.apply`: (batch, height, width, channels) float32, as given."""
    import keras

    fitted, whitening = normalizer.fitted, normalizer.whitening
    ops, wanted, every = keras.ops, fitted.normalization, (1, 2, 3)
    if wanted.samplewise_center or wanted.samplewise_std:
        values = values - ops.mean(values, axis=every, keepdims=True)
    if wanted.samplewise_std:
        values = values / (ops.sqrt(ops.mean(values * values, axis=every, keepdims=True)) + SMALLEST_SCALE)
    if fitted.mean:
        values = values - np.asarray(fitted.mean, np.float32).reshape(1, 1, 1, -1)
    if fitted.deviation:
        values = values / np.asarray(fitted.deviation, np.float32).reshape(1, 1, 1, -1)
    if whitening is None:
        return values
    flat = ops.reshape(values, (-1, len(whitening.directions)))
    whitened = ops.matmul(ops.matmul(flat, whitening.directions) * whitening.gains, whitening.directions.T)
    return ops.reshape(whitened, (-1, *values.shape[1:]))


def read(network: Any, output: Output, *, channels_first: bool) -> Any:
    """The symbolic tensor of one output: its mean or maximum over positions (`pooled`), or whole and channels-last."""
    import keras

    tensor = network.get_layer(output.layer).output
    if output.pooling == "none":
        turned = channels_first and len(tensor.shape) == 4
        return keras.ops.transpose(tensor, (0, 2, 3, 1)) if turned else tensor
    return pooled(tensor, output.pooling, channels_first=channels_first)


def pooled(tensor: Any, pooling: Literal["avg", "max"], *, channels_first: bool = False) -> Any:
    """A layer's output as one vector for each image, float32: what a tap is, wherever it is read.

    Of a map `(batch, height, width, channel)` the mean or maximum over its places. Of a transformer's tokens
    `(batch, token, width)`, the class token first, that over the patches' tokens and then the class token: `2 * width`
    numbers. A vector as it is.
    """
    import keras

    layers = keras.layers
    if len(tensor.shape) == 4 and channels_first:
        # The same as a pooling over everything, which OpenVINO computes in half the time of a reduction.
        window = layers.AveragePooling2D if pooling == "avg" else layers.MaxPooling2D
        everywhere = window(tuple(tensor.shape[2:]), data_format="channels_first", dtype="float32")
        return keras.ops.squeeze(everywhere(tensor), axis=(2, 3))
    if len(tensor.shape) == 4:
        over_places = layers.GlobalAveragePooling2D if pooling == "avg" else layers.GlobalMaxPooling2D
        return over_places(data_format="channels_last", dtype="float32")(tensor)
    if len(tensor.shape) == 3:
        over_tokens = layers.GlobalAveragePooling1D if pooling == "avg" else layers.GlobalMaxPooling1D
        patches = over_tokens(data_format="channels_last", dtype="float32")(tensor[:, 1:])
        return layers.Concatenate(dtype="float32")([patches, tensor[:, 0]])
    return tensor if tensor.dtype == "float32" else keras.ops.cast(tensor, "float32")
