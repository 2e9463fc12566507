"""What a network costs, counted on the built network: `python -m graft.backbones.measuring [NAME…]` prints it.

The figures stand in `families/measured.py`; the slow contract tests count them again.
"""

import math
import sys
from typing import Any

from graft.backbones.catalogue import catalogue
from graft.backbones.cuts import wide_cuts
from graft.backbones.networks import build
from graft.backbones.records import BackboneRecord


def multiply_adds(model: Any) -> int:
    """Multiplications with a weight, one image: of convolutions and dense layers, at every place they are applied.

    And those of tokens with tokens, where these look at each other. Normalisations, activations, poolings and additions
    are not counted, as papers count. `model` is channels-last.
    """
    return sum(map(layer_multiply_adds, model.layers))


def layer_multiply_adds(layer: Any) -> int:
    """What one layer adds to `multiply_adds`. A layer of ours that has no kernel says itself what it takes."""
    own: int | None = getattr(layer, "multiply_adds", None)
    if own is not None:
        return own
    places = math.prod(layer.output.shape[1:-1])
    return int(places * sum(math.prod(weight.shape) for weight in layer.weights if len(weight.shape) > 1))


def measure(record: BackboneRecord) -> tuple[int, int]:
    """Multiply-adds for one image of the record's own side, and the number of places where it can be cut."""
    model = build(record, side_pixels=record.side_pixels)
    return multiply_adds(model), len(wide_cuts(model, tensors=record.cut_tensors))


def main(names: list[str]) -> None:
    """Print the figures of the named networks, or of all."""
    for name in names or list(catalogue()):
        operations, places = measure(catalogue()[name])
        sys.stdout.write(f'"{name}": ({operations:_}, {places}),\n')
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
