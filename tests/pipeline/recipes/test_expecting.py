"""Expected times: they follow the work and the machine, and are near those that were measured."""

from dataclasses import replace

import pytest

from graft.pipeline.recipes.expecting import OWN_SECONDS, VIEW_SECONDS, Speed, expected_seconds, speed_here
from graft.training.recipes.catalogue import catalogue, find
from graft.training.recipes.counting import figures, for_network
from graft.training.recipes.records import Measured, Recipe
from tests.training.recipes.tables import own_table, table

BENCH = Speed(best=430e9, float32=230e9)  # the machine of bench/RESULTS.md
MEASURED = [(recipe, each) for recipe in catalogue().values() for each in recipe.measured]


def on_bench(recipe: Recipe, each: Measured) -> float:
    """Seconds expected of a training that was measured there."""
    below = table(each.backbone, each.side_pixels)
    phases = zip(recipe.phases, each.epochs.split(" + "), strict=True)
    short = replace(recipe, phases=tuple(replace(phase, epochs=int(n)) for phase, n in phases))
    there = for_network(short, below)
    return expected_seconds(there, figures(short, below, classes=recipe.classes), BENCH)


@pytest.mark.parametrize(("recipe", "each"), MEASURED, ids=[recipe.name for recipe, _ in MEASURED])
def test_what_was_measured_was_to_be_expected(recipe: Recipe, each: Measured) -> None:
    if recipe.data == "cifar10":
        recipe = replace(recipe, photos=(5520, 480, 1000))  # cifar10_small, of which the bench reads so many
    assert 0.5 < each.seconds / on_bench(recipe, each) < 2


def test_time_grows_with_the_work_and_shrinks_with_the_machine() -> None:
    recipe = find("finetune-vgg16-block5")
    counted = figures(recipe, own_table(recipe), classes=2)
    slow, fast = (expected_seconds(recipe, counted, Speed(rate, rate)) for rate in (1e9, 1e10))
    assert slow > 5 * fast
    longer = replace(recipe, phases=(recipe.phases[0], replace(recipe.phases[1], epochs=200)))
    assert slow < expected_seconds(longer, counted, Speed(1e9, 1e9)) < 2 * slow


def test_what_is_frozen_is_counted_once_for_each_view() -> None:
    recipe = find("features-vgg16")
    counted = figures(recipe, own_table(recipe), classes=2)
    assert counted.phases[0].prefix_multiply_adds == sum(
        layer.multiply_adds for layer in own_table(recipe).without_top()
    )
    short = replace(recipe, phases=(replace(recipe.phases[0], epochs=1),))
    once = counted.phases[0].prefix_multiply_adds * 3000 / (0.85 * 1e9) + VIEW_SECONDS * 7000 + OWN_SECONDS
    assert once < expected_seconds(short, counted, Speed(1e9, 1e15)) < 1.05 * once


def test_depthwise_networks_reach_less_of_the_machine() -> None:
    recipe = find("cifar10-efficientnetb0")
    counted = figures(recipe, own_table(recipe), classes=10)
    dense = replace(counted, layers=tuple(replace(layer, kind="Conv2D") for layer in counted.layers))
    assert expected_seconds(recipe, counted, BENCH) > 1.5 * expected_seconds(recipe, dense, BENCH)


def test_this_machine_is_measured() -> None:
    speed = speed_here()
    assert 1e8 < speed.float32 < 1e15 and 1e8 < speed.best < 1e15
