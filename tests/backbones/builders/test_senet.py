"""SE-ResNet-50: the published figures, where its stages stride, and how its channels are weighed."""

import math

import keras
import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.networks import build
from graft.features.preprocessing import network_input
from tests.backbones.helpers import forward, images, new_network, relative_difference, tap_model, without_values

MEAN, DEVIATION = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def test_se_resnet_is_the_published_one() -> None:
    with without_values():
        model = build(find("se_resnet50"), side_pixels=224, include_top=True)
        plain = build(find("resnet50"), side_pixels=224)
    learned = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    assert learned == 28_088_024
    assert model.count_params() - learned == 53_120  # tracked by its normalisations, as in ResNet-50
    gates = sum(layer.count_params() for layer in model.layers if "_se_" in layer.name)
    assert gates == 2_530_992
    # Beside its gates it is ResNet-50, whose convolutions have biases in Keras.
    biases = sum(layer.filters for layer in plain.layers if isinstance(layer, keras.layers.Conv2D))
    assert find("se_resnet50").parameters - gates == plain.count_params() - biases
    sides = [model.get_layer(f"conv{stage}_block1_out").output.shape[1] for stage in (2, 3, 4, 5)]
    assert sides == [56, 28, 14, 7]


def test_a_stage_strides_in_its_3x3_convolution() -> None:
    with without_values():
        model = build(find("se_resnet50"), side_pixels=64)
    striding = [layer.name for layer in model.layers if isinstance(layer, keras.layers.Conv2D) and layer.strides[0] > 1]
    blocks = [f"conv{stage}_block1" for stage in (3, 4, 5)]
    assert sorted(striding) == sorted(["conv1_conv", *(f"{block}_{part}_conv" for block in blocks for part in (0, 2))])


def test_preprocessing_is_the_published_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    expected = (pixels / 255 - MEAN) / DEVIATION
    assert np.abs(network_input(pixels, find("se_resnet50").preprocessing) - expected).max() < 1e-5


def test_shut_gates_leave_the_shortcut_and_open_ones_the_sum() -> None:
    """A gate is a number from 0 to 1 on what its block adds."""
    model = new_network("se_resnet50", 32)
    block = "conv2_block2"
    below, after = f"{block[:-1]}1_out", f"{block}_out"
    pixels = images(model)
    outputs = keras.Model(model.input, [model.get_layer(name).output for name in (below, f"{block}_3_bn", after)])
    expand = model.get_layer(f"{block}_se_expand")
    expand.kernel.assign(np.zeros(expand.kernel.shape, np.float32))
    for opened, share in ((-100.0, 0.0), (100.0, 1.0), (0.0, 0.5)):
        expand.bias.assign(np.full(expand.bias.shape, opened, np.float32))
        shortcut, added, result = forward(outputs, pixels)
        assert relative_difference(result, np.maximum(shortcut + share * added, 0)) < 1e-6
    assert len(tap_model(model, find("se_resnet50").taps).outputs) == 16
