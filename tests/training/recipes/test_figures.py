"""Every figure that fixes a reference recipe: parameters, what is trained, shapes and names; random weights."""

from dataclasses import replace

import pytest

from graft.backbones.freezing import Freeze
from graft.core.errors import BadInput
from graft.training.heads.records import Convolution, Dense, Head
from graft.training.recipes.catalogue import catalogue, find
from graft.training.recipes.counting import check_size, figures, for_network, wrong_map
from tests.training.recipes.tables import own_table, table

# name: (whole, [(trainable, frozen, weight tensors) of each phase], weight tensors when nothing is frozen)
FIGURES = {
    "sign-digits-vgg16": (14_719_818, [(7_084_554, 7_635_264, 8)], 28),
    "scratch-cnn": (3_453_121, [(3_453_121, 0, 12)], 12),
    "scratch-cnn-augmented": (3_453_121, [(3_453_121, 0, 12)], 12),
    "features-vgg16": (16_812_353, [(2_097_665, 14_714_688, 4)], 30),
    "features-vgg16-augmented": (16_812_353, [(2_097_665, 14_714_688, 4)], 30),
    "finetune-vgg16-block5": (16_812_353, [(2_097_665, 14_714_688, 4), (9_177_089, 7_635_264, 10)], 30),
    "santa-vgg19": (20_294_985, [(270_601, 20_024_384, 4)], 36),
    "santa-vgg19@intended": (20_294_985, [(9_709_833, 10_585_152, 12)], 36),
    "cifar10-efficientnetb0": (4_497_872, [(448_287, 4_049_585, 8), (4_413_805, 84_067, 119)], 219),
}
HEADS = {
    "sign-digits-vgg16": {"global_average_pooling": ((512,), 0), "softmax": ((10,), 5_130)},
    "scratch-cnn": {"flatten": ((6272,), 0), "dense": ((512,), 3_211_776), "predictions": ((1,), 513)},
    "features-vgg16": {"flatten": ((8192,), 0), "dense": ((256,), 2_097_408), "predictions": ((1,), 257)},
    "santa-vgg19": {"flatten": ((2048,), 0), "dense": ((132,), 270_468), "predictions": ((1,), 133)},
    "cifar10-efficientnetb0": {
        "convolution": ((1, 1, 7), 439_047),
        "batch_normalization": ((1, 1, 7), 28),
        "global_average_pooling": ((7,), 0),
        "flatten": ((7,), 0),
        "dense": ((512,), 4_096),
        "predictions": ((10,), 5_130),
    },
}
SIDES = {"sign-digits-vgg16": 7, "scratch-cnn": 7, "features-vgg16": 4, "santa-vgg19": 2, "cifar10-efficientnetb0": 7}


def counted(name: str):
    recipe = find(name)
    return figures(recipe, own_table(recipe), classes=recipe.classes)


@pytest.mark.parametrize("name", FIGURES)
def test_counts(name):
    whole, phases, tensors = FIGURES[name]
    found = counted(name)
    assert found.parameters == whole
    assert found.trainable_tensors == tensors
    assert [
        (phase.trainable_parameters, phase.frozen_parameters, phase.trainable_tensors) for phase in found.phases
    ] == phases


@pytest.mark.parametrize("name", catalogue())
def test_each_record_states_its_own_figures(name):
    recipe, found = find(name), counted(name)
    assert recipe.parameters == found.parameters
    assert recipe.trainable_parameters == tuple(phase.trainable_parameters for phase in found.phases)


def test_sabotage_a_wrong_head_is_noticed():
    recipe = find("features-vgg16")
    narrow = replace(recipe, head=Head(layers=(*recipe.head.layers[:1], Dense(units=255))))
    assert figures(narrow, own_table(recipe), classes=2).parameters != recipe.parameters


@pytest.mark.parametrize("name", HEADS)
def test_heads(name):
    found = counted(name)
    head = {layer.name: (layer.shape, layer.parameters) for layer in found.layers if layer.head}
    assert {key: head[key] for key in HEADS[name]} == HEADS[name]
    assert found.map_shape[:2] == (SIDES[name],) * 2


def test_the_small_networks_feature_maps():
    found = counted("scratch-cnn")
    assert [layer.shape[0] for layer in found.layers[1:9]] == [148, 74, 72, 36, 34, 17, 15, 7]
    assert [layer.parameters for layer in found.layers if layer.parameters] == [
        *(896, 18_496, 73_856, 147_584),
        *(3_211_776, 513),
    ]


def test_augmentation_and_dropout_are_all_that_differs_from_the_small_network():
    plain, augmented = find("scratch-cnn"), find("scratch-cnn-augmented")
    assert plain.augmentation.changes_nothing and not augmented.augmentation.changes_nothing
    kinds = [layer.kind for layer in augmented.head.layers]
    assert kinds == ["flatten", "dropout", "dense"] and kinds[::2] == [layer.kind for layer in plain.head.layers]


def test_training_begins_where_the_lectures_say():
    assert counted("sign-digits-vgg16").phases[0].first_trained == "block5_conv1"
    assert [phase.first_trained for phase in counted("finetune-vgg16-block5").phases] == ["", "block5_conv1"]
    trained = [layer.name for layer in counted("finetune-vgg16-block5").layers if layer.trained[1]]
    assert trained == ["block5_conv1", "block5_conv2", "block5_conv3", "dense", "predictions"]


def test_batch_normalization_is_trained_in_the_top_alone_and_then_nowhere():
    layers = [layer for layer in counted("cifar10-efficientnetb0").layers if layer.kind == "BatchNormalization"]
    assert [layer.trained for layer in layers if layer.head] == [(True, False)]
    assert {layer.trained for layer in layers if not layer.head} == {(False, False)}


def test_freezing_all_but_the_last_two_layers_leaves_so_few_parameters():
    recipe = find("cifar10-efficientnetb0")
    base = own_table(recipe).without_top()
    assert sum(layer.trainable_parameters for layer in base[-2:]) == 2_560
    names = [layer.name for layer in base]
    up_to = names.index("block7a_project_bn") + 1
    assert sum(layer.parameters for layer in base[:up_to]) == 3_634_851


def test_another_network_keeps_everything_else():
    recipe = find("finetune-vgg16-block5")
    other = for_network(recipe, table("mobilenet_0.25", 128))
    assert (other.backbone, other.preprocessing) == ("mobilenet_0.25", "backbone")
    assert (other.head, other.augmentation, other.batch_images) == (
        recipe.head,
        recipe.augmentation,
        recipe.batch_images,
    )
    assert [phase.rate for phase in other.phases] == [phase.rate for phase in recipe.phases]
    assert other.phases[0].freeze == Freeze(kind="none")
    assert other.phases[1].freeze == Freeze(kind="level", count=4)
    first = figures(recipe, table("mobilenet_0.25", 128), classes=2).phases[1].first_trained
    assert first == "conv_dw_12"  # the layer that makes the smallest maps
    assert for_network(recipe, own_table(recipe)) is recipe


def test_a_network_that_normalises_learns_to_where_it_is_trained_from_nothing():
    found = figures(find("scratch-cnn"), table("convnet_batch", 150), classes=2)
    assert all(layer.trained == (True,) for layer in found.layers if layer.kind == "BatchNormalization")
    assert found.phases[0].frozen_parameters == 2 * (32 + 64 + 128 + 128)  # means and variances


def test_two_softmax_units_have_a_column_more():
    recipe = find("santa-vgg19")
    found = figures(recipe, own_table(recipe), classes=2, binary_units=2)
    assert found.parameters == recipe.parameters + 133


def test_a_size_with_another_map_is_refused_with_sizes_that_fit():
    recipe = find("cifar10-efficientnetb0")
    small = table("mobilenet_0.25", 128)
    assert wrong_map(recipe, small) == 7
    with pytest.raises(BadInput, match="7 x 7, got 4 x 4 from mobilenet_0") as caught:
        check_size(recipe, small, [224])
    assert caught.value.hint == "Use --image-size 224."
    fitting = replace(recipe, head=Head(layers=(Convolution(filters=7, kernel_pixels=4),)))
    assert wrong_map(fitting, small) is None
    check_size(fitting, small, [])
