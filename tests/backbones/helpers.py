"""Networks with random weights, their numbers, and weights files as different Keras versions write them."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import keras
import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.networks import DataFormat, build

# The smallest network of each family.
SMALLEST = ("sprout", "mobilenet_0.25", "mobilenet_v2_0.35", "vgg16", "resnet50", "efficientnet_b0")

# Variance that a layer with random kernels adds, so that the last layer still tells one image from another: gates and
# ReLUs damp it, additions raise it.
GAINS = {"efficientnet": 2.1, "mobilenet_": 2.2}


def randomise(model: Any, seed: int = 0) -> None:
    """Give every weight a value that matters: no statistics left at 0 or 1, no activation that dies or explodes."""
    rng = np.random.default_rng(seed)
    gain = next((gain for name, gain in GAINS.items() if model.name.startswith(name)), 1.5)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.name in {"moving_variance", "variance", "gamma"}:
            value = rng.uniform(0.7, 1.3, shape)
        elif weight.name == "count":
            value = np.asarray(0)
        elif weight.name == "kernel":
            fan_in = np.prod(shape[:2]) if shape[-1] == 1 else np.prod(shape[:-1])
            value = rng.normal(0, np.sqrt(gain / fan_in), shape)
        else:
            value = rng.normal(0, 0.1, shape)
        weight.assign(value.astype(weight.dtype))
    for layer in model.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()


@cache
def network(name: str, side_pixels: int | None = None, data_format: DataFormat = "channels_last") -> Any:
    """A network of the catalogue with random weights, built once for all tests: do not change it."""
    record = find(name)
    model = build(record, side_pixels=side_pixels or record.min_side_pixels, data_format=data_format)
    randomise(model)
    return model


def images(model: Any, count: int = 2, seed: int = 1) -> np.ndarray:
    """Inputs for a channels_last network, in the range that its preprocessing gives."""
    rng = np.random.default_rng(seed)
    if model.name in {"efficientnetb0", "sprout"}:
        return rng.uniform(0, 255, (count, *model.input_shape[1:])).astype(np.float32)
    return rng.uniform(-1, 1, (count, *model.input_shape[1:])).astype(np.float32)


def forward(model: Any, inputs: np.ndarray) -> Any:
    """The model's outputs in float32: by itself the engine computes in bfloat16 where the machine can."""
    import openvino

    compile_model = openvino.compile_model

    def in_float32(graph: Any, device: str) -> Any:
        return compile_model(graph, device, {"INFERENCE_PRECISION_HINT": "f32"})

    model.ov_compiled_model = None  # it holds the weights of the last prediction
    with mock.patch("openvino.compile_model", in_float32):
        return model.predict(inputs, verbose=0)


def relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, as a share of the largest value."""
    return float(np.abs(one - other).max() / np.abs(other).max())


def write_keras3(path: Path, model: Any, *, names: bool = True) -> Path:
    """The file as Keras 3 writes it; without `names`, as its earlier releases did."""
    model.save_weights(path)
    if not names:
        with h5py.File(path, "r+") as file:
            for layer in file["layers"].values():
                layer["vars"].attrs.pop("name", None)
    return path


def write_legacy(path: Path, model: Any, *, weight_name: Callable[[str, str], str] | None = None) -> Path:
    """The file as Keras 2 wrote weights: attributes `layer_names` and `weight_names`."""
    name_of = weight_name or (lambda layer, weight: f"{layer}/{weight}:0")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["backend"] = b"tensorflow"
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [name_of(layer.name, weight.name) for weight in layer.weights]
            group.attrs["weight_names"] = [name.encode() for name in names]
            for name, weight in zip(names, layer.weights, strict=True):
                group.create_dataset(name, data=keras.ops.convert_to_numpy(weight))
    return path


def tensors_of(model: Any) -> dict[str, np.ndarray]:
    """The model's weights by the names that Graft gives them."""
    return {
        f"{layer.name}/{weight.name}": keras.ops.convert_to_numpy(weight)
        for layer in model.layers
        for weight in layer.weights
    }
