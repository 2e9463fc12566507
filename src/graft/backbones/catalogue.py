"""The networks a user may name, and how a name is looked up."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType

from graft.backbones.families import efficientnet, mobilenet, mobilenet_v2, resnet, sprout, vgg
from graft.backbones.records import BackboneRecord
from graft.core.errors import BadInput

BUILTIN = sprout.NAME  # the backbone that needs no weights file

_RECORDS = (
    *sprout.RECORDS,
    *mobilenet.RECORDS,
    *mobilenet_v2.RECORDS,
    *vgg.RECORDS,
    *resnet.RECORDS,
    *efficientnet.RECORDS,
)
_CATALOGUE: Mapping[str, BackboneRecord] = MappingProxyType({record.name: record for record in _RECORDS})


def catalogue() -> Mapping[str, BackboneRecord]:
    """Every backbone by name, the built-in one first."""
    return _CATALOGUE


def candidates(name: str) -> tuple[str, ...]:
    """The names a user's `name` may stand for: itself, the members of a family, or all for `auto`.

    Raises:
        BadInput: `not_found`, naming the nearest.
    """
    if name == "auto":
        return tuple(catalogue())
    if name in catalogue():
        return (name,)
    members = tuple(record.name for record in catalogue().values() if record.family == name)
    if members:
        return members
    known = {*catalogue(), *(record.family for record in catalogue().values())}
    nearest = difflib.get_close_matches(name.lower(), sorted(known), n=3, cutoff=0.4)
    raise BadInput(
        f"The backbone must be one of the catalogue's, got {name[:80]!r}.",
        hint=f"Nearest: {', '.join(nearest)}." if nearest else "See: graft backbones list.",
        code="not_found",
    )


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
