"""Which weights a network has: layer by layer, name and shape, known without building the network.

`assets/layouts` holds what was measured on the built networks, a file for each family, so that a weights file or a
bundle can be checked in milliseconds, before anything is allocated and without Keras. After a change of the catalogue
write them anew with `python -m graft.backbones.layouts [FAMILY…]`; a contract test compares every layer with the
network.
"""

import json
import math
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from graft.backbones.naming import snake_case
from graft.backbones.records import BackboneRecord
from graft.core.files import write_atomic

LAYOUTS = Path(__file__).parent / "assets" / "layouts"
Shape = tuple[int, ...]
# Weights that a network tracks, or was given, and does not learn.
TRACKED = frozenset(
    {"moving_mean", "moving_variance", "moving_stddev", "renorm_mean", "renorm_stddev", "mean", "variance", "count"}
)


@dataclass(frozen=True)
class LayerLayout:
    """One layer that has weights. `kind` is Keras' class name in snake case, by which its files number layers."""

    name: str
    kind: str
    weights: tuple[tuple[str, Shape], ...]  # (kernel, (3, 3, 3, 32)), … in Keras' order

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """Shapes alone, in the same order."""
        return tuple(shape for _, shape in self.weights)


@dataclass(frozen=True)
class Layout:
    """The layers with weights of a network without its top, in Keras' order, and those its top adds."""

    layers: tuple[LayerLayout, ...]
    top: tuple[LayerLayout, ...]

    def shapes(self) -> dict[str, Shape]:
        """Shape of each tensor by its full name, `conv1/kernel`; without the top."""
        return _shapes(self.layers)

    def top_shapes(self) -> dict[str, Shape]:
        """Shape of each tensor of the top by its full name, `predictions/kernel`."""
        return _shapes(self.top)


def layout(record: BackboneRecord) -> Layout:
    """The record's layout: as stored, or measured on the built network where nothing is."""
    stored = _stored(record.family).get(record.name)
    return stored if stored is not None else measure(record)


def learned_parameters(record: BackboneRecord, *, top: bool = False) -> int:
    """Parameters that training can change, as torch counts them, without the network's `top` or with it.

    A record's own figures count as Keras does: what is tracked, as by BatchNormalization, too.
    """
    known = layout(record)
    shapes = known.shapes() | (known.top_shapes() if top else {})
    return sum(math.prod(shape) for name, shape in shapes.items() if name.rpartition("/")[2] not in TRACKED)


def measure(record: BackboneRecord) -> Layout:
    """The layout as the built network shows it. Imports Keras."""
    from graft.backbones.networks import build

    layers = weighted_layers(build(record, side_pixels=record.min_side_pixels))
    if record.parameters_with_top is None:
        return Layout(layers, ())
    # At its own side: a top that flattens the last map (VGG) has weights for that one only.
    whole = weighted_layers(build(record, side_pixels=record.side_pixels, include_top=True))
    return Layout(layers, whole[len(layers) :])


def _shapes(layers: tuple[LayerLayout, ...]) -> dict[str, Shape]:
    return {f"{layer.name}/{name}": shape for layer in layers for name, shape in layer.weights}


def main(families: list[str]) -> None:
    """Write the files of the named families anew from the networks, or of all."""
    from graft.backbones.catalogue import catalogue

    for family in families or sorted({record.family for record in catalogue().values()}):
        measured = {name: measure(record) for name, record in catalogue().items() if record.family == family}
        write_atomic(LAYOUTS / f"{family}.json", _encode(measured).encode(), writer="layouts")


def weighted_layers(model: Any) -> tuple[LayerLayout, ...]:
    """The layers of a built network that have weights, in Keras' order."""
    return tuple(
        LayerLayout(
            layer.name,
            snake_case(type(layer).__name__),
            tuple((weight.name, tuple(weight.shape)) for weight in layer.weights),
        )
        for layer in model.layers
        if layer.weights
    )


def _encode(layouts: dict[str, Layout]) -> str:
    """JSON with one network a line; kinds and shapes stand once, layers refer to them by number."""
    every = [layer for each in layouts.values() for layer in (*each.layers, *each.top)]
    kinds = list(dict.fromkeys((layer.kind, tuple(name for name, _ in layer.weights)) for layer in every))
    shapes = list(dict.fromkeys(shape for layer in every for _, shape in layer.weights))
    kind_number = {kind: number for number, kind in enumerate(kinds)}
    shape_number = {shape: number for number, shape in enumerate(shapes)}

    def encoded(layers: tuple[LayerLayout, ...]) -> list[Any]:
        return [
            [
                layer.name,
                kind_number[layer.kind, tuple(name for name, _ in layer.weights)],
                *(shape_number[shape] for _, shape in layer.weights),
            ]
            for layer in layers
        ]

    networks = {name: {"layers": encoded(each.layers), "top": encoded(each.top)} for name, each in layouts.items()}
    lines = ",\n".join(f"{json.dumps(name)}: {_compact(value)}" for name, value in networks.items())
    return f'{{"kinds": {_compact(kinds)},\n"shapes": {_compact(shapes)},\n"networks": {{\n{lines}\n}}}}\n'


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


@cache
def _stored(family: str) -> dict[str, Layout]:
    """The stored layouts of one family, by network."""
    path = LAYOUTS / f"{family}.json"
    if not path.is_file():
        return {}
    value = json.loads(path.read_bytes())
    kinds = [(kind, tuple(names)) for kind, names in value["kinds"]]
    shapes = [tuple(shape) for shape in value["shapes"]]

    def decoded(layers: list[Any]) -> tuple[LayerLayout, ...]:
        result = []
        for name, number, *of_weights in layers:
            kind, names = kinds[number]
            weights = tuple(zip(names, (shapes[each] for each in of_weights), strict=True))
            result.append(LayerLayout(name, kind, weights))
        return tuple(result)

    return {name: Layout(decoded(each["layers"]), decoded(each["top"])) for name, each in value["networks"].items()}


if __name__ == "__main__":
    main(sys.argv[1:])
