"""The evaluation: figures equal scikit-learn's, intervals hold them, and bad arrays are refused."""

import time
import warnings

import numpy as np
import pytest
import sklearn.metrics
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.core.records import from_json, to_json
from graft.evaluation.metrics import evaluate
from graft.evaluation.records import Evaluation

HASHES = {"manifest_hash": "m" * 64, "bundle_hash": "b" * 64}


def answers(n: int, k: int, seed: int = 0, strength: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    random = stream(seed, "metrics test")
    labels = random.integers(0, k, n)
    logits = random.normal(size=(n, k))
    logits[np.arange(n), labels] += strength
    chances = np.exp(logits)
    return (chances / chances.sum(axis=1, keepdims=True)).astype(np.float32), labels


def measured(probabilities: np.ndarray, labels: np.ndarray, seed: int = 0) -> Evaluation:
    classes = [f"class {i}" for i in range(probabilities.shape[1])]
    return evaluate(probabilities, labels, classes, split="test", seed=seed, **HASHES)


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 80), st.integers(2, 12), st.integers(0, 10_000))
def test_figures_equal_those_of_scikit_learn(n: int, k: int, seed: int) -> None:
    probabilities, labels = answers(n, k, seed)
    predicted = probabilities.argmax(axis=1)
    found = measured(probabilities, labels)
    ids = list(range(k))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert found.accuracy.value == pytest.approx(sklearn.metrics.accuracy_score(labels, predicted))
        assert found.balanced_accuracy.value == pytest.approx(
            sklearn.metrics.balanced_accuracy_score(labels, predicted)
        )
        assert found.macro_f1.value == pytest.approx(sklearn.metrics.f1_score(labels, predicted, average="macro"))
        loss = sklearn.metrics.log_loss(labels, probabilities.astype(np.float64), labels=ids)
        assert found.log_loss.value == pytest.approx(loss, rel=1e-5)
        precision, recall, f1, support = sklearn.metrics.precision_recall_fscore_support(labels, predicted, labels=ids)
        if k >= 10:
            top5 = sklearn.metrics.top_k_accuracy_score(labels, probabilities, k=5, labels=ids)
            assert found.top5 is not None
            assert found.top5.value == pytest.approx(top5)
    assert np.array_equal(found.confusion, sklearn.metrics.confusion_matrix(labels, predicted, labels=ids))
    for i, score in enumerate(found.per_class):
        assert score.support == support[i]
        assert score.precision is None if score.predicted == 0 else score.precision.value == pytest.approx(precision[i])
        assert score.recall is None if support[i] == 0 else score.recall.value == pytest.approx(recall[i])
        if score.f1 is not None:
            assert score.f1.value == pytest.approx(f1[i])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 60), st.integers(2, 5), st.integers(0, 10_000), st.floats(0, 20))
def test_each_interval_holds_its_value(n: int, k: int, seed: int, strength: float) -> None:
    found = measured(*answers(n, k, seed, strength))
    scores = [found.accuracy, found.balanced_accuracy, found.macro_f1, found.log_loss]
    scores += [s for c in found.per_class for s in (c.precision, c.recall, c.f1) if s is not None]
    assert all(score.low <= score.value <= score.high for score in scores)


def test_all_right_is_not_certainty() -> None:
    labels = np.array([0] * 95 + [1] * 5)
    found = measured(np.eye(2, dtype=np.float32)[labels], labels)
    assert found.accuracy.value == found.balanced_accuracy.value == found.macro_f1.value == 1
    assert found.accuracy.low == pytest.approx(0.963, abs=1e-3)
    assert found.balanced_accuracy.low < 0.9  # five photos of a class say little about it
    assert found.balanced_accuracy.method == "wilson"
    assert found.macro_f1.low < 0.9


def test_intervals_of_balanced_accuracy_cover_the_truth() -> None:
    """Two classes with 90 % and 70 % recall and 150 and 50 photos: the truth is 80 %."""
    random, hits = stream(2, "coverage"), 0
    labels = np.array([0] * 150 + [1] * 50)
    for trial in range(120):
        right = random.random(200) < np.where(labels == 0, 0.9, 0.7)
        predicted = np.where(right, labels, 1 - labels)
        score = measured(np.eye(2, dtype=np.float32)[predicted], labels, trial).balanced_accuracy
        hits += score.low <= 0.8 <= score.high
    assert 0.88 < hits / 120 <= 1


def test_worst_confusions_come_most_first() -> None:
    labels = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2])
    predicted = np.array([1, 1, 0, 2, 1, 0, 0, 0, 2])
    found = measured(np.eye(3, dtype=np.float32)[predicted], labels)
    assert [(c.true, c.predicted, c.count) for c in found.worst_confusions] == [
        ("class 2", "class 0", 3),
        ("class 0", "class 1", 2),
        ("class 1", "class 2", 1),
    ]
    assert found.majority_share == pytest.approx(4 / 9)


def test_at_most_ten_confusions_and_none_when_all_is_right() -> None:
    assert len(measured(*answers(300, 12, strength=0)).worst_confusions) == 10
    labels = np.arange(6) % 3
    assert measured(np.eye(3, dtype=np.float32)[labels], labels).worst_confusions == ()


def test_top5_is_left_out_below_ten_classes() -> None:
    assert measured(*answers(30, 9)).top5 is None
    assert measured(*answers(30, 10)).top5 is not None


def test_equal_probabilities_do_not_make_everything_top5() -> None:
    labels = np.arange(10)
    found = measured(np.full((10, 10), 0.1, np.float32), labels)
    assert found.top5 is not None
    assert found.top5.value == 0.5


def test_same_seed_same_record_and_it_survives_storage() -> None:
    probabilities, labels = answers(120, 4)
    found = measured(probabilities, labels, 7)
    assert found == measured(probabilities, labels, 7)
    assert found.macro_f1 != measured(probabilities, labels, 8).macro_f1
    assert from_json(Evaluation, to_json(found), source="test") == found


def test_inputs_are_left_alone() -> None:
    probabilities, labels = answers(50, 3)
    before = probabilities.copy(), labels.copy()
    measured(probabilities, labels)
    assert np.array_equal(before[0], probabilities)
    assert np.array_equal(before[1], labels)


@pytest.mark.parametrize(
    ("probabilities", "labels", "said"),
    [
        (np.zeros((0, 2)), np.zeros(0, np.int64), "at least one photo"),
        (np.full((3, 2), 0.5), np.zeros(2, np.int64), "must have shape"),
        (np.full((2, 2), 0.5), np.array([0, 2]), "from 0 to 1, got 0 to 2"),
        (np.full((2, 2), 0.5), np.array([0.0, 1.0]), "whole numbers"),
        (np.full((2, 2), 0.6), np.array([0, 1]), "sum to 1"),
        (np.full((2, 2), np.nan), np.array([0, 1]), "sum to 1"),
        (np.array([[1.5, -0.5]]), np.array([0]), "at least 0"),
    ],
)
def test_arrays_that_cannot_be_are_refused(probabilities: np.ndarray, labels: np.ndarray, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        measured(probabilities, labels)


def test_twenty_thousand_photos_of_a_hundred_classes_take_a_few_seconds() -> None:
    probabilities, labels = answers(20_000, 100)
    started = time.perf_counter()
    measured(probabilities, labels)
    assert time.perf_counter() - started < 5  # 0.3 s on two quiet cores


def test_the_calibration_error_has_an_interval_that_holds_it():
    draw = np.random.default_rng(3)
    sure = draw.uniform(0.55, 0.99, 400)
    labels = (draw.random(400) > sure).astype(int)
    found = evaluate(
        np.column_stack([sure, 1 - sure]), labels, ("a", "b"), manifest_hash="m", bundle_hash="b", split="test", seed=0
    )
    low, high = found.ece_interval
    assert 0 <= low <= found.ece <= high < 0.2
    assert low < high
