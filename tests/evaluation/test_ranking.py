"""The frontier and the recommendation."""

import numpy as np
import pytest

from graft.evaluation.comparison import compare
from graft.evaluation.intervals import wilson
from graft.evaluation.ranking import Ranked, on_frontier, recommend


def entry(name: str, wrong: int, speed: float, n: int = 1000) -> Ranked:
    """A backbone that is wrong on the first `wrong` of n photos, compared with one that is wrong on the first 20."""
    labels = np.zeros(n, int)
    answers, best = np.arange(n) < wrong, np.arange(n) < 20
    return Ranked(
        backbone=name,
        title=name,
        weights_sha256=name,
        side_pixels=64,
        accuracy=wilson(n - wrong, n),
        against_best=None if wrong == 20 else compare(labels, best.astype(int), answers.astype(int)),
        photos_per_second=speed,
        weights_bytes=1,
        classifier_bytes=2,
        taps=(("a", "b"),),
        frontier=True,
        n_computed=0,
        n_reused=n,
    )


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([(0.9, 10.0)], [True]),
        ([(0.9, 10.0), (0.8, 20.0)], [True, True]),
        ([(0.9, 20.0), (0.8, 10.0)], [True, False]),
        ([(0.9, 20.0), (0.9, 10.0)], [True, False]),
        ([(0.9, 10.0), (0.9, 10.0)], [True, True]),
        ([(0.9, 10.0), (0.8, 20.0), (0.85, 15.0), (0.84, 14.0)], [True, True, True, False]),
    ],
)
def test_the_frontier_is_what_nothing_beats(points, expected):
    assert on_frontier(points) == expected


def test_on_few_photos_nothing_is_shown_to_be_as_good():
    entries = [entry("best", 20, 100.0, n=60), entry("close", 21, 300.0, n=60)]
    assert entries[1].against_best.verdict == "no difference shown"
    assert recommend(entries).backbone == "best"


def test_the_fastest_within_a_point_is_recommended():
    entries = [entry("best", 20, 100.0), entry("close", 23, 300.0), entry("far", 80, 900.0)]
    assert [each.against_best.verdict for each in entries[1:]] == ["no difference shown", "worse"]
    assert recommend(entries).backbone == "close"


def test_a_slower_one_is_not_recommended():
    assert recommend([entry("best", 20, 100.0), entry("close", 23, 90.0)]).backbone == "best"


def test_among_equally_fast_ones_the_most_accurate_is_recommended():
    assert recommend([entry("best", 20, 100.0), entry("close", 23, 105.0)]).backbone == "best"
