"""The recipes by name, and what each of them says."""

from dataclasses import fields

import pytest

from graft.backbones.catalogue import catalogue as backbones
from graft.core.errors import BadInput
from graft.core.records import from_json, to_json
from graft.data.augmentation.presets import PRESETS, parse, to_words
from graft.data.public.catalogue import public_data
from graft.training.heads.words import parse as parse_head
from graft.training.heads.words import say
from graft.training.recipes.catalogue import catalogue, find, variants, ways
from graft.training.recipes.records import Recipe, Way

NAMES = (
    "sign-digits-vgg16",
    "scratch-cnn",
    "scratch-cnn-augmented",
    "features-vgg16",
    "features-vgg16-augmented",
    "finetune-vgg16-block5",
    "santa-vgg19",
    "cifar10-efficientnetb0",
)


def test_all_lectures_are_there_in_their_order():
    assert tuple(name for name in catalogue() if "@" not in name) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_the_published_one_is_the_recipe_itself(name):
    assert find(f"{name}@published") is find(name)
    assert find(name.upper().replace("-", "_")) is find(name)


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("scratch")])
def test_what_departs_from_the_networks_own_way_has_a_corrected_variant(name):
    plain, corrected = find(name), find(f"{name}@corrected")
    assert corrected.preprocessing == "backbone"
    assert plain.preprocessing != "backbone" or plain.augments == "all"
    assert corrected.augments == "train"
    kept = {"name", "summary", "preprocessing", "augmentation", "augments", "published", "measured", "ours"}
    assert all(
        getattr(plain, field.name) == getattr(corrected, field.name)
        for field in fields(Recipe)
        if field.name not in kept
    )


def test_variants():
    assert variants("santa-vgg19") == variants("santa-vgg19@intended") == ("corrected", "intended")
    assert variants("features-vgg16-augmented") == ("corrected", "short")
    assert variants("scratch-cnn") == ()


def test_preprocessing_as_published():
    wanted = {name: "rescale_255" for name in NAMES}
    wanted |= {"sign-digits-vgg16": "none", "cifar10-efficientnetb0": "backbone"}
    assert {name: find(name).preprocessing for name in NAMES} == wanted


def test_schedules_as_published():
    told = {
        name: [(phase.optimizer, phase.rate, phase.epochs, phase.steps_per_epoch) for phase in find(name).phases]
        for name in (*NAMES[1:], "features-vgg16-augmented@short")
    }
    head = ("rmsprop", 2e-5, 30, 100)
    assert told == {
        "scratch-cnn": [("rmsprop", 1e-4, 30, 100)],
        "scratch-cnn-augmented": [("rmsprop", 1e-4, 100, 100)],
        "features-vgg16": [("rmsprop", 2e-5, 30, None)],
        "features-vgg16-augmented": [head],
        "finetune-vgg16-block5": [head, ("rmsprop", 1e-5, 100, 100)],
        "santa-vgg19": [("rmsprop", 2e-5, 10, None)],
        "cifar10-efficientnetb0": [("adam", 2e-5, 10, None), ("adam", 1e-6, 50, None)],
        "features-vgg16-augmented@short": [("rmsprop", 1e-3, 10, 50)],
    }
    last = find("cifar10-efficientnetb0").phases[1]
    assert (last.decay, last.decay_rate) == ("inverse_time", 2e-8)
    assert {name: find(name).batch_images for name in NAMES} == dict.fromkeys(NAMES, 20) | {NAMES[0]: 10, NAMES[-1]: 32}


def test_heads_as_published():
    """With the share that is dropped, and where: no count of parameters tells."""
    assert {name: say(find(name).head) for name in NAMES} == {
        "sign-digits-vgg16": "global-average-pooling,name=softmax",
        "scratch-cnn": "flatten,dense=512",
        "scratch-cnn-augmented": "flatten,dropout=0.5,dense=512",
        "features-vgg16": "flatten,dense=256,dropout=0.5",
        "features-vgg16-augmented": "flatten,dense=256",
        "finetune-vgg16-block5": "flatten,dense=256",
        "santa-vgg19": "flatten,dense=132",
        "cifar10-efficientnetb0": "convolution=7x7,batch-normalization,global-average-pooling,dropout=0.2,flatten,"
        "dense=512",
    }


def test_data_as_published():
    cats = ((2000, 1000, 1000), "as given", 150, 2)
    told = {
        name: ((recipe := find(name)).photos, recipe.split, recipe.side_pixels, recipe.classes)
        for name in (*NAMES, "features-vgg16-augmented@short")
    }
    assert told == dict.fromkeys(NAMES[1:6], cats) | {
        "sign-digits-vgg16": ((1712, 300, 50), "1712/300/50", 224, 10),
        "santa-vgg19": ((2 * 271, 2 * 100, 2 * 90), "542/200/180", 64, 2),
        "cifar10-efficientnetb0": ((37_500, 7_500, 5_000), "as given", 224, 10),
        "features-vgg16-augmented@short": ((2500, 1000, 1000), "as given", 150, 2),
    }


def test_results_as_published():
    told = {name: [(each.split, each.low, each.high) for each in find(name).published] for name in catalogue()}
    assert {name: results for name, results in told.items() if results} == {
        "sign-digits-vgg16": [("test", 0.98, 0.98)],
        "scratch-cnn": [("validation", 0.70, 0.70)],
        "scratch-cnn-augmented": [
            ("validation", 0.76, 0.76),
            ("validation", 0.83, 0.84),
            ("validation", 0.80, 0.83),
        ],
        "features-vgg16": [("validation", 0.90, 0.90)],
        "features-vgg16-augmented": [("validation", 0.90, 0.96)],
        "features-vgg16-augmented@short": [("validation", 0.90, 0.90)],
        "finetune-vgg16-block5": [("test", 0.97, 0.97)],
        "santa-vgg19": [("test", 0.894, 0.894)],
        "cifar10-efficientnetb0": [
            ("validation", 0.8896, 0.8896),
            ("test", 0.889, 0.889),
            ("validation", 0.9363, 0.9363),
            ("test", 0.938, 0.938),
            ("test", 0.95, 0.95),
        ],
    }


def test_what_the_sign_digits_leave_open_is_ours():
    (phase,) = find("sign-digits-vgg16").phases
    assert (phase.optimizer, phase.rate, phase.epochs) == ("adam", 1e-4, 30)
    assert "1e-4 and 30 are ours" in " ".join(find("sign-digits-vgg16").ours)


def test_augmentation_as_published():
    augmented = {name for name in NAMES if find(name).augmentation == PRESETS["classic"]}
    assert augmented == {NAMES[2], NAMES[4], NAMES[5], NAMES[6]}
    cifar = find("cifar10-efficientnetb0")
    assert to_words(cifar.augmentation) == "none,flip=both,turn=90" and cifar.augments == "all"
    assert all(parse(to_words(recipe.augmentation)) == recipe.augmentation for recipe in catalogue().values())


@pytest.mark.parametrize("recipe", catalogue().values(), ids=list(catalogue()))
def test_each_record_is_whole(recipe):
    assert recipe.backbone in backbones()
    assert recipe.data in public_data()
    assert parse_head(say(recipe.head)) == recipe.head
    assert all(phase.warmup_epochs == 0 and phase.decay != "cosine" and not phase.patience for phase in recipe.phases)
    assert len(recipe.trainable_parameters) == len(recipe.phases)
    assert all(each.low <= each.high for each in recipe.published)
    assert from_json(Recipe, to_json(recipe), source="test") == recipe
    assert all(text.endswith(".") for text in (recipe.summary, recipe.lesson, *recipe.ours))


def test_the_data_name_recipes_that_there_are():
    assert {name for data in public_data().values() for name in data.recipes} == set(NAMES)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("finetune-vgg16-blok5", "Nearest: finetune-vgg16-block5"),
        ("santa-vgg19@correct", "must be one of @published, @corrected, @intended, got @correct."),
        ("zzzzzz", "See: graft recipes list."),
        ("classify", "graft classify IMAGES"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(BadInput) as caught:
        find(name)
    assert message in str(caught.value)


def test_the_four_ways():
    assert len(ways()) == 4
    for way in ways().values():
        assert not way.recipe or way.recipe in catalogue()
        assert way.command.startswith("graft ")
        assert from_json(Way, to_json(way), source="test") == way


@pytest.mark.parametrize("recipe", catalogue().values(), ids=catalogue())
def test_a_result_is_that_of_its_own_recipe(recipe):
    """A variant is made of another recipe, whose results are none of its own."""
    for measured in recipe.measured:
        assert f"--recipe {recipe.name} " in f"{measured.command} "
