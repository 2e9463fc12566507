"""Is one classifier better than another? Answered on the same photos, photo by photo."""

import math
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from graft.core.errors import BadInput
from graft.core.records import record
from graft.evaluation.intervals import resample, wilson
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


def compare(labels: np.ndarray, first: np.ndarray, second: np.ndarray, *, seed: int) -> Comparison:
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
    low, high = _interval(gains, seed)
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


def _interval(gains: np.ndarray, seed: int) -> tuple[float, float]:
    """Paired bootstrap interval of the mean of `gains` (-1, 0 or 1 for each photo)."""
    n = len(gains)
    sums = resample(lambda rows: [gains[rows].sum()], n, seed=seed)[:, 0]
    low, high = (float(edge) / n for edge in np.percentile(sums, (2.5, 97.5)))
    if low < high:
        return min(low, float(gains.mean())), max(high, float(gains.mean()))
    doubt = wilson(0, n).high  # all resamples agree: the bootstrap would claim certainty
    return max(-1.0, low - doubt), min(1.0, high + doubt)
