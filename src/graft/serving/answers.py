"""What the service says of images: labels with probabilities, or why there are none."""

import heapq
from collections.abc import Mapping, Sequence
from typing import Any

from graft.serving.errors import Refusal, error_value, status_of
from graft.serving.waiting import Answer, ImageRefusal

TOP = 5


def prediction(answer: Answer, classes: Sequence[str], top: int) -> Mapping[str, Any]:
    """One image's answer as JSON: the likeliest label and the (at most) `top` likeliest; or the error."""
    if isinstance(answer, ImageRefusal):
        return error_value(answer.code, answer.message)
    ranked = [{"label": classes[place], "probability": answer[place]} for place in best(answer, top)]
    return {**ranked[0], "top": ranked}


def best(chances: Sequence[float], top: int) -> list[int]:
    """The places of the `top` largest numbers, largest first; of equal ones the earlier first."""
    return heapq.nsmallest(top, range(len(chances)), key=lambda place: -chances[place])


def checked_top(text: str | None) -> int:
    """How many labels a client asks for; raises `Refusal`."""
    if text is None:
        return TOP
    if not (text.isascii() and text.isdecimal() and int(text[:9]) >= 1):
        raise Refusal("'top' must be a whole number of at least 1, got something else.")
    return int(text[:9])


def refusal_of(answer: ImageRefusal, *, place: int | None = None) -> Refusal:
    """The refusal of a request for one of its images; `place` says which, from 0."""
    which = "" if place is None else f"Image {place}: "
    return Refusal(f"{which}{answer.message}", status=status_of(answer.code), code=answer.code)
