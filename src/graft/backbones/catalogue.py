"""The networks a user may name, and how a name is looked up."""

import difflib
import re
from collections.abc import Mapping
from types import MappingProxyType

from graft.backbones.families import (
    alexnet,
    convnet,
    convnext,
    densenet,
    efficientnet,
    efficientnet_v2,
    googlenet,
    inception,
    lenet,
    mobilenet,
    mobilenet_v2,
    mobilenet_v3,
    nasnet,
    resnet,
    senet,
    sprout,
    vgg,
    vit,
)
from graft.backbones.records import BackboneRecord
from graft.core.errors import BadInput

BUILTIN = sprout.NAME  # the backbone that needs no weights file

WIDTH = re.compile(r"_[0-9]+\.[0-9]+$")  # the end of mobilenet_1.0

_RECORDS = (
    *sprout.RECORDS,
    *mobilenet.RECORDS,
    *mobilenet_v2.RECORDS,
    *mobilenet_v3.RECORDS,
    *vgg.RECORDS,
    *resnet.RECORDS,
    *densenet.RECORDS,
    *inception.RECORDS,
    *nasnet.RECORDS,
    *efficientnet.RECORDS,
    *efficientnet_v2.RECORDS,
    *convnext.RECORDS,
    *senet.RECORDS,
    *googlenet.RECORDS,
    *vit.RECORDS,
    *alexnet.RECORDS,
    *lenet.RECORDS,
    *convnet.RECORDS,
)
_CATALOGUE: Mapping[str, BackboneRecord] = MappingProxyType({record.name: record for record in _RECORDS})


def catalogue() -> Mapping[str, BackboneRecord]:
    """Every backbone by name, the built-in one first."""
    return _CATALOGUE


def candidates(name: str) -> tuple[str, ...]:
    """The names a user's `name` may stand for: itself, the members of a family, or all for `auto`.

    Other spellings are understood: `EfficientNetB0`, `ResNet50V2`, `MobileNetV3Small` (of every width).

    Raises:
        BadInput: `not_found`, naming the nearest.
    """
    if name == "auto":
        return tuple(catalogue())
    records = catalogue().values()
    for found in (
        [record.name for record in records if record.name == name],
        [record.name for record in records if record.family == name],
        [record.name for record in records if _plain(name) in {_plain(record.name), _plain(record.title)}],
        [record.name for record in records if _plain(name) == _plain(record.family)],
        # MobileNetV3Small: all of whatever width.
        [record.name for record in records if _plain(name) == _plain(WIDTH.sub("", record.name))],
    ):
        if found:
            return tuple(found)
    known = {*catalogue(), *(record.family for record in records)}
    nearest = difflib.get_close_matches(name.lower(), sorted(known), n=3, cutoff=0.6)
    raise BadInput(
        f"The backbone must be one of the catalogue's, got {name[:80]!r}.",
        hint=f"Nearest: {', '.join(nearest)}." if nearest else "See: graft backbones list.",
        code="not_found",
    )


def _plain(name: str) -> str:
    """A name without what people write differently: `EfficientNetB0`, `efficientnet-b0` and `efficientnet_b0`."""
    return re.sub(r"[-_ ]", "", name.lower())


def find(name: str) -> BackboneRecord:
    """The record of one backbone, by its full name.

    Raises:
        BadInput: `not_found`, naming the nearest or, for a family of several, its members.
    """
    names = candidates(name)
    if names == (name,) or len(names) == 1:
        return catalogue()[names[0]]
    raise BadInput(
        f"The backbone must be one network, got {name!r}, which stands for several.",
        hint=f"Choose one of: {', '.join(names)}.",
        code="not_found",
    )
