from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from graft.backbones.catalogue import find
from graft.backbones.networks import build
from graft.backbones.records import Preprocessing
from graft.backbones.weights import WeightsFile
from graft.core.errors import IntegrityProblem
from graft.core.tensors import write_tensors
from graft.data.augmentation.normalization import Normalizer, fit, parse_normalization
from graft.features.graphs import pixels_model
from graft.features.preprocessing import network_input, whitening_of
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


WORDS = ("samplewise-center", "samplewise-std,featurewise-std", "featurewise-center", "zca", "samplewise-std,zca=2")


@pytest.mark.parametrize("words", WORDS)
@pytest.mark.parametrize("backbone", ["lenet5", "sprout"])  # grey and colour
def test_normalisation_comes_last_and_is_compiled_with_the_network(words, backbone, tmp_path):
    record, side = find(backbone), max(find(backbone).min_side_pixels, 16)
    preprocessing, whitening = normalized(record.preprocessing, words, side)
    network = build(record, side_pixels=side)
    randomise(network)
    program = Program(
        backbone=backbone,
        weights_sha256="0" * 64,
        side_pixels=side,
        preprocessing=preprocessing,
        outputs=(Output(layer=record.taps[0], pooling="none"),),
    )
    pixels = np.random.default_rng(1).integers(0, 256, (3, side, side, 3), np.uint8)
    given = network_input(pixels, preprocessing, whitening)
    plain = network_input(pixels, record.preprocessing)
    assert np.array_equal(given, Normalizer(preprocessing.normalization, whitening).apply(plain))
    expected = forward(keras_model(network, record.taps[0]), given)
    got = forward(pixels_model(network, program, whitening), pixels)
    got = got[0] if isinstance(got, list) else got
    assert relative_difference(got, expected) < 1e-4
    assert relative_difference(forward(keras_model(network, record.taps[0]), plain), expected) > 0.1


def normalized(preprocessing, words, side_pixels):
    """As a training on noise would leave it."""
    noise = np.random.default_rng(0).integers(0, 256, (20, side_pixels, side_pixels, 3), np.uint8)
    made = fit(parse_normalization(words), [network_input(noise, preprocessing)])
    return replace(preprocessing, normalization=made.fitted), made.whitening


def keras_model(network, layer):
    import keras

    return keras.Model(network.input, network.get_layer(layer).output)


def test_the_whitening_must_be_the_one_it_was_fitted_with(tmp_path):
    preprocessing, whitening = normalized(Preprocessing(), "zca", 8)
    write_tensors(tmp_path / "one", whitening.tensors(), metadata={}, writer="test")
    good = WeightsFile(tmp_path / "one", "", preprocessing.whitening_sha256)
    weights = WeightsFile(tmp_path / "none", "", "0" * 64, whitening=good)
    assert np.array_equal(whitening_of(preprocessing, weights).directions, whitening.directions)
    assert whitening_of(Preprocessing(), weights) is None
    other = replace(whitening, gains=whitening.gains * 2)
    write_tensors(tmp_path / "other", other.tensors(), metadata={}, writer="test")
    for wrong in (None, replace(good, sha256="1" * 64), replace(good, path=tmp_path / "other")):
        with pytest.raises(IntegrityProblem) as caught:
            whitening_of(preprocessing, replace(weights, whitening=wrong))
        assert caught.value.code == "hash_mismatch"


def test_the_given_pixels_are_left_alone():
    before = PIXELS.copy()
    network_input(PIXELS, Preprocessing(channel_order="bgr", scale=(2.0, 2.0, 2.0)))
    assert (before == PIXELS).all()
