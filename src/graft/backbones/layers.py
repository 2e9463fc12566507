"""The layers of a network as a table: name, kind, shape, parameters, work, cuts; known to a process without Keras.

Building a network takes Keras, so it happens in a child process, once: the table is kept in the cache.
"""

import difflib
import json
import math
from importlib import metadata
from pathlib import Path
from typing import Any, ClassVar

from graft.backbones.catalogue import find
from graft.backbones.cuts import Cut, wide_cuts
from graft.backbones.records import BackboneRecord
from graft.core.child import run_child, serve_child
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.files import make_directory, mark_used, write_atomic
from graft.core.hashing import sha256_json
from graft.core.records import from_json, from_sealed_json, record, to_sealed_json, to_value

VERSION = 3  # raise it when the same network would give another table
BUILD_SECONDS = 600.0
FOLDER = "layers"  # in the cache


@record
class Layer:
    """One layer, as Keras counts them. `shape` is its output's, without the batch, channels last."""

    number: int  # from 0, the input
    name: str
    kind: str  # Keras' name of the class: Conv2D
    shape: tuple[int, ...]
    parameters: int
    trainable_parameters: int  # when nothing is frozen: without statistics that are tracked, not learned
    trainable_tensors: int = 0  # those of them that are weights of their own, as a kernel and a bias
    multiply_adds: int = 0  # for one image; see graft.backbones.measuring
    top: bool = False  # of the network's own classifier


@record
class LayerTable:
    """All layers of a network at one size, from the input to the last of its own classifier."""

    SCHEMA: ClassVar[str] = "graft/layers/3"
    backbone: str
    side_pixels: int
    layers: tuple[Layer, ...]
    cuts: tuple[Cut, ...]  # of the network without its classifier, from the input to its last layer

    def find(self, name: str) -> Layer:
        """The layer of this name; `BadInput` not_found names the nearest."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        nearest = difflib.get_close_matches(name, [layer.name for layer in self.layers], n=3, cutoff=0.4)
        raise BadInput(
            f"The layer must be one of {self.backbone}'s, got {name[:80]!r}.",
            hint=f"Nearest: {', '.join(nearest)}."
            if nearest
            else f"See: graft features --list-layers --backbone {self.backbone}.",
            code="not_found",
        )

    def without_top(self) -> tuple[Layer, ...]:
        """The layers that are there without the network's own classifier."""
        return tuple(layer for layer in self.layers if not layer.top)


def layer_table(backbone: BackboneRecord, side_pixels: int, cache: Path) -> LayerTable:
    """The table from `cache`, made there first by a child process where it is missing or damaged.

    Raises: `BadInput` where the network cannot have this size, `ResourceProblem` where it cannot be built here.
    """
    path = cache / FOLDER / f"{_key(backbone, side_pixels)[:32]}.json"
    try:
        known = from_sealed_json(LayerTable, path.read_bytes(), source=str(path))
        mark_used(path)
        return known
    except (OSError, IntegrityProblem):
        pass  # made (again) below
    answer = run_child(
        "graft.backbones.layers",
        {"backbone": backbone.name, "side_pixels": side_pixels},
        environment={"KERAS_BACKEND": "openvino", "KERAS_HOME": str(cache / "keras")},
        timeout_seconds=BUILD_SECONDS,
        task=f"Listing the layers of {backbone.title}",
    )
    table = from_json(LayerTable, json.dumps(answer).encode(), source="child")
    make_directory(path.parent)
    write_atomic(path, to_sealed_json(table), writer="record")
    return table


def measure(backbone: BackboneRecord, side_pixels: int) -> LayerTable:
    """The table as the built network shows it. Imports Keras."""
    from graft.backbones.networks import build

    plain = build(backbone, side_pixels=side_pixels)
    if backbone.parameters_with_top is None:
        return table_of(backbone, side_pixels, plain, plain)
    # At its own side: a top that flattens the last map (VGG) has weights for that one only.
    return table_of(backbone, side_pixels, plain, build(backbone, side_pixels=backbone.side_pixels, include_top=True))


def table_of(backbone: BackboneRecord, side_pixels: int, plain: Any, whole: Any) -> LayerTable:
    """The table of a built network, and of the same `whole` with its own classifier, be it of another side."""
    from graft.backbones.measuring import layer_multiply_adds

    known = {layer.name: layer for layer in plain.layers}
    layers = [
        Layer(
            number=number,
            name=layer.name,
            kind=type(layer).__name__,
            shape=_shape(layer),
            parameters=int(layer.count_params()),
            trainable_parameters=sum(math.prod(weight.shape) for weight in layer.trainable_weights),
            trainable_tensors=len(layer.trainable_weights),
            multiply_adds=layer_multiply_adds(layer),
            top=layer.name not in known,
        )
        for number, layer in enumerate(known.get(layer.name, layer) for layer in whole.layers)
    ]
    cuts = wide_cuts(plain, tensors=backbone.cut_tensors)
    return LayerTable(backbone=backbone.name, side_pixels=side_pixels, layers=tuple(layers), cuts=cuts)


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Answer `layer_table`."""
    return dict(to_value(measure(find(job["backbone"]), job["side_pixels"])))


def _shape(layer: Any) -> tuple[int, ...]:
    """Of the first output: no layer of the catalogue's networks has two."""
    output = layer.output[0] if isinstance(layer.output, list | tuple) else layer.output
    return tuple(int(length or 0) for length in output.shape[1:])


def _key(backbone: BackboneRecord, side_pixels: int) -> str:
    return sha256_json(
        {
            "constructor": backbone.constructor,
            "options": [list(option) for option in backbone.options],
            "side_pixels": side_pixels,
            "keras": metadata.version("keras"),
            "version": VERSION,
        }
    )


if __name__ == "__main__":
    serve_child(main)
