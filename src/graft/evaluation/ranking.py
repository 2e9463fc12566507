"""Backbones side by side on one set of photos: how right, how fast, how large, and which to take."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from annotated_types import Ge, Gt, Len

from graft.core.records import record
from graft.evaluation.comparison import Comparison
from graft.evaluation.records import Score

MOST_LOSS = 0.01  # of accuracy that speed may cost, at worst: "no difference shown" on few photos says too little
EQUALLY_FAST = 0.9  # of the fastest: a tenth is no reason to give up accuracy, and timings differ by some percent


@record
class Ranked:
    """One backbone with one set of weights. `against_best` compares it, as the second, with the most accurate one."""

    backbone: str
    title: str
    weights_sha256: str
    side_pixels: Annotated[int, Ge(1)]
    accuracy: Score
    against_best: Comparison | None  # None for the most accurate itself
    photos_per_second: Annotated[float, Gt(0)]
    weights_bytes: Annotated[int, Ge(0)]
    classifier_bytes: Annotated[int, Ge(0)]  # about: the file that graft train would write
    taps: tuple[tuple[str, str], ...]  # lowest and highest layer read, one pair for each fold
    frontier: bool  # no other is at least as accurate and as fast, and better in one of the two
    n_computed: Annotated[int, Ge(0)]  # photos that went through the network now
    n_reused: Annotated[int, Ge(0)]  # photos whose features were in the store


@record
class NotRanked:
    """A backbone that could not be measured, and why."""

    backbone: str
    title: str
    weights_sha256: str
    code: str
    reason: str
    hint: str


@record
class Ranking:
    """Backbones on the same photos in the same folds, the most accurate first. Test photos have no part in it."""

    SCHEMA: ClassVar[str] = "graft/ranking/1"
    graft_version: str
    manifest_hash: str
    data_key: str  # of the photos and labels that were read: a training on the same ones may follow this ranking
    n: Annotated[int, Ge(1)]
    n_validation: Annotated[int, Ge(0)]  # of those n
    n_kept_back: Annotated[int, Ge(0)]  # photos of the split that the classifier will be measured on
    kept_back: str  # that split's name
    classes: tuple[str, ...]
    folds: Annotated[int, Ge(2)]
    majority_share: float
    precision: str
    threads: int
    timed_photos: Annotated[int, Ge(1)]
    seed: int
    entries: Annotated[tuple[Ranked, ...], Len(1)]
    not_ranked: tuple[NotRanked, ...]
    best: str  # weights_sha256 of the most accurate
    recommended: str  # weights_sha256 of the one to take

    def entry(self, weights_sha256: str) -> Ranked:
        """The entry with these weights."""
        return next(each for each in self.entries if each.weights_sha256 == weights_sha256)


def on_frontier(points: Sequence[tuple[float, float]]) -> list[bool]:
    """For each point (accuracy, photos/s): whether no other is at least as good in both and better in one."""
    return [not any(other != own and other[0] >= own[0] and other[1] >= own[1] for other in points) for own in points]


def recommend(entries: Sequence[Ranked]) -> Ranked:
    """The fastest backbone that is shown to be within a point of the most accurate one: its interval ends there.

    Speeds within a tenth of the fastest count as equal; among these the most accurate is taken.
    """
    good = [each for each in entries if each.against_best is None or each.against_best.low >= -MOST_LOSS]
    fastest = max(each.photos_per_second for each in good)
    fast = [each for each in good if each.photos_per_second >= EQUALLY_FAST * fastest]
    return max(fast, key=lambda each: (each.accuracy.value, each.photos_per_second))
