"""Reference recipes as trainings: what one fixes, what a user may still say, and what it leaves to the plan."""

from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from graft.backbones.catalogue import candidates
from graft.backbones.catalogue import find as find_backbone
from graft.backbones.layers import LayerTable, layer_table
from graft.backbones.records import BackboneRecord
from graft.backbones.weights import resolve
from graft.core import machine
from graft.core.errors import BadInput
from graft.pipeline.choosing import all_here, side_pixels
from graft.pipeline.options import USUAL_SPLIT, TrainOptions
from graft.training.heads.records import Head
from graft.training.heads.words import parse as parse_head
from graft.training.recipes.catalogue import find
from graft.training.recipes.counting import check_size, for_network, wrong_map
from graft.training.recipes.records import OWN_RECIPES, Recipe
from graft.training.tuning.records import Backend, Phase, Tuning

# What a user may say about the training of a named recipe; the rest is what makes it that recipe.
OPEN: Final = frozenset({"head", "epochs", "batch", "views", "train_precision", "store", "backend"})


def with_recipe(options: TrainOptions) -> TrainOptions:
    """The options with what a named recipe says of network and preprocessing, where the user said nothing.

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
        preprocessing=fixed,
    )


def as_asked(options: TrainOptions) -> tuple[Recipe, BackboneRecord]:
    """A named recipe with the options that change it, and the network it is then trained on.

    Raises: as `with_recipe`, and what the network's name or weights file is refused for.
    """
    options = with_recipe(options)
    recipe = find(options.recipe)
    changed = replace(
        recipe,
        head=_head(options, recipe),
        phases=_phases(recipe, options.epochs),
        batch_images=options.batch or recipe.batch_images,
        split=recipe.split if options.split == USUAL_SPLIT else options.split,
        weights="random" if options.weights == "random" else "imagenet",
    )
    return changed, _network(options)


def recipe_tuning(options: TrainOptions, backend: Backend) -> Tuning:
    """The training of a named recipe, with as many epochs as were asked for, and another head where one was."""
    recipe = find(options.recipe)
    return Tuning(
        head=_head(options, recipe),
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


def sized(options: TrainOptions, record: BackboneRecord) -> TrainOptions:
    """The options with the size of a named recipe, or the least that the network can have, where none was asked for."""
    if options.recipe in OWN_RECIPES or options.image_size is not None:
        return options
    return replace(options, image_size=max(find(options.recipe).side_pixels, record.min_side_pixels))


def on_network(tuning: Tuning, recipe: Recipe, record: BackboneRecord, image_size: int) -> Tuning:
    """The training on a network that may be another than the recipe's; raises as `sized_table`."""
    if isinstance(tuning.head, Head):
        recipe = replace(recipe, head=tuning.head)  # it, and not the recipe's own, must fit the network's last map
    there = for_network(recipe, sized_table(recipe, record, image_size))
    pairs = zip(tuning.phases, there.phases, strict=True)
    return replace(tuning, phases=tuple(replace(phase, freeze=other.freeze) for phase, other in pairs))


def sized_table(recipe: Recipe, network: BackboneRecord, image_size: int | None) -> LayerTable:
    """The network's layers at the size asked for, or at the recipe's.

    Raises:
        BadInput: the head's convolution does not fit the map there; the sentence names sizes at which it does.
    """
    side = side_pixels(image_size or max(recipe.side_pixels, network.min_side_pixels), network)
    table = layer_table(network, side, machine.cache_directory())
    wanted = wrong_map(recipe, table)
    if wanted is not None:
        check_size(recipe, table, _fitting_sides(recipe, network, table, wanted))
    return table


def _network(options: TrainOptions) -> BackboneRecord:
    """The network by its name or its file; of a family the one whose weights are here."""
    cache = machine.cache_directory()
    if options.weights not in (None, "random"):
        return resolve(options.backbone, Path(options.weights), cache)[0]
    here = {record.name for record, _ in all_here(cache)} & set(candidates(options.backbone))
    return find_backbone(here.pop() if len(here) == 1 else options.backbone)


def _head(options: TrainOptions, recipe: Recipe) -> Head:
    return recipe.head if options.head is None else parse_head(options.head)


def _phases(recipe: Recipe, epochs: int | tuple[int, ...] | None) -> tuple[Phase, ...]:
    if epochs is None:
        return recipe.phases
    wanted = epochs if isinstance(epochs, tuple) else (epochs,) * len(recipe.phases)
    if len(wanted) != len(recipe.phases):
        phases = len(recipe.phases)
        several = f", or {phases} numbers for the {phases} phases of {recipe.name}" if phases > 1 else ""
        raise BadInput(f"--epochs must be one number{several}, got {','.join(map(str, wanted))}.")
    return tuple(replace(phase, epochs=count) for phase, count in zip(recipe.phases, wanted, strict=True))


def _check_open(options: TrainOptions, recipe: Recipe) -> None:
    if said := [name for name in options.said() if name not in OPEN]:
        raise BadInput(
            f"With --recipe {recipe.name} the training must be as the recipe has it, got "
            f"{', '.join('--' + name.replace('_', '-') for name in said)}.",
            hint="Use --recipe finetune to choose these yourself; graft recipes show tells what the recipe does.",
        )


def _fitting_sides(recipe: Recipe, network: BackboneRecord, table: LayerTable, wanted: int) -> list[int]:
    """Sizes at which the network's last map has the side that the head needs: tried, not reckoned."""
    shape = table.without_top()[-1].shape
    if len(shape) != 3:
        return []
    stride = 2 ** round(np.log2(table.side_pixels / shape[0]))
    likely = dict.fromkeys((recipe.side_pixels, wanted * stride))
    found = []
    for side in likely:
        if side >= network.min_side_pixels and side != table.side_pixels:
            try:
                other = layer_table(network, side, machine.cache_directory())
            except BadInput:
                continue  # a network of one size
            found += [side] if wrong_map(recipe, other) is None else []
    return found
