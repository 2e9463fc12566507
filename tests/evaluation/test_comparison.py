"""Paired comparison: symmetrical, exact, and silent where nothing is shown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.core.records import from_json, to_json
from graft.evaluation.comparison import Comparison, compare, difference_interval, mcnemar


def predictions(n: int, lost: int, won: int, both_wrong: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels and two predictions of which `lost` and `won` photos are right with only the first or second."""
    labels = np.arange(n) % 3
    first, second = labels.copy(), labels.copy()
    second[:lost] = (labels[:lost] + 1) % 3
    first[lost : lost + won] = (labels[lost : lost + won] + 1) % 3
    for one in (first, second):
        one[n - both_wrong :] = (labels[n - both_wrong :] + 1) % 3
    return labels, first, second


def test_a_clear_gain_is_better() -> None:
    result = compare(*predictions(300, 5, 30, 20))
    assert result.verdict == "better"
    assert (result.only_first_right, result.only_second_right) == (5, 30)
    assert result.difference == pytest.approx(25 / 300)
    assert result.accuracy_second - result.accuracy_first == pytest.approx(result.difference)
    assert 0 < result.low < result.difference < result.high


def test_a_small_gain_is_no_difference_shown() -> None:
    assert compare(*predictions(300, 5, 9)).verdict == "no difference shown"


def test_unpaired_intervals_would_miss_what_pairing_shows() -> None:
    """900 and 925 right of 1,000 overlap widely unpaired; with 0 lost and 25 won there is no doubt."""
    result = compare(*predictions(1000, 0, 25, 75))
    assert result.verdict == "better"
    assert result.p_value < 1e-6


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 120), st.integers(0, 10_000), st.floats(0.3, 1), st.floats(0.3, 1))
def test_comparison_is_symmetrical(n: int, seed: int, good_first: float, good_second: float) -> None:
    random = stream(seed, "comparison test")
    labels = random.integers(0, 4, n)
    first = np.where(random.random(n) < good_first, labels, 4)
    second = np.where(random.random(n) < good_second, labels, 4)
    there, back = compare(labels, first, second), compare(labels, second, first)
    assert back.difference == -there.difference
    assert back.p_value == there.p_value
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low), abs=1e-12)
    opposite = {"better": "worse", "worse": "better"}
    assert back.verdict == opposite.get(there.verdict, there.verdict)


def test_identical_predictions_are_not_certainty() -> None:
    result = compare(*predictions(20, 0, 0))
    assert (result.difference, result.p_value, result.verdict) == (0, 1, "no difference shown")
    assert result.low == pytest.approx(-0.161, abs=1e-3)
    assert result.high == pytest.approx(0.161, abs=1e-3)


@pytest.mark.parametrize("n", [31, 300])
def test_more_disagreement_is_more_doubt(n: int) -> None:
    widths = [
        result.high - result.low for result in (compare(*predictions(n, k, k, both_wrong=n // 10)) for k in range(4))
    ]
    assert widths == sorted(widths)
    one = compare(*predictions(n, 1, 0, both_wrong=n // 10))
    assert one.low < one.difference < 0 < one.high  # a single photo shows nothing


@pytest.mark.parametrize("shares", [(0.9, 0.01, 0.01), (0.7, 0.05, 0.15), (0.5, 0.0, 0.04)])
def test_the_interval_covers_the_truth(shares: tuple[float, float, float]) -> None:
    random = stream(7, "coverage", *map(str, shares))
    truth = shares[2] - shares[1]
    covered = 0
    for _ in range(400):
        both, lost, won, neither = random.multinomial(120, (*shares, 1 - sum(shares))).tolist()
        low, high = difference_interval(both, lost, won, neither)
        covered += low <= truth <= high
    assert covered / 400 > 0.92


@pytest.mark.parametrize(("lost", "won"), [(0, 0), (0, 5), (5, 0), (3, 11), (120, 150), (499, 502), (4000, 4300)])
def test_p_value_is_the_exact_binomial_one(lost: int, won: int) -> None:
    expected = binomtest(lost, lost + won, 0.5).pvalue if lost + won else 1.0
    assert mcnemar(lost, won) == pytest.approx(expected, rel=1e-8)


def test_two_equal_classifiers_are_rarely_told_apart() -> None:
    random = stream(5, "false alarms")
    wrong = 0
    for _ in range(120):
        labels = np.zeros(150, np.int64)
        first, second = (random.random((2, 150)) < 0.1).astype(np.int64)
        wrong += compare(labels, first, second).verdict != "no difference shown"
    assert wrong <= 9  # 5 % of 120 with room; McNemar's exact test stays below its level


def test_comparison_survives_storage() -> None:
    result = compare(*predictions(50, 1, 4))
    assert from_json(Comparison, to_json(result), source="test") == result


def test_lengths_must_agree() -> None:
    with pytest.raises(BadInput, match="same length"):
        compare(np.zeros(3, np.int64), np.zeros(3, np.int64), np.zeros(2, np.int64))
    with pytest.raises(BadInput, match="at least one"):
        compare(*([np.zeros(0, np.int64)] * 3))
