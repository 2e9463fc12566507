"""Networks with random weights, their numbers, and weights files as different Keras versions write them."""

import tempfile
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest import mock

import h5py
import keras
import numpy as np
import pytest

from graft.backbones.builders.applications import FUNCTIONS
from graft.backbones.catalogue import find
from graft.backbones.layers import LayerTable, table_of
from graft.backbones.networks import DataFormat, build, data_format_of
from graft.backbones.records import BackboneRecord
from graft.features.graphs import read
from graft.features.records import Output

# The smallest network of each family; of MobileNetV3 the smallest that has all its kinds of layers. Of convnet all:
# each has a layer that no other has, and they are small.
SMALLEST = (
    "sprout",
    "mobilenet_0.25",
    "mobilenet_v2_0.35",
    "mobilenet_v3_small_0.75",
    "vgg16",
    "resnet50",
    "resnet50_v2",
    "densenet121",
    "inception_v3",
    "inception_resnet_v2",
    "xception",
    "nasnet_mobile",
    "efficientnet_b0",
    "efficientnet_v2_b0",
    "convnext_tiny",
    "se_resnet50",
    "googlenet",
    "vit_b16",
    "alexnet",
    "lenet5",
    "convnet",
    "convnet_batch",
    "convnet_batch_renorm",
    "convnet_layer",
    "convnet_group",
    "convnet_instance",
    "convnet_weight",
)
# All of them but those that take more than a second or so to build and compute, which `make test-wide` takes.
QUICK = frozenset(SMALLEST) - {
    "resnet50_v2",
    "densenet121",
    "inception_v3",
    "inception_resnet_v2",
    "xception",
    "nasnet_mobile",
    "efficientnet_v2_b0",
    "convnext_tiny",
    "se_resnet50",
}
# How Keras names the networks that it does not build for us.
OWN_CONSTRUCTIONS = {
    **{f"efficientnet_b{number}": f"EfficientNetB{number}" for number in range(8)},
    **{f"convnext_{size.lower()}": f"ConvNeXt{size}" for size in ("Tiny", "Small", "Base", "Large", "XLarge")},
}

# Variance that a layer with random kernels adds, so that the last layer still tells one image from another: gates and
# ReLUs damp it, additions raise it.
GAINS = {"efficientnetb": 2.1, "mobilenet_": 2.2}

# Weights that scale: near 1, and never negative.
POSITIVE = {"moving_variance", "moving_stddev", "renorm_stddev", "variance", "gamma", "gain"}

# Networks that take pixels as they are, by the names of the models.
UNSCALED = ("efficientnet", "sprout", "MobileNetV3", "convnext")


def randomise(model: Any, seed: int = 0) -> None:
    """Give every weight a value that matters: no statistics left at 0 or 1, no activation that dies or explodes."""
    rng = np.random.default_rng(seed)
    gain = next((gain for name, gain in GAINS.items() if model.name.startswith(name)), 1.5)
    for weight in model.weights:
        shape = tuple(weight.shape)
        if weight.name in POSITIVE:
            value = rng.uniform(0.7, 1.3, shape)
        elif weight.name == "count":
            value = np.asarray(0)
        elif weight.name.endswith("kernel"):
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
    return new_network(name, side_pixels, data_format)


def new_network(name: str, side_pixels: int | None = None, data_format: DataFormat = "channels_last") -> Any:
    """The same, for the caller alone: of the large ones not many fit into memory."""
    record = find(name)
    model = build(record, side_pixels=side_pixels or record.min_side_pixels, data_format=data_format)
    randomise(model)
    return model


@contextmanager
def without_values() -> Iterator[None]:
    """Networks built in here have names and shapes but no numbers: the largest takes a second and next to no memory."""
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        keras.backend.clear_session(free_memory=False)  # or Keras would give them their values after all, later


@cache
def table(name: str, side_pixels: int | None = None) -> LayerTable:
    """The layers of a network of the catalogue, without its top."""
    record = find(name)
    side = side_pixels or record.side_pixels
    with without_values():
        model = build(record, side_pixels=side)
        return table_of(record, side, model, model)


def tap_model(model: Any, layers: Sequence[str]) -> Any:
    """A model on the same weights whose outputs are those taps, read as programs read them."""
    channels_first = data_format_of(model) == "channels_first"
    return keras.Model(model.input, [read(model, Output(layer=name), channels_first=channels_first) for name in layers])


def images(model: Any, count: int = 2, seed: int = 1) -> np.ndarray:
    """Inputs for a channels_last network, in the range that its preprocessing gives."""
    rng = np.random.default_rng(seed)
    if model.name.startswith(UNSCALED):
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


def of_keras(record: BackboneRecord, side_pixels: int, *, include_top: bool = False) -> Any:
    """The network as the constructor of `keras.applications` builds it for its users."""
    name = FUNCTIONS.get(record.constructor) or OWN_CONSTRUCTIONS[record.constructor]
    shape = (side_pixels, side_pixels, 3)
    constructor = getattr(keras.applications, name)
    return constructor(weights=None, include_top=include_top, input_tensor=keras.Input(shape), **dict(record.options))


def forward_each(model: Any, inputs: np.ndarray | dict[str, np.ndarray]) -> list[np.ndarray]:
    """The outputs of a model, exactly. Several inputs are named as the model names them; each has its own batch."""
    import openvino

    core = openvino.Core()
    named = inputs if isinstance(inputs, dict) else {"input": inputs}
    # Keras hands a dict over in the order of its keys, and a bare input by itself.
    signature: Any = {
        name: keras.InputSpec(shape=values.shape, dtype="float32") for name, values in sorted(named.items())
    }
    if not isinstance(inputs, dict):
        signature = signature["input"]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = str(Path(folder) / "model.xml")
        model.export(path, format="openvino", verbose=False, input_signature=[signature])
        compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    results = compiled(dict(enumerate(values for _, values in sorted(named.items()))))
    return [np.array(results[number]) for number in range(len(compiled.outputs))]


def each_network(names: Iterable[str], slow: Container[str] = ()) -> list[Any]:
    """Parameters of a test: the networks in `slow` are marked so, others that are not `QUICK` as wide."""

    def marks(name: str) -> Any:
        if name in slow:
            return pytest.mark.slow
        return () if name in QUICK else pytest.mark.wide

    return [pytest.param(name, marks=marks(name)) for name in names]


def every_suffix(model: Any, places: tuple[tuple[str, ...], ...], pixels: np.ndarray) -> np.ndarray:
    """What each cut's suffix makes of what its prefix makes of one image: (cuts, …), in two passes.

    The first computes the tensors of all cuts. In the second they join the batch where their cut is, so that each goes
    through everything above it, beside those that came from below. `places` go from the input upwards.
    """
    tensors = {operation.name: operation.output for operation in model.operations}
    used = list(dict.fromkeys(name for place in places for name in place))
    values = dict(
        zip(used, forward_each(keras.Model(model.input, [tensors[name] for name in used]), pixels), strict=True)
    )
    inputs: dict[str, Any] = {}
    joining: dict[str, np.ndarray] = {}
    running: dict[str, Any] = {}
    for below, place in zip(((), *places[:-1]), places, strict=True):
        above = _step(tensors, below, place, running)
        for name in place:
            key = f"cut_{len(inputs):04}"
            inputs[key] = keras.Input(batch_shape=(1, *tensors[name].shape[1:]), dtype="float32", name=key)
            joining[key] = values[name]
            above[name] = keras.layers.Concatenate(axis=0)([above[name], inputs[key]]) if name in above else inputs[key]
        running = above
    return forward_each(keras.Model(inputs, running[places[-1][0]]), joining)[0]


def _step(tensors: dict[str, Any], below: tuple[str, ...], place: tuple[str, ...], running: dict[str, Any]) -> Any:
    """The running tensors carried from one cut to the next: computed, or the same tensor still."""
    new = [name for name in place if name not in below]
    if not below:
        return {}
    carried = {name: running[name] for name in place if name in below}
    part = keras.Model([tensors[name] for name in below], [tensors[name] for name in new])
    outputs = part([running[name] for name in below])
    return carried | dict(zip(new, outputs if isinstance(outputs, list) else [outputs], strict=True))


def relative_difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest difference, as a share of the largest value."""
    return float(np.abs(one - other).max() / np.abs(other).max())


def rounding(name: str) -> float:
    """How far two ways of computing a network in float32 may be apart, relative to the largest value."""
    return 3e-5 if name == "convnet_instance" else 1e-5  # its last statistics, of a small image, are of four numbers


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
