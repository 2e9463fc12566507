"""Reference recipes as trainings: what one fixes, what a user may still say, and what it leaves to the plan."""

from dataclasses import fields, replace
from typing import Final

from graft.backbones.catalogue import candidates
from graft.backbones.freezing import Freeze, map_levels
from graft.backbones.layers import layer_table
from graft.backbones.records import BackboneRecord
from graft.core import machine
from graft.core.errors import BadInput
from graft.pipeline.options import OWN_RECIPES, RuleOptions, TrainOptions, TuningOptions
from graft.training.recipes.catalogue import find
from graft.training.recipes.records import Recipe
from graft.training.tuning.records import Backend, Phase, Tuning

# What a user may say about the training of a named recipe; the rest is what makes it that recipe.
OPEN: Final = frozenset({"epochs", "batch", "views", "train_precision", "store", "backend"})


def with_recipe(options: TrainOptions) -> TrainOptions:
    """The options with what a named recipe says of network, size and preprocessing, where the user said nothing.

    With another backbone than its own, that backbone's own preprocessing applies. Raises `BadInput`: not_found for the
    recipe's name, and for words that would make it another recipe.
    """
    if options.recipe in OWN_RECIPES:
        return options
    recipe = find(options.recipe)
    _check_open(options, recipe)
    own = options.backbone == "auto" or recipe.backbone in candidates(options.backbone)
    fixed = recipe.preprocessing if own and options.preprocessing == "backbone" else options.preprocessing
    return replace(
        options,
        recipe=recipe.name,
        backbone=recipe.backbone if own else options.backbone,
        weights=options.weights or ("random" if recipe.weights == "random" else None),
        image_size=options.image_size or recipe.side_pixels,
        preprocessing=fixed,
    )


def recipe_tuning(options: TrainOptions, backend: Backend) -> Tuning:
    """The training of a named recipe, with as many epochs as were asked for."""
    recipe = find(options.recipe)
    return Tuning(
        head=recipe.head,
        phases=_phases(recipe, options.epochs),
        augmentation=recipe.augmentation,
        augments=recipe.augments,
        views=options.views,
        batch_images=options.batch or recipe.batch_images,
        layer_decay=1.0,
        label_smoothing=0.0,
        averaging=0.0,
        precision=options.train_precision,
        storing=options.store,
        backend=backend,
    )


def on_network(tuning: Tuning, recipe: Recipe, record: BackboneRecord, side_pixels: int) -> Tuning:
    """The training on another network than the recipe's: where it names a layer, the uppermost feature-map level."""
    if record.name == recipe.backbone or not any(phase.freeze.kind == "until" for phase in tuning.phases):
        return tuning
    levels = map_levels(layer_table(record, side_pixels, machine.cache_directory()).without_top())
    upper = Freeze(kind="level", count=max(levels) - 1)
    phases = (replace(each, freeze=upper) if each.freeze.kind == "until" else each for each in tuning.phases)
    return replace(tuning, phases=tuple(phases))


def _phases(recipe: Recipe, epochs: int | tuple[int, ...] | None) -> tuple[Phase, ...]:
    if epochs is None:
        return recipe.phases
    wanted = epochs if isinstance(epochs, tuple) else (epochs,) * len(recipe.phases)
    if len(wanted) != len(recipe.phases):
        raise BadInput(
            f"--epochs must be one number, or {len(recipe.phases)} for the phases of {recipe.name}, "
            f"got {','.join(map(str, wanted))}."
        )
    return tuple(replace(phase, epochs=count) for phase, count in zip(recipe.phases, wanted, strict=True))


def _check_open(options: TrainOptions, recipe: Recipe) -> None:
    defaults = TuningOptions()
    closed = [
        field.name for field in fields(TuningOptions) if field.name not in OPEN and not hasattr(RuleOptions, field.name)
    ]
    said = [name for name in closed if getattr(options, name) != getattr(defaults, name)]
    if said:
        raise BadInput(
            f"With --recipe {recipe.name} the training must be as the recipe has it, got "
            f"{', '.join('--' + name.replace('_', '-') for name in said)}.",
            hint="Use --recipe finetune to choose these yourself; graft recipes show tells what the recipe does.",
        )
