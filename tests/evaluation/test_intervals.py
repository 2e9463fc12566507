"""Intervals: Wilson's against published values, the bootstrap against what theory says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.evaluation.intervals import bootstrap, percentile_score, resample, wilson

# Newcombe (1998), "Two-sided confidence intervals for the single proportion", Table I, method 3.
PUBLISHED = [
    (81, 263, 0.2553, 0.3662),
    (15, 148, 0.0624, 0.1605),
    (0, 20, 0.0000, 0.1611),
    (1, 29, 0.0061, 0.1718),
]


@pytest.mark.parametrize(("successes", "n", "low", "high"), PUBLISHED)
def test_wilson_gives_the_published_intervals(successes: int, n: int, low: float, high: float) -> None:
    score = wilson(successes, n)
    assert (round(score.low, 4), round(score.high, 4)) == (low, high)
    assert score.value == successes / n
    assert score.method == "wilson"


@given(st.integers(1, 5000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_value_and_mirrors(counts: tuple[int, int]) -> None:
    successes, n = counts
    score, mirrored = wilson(successes, n), wilson(n - successes, n)
    assert 0 <= score.low <= score.value <= score.high <= 1
    assert score.low < score.high
    assert score.low == pytest.approx(1 - mirrored.high, abs=1e-12)


def test_wilson_narrows_with_more_photos() -> None:
    widths = [wilson(9 * n, 10 * n).high - wilson(9 * n, 10 * n).low for n in (1, 10, 100, 1000)]
    assert widths == sorted(widths, reverse=True)


def test_wilson_covers_the_truth_about_95_times_in_100() -> None:
    hits = 0
    for successes in stream(1, "coverage").binomial(60, 0.9, size=4000).tolist():
        score = wilson(successes, 60)
        hits += score.low <= 0.9 <= score.high
    assert 0.93 < hits / 4000 < 0.975


@pytest.mark.parametrize(("successes", "n"), [(0, 0), (-1, 3), (4, 3)])
def test_wilson_refuses_impossible_counts(successes: int, n: int) -> None:
    with pytest.raises(BadInput, match="successes must be between 0 and n"):
        wilson(successes, n)


def test_bootstrap_of_a_mean_agrees_with_the_normal_interval() -> None:
    values = stream(0, "test").normal(5, 2, size=2000)
    score = bootstrap(lambda v: float(v.mean()), [values], 0)
    error = values.std() / np.sqrt(2000)
    assert score.value == values.mean()
    assert score.low == pytest.approx(values.mean() - 1.96 * error, abs=0.25 * error)
    assert score.high == pytest.approx(values.mean() + 1.96 * error, abs=0.25 * error)


def test_bootstrap_keeps_rows_of_several_arrays_together() -> None:
    values = np.arange(50.0)
    score = bootstrap(lambda a, b: float(np.abs(a - b).max()), [values, values.copy()], 0)
    assert (score.low, score.high) == (0, 0)


def test_bootstrap_follows_the_seed() -> None:
    values = stream(0, "test").normal(size=30)
    first, again, other = (bootstrap(lambda v: float(v.mean()), [values], seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_bootstrap_needs_rows() -> None:
    with pytest.raises(BadInput, match="same number of rows"):
        bootstrap(lambda v: 0.0, [np.zeros(0)], 0)
    with pytest.raises(BadInput, match="same number of rows"):
        bootstrap(lambda a, b: 0.0, [np.zeros(2), np.zeros(3)], 0)


def test_resample_gives_one_row_for_each_draw() -> None:
    replicates = resample(lambda rows: (len(rows), rows.max()), 7, seed=0, n_resamples=20)
    assert replicates.shape == (20, 2)
    assert set(replicates[:, 0]) == {7}
    assert replicates[:, 1].max() <= 6


def test_percentile_interval_always_holds_the_value() -> None:
    assert percentile_score(2.0, np.linspace(0, 1, 100)).high == 2.0
    assert percentile_score(-1.0, np.linspace(0, 1, 100)).low == -1.0
