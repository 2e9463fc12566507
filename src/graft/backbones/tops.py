"""A network's own classifier, its top: the classes it knows, the side it works at, and which one to use."""

import json
from functools import cache as once
from pathlib import Path
from typing import NoReturn

from graft.backbones.catalogue import candidates, catalogue
from graft.backbones.layouts import layout
from graft.backbones.records import BackboneRecord
from graft.backbones.weights import WeightsFile, import_weights, imported
from graft.core.errors import BadInput

CLASSES_PATH = Path(__file__).parent / "assets" / "imagenet_classes.json"
With = tuple[BackboneRecord, WeightsFile]


@once
def imagenet_classes() -> tuple[tuple[str, str], ...]:
    """(WordNet id, name) of the 1,000 ImageNet classes, in the order of the outputs of every ImageNet network."""
    return tuple((number, name) for number, name in json.loads(CLASSES_PATH.read_bytes())["classes"])


def check_side(record: BackboneRecord, side_pixels: int) -> None:
    """Refuse a side at which the network's top cannot work (BadInput).

    A top that flattens the last map, as VGG's, has a weight for each of its positions: it fits one side only.
    """
    kernels = [shape for name, shape in layout(record).top_shapes().items() if name.endswith("/kernel")]
    flattens = bool(kernels) and kernels[0][-2] != record.width
    if flattens and side_pixels != record.side_pixels:
        raise BadInput(
            f"The image side must be {record.side_pixels} px for {record.title} with its own classifier, "
            f"got {side_pixels}.",
            hint="Leave --image-size out.",
        )


def resolve_with_top(backbone: str, weights: Path | None, cache: Path) -> With:
    """The network to classify with, as it was trained: its record, its weights and their top.

    With a file: what the file holds. Without: among the networks that `backbone` names, those whose weights are on this
    machine with their top, the one with the best published ImageNet accuracy.

    Raises:
        BadInput: as `import_weights`; `not_found` for the name; `weights_missing`, saying what to do.
    """
    names = candidates(backbone)
    if weights is not None:
        record, file = import_weights(weights, names, cache)
        if file.top is None:
            raise BadInput(
                f"The weights file {weights.name} must hold the classifier of {record.title} with its own classes, "
                "got none.",
                hint="Give the file that is published with the top, often named without no_top.",
                code="weights_missing",
            )
        return record, file
    known = [pair for pair in imported(cache) if pair[0].name in names and pair[1].top is not None]
    if not known:
        _missing(backbone, names)
    best = max((record for record, _ in known), key=lambda record: record.imagenet_top1 or 0.0)
    sets = [pair for pair in known if pair[0].name == best.name]
    if len(sets) > 1:
        raise BadInput(
            f"The weights of {best.name} must be one set, got {len(sets)} on this machine.",
            hint="Say which with --weights FILE.",
            code="weights_missing",
        )
    return sets[0]


def _missing(asked: str, names: tuple[str, ...]) -> NoReturn:
    record = catalogue()[names[0]]
    if len(names) == 1 and record.parameters_with_top is None:
        raise BadInput(
            f"The backbone must have a classifier of its own for this, got {asked}, which has none.",
            hint="Choose another with --backbone.",
        )
    name = names[0] if len(names) == 1 else "NAME"
    fetch = f"Type: graft backbones fetch {name} --top. Or give" if len(names) > 1 or record.weights else "Give"
    raise BadInput(
        f"The weights of {'a network' if asked == 'auto' else asked} with its own classifier must be on this machine, "
        "got none.",
        hint=f"{fetch} a file with --weights FILE.",
        code="weights_missing",
    )
