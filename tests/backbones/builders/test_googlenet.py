"""GoogLeNet: the published figures, the maps by name, and poolings that reach over the edge as torch's do."""

import importlib.util
import math
from typing import Any

import keras
import numpy as np
import pytest

from graft.backbones.builders import googlenet
from graft.backbones.catalogue import find
from graft.backbones.families.googlenet import MODULES
from graft.backbones.networks import build
from graft.features.preprocessing import network_input
from tests.backbones.helpers import forward, without_values

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
MEAN, DEVIATION = np.array((0.485, 0.456, 0.406)), np.array((0.229, 0.224, 0.225))


def test_googlenet_is_the_published_one() -> None:
    with without_values():
        model = build(find("googlenet"), side_pixels=224, include_top=True)
    maps = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == 6_624_904
    # What it tracks: two numbers for each channel of each normalisation.
    normalised = [maps[layer.name][-1] for layer in model.layers if layer.name.endswith("_bn")]
    assert model.count_params() == 6_624_904 + 2 * sum(normalised)
    assert [maps[name] for name in ("pool1", "pool2", "pool3", "pool4", "avg_pool")] == [
        (56, 56, 64),
        (28, 28, 192),
        (14, 14, 480),
        (7, 7, 832),
        (1024,),
    ]
    assert [maps[module.name][-1] for module in MODULES] == [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    kernels = {layer.kernel_size for layer in model.layers if isinstance(layer, keras.layers.Conv2D)}
    assert kernels == {(7, 7), (1, 1), (3, 3)}  # no 5x5, as in the published weights


def test_preprocessing_is_what_torchvision_hands_to_its_layers() -> None:
    """It standardises, and then the network itself turns that into pixels from -1 to 1."""
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    standardised = (pixels / 255 - MEAN) / DEVIATION
    expected = standardised * (DEVIATION / 0.5) + (MEAN - 0.5) / 0.5
    assert np.abs(network_input(pixels, find("googlenet").preprocessing) - expected).max() < 1e-6
    assert np.abs(standardised - expected).max() > 0.5


@needs_torch
@pytest.mark.parametrize("window", [2, 3])
def test_every_side_is_halved_as_torch_halves_it(window: int) -> None:
    assert _differing_sides(googlenet._halved, window) == []


@needs_torch
def test_sabotage_padding_on_both_sides_is_noticed() -> None:
    """What `same` does by itself where two rows are missing: odd sides with a window of 3."""

    def halved(x: Any, window: int, name: str, channel_axis: int) -> Any:
        return keras.layers.MaxPooling2D(window, strides=2, padding="same", name=name)(x)

    assert _differing_sides(halved, 3) == [5, 7, 9, 11]
    assert _differing_sides(halved, 2) == []


def _differing_sides(halved: Any, window: int) -> list[int]:
    """Sides of maps at which a pooling is not torch's with `ceil_mode`."""
    import torch

    differing = []
    for side in range(4, 12):
        maps = np.random.default_rng(side).uniform(0, 1, (1, side, side, 2)).astype(np.float32)
        inputs = keras.Input(maps.shape[1:])
        got = forward(keras.Model(inputs, halved(inputs, window, "pool", -1)), maps)
        planes = torch.from_numpy(maps.transpose(0, 3, 1, 2))
        expected = torch.nn.functional.max_pool2d(planes, window, 2, ceil_mode=True).numpy().transpose(0, 2, 3, 1)
        if got.shape != expected.shape or not np.array_equal(got, expected):
            differing.append(side)
    return differing
