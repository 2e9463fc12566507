"""Which weights a network has: layer by layer, name and shape, known without building the network.

`assets/layouts.json` holds what was measured on the built networks, so that a weights file or a bundle can be checked
in milliseconds, before anything is allocated and without Keras. After a change of the catalogue write it anew with
`python -m graft.backbones.layouts`; a contract test compares every line with the network.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from graft.backbones.records import BackboneRecord
from graft.core.files import write_atomic

LAYOUTS_PATH = Path(__file__).parent / "assets" / "layouts.json"
Shape = tuple[int, ...]


@dataclass(frozen=True)
class LayerLayout:
    """One layer that has weights. `kind` is Keras' class name in snake case, by which its files number layers."""

    name: str
    kind: str
    weights: tuple[tuple[str, Shape], ...]  # (kernel, (3, 3, 3, 32)), … in Keras' order


@dataclass(frozen=True)
class Layout:
    """The layers with weights of a network without its top, in Keras' order, and those its top adds."""

    layers: tuple[LayerLayout, ...]
    top: tuple[tuple[str, str], ...]  # (name, kind)

    def shapes(self) -> dict[str, Shape]:
        """Shape of each tensor by its full name, `conv1/kernel`; without the top."""
        return {f"{layer.name}/{name}": shape for layer in self.layers for name, shape in layer.weights}


def layout(record: BackboneRecord) -> Layout:
    """The record's layout: from the stored table, or measured on the built network where the table lacks it."""
    stored = _stored().get(record.name)
    return stored if stored is not None else measure(record)


def measure(record: BackboneRecord) -> Layout:
    """The layout as the built network shows it. Imports Keras."""
    from graft.backbones.networks import build

    layers = _weighted_layers(build(record, side_pixels=record.min_side_pixels))
    if record.parameters_with_top is None:
        return Layout(layers, ())
    whole = _weighted_layers(build(record, side_pixels=record.min_side_pixels, include_top=True))
    return Layout(layers, tuple((layer.name, layer.kind) for layer in whole[len(layers) :]))


def main() -> None:
    """Write the table anew from the networks."""
    from graft.backbones.catalogue import catalogue

    measured = {name: measure(record) for name, record in catalogue().items()}
    write_atomic(LAYOUTS_PATH, _encode(measured).encode(), writer="layouts")


def _weighted_layers(model: Any) -> tuple[LayerLayout, ...]:
    return tuple(
        LayerLayout(
            layer.name,
            snake_case(type(layer).__name__),
            tuple((weight.name, tuple(weight.shape)) for weight in layer.weights),
        )
        for layer in model.layers
        if layer.weights
    )


def snake_case(class_name: str) -> str:
    """A class name as Keras' weight files write it: `DepthwiseConv2D` becomes `depthwise_conv2d`."""
    return re.sub(r"(?<=.)([A-Z][a-z]+)", r"_\1", class_name).lower()


def _encode(layouts: dict[str, Layout]) -> str:
    """JSON with one layer a line, so that a change is readable."""
    blocks = []
    for name, each in layouts.items():
        layers = ",\n".join(json.dumps([layer.name, layer.kind, dict(layer.weights)]) for layer in each.layers)
        blocks.append(f'"{name}": {{"top": {json.dumps(each.top)}, "layers": [\n{layers}\n]}}')
    return "{\n" + ",\n".join(blocks) + "\n}\n"


@cache
def _stored() -> dict[str, Layout]:
    stored = json.loads(LAYOUTS_PATH.read_bytes())
    return {name: _decode(value) for name, value in stored.items()}


def _decode(value: dict[str, Any]) -> Layout:
    layers = tuple(
        LayerLayout(name, kind, tuple((weight, tuple(shape)) for weight, shape in weights.items()))
        for name, kind, weights in value["layers"]
    )
    return Layout(layers, tuple((name, kind) for name, kind in value["top"]))


if __name__ == "__main__":
    main()
