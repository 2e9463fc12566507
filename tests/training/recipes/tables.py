"""Layer tables of the recipes' networks, built once in this process and without their own classifiers."""

from functools import cache

from graft.backbones.catalogue import find
from graft.backbones.layers import LayerTable, table_of
from graft.backbones.networks import build
from graft.training.recipes.records import Recipe


@cache
def table(backbone: str, side_pixels: int) -> LayerTable:
    """The layers of a network at a size."""
    record = find(backbone)
    model = build(record, side_pixels=side_pixels)
    return table_of(record, side_pixels, model, model)


def own_table(recipe: Recipe) -> LayerTable:
    """The layers of a recipe's own network at its own size."""
    return table(recipe.backbone, recipe.side_pixels)
