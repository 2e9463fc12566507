import keras
import numpy as np
import pytest

from graft.backbones.catalogue import find
from graft.backbones.taps import check_taps, tap_model, tap_outputs
from graft.core.errors import BadInput
from graft.features.records import Output
from tests.backbones.helpers import forward, images, network, relative_difference


def test_output_names_are_those_of_a_program() -> None:
    record = find("sprout")
    assert tap_outputs(record) == tuple(Output(layer=layer).name for layer in record.taps)


def test_a_tap_is_the_mean_over_positions() -> None:
    model, record = network("sprout"), find("sprout")
    pixels = images(model)
    maps = forward(keras.Model(model.input, [model.get_layer(layer).output for layer in record.taps]), pixels)
    for got, feature_map in zip(forward(tap_model(model, record.taps), pixels), maps, strict=True):
        assert relative_difference(got, feature_map.mean((1, 2))) < 1e-5
        assert got.shape == (2, feature_map.shape[-1])


def test_both_data_formats_give_the_same_taps() -> None:
    record = find("sprout")
    last, first = network("sprout"), network("sprout", data_format="channels_first")
    first.set_weights(last.get_weights())
    pixels = images(last)
    expected = forward(tap_model(last, record.taps), pixels)
    got = forward(tap_model(first, record.taps), pixels.transpose(0, 3, 1, 2))
    assert max(map(relative_difference, got, expected)) < 1e-5


def test_taps_come_after_the_activation() -> None:
    for name in ("sprout", "vgg16", "resnet50", "mobilenet_0.25"):
        model, record = network(name), find(name)
        assert all(np.min(values) >= 0 for values in forward(tap_model(model, record.taps), images(model))), name


def test_layers_that_are_no_taps_are_refused() -> None:
    check_taps(find("sprout"), ("s1_out", "head_relu"))
    with pytest.raises(BadInput, match=r"got 's1_add'\. See: graft backbones show sprout\."):
        check_taps(find("sprout"), ("s1_out", "s1_add"))
