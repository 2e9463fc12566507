"""Calibration: a known temperature is recovered, and the calibration error sees what it must."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.evaluation.calibration import TEMPERATURE_RANGE, expected_calibration_error, softmax, temperature


def drawn(n: int, k: int, seed: int = 0, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from their softmax: calibrated by construction."""
    random = stream(seed, "calibration test")
    logits = random.normal(0, spread, size=(n, k))
    chances = softmax(logits)
    labels = (chances.cumsum(axis=1) > random.random((n, 1))).argmax(axis=1)
    return logits, labels


@pytest.mark.parametrize("true", [0.2, 0.5, 1.0, 2.5, 10.0])
def test_a_known_temperature_is_recovered(true: float) -> None:
    logits, labels = drawn(20_000, 5)
    assert temperature(logits * true, labels) == pytest.approx(true, rel=0.03)


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 200), st.integers(2, 6), st.integers(0, 10_000), st.floats(0.1, 20))
def test_no_other_temperature_is_likelier(n: int, k: int, seed: int, scale: float) -> None:
    logits, labels = drawn(n, k, seed)
    found = temperature(logits * scale, labels)
    objective = [smoothed_loss(logits * scale, labels, found * factor) for factor in (1, 0.9, 1.1, 0.5, 2)]
    if TEMPERATURE_RANGE[0] * 2.1 < found < TEMPERATURE_RANGE[1] / 2.1:
        assert objective[0] == min(objective)


def smoothed_loss(logits: np.ndarray, labels: np.ndarray, temperature: float) -> float:
    """The loss as documented: one more photo labelled at random."""
    logs = np.log(softmax(logits, temperature))
    n = len(labels)
    weight = 1 / (n + 1)
    return float(-(1 - weight) * logs[np.arange(n), labels].mean() - weight * logs.mean())


def test_temperature_scales_with_the_logits_and_ignores_shifts() -> None:
    logits, labels = drawn(300, 4)
    found = temperature(logits, labels)
    assert temperature(logits * 3, labels) == pytest.approx(3 * found, rel=1e-6)
    assert temperature(logits + stream(0, "s").normal(0, 100, size=(300, 1)), labels) == pytest.approx(found, rel=1e-6)


def test_perfect_logits_do_not_ask_for_certainty() -> None:
    labels = np.arange(40) % 4
    logits = np.eye(4)[labels] * 5
    found = temperature(logits, labels)
    sureness = softmax(logits, found).max(axis=1).mean()
    assert 0.95 < sureness < 0.995  # 40 photos cannot show more than about 1 - 1/40


def test_equal_logits_keep_temperature_one() -> None:
    assert temperature(np.zeros((10, 3)), np.zeros(10, np.int64)) == 1.0


def test_useless_logits_are_cooled_to_the_bound() -> None:
    random = stream(0, "useless")
    logits, labels = random.normal(0, 5, size=(5000, 3)), random.integers(0, 3, 5000)
    assert temperature(logits, labels) > 20
    assert temperature(-np.eye(3)[labels], labels) == pytest.approx(TEMPERATURE_RANGE[1], rel=1e-3)


@pytest.mark.parametrize(
    ("logits", "labels", "said"),
    [
        (np.zeros((0, 3)), np.zeros(0, np.int64), "must have shape"),
        (np.zeros((2, 1)), np.zeros(2, np.int64), "must have shape"),
        (np.zeros((2, 3)), np.zeros(3, np.int64), "must have shape"),
        (np.full((2, 3), np.nan), np.zeros(2, np.int64), "finite"),
        (np.zeros((2, 3)), np.array([0, 3]), "labels must be 0 to 2"),
        (np.zeros((2, 3)), np.array([-1, 0]), "labels must be 0 to 2"),
    ],
)
def test_temperature_refuses_what_cannot_be(logits: np.ndarray, labels: np.ndarray, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        temperature(logits, labels)


def test_softmax_does_not_overflow() -> None:
    assert softmax(np.array([[1e30, 0.0], [-1e30, 0.0]])).tolist() == [[1, 0], [0, 1]]


def test_softmax_leaves_its_input_alone() -> None:
    logits = np.ones((2, 2))
    softmax(logits)
    assert (logits == 1).all()


def test_calibrated_probabilities_have_a_small_error_and_overconfident_ones_a_large_one() -> None:
    logits, labels = drawn(20_000, 5)
    good, _ = expected_calibration_error(softmax(logits), labels)
    bad, _ = expected_calibration_error(softmax(logits * 4), labels)
    assert good < 0.015
    assert bad > 0.1


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.6, 0.4], [0.6, 0.4], [0.1, 0.9], [0.1, 0.9]])
    error, bins = expected_calibration_error(probabilities, np.array([0, 1, 1, 1]), bins=2)
    assert [(b.count, b.accuracy) for b in bins] == [(2, 0.5), (2, 1.0)]
    assert error == pytest.approx((0.1 + 0.1) / 2)


def test_bins_have_equal_count() -> None:
    logits, labels = drawn(1500, 3)
    _, bins = expected_calibration_error(softmax(logits), labels)
    assert [b.count for b in bins] == [100] * 15
    assert all(a.high <= b.low for a, b in itertools.pairwise(bins))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 60), st.integers(0, 1000))
def test_the_order_of_photos_does_not_matter_even_with_ties(n: int, seed: int) -> None:
    random = stream(seed, "ties")
    high = random.choice([0.5, 0.75, 1.0], size=n)
    probabilities, labels = np.stack([high, 1 - high], axis=1), random.integers(0, 2, n)
    shuffled = random.permutation(n)
    error, bins = expected_calibration_error(probabilities, labels)
    again, same = expected_calibration_error(probabilities[shuffled], labels[shuffled])
    assert error == pytest.approx(again, abs=1e-12)
    assert [b.count for b in bins] == [b.count for b in same]
    assert sum(b.count for b in bins) == n
    assert len(bins) <= min(15, n)


def test_calibration_error_needs_photos() -> None:
    with pytest.raises(BadInput, match="as many rows"):
        expected_calibration_error(np.zeros((0, 2)), np.zeros(0, np.int64))
