"""The reference recipes as a user meets them: listed, shown on a network of their choice, timed on this machine."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from graft.core.errors import BadInput
from graft.core.records import construct, record
from graft.pipeline.options import TrainOptions
from graft.pipeline.places import SCRIPT, write_file
from graft.pipeline.recipes.expecting import expected_seconds, speed_here
from graft.pipeline.recipes.keras_script import keras_script
from graft.pipeline.recipes.reference import as_asked, sized_table
from graft.report.recipes import list_lines, recipe_text, way_text
from graft.training.recipes.catalogue import catalogue, find, variants, ways
from graft.training.recipes.counting import SystemFigures, figures, for_network
from graft.training.recipes.records import Recipe, Way


@record
class RecipeView:
    """A recipe on one network, with its figures there and the time it takes here."""

    SCHEMA: ClassVar[str] = "graft/recipe-view/1"
    recipe: Recipe
    variants: tuple[str, ...]
    figures: SystemFigures
    weights_file: str  # that was given; "" where the recipe's own weights are meant
    seconds: float  # for all epochs on this machine, about


def listed() -> str:
    """All recipes, a line each, for people."""
    return "\n".join(list_lines(tuple(catalogue().values()), tuple(ways().values())))


def way(name: str) -> Way | None:
    """The way to reuse a network of this name, if it is one."""
    return ways().get(name.strip().lower().replace("_", "-"))


def is_recipe(name: str) -> bool:
    """Whether a recipe has this name, in whatever spelling."""
    try:
        find(name)
    except BadInput:
        return False
    return True


def way_shown(found: Way) -> str:
    """A way to reuse a network, for people."""
    return way_text(found)


def view(name: str, *, classes: int | None = None, **said: Any) -> RecipeView:
    """A recipe by name, as it would be trained.

    `said` are options of a training by their names in `TrainOptions`; backbone, weights, split, image_size, epochs,
    batch, head and binary_head change what is shown.

    Raises:
        BadInput: not_found for names; the size fits the network not, or the head not.
    """
    options = _options(name, said)
    recipe, network = as_asked(options)
    table = sized_table(recipe, network, options.image_size)
    units = 2 if options.binary_head == "softmax" else 1
    counted = figures(recipe, table, classes=classes or recipe.classes, binary_units=units)
    there = replace(
        for_network(recipe, table),
        parameters=counted.parameters,
        trainable_parameters=tuple(phase.trainable_parameters for phase in counted.phases),
    )
    return RecipeView(
        recipe=there,
        variants=variants(recipe.name),
        figures=counted,
        weights_file=Path(options.weights).name if options.weights not in (None, "random") else "",
        seconds=expected_seconds(there, counted, speed_here()),
    )


def script(name: str, *, classes: int | None = None, command: str = "", **said: Any) -> str:
    """A recipe as a script in plain Keras, with the `command` that was typed in its head.

    Raises as `view`, and for a network that plain Keras has not.
    """
    options = _options(name, said)
    recipe, network = as_asked(options)
    table = sized_table(recipe, network, options.image_size)
    units = 2 if options.binary_head == "softmax" else 1
    weights = options.weights or recipe.weights
    return keras_script(
        recipe, table, classes=classes or recipe.classes, binary_units=units, weights=weights, command=command
    )


def _options(name: str, said: Mapping[str, Any]) -> TrainOptions:
    return construct(TrainOptions, data="", recipe=find(name).name, **said)  # no data: nothing is trained


def write_script(path: Path, text: str) -> None:
    """Write a script to a new file, or in the place of an earlier one."""
    write_file(path, text.encode(), SCRIPT)


def shown(found: RecipeView, *, every: bool = False) -> str:
    """A recipe for people; with `every`, each layer has a row."""
    return recipe_text(
        found.recipe, found.figures, found.variants, found.seconds, weights_file=found.weights_file, every=every
    )
