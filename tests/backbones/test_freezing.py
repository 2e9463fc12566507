"""Freezing: what each of the user's words means, by the figures that the classic recipes publish."""

from dataclasses import replace

import pytest

from graft.backbones.catalogue import find
from graft.backbones.freezing import Freeze, Freezing, can_be_trained, cut_at, lower_cuts, map_levels, resolve
from graft.backbones.layers import Layer
from graft.backbones.layouts import layout
from graft.core.errors import BadInput
from graft.core.records import from_json, to_json
from tests.backbones.helpers import table

ALL, NONE = Freeze(kind="all"), Freeze(kind="none")


def until(layer: str) -> Freeze:
    return Freeze(kind="until", layer=layer)


def last(count: int) -> Freeze:
    return Freeze(kind="last", count=count)


def level(count: int) -> Freeze:
    return Freeze(kind="level", count=count)


def n_tensors(name: str, layers: tuple[str, ...]) -> int:
    """How many weight tensors these layers have."""
    return sum(tensor.rpartition("/")[0] in layers for tensor in layout(find(name)).shapes())


@pytest.mark.parametrize("freeze", [last(5), until("block5_conv1"), until("block4_pool"), level(4)])
@pytest.mark.parametrize("side", [224, 150])
def test_vgg16_from_its_fifth_block(freeze, side):
    freezing = resolve(table("vgg16", side), freeze)
    assert freezing.trained == ("block5_conv1", "block5_conv2", "block5_conv3")
    assert (freezing.n_trained_parameters, freezing.n_frozen_parameters) == (7_079_424, 7_635_264)
    assert freezing.first_trained == "block5_conv1" and freezing.normalizations == freezing.recomputed == ()
    assert freezing.cut == ("block4_pool",) and freezing.cut_values == {224: 14 * 14 * 512, 150: 9 * 9 * 512}[side]
    # With the heads of two recipes: 10 classes; and 256 units between the flattened map and one unit.
    assert freezing.n_trained_parameters + (512 + 1) * 10 == 7_084_554
    assert freezing.n_trained_parameters + (4 * 4 * 512 + 1) * 256 + 257 == 9_177_089
    assert n_tensors("vgg16", freezing.trained) + 4 == 10


def test_vgg16_whole_and_not_at_all():
    vgg16 = table("vgg16", 150)
    whole = resolve(vgg16, ALL)
    assert n_tensors("vgg16", whole.trained) + 4 == 30
    assert (whole.n_trained_parameters, whole.n_frozen_parameters) == (14_714_688, 0)
    assert (whole.cut, whole.prefix, whole.recomputed, whole.cut_values) == ((), (), ("input",), 0)
    for freeze in (level(0), last(20), until("input"), until("block1_conv1")):
        assert replace(resolve(vgg16, freeze), freeze=ALL) == whole
    none = resolve(vgg16, NONE)
    assert (none.trained, none.first_trained, none.cut) == ((), "", ("block5_pool",))
    assert (none.n_frozen_parameters, none.suffix_multiply_adds) == (14_714_688, 0)


def test_vgg16_by_levels():
    vgg16 = table("vgg16")
    for count in range(5):
        first = f"block{count + 1}_conv1"
        freezing = resolve(vgg16, level(count))
        assert freezing.first_trained == first and replace(freezing, freeze=until(first)) == resolve(
            vgg16, until(first)
        )
        assert freezing.cut == ((f"block{count}_pool",) if count else ())


def test_vgg19_from_its_fifth_block_as_intended():
    freezing = resolve(table("vgg19", 64), level(4))
    assert freezing.n_trained_parameters + (2048 + 1) * 132 + 133 == 9_709_833
    assert freezing.n_trained_parameters + freezing.n_frozen_parameters == 20_024_384


def test_efficientnet_trained_whole_but_for_normalization():
    """Behind it in the recipe: a convolution and two dense layers that are trained, and one normalization of 28."""
    freezing = resolve(table("efficientnet_b0"), ALL)
    assert freezing.n_trained_parameters + 439_047 + (7 + 1) * 512 + (512 + 1) * 10 == 4_413_805
    assert freezing.n_frozen_parameters + 28 == 84_067
    assert len(freezing.normalizations) == 49 and freezing.cut == ()
    assert freezing.recomputed == ("input", "rescaling", "normalization", "stem_conv_pad")


def test_efficientnets_last_layers():
    layers = table("efficientnet_b0").layers
    assert sum(layer.trainable_parameters for layer in layers[-2:]) == 2_560
    place = next(layer.number for layer in layers if layer.name == "block7a_project_bn")
    assert sum(layer.parameters for layer in layers[: place + 1]) == 3_634_851
    # Those two and the pooling: a normalization and an activation, so nothing that may be trained.
    with pytest.raises(BadInput, match=r"reach down to top_conv, .* got only layers above it") as caught:
        resolve(table("efficientnet_b0"), last(3))
    assert "--freeze-until top_conv, --unfreeze-last 4" in caught.value.hint
    assert resolve(table("efficientnet_b0"), last(4)).trained == ("top_conv",)


def test_mobilenet_above_a_tap():
    mobilenet = table("mobilenet_1.0", 128)
    freezing = resolve(mobilenet, Freeze(), profile_layer="conv_pw_6_relu")
    assert (freezing.cut, freezing.first_trained) == (("conv_pw_6_relu",), "conv_dw_7")
    assert freezing.cut_values == 8 * 8 * 512
    assert all(name.endswith("_bn") for name in freezing.normalizations) and len(freezing.normalizations) == 14
    assert replace(freezing, freeze=until("conv_dw_7")) == resolve(mobilenet, until("conv_dw_7"))
    with pytest.raises(ValueError, match="depth profile"):
        resolve(mobilenet, Freeze())


@pytest.mark.parametrize("name", ["mobilenet_1.0", "resnet50_v2", "sprout"])
def test_above_the_highest_tap_the_highest_layer_that_can_be_is_trained(name):
    layers = table(name).layers
    freezing = resolve(table(name), Freeze(), profile_layer=find(name).taps[-1])
    assert freezing.trained[-1] == [layer.name for layer in layers if can_be_trained(layer)][-1]


def test_a_tap_inside_a_block_moves_training_down_to_the_nearest_cut():
    freezing = resolve(table("sprout"), Freeze(), profile_layer="s3_a_relu")
    assert freezing.cut == ("s3_down_relu",) and freezing.first_trained == "s3_a"


def test_inside_a_block_the_frozen_part_of_it_is_computed_again():
    freezing = resolve(table("resnet50"), until("conv5_block3_3_conv"))
    assert freezing.cut == ("conv5_block2_out",)
    assert freezing.recomputed[0] == "conv5_block3_1_conv" and freezing.recomputed[-1] == "conv5_block3_2_relu"
    assert freezing.n_trained_parameters == 512 * 2048 + 2048


def test_what_branches_off_below_the_first_trained_layer_is_trained():
    """The shortcut of a block comes after its other convolutions, in the order in which layers are listed."""
    freezing = resolve(table("resnet50"), until("conv5_block1_2_conv"))
    assert "conv5_block1_1_conv" in freezing.recomputed and "conv5_block1_0_conv" in freezing.trained


def test_padding_is_left_above_the_cut():
    freezing = resolve(table("mobilenet_1.0", 128), level(4))
    assert (freezing.cut, freezing.recomputed) == (("conv_pw_11_relu",), ("conv_pad_12",))


def test_nasnet_is_cut_where_two_tensors_carry_everything():
    freezing = resolve(table("nasnet_mobile"), level(4))
    assert len(freezing.cut) == 2 and len(freezing.prefix) > 400
    assert not set(freezing.cut) - set(freezing.prefix)


LEVELS = {
    **{"sprout": 4, "mobilenet_0.25": 5, "mobilenet_v3_small_0.75": 5, "vgg16": 5, "resnet50": 5, "inception_v3": 5},
    **{"xception": 5, "nasnet_mobile": 5, "efficientnet_b0": 5, "convnext_tiny": 4, "densenet121": 5},
}


@pytest.mark.parametrize(("name", "count"), LEVELS.items())
def test_levels_are_as_many_as_maps_are_halved(name, count):
    assert map_levels(table(name).layers)[-1] == count


def made(*parts: tuple[str, int, int]) -> list[Layer]:
    """Layers by name, side and trainable parameters."""
    return [
        Layer(number=number, name=name, kind="Conv2D", shape=(side, side, 3), parameters=n, trainable_parameters=n)
        for number, (name, side, n) in enumerate(parts)
    ]


def test_levels_by_hand():
    """A pooling belongs to the level that it ends; neither a shaved side nor a gate of one pixel begins one."""
    parts = [("input", 32, 0), ("a", 32, 9), ("pool", 16, 0), ("b", 16, 9), ("gate", 1, 9), ("c", 14, 9), ("d", 8, 9)]
    assert map_levels(made(*parts, ("gate2", 1, 9), ("e", 8, 9), ("pool2", 4, 0))) == (1, 1, 1, 2, 2, 2, 3, 3, 3, 3)
    assert map_levels(made(("input", 9, 0), ("a", 9, 1), ("b", 7, 1), ("c", 6, 1), ("d", 4, 1))) == (1, 1, 1, 2, 3)
    assert map_levels([]) == ()


@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        (last(0), r"The number of last layers to train must be 1 to 20 for VGG16 at 224 px, got 0\."),
        (last(21), r"must be 1 to 20 for VGG16 at 224 px, got 21\."),
        (last(1), r"must reach down to block5_conv3, the highest one of VGG16 at 224 px"),
        (until("block5_pool"), r"must reach down to block5_conv3"),
        (level(5), r"The level to freeze up to must be 0 to 4 for VGG16 at 224 px, got 5\."),
        (until("block5_conv9"), r"got 'block5_conv9'"),
        (until(""), r"got ''"),
    ],
)
def test_words_that_mean_nothing_here(freeze, message):
    with pytest.raises(BadInput, match=message) as caught:
        resolve(table("vgg16"), freeze)
    assert caught.value.hint


def test_training_cannot_begin_in_the_networks_own_classifier():
    vgg16 = table("vgg16")
    top = Layer(number=19, name="fc1", kind="Dense", shape=(9,), parameters=9, trainable_parameters=9, top=True)
    with pytest.raises(BadInput, match=r"below the network's own classifier, got fc1") as caught:
        resolve(replace(vgg16, layers=(*vgg16.layers, top)), until("fc1"))
    assert "block5_conv3" in caught.value.hint
    assert resolve(replace(vgg16, layers=(*vgg16.layers, top)), last(5)) == resolve(vgg16, last(5))


def test_lower_cuts_store_less_and_compute_more():
    b0 = table("efficientnet_b0")
    freezing = resolve(b0, level(4))
    lower = lower_cuts(b0, freezing)
    assert freezing.cut == ("block6a_expand_activation",)
    assert [each.cut for each in lower] == [("block5c_add",), ("block4c_add",)]
    for higher, each in zip((freezing, *lower), lower, strict=False):
        assert each.cut_values < higher.cut_values and each.suffix_multiply_adds > higher.suffix_multiply_adds
        assert each.trained == freezing.trained and each.n_frozen_parameters == freezing.n_frozen_parameters
    assert "block6a_expand_conv" in lower[0].recomputed
    assert lower_cuts(b0, resolve(b0, ALL)) == ()


def test_cut_elsewhere():
    vgg16 = table("vgg16")
    freezing = resolve(vgg16, last(5))
    assert cut_at(vgg16, freezing, freezing.cut) == freezing
    pixels = cut_at(vgg16, freezing, ())
    assert (pixels.cut, pixels.prefix, pixels.cut_values, pixels.prefix_multiply_adds) == ((), (), 0, 0)
    assert pixels.recomputed == freezing.prefix and pixels.trained == freezing.trained
    for wrong in (("block5_conv1",), ("block4_conv9",), ("block4_pool", "block4_conv3")):
        with pytest.raises(ValueError, match="is no cut"):
            cut_at(vgg16, freezing, wrong)


def test_sabotage_a_normalization_that_counts_as_trained_is_noticed(monkeypatch):
    """The published figures tell whether BatchNormalization was left out."""
    right = resolve(table("efficientnet_b0"), ALL)
    monkeypatch.setattr("graft.backbones.freezing.NORMALIZATION", "nothing")
    wrong = resolve(table("efficientnet_b0"), ALL)
    assert wrong.n_trained_parameters == right.n_trained_parameters + 42_016


def test_it_can_be_stored():
    freezing = resolve(table("nasnet_mobile"), level(4))
    assert from_json(Freezing, to_json(freezing), source="test") == freezing
