"""Every record of the catalogue is true on a built network, and every network keeps the backbones' contract."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from graft.backbones import measuring
from graft.backbones.catalogue import catalogue, find
from graft.backbones.cuts import cuts, split, wide_cuts
from graft.backbones.freezing import Freeze, Freezing, can_be_trained, cut_at, lower_cuts, map_levels, resolve
from graft.backbones.initial import initial_value
from graft.backbones.layers import LayerTable, table_of
from graft.backbones.layouts import Layout, layout, learned_parameters, weighted_layers
from graft.backbones.networks import CONSTRUCTORS, build
from graft.backbones.records import BackboneRecord, Preprocessing
from graft.backbones.weights import builtin, load_into
from graft.core.randomness import stream
from graft.features.preprocessing import network_input
from tests.backbones.helpers import (
    SMALLEST,
    each_network,
    every_suffix,
    forward,
    forward_each,
    images,
    network,
    new_network,
    of_keras,
    randomise,
    relative_difference,
    tap_model,
    without_values,
)

# Places at which one tensor carries everything, as the design states them for the networks that recipes cut.
CUT_COUNTS = {"vgg16": 19, "resnet50": 39, "mobilenet_v2_0.35": 74, "efficientnet_b0": 83, "nasnet_mobile": 5}
LEVELS = {"vit": (1,)}  # of feature maps, where not 3 to 5
PREPROCESS = {
    "convnext": keras.applications.convnext.preprocess_input,
    "densenet": keras.applications.densenet.preprocess_input,
    "efficientnet": keras.applications.efficientnet.preprocess_input,
    "efficientnet_v2": keras.applications.efficientnet_v2.preprocess_input,
    "inception_resnet_v2": keras.applications.inception_resnet_v2.preprocess_input,
    "inception_v3": keras.applications.inception_v3.preprocess_input,
    "mobilenet": keras.applications.mobilenet.preprocess_input,
    "mobilenet_v2": keras.applications.mobilenet_v2.preprocess_input,
    "mobilenet_v3": keras.applications.mobilenet_v3.preprocess_input,
    "nasnet": keras.applications.nasnet.preprocess_input,
    "resnet": keras.applications.resnet.preprocess_input,
    "resnet_v2": keras.applications.resnet_v2.preprocess_input,
    "vgg": keras.applications.vgg16.preprocess_input,
    "xception": keras.applications.xception.preprocess_input,
}
ALL = tuple(catalogue())
WRONG = {
    "channels swapped": Preprocessing(channel_order="bgr", scale=(1 / 127.5,) * 3, offset=(-1.0,) * 3),
    "not scaled": Preprocessing(),
    "scaled to one": Preprocessing(scale=(1 / 255,) * 3),
    "mean subtracted": Preprocessing(channel_order="bgr", offset=(-103.939, -116.779, -123.68)),
}


@pytest.mark.parametrize("name", ALL)
def test_figures_of_the_record_are_those_of_its_layers(name: str) -> None:
    """By the stored shapes, which the next test compares with the networks."""
    record, known = find(name), layout(find(name))
    parameters = sum(map(math.prod, known.shapes().values()))
    assert parameters == record.parameters
    if record.parameters_with_top is not None:
        assert parameters + sum(map(math.prod, known.top_shapes().values())) == record.parameters_with_top
    assert len(record.taps) == len(record.tap_widths) == len(set(record.taps))
    assert record.min_side_pixels <= record.side_pixels
    assert record.constructor in CONSTRUCTORS
    assert record.multiply_adds
    assert record.cut_count


@dataclass(frozen=True)
class Bare:
    """A network of the catalogue at its own side, and with its top if it has one; without values."""

    record: BackboneRecord
    model: Any
    whole: Any | None


@pytest.fixture(scope="module", params=each_network(ALL))
def bare(request: pytest.FixtureRequest) -> Bare:
    record = find(request.param)
    with without_values():
        model = build(record, side_pixels=record.side_pixels)
        has_top = record.parameters_with_top is not None
        return Bare(record, model, build(record, side_pixels=record.side_pixels, include_top=True) if has_top else None)


def test_the_record_is_that_of_the_network(bare: Bare) -> None:
    record, model = bare.record, bare.model
    assert model.count_params() == record.parameters
    assert model.output.shape[-1] == record.width
    assert model.layers[-1].name == record.last
    read = tap_model(model, record.taps).outputs
    assert tuple(each.shape[1:] for each in read) == tuple((width,) for width in record.tap_widths)


def test_what_is_learned_is_what_keras_calls_trainable(bare: Bare) -> None:
    for top, model in ((False, bare.model), (True, bare.whole)):
        if model is not None:
            trainable = sum(math.prod(weight.shape) for weight in model.trainable_weights)
            assert learned_parameters(bare.record, top=top) == trainable


def test_the_table_of_shapes_is_that_of_the_network(bare: Bare) -> None:
    """If this fails after a change of the catalogue: python -m graft.backbones.layouts."""
    layers = weighted_layers(bare.model)
    top = weighted_layers(bare.whole)[len(layers) :] if bare.whole else ()
    assert layout(bare.record) == Layout(layers, top)


def test_what_a_network_costs_and_where_it_can_be_cut_is_counted_right(bare: Bare) -> None:
    """If this fails: python -m graft.backbones.measuring, and families/measured.py."""
    places = wide_cuts(bare.model, tensors=bare.record.cut_tensors)
    assert measuring.multiply_adds(bare.model) == bare.record.multiply_adds
    assert len(places) == bare.record.cut_count
    assert places[0] == (bare.model.layers[0].name,)
    assert places[-1] == (bare.model.layers[-1].name,)


def test_the_top_is_that_of_the_record(bare: Bare) -> None:
    assert (bare.whole is None) == (bare.record.parameters_with_top is None)
    if bare.whole:
        last = bare.whole.layers[-1]
        assert bare.whole.count_params() == bare.record.parameters_with_top
        assert (last.name, last.output.shape[1:]) == (bare.record.top_output, (bare.record.top_classes,))
        assert last.activation is keras.activations.softmax


def test_every_weight_can_begin_at_random(bare: Bare) -> None:
    """Each way in which the network's layers say that they begin, once."""
    ways = {}
    for weight in bare.model.weights:
        way = weight._initializer
        known = str(way.get_config()) if hasattr(way, "get_config") else ""
        ways.setdefault((type(way).__name__, re.sub("'seed': [^,}]*", "", known)), (way, weight))
    assert ways
    for way, weight in ways.values():
        shape = tuple(1 if length > 64 else length for length in weight.shape)
        value = initial_value(way, shape, stream(0, "begin"))
        assert value.shape == shape and np.isfinite(value).all()


# The fixture's own order, so that each network is built once: the smallest of each family, and on days of rest all.
FROZEN = each_network(ALL, slow=[name for name in ALL if name not in SMALLEST])


@pytest.mark.parametrize("bare", FROZEN, indirect=True)
def test_the_table_of_layers_is_true_and_every_word_about_freezing_holds(bare: Bare) -> None:
    record = bare.record
    table = table_of(record, record.side_pixels, bare.model, bare.whole or bare.model)
    layers = table.without_top()
    assert [layer.name for layer in layers] == [layer.name for layer in bare.model.layers]
    assert sum(layer.parameters for layer in layers) == record.parameters
    assert sum(layer.multiply_adds for layer in layers) == record.multiply_adds
    assert len(table.cuts) == record.cut_count
    assert {name for cut in table.cuts for name in cut} <= {layer.name for layer in layers}
    below = {cut: _needed_for(bare.model, cut) for cut in table.cuts}
    levels = map_levels(layers)
    assert levels[0] == 1 and list(levels) == sorted(levels) and levels[-1] in LEVELS.get(record.family, (3, 4, 5))
    for freezing in _said_in_every_way(table, record):
        _assert_freezing_holds(table, freezing)
        lower = lower_cuts(table, freezing)
        for other in (freezing, *lower):
            assert other.cut == () or set(other.prefix) == below[other.cut] & {layer.name for layer in layers}
            assert not below.get(other.cut, set()) & set(other.trained)
        values = [each.cut_values for each in (freezing, *lower)]
        assert values == sorted(values, reverse=True) and len(set(values)) == len(values)
        _assert_freezing_holds(table, cut_at(table, freezing, ()))
        _assert_keras_counts_the_same(bare.model, freezing)


def _said_in_every_way(table: LayerTable, record: BackboneRecord) -> list[Freezing]:
    layers = table.without_top()
    highest = max(place for place, layer in enumerate(layers) if can_be_trained(layer))
    words = [Freeze(kind="all"), Freeze(kind="none"), Freeze(kind="until", layer=layers[highest].name)]
    words += [Freeze(kind="until", layer=layers[len(layers) * part // 5].name) for part in range(4)]
    words += [Freeze(kind="last", count=count) for count in (len(layers) + 1 - highest, len(layers) // 2, len(layers))]
    words += [Freeze(kind="level", count=count) for count in range(map_levels(layers)[highest])]
    tapped = [resolve(table, Freeze(), profile_layer=tap) for tap in (*record.taps[::4], *record.taps[-2:])]
    return [resolve(table, freeze) for freeze in words] + tapped


def _assert_freezing_holds(table: LayerTable, freezing: Freezing) -> None:
    layers = {layer.name: layer for layer in table.without_top()}
    assert freezing.n_trained_parameters + freezing.n_frozen_parameters == find(table.backbone).parameters
    assert freezing.prefix_multiply_adds + freezing.suffix_multiply_adds == find(table.backbone).multiply_adds
    assert freezing.n_trained_parameters == sum(layers[name].trainable_parameters for name in freezing.trained)
    assert (freezing.freeze.kind == "none") == (freezing.trained == ())
    assert (freezing.cut == ()) == (freezing.prefix == ()) == (freezing.cut_values == 0)
    above = list(layers)[len(freezing.prefix) + len(freezing.recomputed) :]
    assert [*freezing.prefix, *freezing.recomputed, *above] == list(layers)
    assert freezing.trained == tuple(name for name in above if can_be_trained(layers[name]))
    assert above[:1] == list(freezing.trained[:1])
    assert not any(layers[name].kind == "BatchNormalization" for name in freezing.trained)


def _assert_keras_counts_the_same(model: Any, freezing: Freezing) -> None:
    for layer in model.layers:
        layer.trainable = layer.name in freezing.trained
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    frozen = sum(math.prod(weight.shape) for weight in model.non_trainable_weights)
    for layer in model.layers:
        layer.trainable = True
    assert (trained, frozen) == (freezing.n_trained_parameters, freezing.n_frozen_parameters)


def _needed_for(model: Any, cut: tuple[str, ...]) -> set[str]:
    """Names of all operations that the outputs of a cut's layers are computed from, found from above."""
    operations = {operation.name: operation for operation in model.operations}
    found: set[str] = set()
    pending = list(cut)
    while pending:
        name = pending.pop()
        if name in found:
            continue
        found.add(name)
        if not isinstance(operations[name], keras.layers.InputLayer):
            tensors = operations[name].input
            above = tensors if isinstance(tensors, list) else [tensors]
            pending += [tensor._keras_history.operation.name for tensor in above]
    return found


def test_measuring_a_network_gives_its_figures() -> None:
    """What writes the figures anew counts as the tests above do."""
    record = find("sprout")
    assert measuring.measure(record) == (record.multiply_adds, record.cut_count)


def test_a_network_without_values_is_the_one_with_them() -> None:
    with without_values():
        bare = build(find("mobilenet_0.25"), side_pixels=32)
    full = network("mobilenet_0.25")
    assert weighted_layers(bare) == weighted_layers(full)
    assert cuts(bare) == cuts(full)
    assert build(find("sprout"), side_pixels=48).get_weights()  # what is built later has values again


def test_the_published_parameters_of_efficientnet_b0() -> None:
    """5,330,571 with those that training leaves alone: statistics of its normalisations."""
    with without_values():
        model = build(find("efficientnet_b0"), side_pixels=224, include_top=True)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == 5_288_548
    assert model.count_params() == 5_330_571


GOLDEN = [name for name in ALL if find(name).family in PREPROCESS]  # the others Keras has not
# Each family once, and the larger of them on days of rest.
GOLDEN_SLOW = {name for name in GOLDEN if name not in SMALLEST or find(name).parameters >= 30_000_000}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", each_network(GOLDEN, slow=GOLDEN_SLOW))
def test_the_network_is_that_of_keras(name: str) -> None:
    """Ours after the record's preprocessing, against the constructor users know after Keras' own."""
    record = find(name)
    side = record.min_side_pixels + 1  # odd or even, whichever the other tests do not have
    theirs = of_keras(record, side)
    randomise(theirs)
    ours = build(record, side_pixels=side)
    ours.set_weights(theirs.get_weights())
    for layer in ours.layers:
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    photos = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), np.uint8)
    expected = forward(theirs, PREPROCESS[record.family](photos.astype(np.float32)))
    got = forward(ours, network_input(photos, record.preprocessing))
    assert expected.std() > 0
    assert relative_difference(got, expected) < 1e-5


@pytest.fixture(scope="module", params=[name for name in ALL if name not in SMALLEST])
def larger(request: pytest.FixtureRequest) -> tuple[BackboneRecord, Any]:
    """The other networks, one at a time: all together do not fit into memory. The tests of one follow each other."""
    return find(request.param), new_network(request.param)


def _assert_taps_hold(record: BackboneRecord, model: Any) -> None:
    outputs = forward(tap_model(model, record.taps), images(model))
    assert [values.shape for values in outputs] == [(2, width) for width in record.tap_widths]
    assert all(np.isfinite(values).all() and values.std() > 0 for values in outputs)


@pytest.mark.parametrize("name", each_network(SMALLEST))
def test_taps_hold_on_a_forward_pass(name: str) -> None:
    _assert_taps_hold(find(name), network(name))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_taps_of_the_larger_networks_hold_on_a_forward_pass(larger: tuple[BackboneRecord, Any]) -> None:
    _assert_taps_hold(*larger)


def test_taps_come_after_the_activation() -> None:
    for name in ("sprout", "vgg16", "resnet50", "mobilenet_0.25"):
        model, record = network(name), find(name)
        assert all(np.min(values) >= 0 for values in forward(tap_model(model, record.taps), images(model))), name


def test_both_data_formats_give_the_same_taps() -> None:
    record = find("sprout")
    last, first = network("sprout"), new_network("sprout", data_format="channels_first")
    first.set_weights(last.get_weights())
    pixels = images(last)
    expected = forward(tap_model(last, record.taps), pixels)
    got = forward(tap_model(first, record.taps), pixels.transpose(0, 3, 1, 2))
    assert max(map(relative_difference, got, expected)) < 1e-5


@pytest.mark.parametrize("name", each_network(CUT_COUNTS))
def test_cuts_are_as_many_as_known(name: str) -> None:
    assert len(cuts(network(name))) == CUT_COUNTS[name]


def _assert_suffix_of_prefix_is_the_backbone(record: BackboneRecord, model: Any) -> None:
    places = wide_cuts(model, tensors=record.cut_tensors)
    pixels = images(model, 1)
    expected = forward_each(model, pixels)[0]
    got = every_suffix(model, places, pixels)
    assert len(got) == record.cut_count
    for place, values in zip(places, got, strict=True):
        assert relative_difference(values[None], expected) < 1e-5, place


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", each_network(SMALLEST, slow=["vit_b16"]))
def test_suffix_of_prefix_is_the_backbone_at_every_cut(name: str) -> None:
    _assert_suffix_of_prefix_is_the_backbone(find(name), network(name))


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_suffix_of_prefix_is_the_larger_backbone_at_every_cut(larger: tuple[BackboneRecord, Any]) -> None:
    _assert_suffix_of_prefix_is_the_backbone(*larger)


def _assert_both_parts_hold_all_weights_once(record: BackboneRecord, model: Any) -> None:
    for place in wide_cuts(model, tensors=record.cut_tensors):
        prefix, suffix = split(model, place)
        assert [tensor.shape for tensor in prefix.outputs] == [tensor.shape for tensor in suffix.inputs]
        assert suffix.output.shape == model.output.shape
        parts = [id(weight) for weight in prefix.weights + suffix.weights]
        assert sorted(parts) == sorted(id(weight) for weight in model.weights)


@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name == "sprout" else pytest.mark.slow) for name in SMALLEST]
)
def test_both_parts_of_every_cut_hold_all_weights_once(name: str) -> None:
    _assert_both_parts_hold_all_weights_once(find(name), network(name))


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_both_parts_of_every_cut_of_the_larger_hold_all_weights_once(larger: tuple[BackboneRecord, Any]) -> None:
    _assert_both_parts_hold_all_weights_once(*larger)


@pytest.mark.parametrize("name", each_network(["sprout", "mobilenet_v3_small_0.75", "nasnet_mobile"]))
def test_the_two_models_of_a_split_are_the_backbone(name: str) -> None:
    """The models themselves, at three depths; the test above goes through all cuts in two passes."""
    model = network(name)
    places = wide_cuts(model, tensors=find(name).cut_tensors)
    pixels = images(model)
    expected = forward(model, pixels)
    for position in (1, len(places) // 2, len(places) - 2):
        prefix, suffix = split(model, places[position])
        assert relative_difference(forward(suffix, forward(prefix, pixels)), expected) < 1e-5, places[position]


def test_sabotage_a_cut_that_leaves_something_out_is_noticed() -> None:
    """What `every_suffix` computes from a place that is none: the shortcut around it is missing."""
    model = network("sprout")
    inside = next(layer.name for layer in model.layers if layer.name not in cuts(model))
    with pytest.raises((ValueError, KeyError)):
        every_suffix(model, (("input",), (inside,), (model.layers[-1].name,)), images(model, 1))


def test_sabotage_a_suffix_one_layer_too_short_is_noticed() -> None:
    model = network("sprout")
    pixels = images(model)
    prefix, _ = split(model, "s2_add")
    _, suffix = split(model, "s2_out")  # the ReLU between them is left out
    assert relative_difference(forward(suffix, forward(prefix, pixels)), forward(model, pixels)) > 1e-3


@pytest.mark.parametrize("name", GOLDEN)
def test_preprocessing_is_that_of_keras(name: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    expected = PREPROCESS[find(name).family](pixels.astype(np.float32))
    got = network_input(pixels, find(name).preprocessing)
    assert np.abs(got - expected).max() < 1e-4 * np.abs(expected).max() / 100


def test_sabotage_another_familys_preprocessing_is_noticed() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    expected = PREPROCESS["vgg"](pixels.astype(np.float32))
    for preprocessing in (find("mobilenet_1.0").preprocessing, find("sprout").preprocessing):
        assert np.abs(network_input(pixels, preprocessing) - expected).max() > 10


def test_sprout_is_what_its_card_says(tmp_path: Path) -> None:
    record = find("sprout")
    model = build(record, side_pixels=64)
    load_into(model, builtin("sprout", tmp_path))
    assert model.get_layer("stem_bn").epsilon == 1e-3
    assert model.output.shape[1:3] == (4, 4)
    assert all(layer.padding == "same" and not layer.use_bias for layer in model.layers if "kernel" in vars_of(layer))
    assert 70e6 < measuring.multiply_adds(model) < 80e6
    pixels = images(model)
    scaled = forward(keras.Model(model.input, model.get_layer("rescale").output), pixels)
    assert np.abs(scaled - (pixels / 64 - 2)).max() < 1e-5


def vars_of(layer: Any) -> set[str]:
    return {weight.name for weight in layer.weights}


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
