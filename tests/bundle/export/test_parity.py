"""The gate that every export passes: what it lets through, and that each kind of damage stays before it."""

import numpy as np
import pytest

from graft.bundle.export.parity import LARGEST, LEAST_SHARE, Answers, check, compare
from graft.core.errors import IntegrityProblem

RNG = np.random.default_rng(0)


def chances(count: int, classes: int = 3, seed: int = 0) -> np.ndarray:
    logits = np.random.default_rng(seed).normal(0, 2, (count, classes))
    powers = np.exp(logits)
    return (powers / powers.sum(axis=1, keepdims=True)).astype(np.float32)


def native(count: int = 1000, labels: bool = True) -> Answers:
    photos = chances(count)
    return Answers(chances(8, seed=1), photos, photos.argmax(axis=1) if labels else np.full(count, -1))


def with_wrong(answers: Answers, wrong: int) -> Answers:
    """The first so many photos get another class."""
    photos = answers.photos.copy()
    photos[:wrong] = np.roll(photos[:wrong], 1, axis=1)
    return Answers(answers.golden, photos, answers.labels)


@pytest.mark.parametrize("numbers", ["float32", "float16", "int8"])
def test_the_same_answers_pass(numbers):
    same = native()
    parity = compare(same, same)
    check(parity, "onnx", numbers)
    assert (parity.n_golden, parity.n_photos, parity.agreement, parity.largest_difference) == (8, 1000, 1.0, 0.0)
    assert (parity.accuracy, parity.exported_accuracy) == (1.0, 1.0)


@pytest.mark.parametrize(("numbers", "allowed"), [("float32", 1), ("float16", 1), ("int8", 10)])
@pytest.mark.parametrize("labels", [True, False])
def test_so_many_photos_may_be_lost_and_no_more(numbers, allowed, labels):
    same = native(labels=labels)
    check(compare(same, with_wrong(same, allowed)), "onnx", numbers)
    problem = "it is right on" if labels else "it names the same class for"
    with pytest.raises(IntegrityProblem, match=problem) as caught:
        check(compare(same, with_wrong(same, allowed + 1)), "onnx", numbers)
    assert caught.value.code == "golden_mismatch" and "Nothing was left" in caught.value.hint


@pytest.mark.parametrize(("numbers", "allowed"), [("float32", 1), ("float16", 10), ("int8", 50)])
def test_so_many_wrong_answers_may_become_others_and_no_more(numbers, allowed):
    """As many right ones are not enough: a network that errs on other photos is another one."""
    same = native()
    labels = same.labels.copy()
    labels[:80] = (labels[:80] + 2) % 3  # the bundle is wrong there, and the export as wrong
    wrong = Answers(same.golden, same.photos, labels)
    check(compare(wrong, Answers(same.golden, with_wrong(same, allowed).photos, labels)), "onnx", numbers)
    with pytest.raises(IntegrityProblem, match="it names the same class for"):
        check(compare(wrong, Answers(same.golden, with_wrong(same, allowed + 1).photos, labels)), "onnx", numbers)


def test_one_photo_of_few_may_become_another():
    few = Answers(*(values[:40] for values in (native().golden, native().photos, native().labels)))
    labels = few.labels.copy()
    labels[:5] = (labels[:5] + 2) % 3
    wrong = Answers(few.golden, few.photos, labels)
    check(compare(wrong, Answers(few.golden, with_wrong(few, 1).photos, labels)), "onnx", "float32")
    with pytest.raises(IntegrityProblem, match="it names the same class for"):
        check(compare(wrong, Answers(few.golden, with_wrong(few, 2).photos, labels)), "onnx", "float32")


def test_smaller_numbers_are_judged_on_photos_where_there_are_any():
    """A steep head makes much of a rounding on patterns that no photo is like."""
    same = native()
    moved = Answers(same.golden[:, ::-1], same.photos, same.labels)
    for numbers in ("float16", "int8"):
        check(compare(same, moved), "onnx", numbers)
    with pytest.raises(IntegrityProblem, match="on the golden examples"):
        check(compare(same, moved), "onnx", "float32")


def test_the_way_out_is_one_that_the_format_has():
    same = native()
    worse = compare(same, with_wrong(same, 500))
    words = {
        "float32": "Please report it",
        "float16": "Use --numbers float32",
        "int8": "Use --numbers float32 or float16",
    }
    for numbers, expected in words.items():
        with pytest.raises(IntegrityProblem) as caught:
            check(worse, "onnx", numbers)
        assert expected in caught.value.hint
    alone = native(0)
    with pytest.raises(IntegrityProblem) as caught:
        check(compare(alone, Answers(alone.golden[:, ::-1], alone.photos, alone.labels)), "onnx", "float16")
    assert "Give --data, photos that it is compared on, or use --numbers float32." in caught.value.hint


@pytest.mark.parametrize("numbers", ["float32", "float16"])
def test_golden_examples_must_agree(numbers):
    same = native(0)
    plain, _ = LARGEST[numbers]
    golden = same.golden.copy()
    golden[0, :2] += np.array([1, -1], np.float32) * plain * 1.5
    with pytest.raises(IntegrityProblem, match="on the golden examples its probabilities differ"):
        check(compare(same, Answers(golden, same.photos, same.labels)), "onnx", numbers)
    sure = Answers(np.array([[1.0, 1e-9, 1e-12]], np.float32), same.photos, same.labels)
    unsure = Answers(np.array([[1.0, 1e-9, 1e-11]], np.float32), same.photos, same.labels)
    with pytest.raises(IntegrityProblem, match="their logarithms by"):
        check(compare(sure, unsure), "onnx", numbers)


def test_what_is_no_number_passes_nowhere():
    same = native()
    for golden in (np.full_like(same.golden, np.nan), same.golden):
        photos = np.full_like(same.photos, np.nan) if golden is same.golden else same.photos
        with pytest.raises((IntegrityProblem, ValueError)):
            check(compare(same, Answers(golden, photos, same.labels)), "onnx", "float32")


def test_another_number_of_classes_is_refused():
    same = native()
    with pytest.raises(IntegrityProblem, match="must answer with 3 probabilities"):
        compare(same, Answers(same.golden[:, :2], same.photos[:, :2], same.labels))


def test_the_shares_are_those_that_are_promised():
    assert LEAST_SHARE == {"float32": 0.999, "float16": 0.999, "int8": 0.99}
