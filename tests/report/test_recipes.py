"""Recipes in words for a terminal."""

from dataclasses import replace
from importlib import import_module

import pytest

from graft.report.recipes import (
    best_measured,
    best_published,
    layer_lines,
    list_lines,
    measured_lines,
    measured_of,
    measured_text,
    published_text,
    recipe_text,
    way_text,
)
from graft.report.words import NO_BREAK
from graft.training.recipes.catalogue import catalogue, find, ways
from graft.training.recipes.counting import figures
from graft.training.recipes.records import Measured, Published
from tests.training.recipes.tables import own_table, table

MEASURED = Measured(
    backbone="mobilenet_v2_1.0",
    data="santa",
    side_pixels=64,
    epochs="10",
    validation=0.96,
    test=0.95,
    interval=(0.91, 0.975),
    seconds=200.0,
    cores=2,
    command="graft train santa --recipe santa-vgg19 --backbone mobilenet_v2_1.0",
    auto_backbone="mobilenet_v2_1.0",
    auto_test=0.97,
    auto_seconds=60.0,
)


VARIANTS = [each for each in catalogue().values() if "@" in each.name]


def test_published_and_measured_results_are_told_apart():
    recipe = replace(find("santa-vgg19"), measured=(MEASURED,))
    counted = figures(recipe, own_table(recipe), classes=2)
    text = " ".join(recipe_text(recipe, counted, ("intended",), 90.0).split())
    assert "published 89.4 % test, 10 epochs measured 96.0 % validation, 95.0 % test (91.0 to 97.5 %)" in text
    assert (
        "with mobilenet_v2_1.0 at 64 px on santa, 10 epochs in 3 min 20 s on 2 cores; graft train by itself: 97.0 %"
        in text
    )
    assert "measured not reproduced with VGG19 on santa" in text
    assert "command graft train santa --recipe santa-vgg19 --backbone mobilenet_v2_1.0" in text
    assert "about 2 min for all epochs" in text
    assert "variants santa-vgg19, santa-vgg19@intended" in text


@pytest.mark.parametrize("recipe", [each for each in catalogue().values() if each.measured], ids=lambda each: each.name)
def test_the_head_of_its_file_says_what_was_measured(recipe):
    module = import_module(f"graft.training.recipes.{recipe.name.partition('@')[0].replace('-', '_')}")
    told = " ".join((module.__doc__ or "").split())
    for each in recipe.measured:
        assert " ".join(measured_text(each).split()) in told
        assert each.command in told
    own = any(each.backbone == recipe.backbone for each in recipe.measured)
    assert own or "Not reproduced with" in told


@pytest.mark.parametrize("recipe", VARIANTS, ids=lambda each: each.name)
def test_the_head_says_which_variants_were_not_measured(recipe):
    plain, _, variant = recipe.name.partition("@")
    module = import_module(f"graft.training.recipes.{plain.replace('-', '_')}")
    last = (module.__doc__ or "").strip().splitlines()[-1]
    assert (last.startswith("Not reproduced either: ") and f"`@{variant}`" in last) is not bool(recipe.measured)


def test_a_network_from_scratch_is_not_compared_with_itself():
    text = measured_text(replace(MEASURED, auto_backbone="sprout"))
    assert "; graft train by itself with sprout: 97.0 % test" in " ".join(text.split())


def test_what_was_measured_with_the_recipes_own_network_on_its_data_is_a_reproduction():
    recipe = replace(find("santa-vgg19"), measured=())
    assert measured_lines(recipe) == ["not reproduced"]
    own = replace(MEASURED, backbone="vgg19", interval=None, auto_test=None, auto_seconds=None)
    (line,) = measured_lines(replace(recipe, measured=(own,)))
    assert line.replace(NO_BREAK, " ") == (
        "96.0 % validation, 95.0 % test, with vgg19 at 64 px on santa, 10 epochs in 3 min 20 s on 2 cores"
    )
    elsewhere = measured_lines(replace(recipe, measured=(replace(own, data="other"), MEASURED)))
    assert elsewhere[2:] == ["not reproduced with VGG19 on santa"]


def test_a_network_that_is_not_the_recipes_own_is_said_beside_the_result():
    recipe = replace(find("santa-vgg19"), backbone="mobilenet_0.25", preprocessing="backbone", measured=())
    counted = figures(recipe, table("mobilenet_0.25", 96), classes=2)
    text = " ".join(recipe_text(recipe, counted, (), 1.0).split())
    assert "89.4 % test, 10 epochs, with VGG19 measured not reproduced" in text


def test_layers_below_the_first_trained_one_share_a_row():
    counted = figures(find("finetune-vgg16-block5"), own_table(find("finetune-vgg16-block5")), classes=2)
    lines = layer_lines(counted)
    assert lines[1].split() == ["0-14", "...", "block4_pool", "15", "layers", "9x9x512", "7,635,264", "frozen"]
    assert [line.split()[1] for line in lines[2:]] == [layer.name for layer in counted.layers[15:]]
    assert [line.split()[-1] for line in lines[2:5]] == ["2"] * 3
    assert lines[-1].endswith("1, 2")
    assert len(layer_lines(counted, every=True)) == 1 + len(counted.layers)


def test_of_many_layers_the_middle_is_told_together():
    recipe = find("cifar10-efficientnetb0")
    counted = figures(recipe, own_table(recipe), classes=10)
    lines = layer_lines(counted)
    assert len(lines) < 30
    middle = next(line for line in lines if " layers " in line and " of " in line)
    numbers = [int(number) for number in middle.split()[0].split("-")]
    n_trained = sum(any(layer.trained) for layer in counted.layers[numbers[0] : numbers[1] + 1])
    assert middle.endswith(f"{n_trained} of {numbers[1] + 1 - numbers[0]}")


def test_each_line_of_the_list_names_the_best_result():
    recipes = (replace(find("santa-vgg19"), measured=(MEASURED,)), find("santa-vgg19@intended"))
    recipes = (*recipes, replace(find("scratch-cnn"), measured=()))
    lines = list_lines(recipes, tuple(ways().values()))
    assert [line.replace(NO_BREAK, " ") for line in lines[:4]] == [
        "santa-vgg19: Santa or not, VGG19 frozen",
        "  published  89.4 % test",
        "  measured   95.0 % test with mobilenet_v2_1.0",
        "  variants   @intended",
    ]
    assert lines[6] == "  measured   not reproduced"


def test_the_list_fits_a_terminal_of_80_columns():
    measured = tuple(replace(each, measured=(MEASURED,)) for each in catalogue().values())
    assert max(map(len, list_lines(measured, tuple(ways().values())))) <= 80


def test_results_in_a_few_words():
    recipe = find("santa-vgg19")
    own = replace(MEASURED, backbone="vgg19", test=None)
    found = replace(recipe, measured=(replace(own, validation=0.99), MEASURED))
    assert best_measured(found).replace(NO_BREAK, " ") == "95.0 % test with mobilenet_v2_1.0"
    assert best_measured(replace(recipe, measured=(own,))).replace(NO_BREAK, " ") == "96.0 % validation"
    variant = replace(found, name=f"{recipe.name}@corrected")
    told = measured_of((replace(recipe, measured=()), variant)).replace(NO_BREAK, " ")
    assert told == "95.0 % test with mobilenet_v2_1.0, @corrected"
    assert measured_of((replace(recipe, measured=()),)) == "not reproduced"
    assert best_published(find("features-vgg16")) == "90 % validation"
    assert best_published(find("features-vgg16-augmented")) == "90 to 96 % validation"
    assert best_published(find("cifar10-efficientnetb0")) == "93.8 % test", "not that of 100 epochs more"
    assert best_published(find("santa-vgg19@intended")) == "nothing"


def test_words():
    assert published_text(Published(split="validation", low=0.9, high=0.96)).endswith("validation")
    assert published_text(Published(split="validation", low=0.9, high=0.96)) == "90 to 96 % validation"
    assert published_text(Published(split="test", low=0.8896, high=0.8896, when="now")) == "88.96 % test, now"
    assert "graft recipes show features-vgg16" in way_text(ways()["feature-extractor"])
    assert "example" not in way_text(ways()["classify"])
    assert "American_black_bear 0.60" in way_text(ways()["classify"])


def test_each_recipe_and_way_fits_a_terminal_of_80_columns():
    for recipe in catalogue().values():
        counted = figures(recipe, own_table(recipe), classes=recipe.classes)
        text = recipe_text(replace(recipe, measured=(MEASURED,)), counted, ("corrected",), 90.0)
        assert max(map(len, text.splitlines())) <= 80, recipe.name
    assert max(len(line) for way in ways().values() for line in way_text(way).splitlines()) <= 80
