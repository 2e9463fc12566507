"""Every record of the catalogue is true on a built network, and every network keeps the backbones' contract."""

import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from graft.backbones.catalogue import catalogue, find
from graft.backbones.cuts import cuts, split
from graft.backbones.layouts import layout, measure
from graft.backbones.networks import build
from graft.backbones.records import BackboneRecord, Preprocessing
from graft.backbones.taps import tap_model
from graft.backbones.weights import builtin, load_into
from graft.features.preprocessing import network_input
from tests.backbones.helpers import SMALLEST, forward, images, network, relative_difference

CUT_COUNTS = {
    "sprout": 23,
    "mobilenet_0.25": 86,
    "mobilenet_v2_0.35": 74,
    "vgg16": 19,
    "resnet50": 39,
    "efficientnet_b0": 83,
}
PREPROCESS = {
    "mobilenet": keras.applications.mobilenet.preprocess_input,
    "mobilenet_v2": keras.applications.mobilenet_v2.preprocess_input,
    "vgg16": keras.applications.vgg16.preprocess_input,
    "vgg19": keras.applications.vgg19.preprocess_input,
    "resnet50": keras.applications.resnet.preprocess_input,
    "efficientnet_b0": keras.applications.efficientnet.preprocess_input,
}
ALL = tuple(catalogue())
SLOW_TOP = {"vgg16": pytest.mark.slow, "vgg19": pytest.mark.slow}  # half a gigabyte each
WRONG = {
    "channels swapped": Preprocessing(channel_order="bgr", scale=(1 / 127.5,) * 3, offset=(-1.0,) * 3),
    "not scaled": Preprocessing(),
    "scaled to one": Preprocessing(scale=(1 / 255,) * 3),
    "mean subtracted": Preprocessing(channel_order="bgr", offset=(-103.939, -116.779, -123.68)),
}


@pytest.mark.parametrize("name", ALL)
def test_figures_of_the_record_are_those_of_the_network(name: str) -> None:
    record = find(name)
    model = build(record, side_pixels=record.min_side_pixels)
    assert model.count_params() == record.parameters
    assert model.output.shape[-1] == record.width
    assert tuple(model.get_layer(layer).output.shape[-1] for layer in record.taps) == record.tap_widths
    assert record.min_side_pixels <= record.side_pixels


@pytest.mark.parametrize("name", ALL)
def test_the_table_of_shapes_is_that_of_the_network(name: str) -> None:
    """If this fails after a change of the catalogue: python -m graft.backbones.layouts."""
    assert layout(find(name)) == measure(find(name))


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW_TOP.get(name, ())) for name in ALL if name != "sprout"])
def test_the_top_has_the_parameters_of_the_record(name: str) -> None:
    record = find(name)
    model = build(record, side_pixels=record.side_pixels, include_top=True)
    assert model.count_params() == record.parameters_with_top
    assert model.output.shape[1:] == (1000,)


def _assert_true_on_a_forward_pass(record: BackboneRecord, model: Any) -> None:
    outputs = forward(tap_model(model, record.taps), images(model))
    assert [values.shape for values in outputs] == [(2, width) for width in record.tap_widths]
    assert all(np.isfinite(values).all() and values.std() > 0 for values in outputs)


@pytest.mark.parametrize("name", SMALLEST)
def test_taps_hold_on_a_forward_pass(name: str) -> None:
    _assert_true_on_a_forward_pass(find(name), network(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in ALL if name not in SMALLEST])
def test_taps_of_the_larger_networks_hold_on_a_forward_pass(name: str) -> None:
    _assert_true_on_a_forward_pass(find(name), network(name, 64))


@pytest.mark.parametrize(("name", "count"), CUT_COUNTS.items())
def test_cuts_are_as_many_as_known(name: str, count: int) -> None:
    assert len(cuts(network(name))) == count


@pytest.mark.parametrize("name", SMALLEST)
def test_both_parts_of_every_cut_hold_all_weights_once(name: str) -> None:
    model = network(name)
    for layer in cuts(model):
        prefix, suffix = split(model, layer)
        assert prefix.output.shape == suffix.input.shape
        assert suffix.output.shape == model.output.shape
        parts = [id(weight) for weight in prefix.weights + suffix.weights]
        assert sorted(parts) == sorted(id(weight) for weight in model.weights)


def _assert_parts_are_the_whole(name: str, layers: tuple[str, ...]) -> None:
    model = network(name)
    pixels = images(model)
    expected = forward(model, pixels)
    for layer in layers:
        prefix, suffix = split(model, layer)
        assert relative_difference(forward(suffix, forward(prefix, pixels)), expected) < 1e-5, layer


@pytest.mark.parametrize("name", SMALLEST)
def test_suffix_of_prefix_is_the_backbone(name: str) -> None:
    """At four depths, the ends among them; every cut in the slow test below."""
    layers = cuts(network(name))
    positions = sorted({round(share * (len(layers) - 1) / 3) for share in range(4)})
    _assert_parts_are_the_whole(name, tuple(layers[position] for position in positions))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", SMALLEST)
def test_suffix_of_prefix_is_the_backbone_at_every_cut(name: str) -> None:
    _assert_parts_are_the_whole(name, cuts(network(name)))


def test_sabotage_a_suffix_one_layer_too_short_is_noticed() -> None:
    model = network("sprout")
    pixels = images(model)
    prefix, _ = split(model, "s2_add")
    _, suffix = split(model, "s2_out")  # the ReLU between them is left out
    assert relative_difference(forward(suffix, forward(prefix, pixels)), forward(model, pixels)) > 1e-3


@pytest.mark.parametrize("name", [name for name in ALL if name != "sprout"])
def test_preprocessing_is_that_of_keras(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    expected = PREPROCESS[find(name).family](pixels.astype(np.float32))
    got = network_input(pixels, find(name).preprocessing)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max() / 100


def test_sabotage_another_familys_preprocessing_is_noticed() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    expected = PREPROCESS["vgg16"](pixels.astype(np.float32))
    for preprocessing in (find("mobilenet_1.0").preprocessing, find("sprout").preprocessing):
        assert np.abs(network_input(pixels, preprocessing) - expected).max() > 10


def test_sprout_is_what_its_card_says(tmp_path: Path) -> None:
    record = find("sprout")
    model = build(record, side_pixels=64)
    load_into(model, builtin("sprout", tmp_path))
    assert model.get_layer("stem_bn").epsilon == 1e-3
    assert model.output.shape[1:3] == (4, 4)
    assert all(layer.padding == "same" and not layer.use_bias for layer in model.layers if "kernel" in vars_of(layer))
    assert 70e6 < multiply_adds(model) < 80e6
    pixels = images(model)
    scaled = forward(keras.Model(model.input, model.get_layer("rescale").output), pixels)
    assert np.abs(scaled - (pixels / 64 - 2)).max() < 1e-5


def vars_of(layer: Any) -> set[str]:
    return {weight.name for weight in layer.weights}


def multiply_adds(model: Any) -> int:
    layers = [layer for layer in model.layers if "kernel" in vars_of(layer)]
    return sum(math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:3]) for layer in layers)


@pytest.fixture(scope="module")
def ranks(shared: Path) -> dict[str, float]:
    """With each preprocessing, how many classes MobileNetV2 puts before the true one, on average over real photos."""
    model = build(find("mobilenet_v2_1.0"), side_pixels=224, include_top=True)
    model.load_weights(shared / "weights" / "mobilenet_v2_1.0_224_top.weights.h5")
    files = sorted((shared / "data" / "imagenet_sample").glob("*.JPEG"))
    chosen = list(range(0, len(files), 8))
    labels = np.asarray(chosen) * 4  # the sample holds every fourth of the thousand classes, in order
    photos = [Image.open(files[index]).convert("RGB").resize((224, 224), Image.Resampling.BILINEAR) for index in chosen]
    pixels = np.stack([np.asarray(photo) for photo in photos])
    ways = {"declared": find("mobilenet_v2_1.0").preprocessing, **WRONG}
    scores = forward(model, np.concatenate([network_input(pixels, way) for way in ways.values()]))
    own = np.take_along_axis(scores, np.tile(labels, len(ways))[:, None], axis=1)
    means = (scores > own).sum(1).reshape(len(ways), -1).mean(1)
    return dict(zip(ways, means.tolist(), strict=True))


@pytest.mark.parametrize("wrong", WRONG)
def test_declared_preprocessing_ranks_real_photos_best(ranks: dict[str, float], wrong: str) -> None:
    assert ranks["declared"] < 2
    assert ranks[wrong] > 1.5 * ranks["declared"], ranks
