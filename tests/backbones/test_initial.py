"""Initial weights: as Keras would begin, the same everywhere, and kept."""

from pathlib import Path

import keras
import numpy as np
import pytest

from graft.backbones import initial
from graft.backbones.catalogue import find
from graft.backbones.initial import drawn_tensors, initial_value, initial_weights
from graft.backbones.layouts import layout
from graft.backbones.networks import build
from graft.backbones.weights import imported, load_into, open_weights, resolve
from graft.core.errors import BadInput, ResourceProblem
from graft.core.randomness import stream
from tests.backbones.helpers import forward, images, network, relative_difference

SHAPE = (3, 3, 16, 64)
RANDOM = [
    keras.initializers.GlorotUniform(),
    keras.initializers.GlorotNormal(),
    keras.initializers.HeNormal(),
    keras.initializers.HeUniform(),
    keras.initializers.LecunNormal(),
    keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
    keras.initializers.RandomNormal(0.1, 0.02),
    keras.initializers.RandomUniform(-0.3, 0.1),
    keras.initializers.TruncatedNormal(0.0, 0.02),
]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("initial")


def test_a_network_begins_the_same_whenever_and_wherever_it_is_asked_for(cache: Path) -> None:
    record = find("convnet_batch")
    weights = initial_weights(record, 46, 7, cache)
    with open_weights(weights) as tensors:
        drawn = drawn_tensors(record, 46, 7)
        assert {name: array.shape for name, array in tensors.items()} == layout(record).shapes()
        assert sorted(tensors) == sorted(drawn)
        assert all(np.array_equal(tensors[name], drawn[name]) for name in drawn)
    assert initial_weights(record, 46, 7, cache) == weights


def test_what_is_kept_is_used_again_until_it_is_damaged(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record = find("convnet_batch")
    weights = initial_weights(record, 46, 7, cache)

    def no_child(*given: object, **named: object) -> None:
        raise ResourceProblem("a child was started")

    with monkeypatch.context() as patched:
        patched.setattr(initial, "run_child", no_child)
        assert initial_weights(record, 46, 7, cache) == weights
        content = weights.path.read_bytes()
        weights.path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(ResourceProblem, match="a child was started"):
            initial_weights(record, 46, 7, cache)
    assert initial_weights(record, 46, 7, cache) == weights
    assert weights.path.read_bytes() == content


def test_another_seed_or_layer_begins_otherwise() -> None:
    first, second = drawn_tensors(find("convnet"), 46, 0), drawn_tensors(find("convnet"), 46, 1)
    assert not np.array_equal(first["conv1/kernel"], second["conv1/kernel"])
    taller, plain = drawn_tensors(find("convnet_group"), 46, 0), first
    assert np.array_equal(taller["conv3/kernel"], plain["conv3/kernel"])  # whatever else the network has
    again = initial_value(keras.initializers.GlorotUniform(), (3, 3, 3, 32), stream(0, "other layer"))
    assert not np.array_equal(first["conv1/kernel"], again)


def test_they_are_the_same_network_in_both_data_formats(cache: Path) -> None:
    record = find("convnet_batch")
    weights = initial_weights(record, 46, 7, cache)
    last, first = (build(record, side_pixels=46, data_format=each) for each in ("channels_last", "channels_first"))
    for model in (last, first):
        load_into(model, weights)
    pixels = images(last)
    got = forward(first, pixels.transpose(0, 3, 1, 2)).transpose(0, 2, 3, 1)
    assert relative_difference(got, forward(last, pixels)) < 1e-5


@pytest.mark.parametrize("initializer", RANDOM, ids=lambda each: type(each).__name__)
def test_numbers_are_spread_as_those_of_keras(initializer: keras.Initializer) -> None:
    theirs = np.asarray(keras.ops.convert_to_numpy(initializer(SHAPE, dtype="float32")))
    ours = initial_value(initializer, SHAPE, stream(0, "test"))
    assert (ours.shape, ours.dtype) == (SHAPE, np.float32)
    assert not np.array_equal(ours, theirs)
    spread = float(theirs.std())
    assert ours.std() == pytest.approx(spread, rel=0.03)
    assert ours.mean() == pytest.approx(theirs.mean(), abs=5 * spread / theirs.size**0.5)
    shares = np.linspace(0.05, 0.95, 7)
    assert np.abs(np.quantile(ours, shares) - np.quantile(theirs, shares)).max() < 0.08 * spread
    if "Normal" not in type(initializer).__name__ and initializer is not RANDOM[5]:
        assert np.abs(ours - ours.mean()).max() == pytest.approx(np.abs(theirs - theirs.mean()).max(), rel=0.02)


@pytest.mark.parametrize("shape", [(), (5,), (20, 30), (3, 3, 7, 1), (8, 4, 16)])
def test_fans_are_counted_as_keras_counts_them(shape: tuple[int, ...]) -> None:
    """A uniform distribution's limit tells the fan: drawn often enough, it is nearly reached."""
    initializer = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform")
    drawn = [initial_value(initializer, shape, stream(seed, "test")) for seed in range(200)]
    theirs = []
    for seed in range(200):
        initializer.seed = seed
        theirs.append(keras.ops.convert_to_numpy(initializer(shape, dtype="float32")))
    assert np.abs(drawn).max() == pytest.approx(np.abs(theirs).max(), rel=0.05)


def test_axes_that_an_initialiser_names_count() -> None:
    given = {"scale": 1.0, "mode": "fan_in", "distribution": "untruncated_normal"}
    plain = keras.initializers.VarianceScaling(**given)
    named = keras.initializers.VarianceScaling(**given, input_axes=[0], output_axes=[1, 2])
    shape = (100, 8, 8)
    assert initial_value(named, shape, stream(0, "test")).std() == pytest.approx(100**-0.5, rel=0.05)
    assert initial_value(plain, shape, stream(0, "test")).std() == pytest.approx(800**-0.5, rel=0.05)


def test_constants_are_constants() -> None:
    drawn = drawn_tensors(find("convnet_batch_renorm"), 46, 0)
    for name, value in {"gamma": 1, "beta": 0, "moving_mean": 0, "moving_variance": 1, "renorm_stddev": 1}.items():
        assert (drawn[f"norm2_batch_renorm/{name}"] == value).all()


def test_a_random_initialiser_that_is_not_known_is_refused() -> None:
    with pytest.raises(ValueError, match="the initialiser Orthogonal is not known"):
        initial_value(keras.initializers.Orthogonal(), (4, 4), stream(0, "test"))


def test_random_weights_are_no_imported_ones(cache: Path) -> None:
    """Whoever names a network without weights is still told that it has none."""
    initial_weights(find("convnet_batch"), 46, 7, cache)
    assert imported(cache) == ()
    with pytest.raises(BadInput, match="The weights of convnet_batch must be on this machine"):
        resolve("convnet_batch", None, cache)


def test_a_side_that_the_network_cannot_have_is_refused() -> None:
    with pytest.raises(BadInput, match="at least 46 px for convnet, got 40"):
        drawn_tensors(find("convnet"), 40, 0)


def test_a_network_that_begins_so_tells_images_apart() -> None:
    """Neither dead nor exploding: the last map differs between images, and is of the inputs' size or smaller."""
    record = find("convnet")
    model = build(record, side_pixels=46)
    drawn = drawn_tensors(record, 46, 0)
    model.set_weights([drawn[f"{layer.name}/{weight.name}"] for layer in model.layers for weight in layer.weights])
    got = forward(model, images(network("convnet")))
    assert 1e-3 < np.abs(got[0] - got[1]).max() < 10
