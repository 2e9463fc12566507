import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from graft.backbones.catalogue import find
from graft.backbones.networks import INPUT_NAME, build, data_format_of, fastest_format, image_data_format
from graft.backbones.weights import import_weights, load_into
from graft.core.errors import BadInput
from tests.backbones.helpers import (
    SMALLEST,
    each_network,
    forward,
    images,
    network,
    randomise,
    relative_difference,
    rounding,
    tensors_of,
    write_keras3,
    write_legacy,
)

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# The larger ones of each kind in the slow suite.
BOTH_FORMATS = [name for name in SMALLEST if fastest_format(find(name)) == "channels_first"]
LARGE = {"vgg16", "resnet50", "resnet50_v2", "inception_v3", "inception_resnet_v2", "xception", "efficientnet_v2_b0"}


@pytest.mark.parametrize("name", each_network(BOTH_FORMATS, slow=LARGE))
def test_both_data_formats_are_the_same_network(name: str) -> None:
    last, first = network(name), network(name, data_format="channels_first")
    assert list(tensors_of(last)) == list(tensors_of(first))
    assert [each.shape for each in last.weights] == [each.shape for each in first.weights]
    first.set_weights(last.get_weights())
    pixels = images(last)
    expected = forward(last, pixels)
    got = forward(first, pixels.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert relative_difference(got, expected) < rounding(name)
    assert (data_format_of(last), data_format_of(first)) == ("channels_last", "channels_first")


def test_sabotage_a_network_of_other_weights_is_noticed() -> None:
    last = network("sprout")
    other = build(find("sprout"), side_pixels=48, data_format="channels_first")
    weights = last.get_weights()
    weights[0] = weights[0][:, ::-1]  # the stem's kernels mirrored
    other.set_weights(weights)
    pixels = images(last)
    got = forward(other, pixels.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert relative_difference(got, forward(last, pixels)) > 1e-3


def test_names_do_not_depend_on_what_was_built_before() -> None:
    for name in ("efficientnet_b0", "vgg16"):
        one, two = (build(find(name), side_pixels=32) for _ in range(2))
        assert one.layers[0].name == INPUT_NAME
        assert [layer.name for layer in one.layers] == [layer.name for layer in two.layers]
        assert [weight.path for weight in one.weights] == [weight.path for weight in two.weights]


def test_numbered_layers_are_named_by_their_place_in_the_network() -> None:
    one, two = network("inception_v3"), build(find("inception_v3"), side_pixels=75)
    assert [each.name for each in one.operations] == [each.name for each in two.operations]
    assert one.layers[1].name == "conv2d_n1"
    assert not any(re.fullmatch(r"(conv2d|batch_normalization|activation)(_\d+)?", each.name) for each in one.layers)


def test_convnext_is_channels_last_only() -> None:
    assert fastest_format(find("convnext_tiny")) == "channels_last"
    with pytest.raises(ValueError, match="convnext_tiny is built channels_last only"):
        build(find("convnext_tiny"), side_pixels=32, data_format="channels_first")


def test_a_turned_network_needs_no_tensorflow() -> None:
    code = (
        "from graft.backbones.catalogue import find; from graft.backbones.networks import build; import sys;"
        "build(find('densenet121'), side_pixels=32, data_format='channels_first'); print('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_the_data_format_is_restored() -> None:
    before = keras.config.image_data_format()
    build(find("sprout"), side_pixels=48, data_format="channels_first")
    assert keras.config.image_data_format() == before
    with pytest.raises(RuntimeError), image_data_format("channels_first"):
        assert keras.config.image_data_format() == "channels_first"
        raise RuntimeError
    assert keras.config.image_data_format() == before


def test_a_side_below_the_minimum_is_refused() -> None:
    with pytest.raises(BadInput, match=r"at least 48 px for sprout, got 47\. Use --image-size 128\."):
        build(find("sprout"), side_pixels=47)


def test_a_top_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadInput, match="classifier of its own"):
        build(find("sprout"), side_pixels=64, include_top=True)


def test_the_recipe_that_cuts_efficientnet_finds_its_parameters() -> None:
    model = network("efficientnet_b0")
    below = keras.Model(model.input, model.get_layer("block7a_project_bn").output)
    assert below.count_params() == 3_634_851
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == 4_007_548


def _normalise(model: Any, variance: tuple[float, float, float]) -> None:
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    layer.set_weights([np.float32(MEAN), np.float32(variance), np.asarray(0)])
    layer.finalize_state()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file like EfficientNet's published one: random kernels, and deviations where variances should be."""
    source = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(64, 64, 3))
    randomise(source)
    _normalise(source, DEVIATION)
    return write_legacy(tmp_path_factory.mktemp("published") / "efficientnetb0_notop.h5", source)


def _loaded(name: str, path: Path, cache: Path) -> Any:
    record, weights = import_weights(path, (name,), cache)
    model = build(record, side_pixels=64)
    load_into(model, weights)
    return model


@pytest.mark.wide
def test_efficientnet_equals_both_constructions_of_keras(
    published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("keras.src.applications.efficientnet.file_utils.get_file", lambda *_, **__: str(published))
    imagenet = keras.applications.EfficientNetB0(weights="imagenet", include_top=False, input_shape=(64, 64, 3))
    plain = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(64, 64, 3))
    randomise(plain, seed=5)
    assert len(imagenet.layers) == len(plain.layers) + 1
    pixels = images(network("efficientnet_b0", 64))

    ours = _loaded("efficientnet_b0", published, tmp_path)
    assert relative_difference(forward(ours, pixels), forward(imagenet, pixels)) < 1e-5

    own = write_keras3(tmp_path / "own.weights.h5", plain)
    ours = _loaded("efficientnet_b0", own, tmp_path)
    assert relative_difference(forward(ours, pixels), forward(plain, pixels)) < 1e-5


def test_sabotage_the_published_normalisation_without_mending_differs(published: Path, tmp_path: Path) -> None:
    mended = _loaded("efficientnet_b0", published, tmp_path)
    assert np.allclose(tensors_of(mended)["normalization/variance"], np.square(DEVIATION))
    pixels = images(mended)
    expected = forward(mended, pixels)
    _normalise(mended, DEVIATION)
    assert relative_difference(forward(mended, pixels), expected) > 1e-2


@pytest.mark.slow
@pytest.mark.parametrize("side_pixels", [64, 65, 95])
def test_efficientnet_pads_as_keras_does_at_odd_sides(side_pixels: int) -> None:
    ours = network("efficientnet_b0", side_pixels)
    theirs = keras.applications.EfficientNetB0(
        weights=None, include_top=False, input_shape=(side_pixels, side_pixels, 3)
    )
    theirs.set_weights(ours.get_weights())
    next(layer for layer in theirs.layers if isinstance(layer, keras.layers.Normalization)).finalize_state()
    pixels = images(ours)
    assert relative_difference(forward(ours, pixels), forward(theirs, pixels)) < 1e-5


def test_efficientnet_has_the_layers_of_keras() -> None:
    theirs = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(32, 32, 3))
    ours = network("efficientnet_b0")
    assert [layer.name for layer in ours.layers][3:] == [layer.name for layer in theirs.layers][3:]
    for mine, their in zip(ours.layers[1:], theirs.layers[1:], strict=True):
        assert _facts(mine) == _facts(their), mine.name


FACTS = (
    *("strides", "padding", "kernel_size", "filters", "use_bias", "epsilon", "momentum", "rate", "noise_shape"),
    *("target_shape", "scale", "offset"),
)


def _facts(layer: Any) -> dict[str, Any]:
    """What a layer computes, without what may differ: its name, and how the channel axis is counted."""
    activation = getattr(layer, "activation", None)
    kind = type(layer).__name__
    return {"kind": kind, "activation": activation, **{name: getattr(layer, name, None) for name in FACTS}}
