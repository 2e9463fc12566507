"""What a recipe is on a certain network: its layers, which of them each phase trains, and how many parameters."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

from graft.backbones.freezing import Freeze, Freezing, can_be_trained, map_levels, resolve
from graft.backbones.layers import Layer, LayerTable
from graft.core.errors import BadInput
from graft.core.records import record
from graft.training.heads.shapes import HeadLayer, head_layers, units_of
from graft.training.recipes.records import Recipe
from graft.training.tuning.records import Phase

HEAD_NORMALIZATION = "BatchNormalization"


@record
class SystemLayer:
    """One layer of the whole network, the head's included."""

    number: int  # from 0, the input
    name: str
    kind: str  # Keras' name of the class
    shape: tuple[int, ...]  # of its output, without the batch
    parameters: int
    trained: tuple[bool, ...]  # in each phase
    head: bool


@record
class PhaseFigures:
    """What one phase trains."""

    name: str
    first_trained: str  # the lowest layer of the backbone whose weights change; "" where the head alone is trained
    trainable_parameters: int
    frozen_parameters: int
    trainable_tensors: int  # weights that change: a kernel and its bias are two
    prefix_multiply_adds: int  # for one image: computed once for each view
    suffix_multiply_adds: int  # computed in each step, the head's included
    trained_multiply_adds: int  # of those, in layers whose weights change


@record
class SystemFigures:
    """A recipe's network with its head, at one size, for a number of classes."""

    SCHEMA: ClassVar[str] = "graft/recipe-figures/1"
    backbone: str
    side_pixels: int
    classes: int
    map_shape: tuple[int, ...]  # that the head reads
    layers: tuple[SystemLayer, ...]
    parameters: int
    trainable_tensors: int  # where nothing is frozen
    phases: tuple[PhaseFigures, ...]


def for_network(recipe: Recipe, table: LayerTable) -> Recipe:
    """The recipe on the network of `table`: with another than its own, that one's preprocessing and layers.

    Where a phase begins at a layer that the network has not, or counts the recipe's own layers, it begins at its
    uppermost feature-map level instead: what those words mean in VGG.
    """
    if table.backbone == recipe.backbone:
        return recipe
    return replace(
        recipe,
        backbone=table.backbone,
        preprocessing="backbone",
        phases=tuple(replace(phase, freeze=_freeze_for(phase.freeze, table)) for phase in recipe.phases),
    )


def figures(recipe: Recipe, table: LayerTable, *, classes: int, binary_units: int = 1) -> SystemFigures:
    """All layers and counts of a recipe on the network of `table`.

    Raises:
        BadInput: the head does not fit the network's last map, or a phase's words name nothing of this network.
    """
    recipe = for_network(recipe, table)
    map_shape = table.without_top()[-1].shape
    taken = [layer.name for layer in table.without_top()]
    head = head_layers(recipe.head, map_shape, units_of(classes, binary_units=binary_units), taken)
    freezings = [resolve(table, phase.freeze) for phase in recipe.phases]
    trained = [_trained(phase, freezing, head) for phase, freezing in zip(recipe.phases, freezings, strict=True)]
    return SystemFigures(
        backbone=table.backbone,
        side_pixels=table.side_pixels,
        classes=classes,
        map_shape=map_shape,
        layers=_layers(table, head, trained),
        parameters=sum(layer.parameters for layer in _whole(table, head)),
        trainable_tensors=sum(layer.trainable_tensors for layer in _whole(table, head)),
        phases=tuple(
            _phase(phase, freezing, table, head, names)
            for phase, freezing, names in zip(recipe.phases, freezings, trained, strict=True)
        ),
    )


def wrong_map(recipe: Recipe, table: LayerTable) -> int | None:
    """The side in pixels of the map that the head's first convolution needs, where the network gives another."""
    shape = table.without_top()[-1].shape
    for layer in recipe.head.layers:
        if layer.kind == "convolution":
            return layer.kernel_pixels if shape[:-1] != (layer.kernel_pixels,) * 2 else None
    return None


def _whole(table: LayerTable, head: Sequence[HeadLayer]) -> list[Layer | HeadLayer]:
    """Backbone and head, from the input up."""
    return [*table.without_top(), *head]


def _freeze_for(freeze: Freeze, table: LayerTable) -> Freeze:
    names = {layer.name for layer in table.without_top()}
    if freeze.kind not in ("until", "last") or freeze.layer in names:
        return freeze
    layers = table.without_top()
    levels = map_levels(layers)
    highest = max(level for level, layer in zip(levels, layers, strict=True) if can_be_trained(layer))
    return Freeze(kind="level", count=highest - 1) if highest > 1 else Freeze(kind="all")


def _trained(phase: Phase, freezing: Freezing, head: Sequence[HeadLayer]) -> frozenset[str]:
    """Names of the layers that a phase trains."""
    learns = phase.batch_normalization == "trained"
    of_head = [
        layer.name for layer in head if layer.trainable_parameters and (learns or layer.kind != HEAD_NORMALIZATION)
    ]
    return frozenset((*freezing.trained, *(freezing.normalizations if learns else ()), *of_head))


def _layers(table: LayerTable, head: Sequence[HeadLayer], trained: Sequence[frozenset[str]]) -> tuple[SystemLayer, ...]:
    below = table.without_top()
    rows = [(layer.name, layer.kind, layer.shape, layer.parameters, False) for layer in below]
    rows += [(layer.name, layer.kind, layer.shape, layer.parameters, True) for layer in head]
    return tuple(
        SystemLayer(
            number=number,
            name=name,
            kind=kind,
            shape=shape,
            parameters=parameters,
            trained=tuple(name in names for names in trained),
            head=of_head,
        )
        for number, (name, kind, shape, parameters, of_head) in enumerate(rows)
    )


def _phase(
    phase: Phase, freezing: Freezing, table: LayerTable, head: Sequence[HeadLayer], names: frozenset[str]
) -> PhaseFigures:
    layers = _whole(table, head)
    trained = [layer for layer in layers if layer.name in names]
    n_trained = sum(layer.trainable_parameters for layer in trained)
    return PhaseFigures(
        name=phase.name,
        first_trained=freezing.first_trained,
        trainable_parameters=n_trained,
        frozen_parameters=sum(layer.parameters for layer in layers) - n_trained,
        trainable_tensors=sum(layer.trainable_tensors for layer in trained),
        prefix_multiply_adds=freezing.prefix_multiply_adds,
        suffix_multiply_adds=freezing.suffix_multiply_adds + sum(layer.multiply_adds for layer in head),
        trained_multiply_adds=sum(layer.multiply_adds for layer in trained),
    )


def check_size(recipe: Recipe, table: LayerTable, fitting_sides: Sequence[int]) -> None:
    """Refuse a size at which the head's convolution does not fit; `fitting_sides` are sizes at which it does."""
    side = wrong_map(recipe, table)
    if side is None:
        return
    shape = table.without_top()[-1].shape
    sizes = " or ".join(map(str, fitting_sides))
    raise BadInput(
        f"The head of {recipe.name} must read a map of {side} x {side}, got {' x '.join(map(str, shape[:-1]))} from "
        f"{table.backbone} at {table.side_pixels} pixels.",
        hint=f"Use --image-size {sizes}." if sizes else f"Choose a network that has such a map, as {recipe.backbone}.",
    )
