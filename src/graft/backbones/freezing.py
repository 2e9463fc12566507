"""Freezing in the user's words: which layers of a network stay as they are, and where that lets it be cut."""

from typing import Annotated, Literal

from annotated_types import Ge

from graft.core.records import record


@record
class Freeze:
    """What the user said about freezing, in one of the field's ways."""

    kind: Literal["auto", "until", "last", "level", "all", "none"] = "auto"
    layer: str = ""  # until: the first layer that is trained
    count: Annotated[int, Ge(0)] = 0  # last: how many layers are trained; level: after which level training begins
