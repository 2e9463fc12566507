"""What a tap is: maps averaged over their places, tokens as their mean and the class token, vectors as they are."""

from typing import Any, Literal

import keras
import numpy as np
import pytest

from graft.features.graphs import pooled, read
from graft.features.records import Output
from tests.backbones.helpers import forward

Pooling = Literal["avg", "max"]
RANDOM = np.random.default_rng(0)
MAPS = RANDOM.normal(size=(2, 4, 3, 5)).astype(np.float32)
TOKENS = RANDOM.normal(size=(2, 7, 5)).astype(np.float32)
VECTORS = RANDOM.normal(size=(2, 5)).astype(np.float32)


def _network(shape: tuple[int, ...]) -> Any:
    inputs = keras.Input(shape)
    return keras.Model(inputs, keras.layers.Activation("linear", name="layer")(inputs))


def _read(values: np.ndarray, pooling: Literal["avg", "max", "none"], *, channels_first: bool = False) -> np.ndarray:
    network = _network(values.shape[1:])
    tensor = read(network, Output(layer="layer", pooling=pooling), channels_first=channels_first)
    result: np.ndarray = forward(keras.Model(network.input, tensor), values)
    return result


def test_maps_are_averaged_over_their_places() -> None:
    for pooling, expected in (("avg", MAPS.mean((1, 2))), ("max", MAPS.max((1, 2))), ("none", MAPS)):
        assert np.allclose(_read(MAPS, pooling), expected, atol=1e-6)  # type: ignore[arg-type]
        turned = _read(MAPS.transpose(0, 3, 1, 2), pooling, channels_first=True)  # type: ignore[arg-type]
        assert np.allclose(turned, expected, atol=1e-6)


@pytest.mark.parametrize("channels_first", [False, True])
def test_tokens_give_the_mean_of_the_patches_and_the_class_token(channels_first: bool) -> None:
    patches, class_token = TOKENS[:, 1:], TOKENS[:, 0]
    for pooling, summary in (("avg", patches.mean(1)), ("max", patches.max(1))):
        got = _read(TOKENS, pooling, channels_first=channels_first)  # type: ignore[arg-type]
        assert got.shape == (2, 10)
        assert np.allclose(got, np.concatenate([summary, class_token], axis=1), atol=1e-6)
    assert np.array_equal(_read(TOKENS, "none", channels_first=channels_first), TOKENS)


def test_sabotage_a_class_token_among_the_patches_is_noticed() -> None:
    assert np.abs(_read(TOKENS, "avg")[:, :5] - TOKENS.mean(1)).max() > 1e-2


def test_vectors_are_as_they_are() -> None:
    for pooling in ("avg", "max", "none"):
        assert np.array_equal(_read(VECTORS, pooling), VECTORS)  # type: ignore[arg-type]


@pytest.mark.parametrize("values", [MAPS, TOKENS, VECTORS], ids=["maps", "tokens", "vectors"])
def test_a_tap_is_in_float32_whatever_the_network_computes_in(values: np.ndarray) -> None:
    inputs = keras.Input(values.shape[1:])
    low = keras.layers.Activation("linear", dtype="mixed_bfloat16")(inputs)
    tap = pooled(low, "avg")
    assert (low.dtype, tap.dtype) == ("bfloat16", "float32")
    assert np.abs(forward(keras.Model(inputs, tap), values) - _read(values, "avg")).max() < 0.05
