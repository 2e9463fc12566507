import numpy as np
import pytest
from PIL import Image

from graft.backbones.catalogue import find
from graft.backbones.networks import build
from graft.backbones.records import Preprocessing
from graft.features.graphs import pixels_model
from graft.features.preprocessing import network_input
from graft.features.records import Output, Program
from tests.backbones.helpers import forward, randomise, relative_difference

PIXELS = np.array([[[[0, 100, 255]]]], np.uint8)


@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [
        (Preprocessing(), [0, 100, 255]),
        (Preprocessing(scale=(1 / 127.5,) * 3, offset=(-1.0,) * 3), [-1, 100 / 127.5 - 1, 1]),
        (Preprocessing(channel_order="bgr", offset=(-103.939, -116.779, -123.68)), [151.061, -16.779, -123.68]),
        (Preprocessing(scale=(1.0, 2.0, 3.0)), [0, 200, 765]),
        (Preprocessing(channel_order="bgr", scale=(1.0, 2.0, 3.0)), [255, 200, 0]),
        (Preprocessing(channel_order="grey"), [58.7 + 29.07]),
        (Preprocessing(channel_order="grey", scale=(0.01,) * 3, offset=(-0.1,) * 3), [0.587 + 0.2907 - 0.1]),
    ],
)
def test_pixels_become_what_the_network_expects(preprocessing, expected):
    result = network_input(PIXELS, preprocessing)
    assert result.dtype == np.float32
    assert np.allclose(result[0, 0, 0], expected, atol=1e-4)


def test_grey_pixels_are_those_of_pillow_to_half_a_level():
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 5, 3), np.uint8)
    grey = network_input(pixels, Preprocessing(channel_order="grey"))
    assert grey.shape == (2, 6, 5, 1)
    for photo, got in zip(pixels, grey, strict=True):
        assert np.abs(np.asarray(Image.fromarray(photo).convert("L"), np.float32) - got[..., 0]).max() <= 0.51


@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_a_grey_network_computes_from_colour_pixels(data_format):
    """The symbolic twin of `network_input`, as it is compiled: photos stay red, green and blue outside."""
    record = find("lenet5")
    network = build(record, side_pixels=32, data_format="channels_last")
    randomise(network)
    outputs = (Output(layer="c3"), Output(layer="c5"))
    program = Program(
        backbone="lenet5", weights_sha256="0" * 64, side_pixels=32, preprocessing=record.preprocessing, outputs=outputs
    )
    other = build(record, side_pixels=32, data_format=data_format)
    other.set_weights(network.get_weights())
    pixels = np.random.default_rng(1).integers(0, 256, (2, 32, 32, 3), np.uint8)
    expected = forward(network, network_input(pixels, record.preprocessing))
    got = forward(pixels_model(other, program), pixels)
    assert [values.shape for values in got] == [(2, 16), (2, 120)]
    assert relative_difference(got[1], expected[:, 0, 0]) < 1e-5


def test_the_given_pixels_are_left_alone():
    before = PIXELS.copy()
    network_input(PIXELS, Preprocessing(channel_order="bgr", scale=(2.0, 2.0, 2.0)))
    assert (before == PIXELS).all()
