"""Freezing in the user's words: which layers of a network stay as they are, and where that lets it be cut."""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

from annotated_types import Ge

from graft.backbones.catalogue import find
from graft.backbones.cuts import Cut
from graft.backbones.layers import Layer, LayerTable
from graft.core.errors import BadInput
from graft.core.records import record

NORMALIZATION = "BatchNormalization"  # Keras' name of the one kind that stays as it is wherever training begins
MEETINGS = frozenset({"Add", "Concatenate", "Multiply"})  # where branches become one map
POOLING = 1  # the global average pooling above the last layer, counted by `last` as the backbone's last layer


@record
class Freeze:
    """What the user said about freezing, in one of the field's ways."""

    kind: Literal["auto", "until", "last", "level", "all", "none"] = "auto"
    layer: str = ""  # until: the first layer that is trained
    count: Annotated[int, Ge(0)] = 0  # last: how many layers are trained; level: after which level training begins


@record
class Freezing:
    """A `Freeze` resolved on one network: each of its layers is frozen or trained, and each is on one side of a cut.

    The prefix and what lies between the cut and the first trained layer run in inference mode.
    """

    freeze: Freeze
    normalizes: bool = False  # whether BatchNormalization is trained with the layers around it
    trained: tuple[str, ...]  # layers whose weights change, from the input up; BatchNormalization only where it does
    normalizations: tuple[str, ...]  # BatchNormalization above the first trained layer, frozen all the same
    cut: Cut  # where the network is split; () where nothing that costs anything lies below the first trained layer
    prefix: tuple[str, ...]  # layers up to the cut: all frozen, computed once for each view
    recomputed: tuple[str, ...]  # between the cut and the first trained layer: frozen, but computed in each step
    n_trained_parameters: int
    n_frozen_parameters: int
    prefix_multiply_adds: int  # for one image
    suffix_multiply_adds: int
    cut_values: int  # numbers that one view of one image has at the cut; 0 where there is none

    @property
    def first_trained(self) -> str:
        """The lowest layer whose weights change; "" where the whole network is frozen."""
        return self.trained[0] if self.trained else ""


def resolve(
    table: LayerTable, freeze: Freeze, *, profile_layer: str | None = None, normalizes: bool = False
) -> Freezing:
    """What the words mean on this network.

    until: the named layer and all above it are trained. last: that many of the uppermost layers, poolings counted, the
    global average pooling that follows the network as the uppermost. level: all above that many levels of `map_levels`.
    all, none: every layer, no layer. auto: what lies above the highest cut at or below `profile_layer`, a tap that
    `graft.training.tuning.depth` chose from the depth profile; at least one layer. BatchNormalization among them stays
    as it is, unless it `normalizes`.

    Raises:
        BadInput: the words name nothing of this network, or nothing that can be trained.
    """
    layers = table.without_top()
    begin = _begin(table, freeze, profile_layer)
    trained = [layer for layer in layers[begin:] if can_be_trained(layer)]
    if not trained and freeze.kind != "none":
        raise _nothing_to_train(table)
    first = _position(layers, trained[0].name) if trained else len(layers)
    return _freezing(table, freeze, first, _best_cut(table, first), normalizes)


def cut_at(table: LayerTable, freezing: Freezing, cut: Cut) -> Freezing:
    """The same layers frozen with the network cut elsewhere, at or below where it is; () computes all from pixels."""
    layers = table.without_top()
    first = _position(layers, freezing.first_trained) if freezing.trained else len(layers)
    if cut and (cut not in table.cuts or _end(layers, cut) > first):
        raise ValueError(f"{cut} is no cut of {table.backbone} below {freezing.first_trained}")
    return _freezing(table, freezing.freeze, first, cut, freezing.normalizes)


def lower_cuts(table: LayerTable, freezing: Freezing) -> tuple[Freezing, ...]:
    """The same layers frozen, with the network cut lower, where that leaves fewer numbers to store: highest first.

    Each leaves more of the frozen part to compute in every step, and fewer numbers than all before it.
    """
    layers = table.without_top()
    found: list[Freezing] = []
    fewest = freezing.cut_values
    for cut in sorted(table.cuts, key=lambda cut: -_end(layers, cut)):
        end = _end(layers, cut)
        if end < _end(layers, freezing.cut) and _work(layers[:end]) and _values(table, cut) < fewest:
            fewest = _values(table, cut)
            found.append(cut_at(table, freezing, cut))
    return tuple(found)


def _freezing(table: LayerTable, freeze: Freeze, first: int, cut: Cut, normalizes: bool) -> Freezing:
    """What follows from training all that can be trained from position `first` on, and cutting there."""
    layers = table.without_top()
    above = [layer for layer in layers[first:] if layer.kind == NORMALIZATION]
    trained = [layer for layer in layers[first:] if can_be_trained(layer) or (normalizes and layer in above)]
    n_trained = sum(layer.trainable_parameters for layer in trained)
    end = _end(layers, cut)
    return Freezing(
        freeze=freeze,
        normalizes=normalizes,
        trained=_names(trained),
        normalizations=() if normalizes else _names(above),
        cut=cut,
        prefix=_names(layers[:end]),
        recomputed=_names(layers[end:first]),
        n_trained_parameters=n_trained,
        n_frozen_parameters=sum(layer.parameters for layer in layers) - n_trained,
        prefix_multiply_adds=_work(layers[:end]),
        suffix_multiply_adds=_work(layers[end:]),
        cut_values=_values(table, cut),
    )


def can_be_trained(layer: Layer) -> bool:
    """Whether the layer has weights that may change; BatchNormalization's may not."""
    return layer.trainable_parameters > 0 and layer.kind != NORMALIZATION


def map_levels(layers: Sequence[Layer]) -> tuple[int, ...]:
    """The feature-map level of each layer, counted from 1 at the input.

    A level ends where layers with weights go on with maps of two thirds of the side, or less, that it began with:
    convolutions without padding shave a few pixels off, which makes no new level. A layer without weights belongs to
    the level it ends, as VGG's poolings do. Maps that are small in a side branch only, as where channels are weighed,
    make no level.
    """
    levels: list[int] = []
    level, began = 1, 0
    for layer, side in zip(layers, _working_sides(layers), strict=True):
        if layer.trainable_parameters and side:
            if 3 * side <= 2 * began:
                level += 1
            if began == 0 or 3 * side <= 2 * began:
                began = side
        levels.append(level)
    return tuple(levels)


def _working_sides(layers: Sequence[Layer]) -> list[int]:
    """For each layer the largest side of a map that is there or above, after a layer with weights; 0 where none is.

    Or after one where branches meet: the small maps of a side branch are no map that the network goes on with.
    """
    sides: list[int] = []
    for layer in reversed(layers):
        works = layer.trainable_parameters > 0 or layer.kind in MEETINGS
        side = layer.shape[0] if works and len(layer.shape) == 3 else 0
        sides.append(max(side, sides[-1] if sides else 0))
    return sides[::-1]


def _begin(table: LayerTable, freeze: Freeze, profile_layer: str | None) -> int:
    """Position of the first layer that the words set free, trained or not."""
    layers = table.without_top()
    if freeze.kind == "all":
        return 0
    if freeze.kind == "none":
        return len(layers)
    if freeze.kind == "until":
        return _named(table, freeze.layer)
    if freeze.kind == "last":
        return _last(table, freeze.count)
    if freeze.kind == "level":
        return _above_level(table, freeze.count)
    if profile_layer is None:
        raise ValueError("freeze auto needs the layer that the depth profile chose")
    # A tap may lie above all that can be trained, as that of an activation after the last addition does.
    tap = min(_named(table, profile_layer), _position(layers, _highest(table).name) - 1)
    return _end(layers, _cut_below(table, tap + 1))


def _named(table: LayerTable, name: str) -> int:
    layer = table.find(name)
    if layer.top:
        raise BadInput(
            f"Training must begin below the network's own classifier, got {name}.",
            hint=f"Its highest layer with weights is {_highest(table).name}.",
        )
    return _position(table.without_top(), name)


def _last(table: LayerTable, count: int) -> int:
    most = len(table.without_top()) + POOLING
    if not 1 <= count <= most:
        raise BadInput(
            f"The number of last layers to train must be 1 to {most} for {_title(table)}, got {count}.",
            hint="Use --unfreeze none to train the new classifier alone.",
        )
    return most - count


def _above_level(table: LayerTable, count: int) -> int:
    """Position of the first layer above so many levels."""
    layers = table.without_top()
    levels = map_levels(layers)
    highest = levels[_position(layers, _highest(table).name)]
    if count >= highest == 1:
        raise BadInput(
            f"The network must have maps of several sizes for levels, got {_title(table)}, whose maps have one size.",
            hint="Use --freeze-until LAYER or --unfreeze-last N.",
        )
    if count >= highest:
        raise BadInput(
            f"The level to freeze up to must be 0 to {highest - 1} for {_title(table)}, got {count}.",
            hint="Use --unfreeze none to train the new classifier alone.",
        )
    return next(place for place, level in enumerate(levels) if level > count)


def _nothing_to_train(table: LayerTable) -> BadInput:
    layers, highest = table.without_top(), _highest(table)
    last = len(layers) + POOLING - _position(layers, highest.name)
    return BadInput(
        f"The layers to train must reach down to {highest.name}, the highest one of {_title(table)} whose weights may "
        "change, got only layers above it.",
        hint=f"Use --freeze-until {highest.name}, --unfreeze-last {last}, or --unfreeze none to train the new "
        "classifier alone.",
    )


def _highest(table: LayerTable) -> Layer:
    return [layer for layer in table.without_top() if can_be_trained(layer)][-1]


def _cut_below(table: LayerTable, first: int) -> Cut:
    """The highest cut below position `first`."""
    layers = table.without_top()
    below = [cut for cut in table.cuts if _end(layers, cut) <= first]
    return max(below, key=lambda cut: _end(layers, cut), default=())


def _best_cut(table: LayerTable, first: int) -> Cut:
    """The cut below position `first` that leaves least to compute above it; of equals the one with fewest numbers.

    Padding and activations cost next to nothing: what lies below them may be smaller. () where no cut saves anything.
    """
    layers = table.without_top()
    below = [cut for cut in table.cuts if _end(layers, cut) <= first and _work(layers[: _end(layers, cut)])]
    return max(
        below, key=lambda cut: (_work(layers[: _end(layers, cut)]), -_values(table, cut), _end(layers, cut)), default=()
    )


def _values(table: LayerTable, cut: Cut) -> int:
    return sum(math.prod(table.find(name).shape) for name in cut)


def _end(layers: Sequence[Layer], cut: Cut) -> int:
    """How many layers lie below a cut, its own counted. In the order of the table, all up to the last of them do."""
    return max((_position(layers, name) + 1 for name in cut), default=0)


def _position(layers: Sequence[Layer], name: str) -> int:
    return next(place for place, layer in enumerate(layers) if layer.name == name)


def _names(layers: Sequence[Layer]) -> tuple[str, ...]:
    return tuple(layer.name for layer in layers)


def _work(layers: Sequence[Layer]) -> int:
    return sum(layer.multiply_adds for layer in layers)


def _title(table: LayerTable) -> str:
    return f"{find(table.backbone).title} at {table.side_pixels} px"
