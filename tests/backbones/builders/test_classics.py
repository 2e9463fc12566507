"""LeNet-5 and AlexNet: the published figures, the maps by name, and grey images."""

import math

import keras
import numpy as np
import pytest

from graft.backbones.catalogue import find
from graft.backbones.layouts import layout
from graft.backbones.networks import build, data_format_of
from graft.core.errors import BadInput
from tests.backbones.helpers import forward, relative_difference, without_values


def test_lenet_is_the_published_one() -> None:
    model = build(find("lenet5"), side_pixels=32, include_top=True)
    assert model.input_shape == (None, 32, 32, 1)
    assert {layer.name: layer.output.shape[1:] for layer in model.layers[1:]} == {
        "c1": (28, 28, 6),
        "s2": (14, 14, 6),
        "c3": (10, 10, 16),
        "s4": (5, 5, 16),
        "c5": (1, 1, 120),
        "average": (120,),
        "f6": (84,),
        "predictions": (10,),
    }
    counts = [layer.count_params() for layer in model.layers if layer.weights]
    assert counts == [156, 2_416, 48_120, 10_164, 850]
    assert sum(counts) == 61_706


def test_alexnet_is_the_published_one() -> None:
    with without_values():
        model = build(find("alexnet"), side_pixels=224, include_top=True)
    maps = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert maps["conv1"] == (55, 55, 64)
    assert [maps[name] for name in ("pool1", "pool2", "pool5")] == [(27, 27, 64), (13, 13, 192), (6, 6, 256)]
    assert model.count_params() == 61_100_840
    of_top = sum(map(math.prod, layout(find("alexnet")).top_shapes().values()))
    assert (61_100_840 - of_top, of_top) == (2_469_696, 58_631_144)
    assert [layer.rate for layer in model.layers if isinstance(layer, keras.layers.Dropout)] == [0.5, 0.5]


def test_alexnet_needs_63_pixels() -> None:
    assert build(find("alexnet"), side_pixels=63).output.shape[1:] == (1, 1, 256)
    with pytest.raises(BadInput, match="at least 63 px for alexnet, got 62"):
        build(find("alexnet"), side_pixels=62)


def test_a_top_reads_the_same_numbers_in_either_data_format() -> None:
    """AlexNet's map is flattened: if its order were another one, other weights would meet."""
    rng = np.random.default_rng(3)
    for name, side in (("lenet5", 36), ("alexnet", 63)):
        last = build(find(name), side_pixels=side, include_top=True)
        first = build(find(name), side_pixels=side, include_top=True, data_format="channels_first")
        assert (data_format_of(last), data_format_of(first)) == ("channels_last", "channels_first")
        first.set_weights(last.get_weights())
        pixels = rng.uniform(-1, 1, (2, *last.input_shape[1:])).astype(np.float32)
        got = forward(first, pixels.transpose(0, 3, 1, 2))
        assert relative_difference(got, forward(last, pixels)) < 1e-5
