"""Is one classifier better than another? Answered on the same photos, photo by photo."""

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from graft.core.errors import BadInput
from graft.core.records import record
from graft.evaluation.intervals import wilson
from graft.evaluation.records import Share

Verdict = Literal["better", "worse", "no difference shown"]
LEVEL = 0.05


@record
class Comparison:
    """The second classifier against the first: accuracy gained, its 95 % interval, and what may be said.

    `p_value` is that of McNemar's exact test. "better" and "worse" are said only where the test is below 5 % and the
    interval leaves out zero.
    """

    SCHEMA: ClassVar[str] = "graft/comparison/1"
    n: Annotated[int, Ge(1)]
    accuracy_first: Share
    accuracy_second: Share
    only_first_right: int
    only_second_right: int
    difference: float
    low: float
    high: float
    p_value: Share
    verdict: Verdict


def compare(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> Comparison:
    """Compare two classifiers by the classes they predicted, all `(photo,)`, for the same photos in the same order."""
    labels, first, second = np.asarray(labels), np.asarray(first), np.asarray(second)
    if labels.ndim != 1 or not len(labels) or first.shape != labels.shape or second.shape != labels.shape:
        raise BadInput(
            "labels and both predictions must be rows of the same length, at least one, "
            f"got {labels.shape}, {first.shape}, {second.shape}"
        )
    n = len(labels)
    gains = (second == labels).astype(np.int64) - (first == labels).astype(np.int64)
    lost, won = int((gains < 0).sum()), int((gains > 0).sum())
    both = int(((first == labels) & (second == labels)).sum())
    low, high = difference_interval(both, lost, won, n - both - lost - won)
    p_value = mcnemar(lost, won)
    shown = p_value < LEVEL and (low > 0 or high < 0)
    return Comparison(
        n=n,
        accuracy_first=float((first == labels).mean()),
        accuracy_second=float((second == labels).mean()),
        only_first_right=lost,
        only_second_right=won,
        difference=(won - lost) / n,
        low=low,
        high=high,
        p_value=p_value,
        verdict=("better" if won > lost else "worse") if shown else "no difference shown",
    )


def mcnemar(only_first: int, only_second: int) -> float:
    """Two-sided exact p-value that the photos on which just one classifier is right fall evenly (McNemar 1947).

    Computed in whole numbers: twice the smaller tail of a fair coin's binomial distribution.
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    term, tail = 1, 1
    for i in range(fewer):
        term = term * (n - i) // (i + 1)
        tail += term
    return min(1.0, (2 * tail) / (1 << n)) if n <= 1000 else _mcnemar_large(n, fewer)


def _mcnemar_large(n: int, fewer: int) -> float:
    """The same in logarithms: whole numbers of thousands of digits would be slow."""
    i = np.arange(fewer + 1)
    logs = np.array([math.lgamma(n + 1) - math.lgamma(j + 1) - math.lgamma(n - j + 1) for j in i.tolist()])
    largest = float(logs.max())
    log_tail = largest + math.log(float(np.exp(logs - largest).sum()))
    return min(1.0, math.exp(min(0.0, math.log(2) + log_tail - n * math.log(2))))


def difference_interval(both: int, only_first: int, only_second: int, neither: int) -> tuple[float, float]:
    """The 95 % interval of `(only_second - only_first) / n`, by Newcombe's paired square-and-add (1998, method 10).

    Wilson's intervals of the two shares, put together with their correlation: honest also where few photos or none
    tell the two classifiers apart, where a bootstrap would claim certainty.
    """
    n = both + only_first + only_second + neither
    first, second = wilson(both + only_first, n), wilson(both + only_second, n)
    down, up = (
        (second.value - second.low, first.high - first.value),
        (second.high - second.value, first.value - first.low),
    )
    together = _correlation(both, only_first, only_second, neither)

    def half_width(one: float, other: float) -> float:
        return math.sqrt(max(0.0, one * one + other * other - 2 * together * one * other))

    difference = (only_second - only_first) / n
    return max(-1.0, difference - half_width(*down)), min(1.0, difference + half_width(*up))


def _correlation(both: int, only_first: int, only_second: int, neither: int) -> float:
    """How much the two are right on the same photos: the phi coefficient, corrected for continuity where positive."""
    sides = (both + only_first, only_second + neither, both + only_second, only_first + neither)
    if 0 in sides:
        return 0.0
    excess: float = both * neither - only_first * only_second
    if excess > 0:
        excess = max(0.0, excess - (both + only_first + only_second + neither) / 2)
    return excess / math.sqrt(math.prod(sides))
