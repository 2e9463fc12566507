"""The threshold keeps its promise on the photos that it was chosen on, and is no wish where there were too few."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.evaluation.rejection import LEAST_THRESHOLD, SURE_ACCURACY, sure_threshold, threshold_told


def answers(confidence, right) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of two classes, the first one answered, and labels that make those answers `right`."""
    first = np.asarray(confidence, float)
    return np.stack([first, 1 - first], axis=1), np.where(np.asarray(right, bool), 0, 1)


def test_the_least_probability_that_is_right_often_enough():
    confidence = np.repeat([0.99, 0.9, 0.8, 0.6], 50)
    right = np.concatenate([np.ones(100), np.arange(50) % 10 > 0, np.arange(50) % 2])  # 100, 100, 90, 50 % right
    assert sure_threshold(*answers(confidence, right)) == 0.8  # 145 of 150, as if of 151
    assert sure_threshold(*answers(confidence[100:], right[100:])) == 1.0


def test_a_guess_is_never_sure_however_good_all_together_are():
    assert sure_threshold(*answers(np.linspace(0.9, 1, 40), np.ones(40))) == LEAST_THRESHOLD
    assert sure_threshold(*answers(np.linspace(0.5, 1, 40), np.ones(40))) == LEAST_THRESHOLD


@pytest.mark.parametrize(("n", "expected"), [(0, None), (18, None), (19, LEAST_THRESHOLD)])
def test_few_photos_are_no_evidence(n, expected):
    assert sure_threshold(*answers(np.full(n, 0.7), np.ones(n))) == expected


def test_equal_answers_are_all_sure_or_none():
    confidence = np.full(40, 0.9)
    right = np.arange(40) >= 10
    assert sure_threshold(*answers(confidence, right)) == 1.0


@given(st.lists(st.tuples(st.floats(0.5, 1), st.booleans()), min_size=19, max_size=200))
def test_what_is_sure_was_right_often_enough(pairs):
    confidence, right = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    threshold = sure_threshold(*answers(confidence, right))
    sure = confidence >= threshold
    if threshold < 1:
        assert right[sure].mean() >= SURE_ACCURACY
    for lower in confidence[(confidence < threshold) & (confidence >= LEAST_THRESHOLD)]:
        kept = right[confidence >= lower]
        assert kept.sum() < SURE_ACCURACY * (len(kept) + 1)


@pytest.mark.parametrize(
    ("threshold", "said"),
    [(None, "not known"), (1.0, "never, for at no"), (0.823, "from 82.3 % on, for at least 95 %")],
)
def test_a_threshold_is_told(threshold, said):
    assert threshold_told(threshold).startswith(said)
