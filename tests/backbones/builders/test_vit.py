"""ViT-B/16: the published figures, one size, tokens, and attention that tells who looks at whom."""

import math
from typing import Any

import keras
import numpy as np
import pytest

from graft.backbones.builders.vit import HEADS, _attention_layer, _token_layer
from graft.backbones.catalogue import find
from graft.backbones.cuts import cuts
from graft.backbones.freezing import Freeze, resolve
from graft.backbones.measuring import layer_multiply_adds
from graft.backbones.networks import build, fastest_format
from graft.core.errors import BadInput
from graft.features.preprocessing import network_input
from tests.backbones.helpers import forward, relative_difference, table, without_values

TOKENS, WIDTH = 7, 24  # of the small inputs here


@pytest.fixture(scope="module")
def bare() -> Any:
    with without_values():
        return build(find("vit_b16"), side_pixels=224, include_top=True)


def test_vit_is_the_published_one(bare: Any) -> None:
    assert bare.count_params() == 86_567_656
    assert sum(math.prod(weight.shape) for weight in bare.trainable_weights) == 86_567_656  # nothing is tracked
    counts = {layer.name: layer.count_params() for layer in bare.layers}
    assert (counts["patches"], counts["tokens"]) == (590_592, 198 * 768)
    assert sum(count for name, count in counts.items() if name.startswith("block7_")) == 7_087_872
    assert bare.get_layer("block7_attention").count_params() == 0
    assert bare.get_layer("class_vector").output.shape == (None, 768)


def test_no_two_weights_of_a_layer_share_a_name(bare: Any) -> None:
    """They are stored and loaded by layer and name."""
    names = [f"{layer.name}/{weight.name}" for layer in bare.layers for weight in layer.weights]
    assert len(names) == len(set(names)) == 200


def test_there_is_one_size() -> None:
    for side in (192, 256):
        with pytest.raises(BadInput, match=rf"must be 224 px for vit_b16, .* got {side}\. Leave --image-size out"):
            build(find("vit_b16"), side_pixels=side)


def test_it_is_channels_last_only() -> None:
    assert fastest_format(find("vit_b16")) == "channels_last"
    with pytest.raises(ValueError, match="vit_b16 is built channels_last only"):
        build(find("vit_b16"), side_pixels=224, data_format="channels_first")


def test_it_can_be_cut_after_each_part_of_each_block(bare: Any) -> None:
    parts = [f"block{block}_{part}_add" for block in range(1, 13) for part in ("attention", "mlp")]
    assert cuts(bare)[:28] == ("input", "patches", "tokens", *parts, "encoder_norm")


def test_words_about_freezing_hold() -> None:
    layers = table("vit_b16")
    freezing = resolve(layers, Freeze(), profile_layer="block10_mlp_add")
    assert freezing.cut == ("block10_mlp_add",)
    assert freezing.cut_values == 197 * 768
    assert freezing.trained[0] == "block11_attention_norm"
    assert freezing.n_trained_parameters == 2 * 7_087_872 + 2 * 768
    last = resolve(layers, Freeze(kind="until", layer="block12_query"))
    assert last.cut == ("block11_mlp_add",)
    assert last.recomputed == ("block12_attention_norm",)
    assert resolve(layers, Freeze(kind="level")).n_frozen_parameters == 0
    with pytest.raises(BadInput, match=r"maps of several sizes .* Use --freeze-until LAYER"):
        resolve(layers, Freeze(kind="level", count=1))


def test_work_counts_attention_and_no_additions(bare: Any) -> None:
    work = {layer.name: layer_multiply_adds(layer) for layer in bare.layers}
    assert work["patches"] == 14 * 14 * 16 * 16 * 3 * 768
    assert work["block3_attention"] == 2 * 197 * 197 * 768
    assert work["block3_query"] == 197 * 768 * 768
    assert work["tokens"] == work["block3_mlp_add"] == work["encoder_norm"] == 0


def test_preprocessing_is_the_published_one() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), np.uint8)
    expected = (pixels / 255 - 0.5) / 0.5
    assert np.abs(network_input(pixels, find("vit_b16").preprocessing) - expected).max() < 1e-6


def test_tokens_are_the_class_token_and_the_patches_row_by_row() -> None:
    inputs = keras.Input((2, 3, 4))
    layer = _token_layer("tokens")
    model = keras.Model(inputs, layer(inputs))
    rng = np.random.default_rng(0)
    class_token, positions = rng.normal(size=4).astype(np.float32), rng.normal(size=(7, 4)).astype(np.float32)
    layer.class_token.assign(class_token)
    layer.positions.assign(positions)
    patches = rng.normal(size=(3, 2, 3, 4)).astype(np.float32)
    got = forward(model, patches)
    assert model.output.shape == (None, 7, 4)
    assert np.allclose(got[:, 0], class_token + positions[0], atol=1e-6)
    assert np.allclose(got[:, 1:], patches.reshape(3, 6, 4) + positions[1:], atol=1e-6)


def _attention() -> Any:
    inputs = [keras.Input((TOKENS, WIDTH)) for _ in range(3)]
    return keras.Model(inputs, _attention_layer("attention")(inputs))


def _by_hand(query: np.ndarray, key: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Head by head, in numpy."""
    size = WIDTH // HEADS
    result = np.empty_like(query)
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = query[..., part] @ key[..., part].transpose(0, 2, 1) / math.sqrt(size)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        result[..., part] = weights / weights.sum(axis=-1, keepdims=True) @ value[..., part]
    return result


def test_attention_is_that_of_the_paper() -> None:
    given = [each.astype(np.float32) for each in np.random.default_rng(0).normal(size=(3, 2, TOKENS, WIDTH))]
    got = forward(_attention(), given)
    assert relative_difference(got, _by_hand(*given)) < 1e-5


def test_sabotage_heads_dealt_out_the_other_way_are_noticed() -> None:
    """Each head takes neighbouring numbers; taking every twelfth one would go unseen by shapes alone."""
    given = [each.astype(np.float32) for each in np.random.default_rng(0).normal(size=(3, 2, TOKENS, WIDTH))]
    dealt = np.arange(WIDTH).reshape(WIDTH // HEADS, HEADS).T.ravel()
    other = _by_hand(*(each[..., dealt] for each in given))[..., np.argsort(dealt)]
    assert relative_difference(forward(_attention(), given), other) > 1e-2
