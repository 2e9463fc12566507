import numpy as np
import pytest

from graft.backbones.records import Preprocessing
from graft.features.preprocessing import network_input

PIXELS = np.array([[[[0, 100, 255]]]], np.uint8)


@pytest.mark.parametrize(
    ("preprocessing", "expected"),
    [
        (Preprocessing(), [0, 100, 255]),
        (Preprocessing(scale=(1 / 127.5,) * 3, offset=(-1.0,) * 3), [-1, 100 / 127.5 - 1, 1]),
        (Preprocessing(channel_order="bgr", offset=(-103.939, -116.779, -123.68)), [151.061, -16.779, -123.68]),
        (Preprocessing(scale=(1.0, 2.0, 3.0)), [0, 200, 765]),
        (Preprocessing(channel_order="bgr", scale=(1.0, 2.0, 3.0)), [255, 200, 0]),
    ],
)
def test_pixels_become_what_the_network_expects(preprocessing, expected):
    result = network_input(PIXELS, preprocessing)
    assert result.dtype == np.float32
    assert np.allclose(result[0, 0, 0], expected, atol=1e-4)


def test_the_given_pixels_are_left_alone():
    before = PIXELS.copy()
    network_input(PIXELS, Preprocessing(channel_order="bgr", scale=(2.0, 2.0, 2.0)))
    assert (before == PIXELS).all()
