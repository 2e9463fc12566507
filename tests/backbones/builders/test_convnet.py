"""convnet and its normalised forms: the figures of the recipes, and what each normalisation computes."""

from typing import Any

import keras
import numpy as np
import pytest

from graft.backbones.catalogue import candidates, find
from graft.backbones.families.convnet import CHANNELS, NORMS
from graft.backbones.layouts import layout
from graft.backbones.networks import build
from graft.backbones.reading.matching import Difference, match_tensors
from graft.core.errors import BadInput
from tests.backbones.helpers import forward, images, network, relative_difference

NORMALISED = tuple(f"convnet_{norm}" for norm in NORMS)
EPSILON = 1e-3  # Keras' own


def sides(model: Any) -> list[int]:
    return [layer.output.shape[1] for layer in model.layers[1:]]


def test_maps_and_parameters_are_those_of_the_recipe() -> None:
    model = build(find("convnet"), side_pixels=150)
    assert sides(model) == [148, 74, 72, 36, 34, 17, 15, 7]
    counts = [layer.count_params() for layer in model.layers if layer.weights]
    assert counts == [896, 18_496, 73_856, 147_584]
    assert sum(counts) == find("convnet").parameters == 240_832
    flat = int(np.prod(model.output.shape[1:]))
    assert flat == 6_272
    head = (flat + 1) * 512 + (512 + 1)
    assert (head, sum(counts) + head) == (3_211_776 + 513, 3_453_121)


def test_a_convolution_keeps_its_bias_only_where_nothing_normalises_it() -> None:
    for name in ("convnet", "convnet_batch"):
        model = network(name)
        has_bias = {layer.use_bias for layer in model.layers if layer.name.startswith("conv")}
        assert has_bias == {name == "convnet"}
    assert all(layer.activation is keras.activations.relu for layer in network("convnet").layers[1::2])


@pytest.mark.parametrize("name", NORMALISED)
def test_normalisation_stands_between_the_convolution_and_its_activation(name: str) -> None:
    kinds = [type(layer).__name__ for layer in network(name).layers[1:]]
    block = len(kinds) // len(CHANNELS)
    assert kinds == kinds[:block] * len(CHANNELS)
    first, *between, activation, pooling = kinds[:block]
    assert (activation, pooling) == ("ReLU", "MaxPooling2D")
    if name == "convnet_weight":  # it is inside the convolution
        assert (first, between) == ("WeightNormalizedConv2D", [])
    else:
        assert first == "Conv2D"
        assert between == ["BatchNormalization" if "batch" in name else "GroupNormalization"]
    linear = [layer.activation for layer in network(name).layers if layer.name.startswith("conv")]
    assert set(linear) == {keras.activations.linear}


@pytest.mark.parametrize(
    ("name", "learned", "tracked"),
    [
        ("convnet_batch", 2, 2),  # gamma, beta; mean, variance
        ("convnet_batch_renorm", 2, 5),  # and the deviation, and mean and deviation of its own training
        ("convnet_layer", 2, 0),
        ("convnet_group", 2, 0),
        ("convnet_instance", 2, 0),
        ("convnet_weight", 2, 0),  # gain and bias
    ],
)
def test_parameters_of_normalisation_for_each_channel(name: str, learned: int, tracked: int) -> None:
    model = network(name)
    kernels = sum(int(np.prod(weight.shape)) for weight in model.weights if weight.name == "kernel")
    assert kernels == find("convnet").parameters - sum(CHANNELS)
    of_learned = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) - kernels
    of_tracked = sum(int(np.prod(weight.shape)) for weight in model.non_trainable_weights)
    assert (of_learned, of_tracked) == (learned * sum(CHANNELS), tracked * sum(CHANNELS))
    assert model.count_params() == find(name).parameters


def test_batch_normalisation_learns_and_tracks_these() -> None:
    (layer,) = [layer for layer in network("convnet_batch").layers if layer.name == "norm2_batch"]
    assert [weight.name for weight in layer.trainable_weights] == ["gamma", "beta"]
    assert [weight.name for weight in layer.non_trainable_weights] == ["moving_mean", "moving_variance"]


def before_and_after(name: str, layer: str, images_of: int = 2) -> tuple[np.ndarray, np.ndarray, Any]:
    model = network(name)
    normalisation = model.get_layer(layer)
    both = keras.Model(model.input, [normalisation.input, normalisation.output])
    given, got = forward(both, images(model, images_of))
    return given, got, normalisation


@pytest.mark.parametrize(
    ("name", "layer", "groups"),
    [
        ("convnet_layer", "norm2_layer", 1),
        ("convnet_group", "norm1_group", 2),
        ("convnet_group", "norm3_group", 8),
        ("convnet_instance", "norm2_instance", 64),
    ],
)
def test_each_image_is_normalised_by_itself_in_groups_of_channels(name: str, layer: str, groups: int) -> None:
    given, got, normalisation = before_and_after(name, layer)
    batch, height, width, channels = given.shape
    grouped = given.astype(np.float64).reshape(batch, height, width, groups, channels // groups)
    mean, variance = grouped.mean(axis=(1, 2, 4), keepdims=True), grouped.var(axis=(1, 2, 4), keepdims=True)
    standard = ((grouped - mean) / np.sqrt(variance + EPSILON)).reshape(given.shape)
    gamma, beta = (np.asarray(keras.ops.convert_to_numpy(weight)) for weight in normalisation.weights)
    assert relative_difference(got, standard * gamma + beta) < 1e-4


@pytest.mark.parametrize("name", ["batch", "batch_renorm"])
def test_what_normalises_by_batch_uses_what_it_tracked_when_it_predicts(name: str) -> None:
    given, got, layer = before_and_after(f"convnet_{name}", f"norm2_{name}")
    value = {weight.name: keras.ops.convert_to_numpy(weight) for weight in layer.weights}
    standard = (given - value["moving_mean"]) / np.sqrt(value["moving_variance"] + EPSILON)
    assert relative_difference(got, standard * value["gamma"] + value["beta"]) < 1e-4


def weight_normalised(kernel_factor: float = 1.0, gain_factor: float = 1.0) -> Any:
    """convnet_weight's second convolution, alone, with kernels and gains times something."""
    model = network("convnet_weight")
    original = model.get_layer("conv2")
    copy = build(find("convnet_weight"), side_pixels=46)
    copy.set_weights(model.get_weights())
    layer = copy.get_layer("conv2")
    kernel, bias, gain = original.get_weights()
    layer.set_weights([kernel * kernel_factor, bias, gain * gain_factor])
    return keras.Model(layer.input, layer.output)


def test_a_normalised_kernel_has_the_length_of_its_gain() -> None:
    pixels = np.random.default_rng(0).normal(size=(1, 22, 22, 32)).astype(np.float32)
    part = weight_normalised()
    kernel, bias, gain = (each.astype(np.float64) for each in part.layers[-1].get_weights())
    kernel *= gain / np.sqrt((kernel**2).sum(axis=(0, 1, 2)))
    patches = np.lib.stride_tricks.sliding_window_view(pixels[0].astype(np.float64), (3, 3), axis=(0, 1))
    expected = np.einsum("hwcij,ijco->hwo", patches, kernel) + bias
    got = forward(part, pixels)[0]
    assert relative_difference(got, expected) < 1e-5
    assert relative_difference(forward(weight_normalised(kernel_factor=3.0), pixels)[0], got) < 1e-5
    assert relative_difference(forward(weight_normalised(gain_factor=3.0), pixels)[0], got) > 0.1


def test_a_kernel_of_zeros_gives_zeros() -> None:
    part = weight_normalised(kernel_factor=0.0)
    got = forward(part, np.ones((1, 22, 22, 32), np.float32))
    assert np.abs(got - part.layers[-1].get_weights()[1]).max() < 1e-6


def test_weights_of_one_normalisation_are_not_taken_for_another() -> None:
    """Three of them have the same shapes: names tell them apart."""
    for name in NORMALISED:
        tensors = {tensor: np.zeros(shape) for tensor, shape in layout(find(name)).shapes().items()}
        fitting = [
            other
            for other in ("convnet", *NORMALISED)
            if not isinstance(match_tensors(layout(find(other)), tensors), Difference)
        ]
        assert fitting == [name]


def test_the_smallest_image_leaves_one_position() -> None:
    assert build(find("convnet_group"), side_pixels=46).output.shape[1:] == (1, 1, 128)
    with pytest.raises(BadInput, match="at least 46 px for convnet, got 45"):
        build(find("convnet"), side_pixels=45)


def test_the_name_alone_is_the_plain_network() -> None:
    assert candidates("convnet") == ("convnet",)
