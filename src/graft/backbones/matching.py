"""Which network of the catalogue a weights file belongs to, judged by names and shapes alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.backbones.hdf5 import StoredLayer, by_name, refusal
from graft.backbones.layouts import LayerLayout, Layout, Shape

# Keras numbers the names of layers that were given none, by what was built before in the same process.
AUTO_NAMED_KINDS = frozenset({"normalization"})


@dataclass(frozen=True)
class Difference:
    """The first thing in which a file is not the network: `problem` completes "The weights file … "."""

    matched_layers: int
    problem: str


Found = dict[str, Any]  # full tensor name -> h5py.Dataset or array


def match_layers(layout: Layout, stored: tuple[StoredLayer, ...], source: str) -> Found | Difference:
    """Pair every tensor of the layout with a data set of the file, or say what differs first.

    Layers of the network's own top may be in the file too; any other layer makes it another network (VGG19 has all
    layers of VGG16, with equal shapes, and some between).
    """
    found: Found = {}
    lookup = _lookup(layout, stored, source)
    for count, layer in enumerate(layout.layers):
        each = lookup.get(layer.name)
        if each is None:
            return Difference(count, f"must have a layer {layer.name}, got none")
        shapes = tuple(tuple(dataset.shape) for dataset in each.datasets)
        expected = tuple(shape for _, shape in layer.weights)
        if shapes != expected:
            return Difference(count, _shape_problem(layer, expected, shapes))
        names = (f"{layer.name}/{name}" for name, _ in layer.weights)
        found.update(zip(names, each.datasets, strict=True))
    allowed = {id(lookup[name]) for name in _allowed_names(layout) if name in lookup}
    surplus = next((layer for layer in stored if id(layer) not in allowed), None)
    if surplus is None:
        return found
    name = surplus.name or f"{surplus.kind} number {surplus.number}"
    return Difference(len(layout.layers), f"must have no layer besides the network's own, got {name[:80]!r}")


def match_tensors(layout: Layout, tensors: Mapping[str, Any]) -> Found | Difference:
    """Pair every tensor of the layout with one of the same full name, or say what differs first."""
    expected = layout.shapes()
    for count, (name, shape) in enumerate(expected.items()):
        if name not in tensors:
            return Difference(count, f"must have a tensor {name}, got none")
        if tuple(tensors[name].shape) != shape:
            return Difference(count, f"must have {name} of shape {shape}, got {tuple(tensors[name].shape)}")
    surplus = next((name for name in tensors if name not in expected), None)
    if surplus is not None:
        return Difference(len(expected), f"must have no tensor besides the network's own, got {surplus[:80]!r}")
    return {name: tensors[name] for name in expected}


def choose(outcomes: Mapping[str, Found | Difference], names: Sequence[str], source: str) -> tuple[str, Found]:
    """The one network among `names` that fits; otherwise refuse, naming what differs from the nearest.

    `outcomes` may hold more networks than were asked for: one of them that fits makes a hint.
    """
    for name in names:
        if isinstance(outcome := outcomes[name], dict):
            return name, outcome
    differences = {name: each for name in names if isinstance(each := outcomes[name], Difference)}
    nearest = max(differences, key=lambda name: differences[name].matched_layers)
    fits = next((name for name, outcome in outcomes.items() if isinstance(outcome, dict)), None)
    raise refusal(
        source,
        f"does not fit {nearest}: it {differences[nearest].problem}",
        f"It fits {fits}: use --backbone {fits}." if fits else "Give weights that Keras saved for this network alone.",
    )


def _lookup(layout: Layout, stored: tuple[StoredLayer, ...], source: str) -> dict[str, StoredLayer]:
    """The file's layers by the network's names, whichever way the file identifies them."""
    named = by_name(stored, source)
    if len(named) != len(stored):
        return _numbered(layout, stored, source)
    lookup = dict(named)
    for layer in layout.layers:
        if layer.kind in AUTO_NAMED_KINDS and layer.name not in lookup:
            pattern = re.compile(rf"{layer.kind}(_\d+)?")
            matches = [each for name, each in named.items() if pattern.fullmatch(name)]
            if len(matches) == 1:
                lookup[layer.name] = matches[0]
    return lookup


def _numbered(layout: Layout, stored: tuple[StoredLayer, ...], source: str) -> dict[str, StoredLayer]:
    """Files of older Keras 3 releases tell a layer by its class and by how many of that class come before it."""
    places = {(layer.kind, layer.number): layer for layer in stored}
    if len(places) != len(stored) or any(layer.name is not None for layer in stored):
        raise refusal(source, "must identify all its layers in one way")
    counts: dict[str, int] = {}
    lookup: dict[str, StoredLayer] = {}
    for name, kind in [*((layer.name, layer.kind) for layer in layout.layers), *layout.top]:
        number = counts.get(kind, 0)
        counts[kind] = number + 1
        if (kind, number) in places:
            lookup[name] = places[kind, number]
    return lookup


def _allowed_names(layout: Layout) -> list[str]:
    return [*(layer.name for layer in layout.layers), *(name for name, _ in layout.top)]


def _shape_problem(layer: LayerLayout, expected: tuple[Shape, ...], shapes: tuple[Shape, ...]) -> str:
    if len(expected) != len(shapes):
        return f"must have {len(expected)} weights in layer {layer.name}, got {len(shapes)}"
    first = next(index for index, pair in enumerate(zip(expected, shapes, strict=True)) if pair[0] != pair[1])
    return f"must have {layer.weights[first][0]} of shape {expected[first]} in layer {layer.name}, got {shapes[first]}"
