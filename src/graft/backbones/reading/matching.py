"""Which network of the catalogue a weights file belongs to, judged by names and shapes alone."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.backbones.layouts import LayerLayout, Layout, Shape
from graft.backbones.reading.hdf5 import StoredLayer, by_name, refusal

NUMBER = re.compile(r"_\d+$")  # that Keras puts behind the kind of a layer without a name


@dataclass(frozen=True)
class Difference:
    """The first thing in which a file is not the network: `problem` completes "The weights file … "."""

    matched_layers: int
    problem: str


@dataclass(frozen=True)
class Found:
    """What a file holds of a network: full tensor name -> h5py.Dataset or array. `top` is empty or complete."""

    tensors: dict[str, Any]
    top: dict[str, Any]


def match_layers(layout: Layout, stored: tuple[StoredLayer, ...], source: str) -> Found | Difference:
    """Pair every tensor of the layout with a data set of the file, or say what differs first.

    Layers of the network's own top may be in the file too; any other layer makes it another network (VGG19 has all
    layers of VGG16, with equal shapes, and some between). A top of other shapes, trained for other classes, is left.
    """
    found: dict[str, Any] = {}
    lookup = _lookup(layout, stored, source)
    for count, layer in enumerate(layout.layers):
        each = lookup.get(layer.name)
        if each is None:
            return Difference(count, f"must have a layer {layer.name}, got none")
        if _shapes(each) != layer.shapes:
            return Difference(count, _shape_problem(layer, layer.shapes, _shapes(each)))
        found.update(_named(layer, each))
    allowed = {id(lookup[name]) for name in _allowed_names(layout) if name in lookup}
    surplus = next((layer for layer in stored if id(layer) not in allowed), None)
    if surplus is None:
        return Found(found, _top(layout, lookup))
    name = surplus.name or f"{surplus.kind} number {surplus.number}"
    return Difference(len(layout.layers), f"must have no layer besides the network's own, got {name[:80]!r}")


def match_tensors(layout: Layout, tensors: Mapping[str, Any]) -> Found | Difference:
    """Pair every tensor of the layout with one of the same full name, or say what differs first."""
    expected, top = layout.shapes(), layout.top_shapes()
    for count, (name, shape) in enumerate(expected.items()):
        if name not in tensors:
            return Difference(count, f"must have a tensor {name}, got none")
        if tuple(tensors[name].shape) != shape:
            return Difference(count, f"must have {name} of shape {shape}, got {tuple(tensors[name].shape)}")
    surplus = next((name for name in tensors if name not in expected and name not in top), None)
    if surplus is not None:
        return Difference(len(expected), f"must have no tensor besides the network's own, got {surplus[:80]!r}")
    has_top = all(name in tensors and tuple(tensors[name].shape) == shape for name, shape in top.items())
    return Found({name: tensors[name] for name in expected}, {name: tensors[name] for name in top} if has_top else {})


def choose(outcomes: Mapping[str, Found | Difference], names: Sequence[str], source: str) -> tuple[str, Found]:
    """The one network among `names` that fits; otherwise refuse, naming what differs from the nearest.

    `outcomes` may hold more networks than were asked for: one of them that fits makes a hint.
    """
    for name in names:
        if isinstance(outcome := outcomes[name], Found):
            return name, outcome
    differences = {name: each for name in names if isinstance(each := outcomes[name], Difference)}
    nearest = max(differences, key=lambda name: differences[name].matched_layers)
    fits = next((name for name, outcome in outcomes.items() if isinstance(outcome, Found)), None)
    raise refusal(
        source,
        f"does not fit {nearest}: it {differences[nearest].problem}",
        f"It fits {fits}: use --backbone {fits}." if fits else "Give weights that Keras saved for this network alone.",
    )


def _top(layout: Layout, lookup: Mapping[str, StoredLayer]) -> dict[str, Any]:
    """The tensors of the network's top, where the file has all of them in the network's own shapes."""
    stored = [(layer, lookup.get(layer.name)) for layer in layout.top]
    found: dict[str, Any] = {}
    for layer, each in stored:
        if each is None or _shapes(each) != layer.shapes:
            return {}
        found.update(_named(layer, each))
    return found


def _shapes(stored: StoredLayer) -> tuple[Shape, ...]:
    return tuple(tuple(dataset.shape) for dataset in stored.datasets)


def _named(layer: LayerLayout, stored: StoredLayer) -> dict[str, Any]:
    """The layer's data sets by their full names."""
    names = (f"{layer.name}/{name}" for name, _ in layer.weights)
    return dict(zip(names, stored.datasets, strict=True))


def _lookup(layout: Layout, stored: tuple[StoredLayer, ...], source: str) -> dict[str, StoredLayer]:
    """The file's layers by the network's names, whichever way the file identifies them.

    By name first. Keras numbers layers that were given no name by what was built before in the same process: among
    them the order counts, within each kind. Where all but the top is found, the rest of the file may be the top under
    other names (`fc1000`, `probs` in older releases).
    """
    named = by_name(stored, source)
    if len(named) != len(stored):
        return _numbered(layout, stored, source)
    spelt = {_spelling(name): each for name, each in named.items()}
    lookup: dict[str, StoredLayer] = {}
    nameless: list[LayerLayout] = []
    for layer in (*layout.layers, *layout.top):
        each = named.get(layer.name) or spelt.get(_spelling(layer.name))
        if each is None:
            nameless.append(layer)
        else:
            lookup[layer.name] = each
    taken = {id(each) for each in lookup.values()}
    free = sorted((each for each in stored if id(each) not in taken), key=lambda each: each.number)
    queues: dict[str, list[StoredLayer]] = {}
    for each in free:
        queues.setdefault(NUMBER.sub("", each.name or ""), []).append(each)
    for layer in nameless:
        if queue := queues.get(layer.kind):
            lookup[layer.name] = queue.pop(0)
            free.remove(lookup[layer.name])
    missing = [layer for layer in layout.top if layer.name not in lookup]
    if [layer.shapes for layer in missing] == [_shapes(each) for each in free]:
        lookup |= {layer.name: each for layer, each in zip(missing, free, strict=True)}
    return lookup


def _spelling(name: str) -> str:
    """A layer's name as Keras 3 spells it: before, the same layers were `Conv/BatchNorm`, `conv1/conv`."""
    return name.lower().replace("/", "_").replace("batchnorm", "bn")


def _numbered(layout: Layout, stored: tuple[StoredLayer, ...], source: str) -> dict[str, StoredLayer]:
    """Files of older Keras 3 releases tell a layer by its class and by how many of that class come before it."""
    places = {(layer.kind, layer.number): layer for layer in stored}
    if len(places) != len(stored) or any(layer.name is not None for layer in stored):
        raise refusal(source, "must identify all its layers in one way")
    counts: dict[str, int] = {}
    lookup: dict[str, StoredLayer] = {}
    for layer in (*layout.layers, *layout.top):
        number = counts.get(layer.kind, 0)
        counts[layer.kind] = number + 1
        if (layer.kind, number) in places:
            lookup[layer.name] = places[layer.kind, number]
    return lookup


def _allowed_names(layout: Layout) -> list[str]:
    return [layer.name for layer in (*layout.layers, *layout.top)]


def _shape_problem(layer: LayerLayout, expected: tuple[Shape, ...], shapes: tuple[Shape, ...]) -> str:
    if len(expected) != len(shapes):
        return f"must have {len(expected)} weights in layer {layer.name}, got {len(shapes)}"
    first = next(index for index, pair in enumerate(zip(expected, shapes, strict=True)) if pair[0] != pair[1])
    return f"must have {layer.weights[first][0]} of shape {expected[first]} in layer {layer.name}, got {shapes[first]}"
