"""The probe on generated taps: what it chooses, what it may see."""

from dataclasses import replace

import numpy as np
import pytest

from graft.backbones.records import Preprocessing
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.progress import SilentProgress
from graft.core.randomness import stream
from graft.training.linear import classify
from graft.training.probe import ProbeResult, Rows, fit_probe, train_probe
from graft.training.records import Plan
from graft.training.taps import TapTable

TAPS = ("low", "middle", "top")


def plan(**changes: object) -> Plan:
    values: dict[str, object] = {
        "graft_version": "0",
        "recipe": "probe",
        "recipe_reason": "test",
        "manifest_hash": "0" * 64,
        "split_fractions": (0.7, 0.15, 0.15),
        "backbone": "none",
        "backbone_reason": "test",
        "weights_sha256": "0" * 64,
        "side_pixels": 32,
        "preprocessing": Preprocessing(),
        "precision": "float32",
        "engine": "openvino",
        "taps": TAPS,
        "widths": (8, 12, 16),
        "refit": True,
        "seed": 0,
        "threads": 1,
    }
    return Plan(**(values | changes))  # type: ignore[arg-type]


def problem(n: int = 240, classes: int = 3) -> tuple[TapTable, np.ndarray, Rows]:
    """Taps of which the middle one knows the class best; the last rows are the test split and cannot be read."""
    draw = stream(7, "probe")
    labels = np.arange(n) % classes
    values = {}
    for tap, width, strength in zip(TAPS, (8, 12, 16), (0.1, 1.5, 0.3), strict=True):
        centres = stream(1, tap).normal(0, strength, (classes, width))
        values[f"{tap}:avg"] = (centres[labels] + draw.normal(0, 1, (n, width))).astype(np.float16)
    test = n // 6
    readable = np.arange(n) < n - test
    rows = Rows(np.arange(0, n - 2 * test), np.arange(n - 2 * test, n - test))
    return TapTable(values, TAPS, readable), np.where(readable, labels, -1), rows


def run(table: TapTable, labels: np.ndarray, rows: Rows, *, classes: int = 3, **changes: object) -> ProbeResult:
    return train_probe(table, labels, rows, classes=classes, plan=plan(**changes), progress=SilentProgress())


def test_it_finds_the_depth_that_knows_the_classes():
    result = run(*problem())
    best = max(result.summary.depth_profile, key=lambda depth: depth.accuracy.value)
    assert best.layer == "middle"
    assert "middle" in result.classifier.taps
    assert result.summary.chosen.accuracy > result.summary.last_layer.accuracy
    assert result.last_layer.taps == ("top",)


def test_its_probabilities_are_good_on_photos_it_never_read():
    table, _, _ = problem()
    result = run(*problem())
    test = np.arange(200, 240)
    values = {name: value[test] for name, value in table.values.items()}
    found = classify(result.classifier, values)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-5)
    assert (found.argmax(axis=1) == test % 3).mean() > 0.85


def test_reading_a_test_row_is_refused():
    table, labels, rows = problem()
    with pytest.raises(IntegrityProblem, match="test split"):
        run(table, labels, replace(rows, train=np.append(rows.train, 239)))


def test_few_photos_choose_out_of_fold_and_many_on_validation():
    assert run(*problem()).summary.chosen_on == "out-of-fold"
    assert run(*problem(), out_of_fold_below=10).summary.chosen_on == "validation"


def test_without_validation_photos_choices_come_from_folds():
    table, labels, rows = problem()
    result = run(table, labels, Rows(rows.train, rows.validation[:0]), out_of_fold_below=10)
    assert result.summary.chosen_on == "out-of-fold"
    assert result.summary.validation_accuracy is None and not result.summary.refitted


def test_equal_plans_give_equal_heads_to_the_last_bit():
    first, second = run(*problem()), run(*problem())
    for name in ("mean", "scale", "kernel", "bias"):
        assert getattr(first.classifier, name).tobytes() == getattr(second.classifier, name).tobytes()


def test_refitting_changes_the_head_but_not_what_was_chosen():
    with_it, without = run(*problem()), run(*problem(), refit=False)
    assert with_it.summary.chosen == without.summary.chosen
    assert with_it.classifier.kernel.tobytes() != without.classifier.kernel.tobytes()
    np.testing.assert_array_equal(with_it.validation_logits, without.validation_logits)


@pytest.mark.parametrize("units", [1, 2])
def test_two_classes_have_one_sigmoid_or_two_softmax_units(units):
    result = run(*problem(classes=2), classes=2, binary_units=units)
    assert result.classifier.kernel.shape[1] == units


def test_imbalanced_classes_are_weighted():
    table, labels, rows = problem()
    assert not run(table, labels, rows).summary.class_weighted
    keep = np.array([row for row in rows.train if labels[row] != 2 or row % 4 == 0])
    assert run(table, labels, Rows(keep, rows.validation)).summary.class_weighted


def test_a_class_without_training_photos_is_refused():
    table, labels, rows = problem()
    with pytest.raises(BadInput, match="class number 2"):
        run(table, labels, Rows(rows.train[labels[rows.train] != 2], rows.validation))


def test_a_fold_may_lack_a_class():
    table, labels, rows = problem()
    lonely = np.flatnonzero(labels == 2)[:1]
    train = np.sort(np.concatenate([rows.train[labels[rows.train] != 2], lonely]))
    assert run(table, labels, Rows(train, rows.validation)).classifier.kernel.shape[1] == 3


def test_few_photos_and_many_features_do_not_make_it_too_sure():
    """Confidence on new photos is near accuracy there. Logits of photos the whitening has seen would not tell."""
    draw = stream(11, "few")
    n, width = 460, 400
    labels = np.arange(n) % 2
    centres = draw.normal(0, 0.12, (2, width))
    values = {f"{tap}:avg": (centres[labels] + draw.normal(0, 1, (n, width))).astype(np.float16) for tap in TAPS}
    table = TapTable(values, TAPS)
    rows = Rows(np.arange(60), np.zeros(0, int))
    result = run(table, labels, rows, classes=2, widths=(width,) * 3)
    new = {name: value[60:] for name, value in values.items()}
    chances = classify(result.classifier, new)
    accuracy = (chances.argmax(axis=1) == labels[60:]).mean()
    assert 0.7 < accuracy < 0.995
    assert chances.max(axis=1).mean() < accuracy + 0.08


@pytest.mark.parametrize("per_class", [1, 2, 3])
def test_a_handful_of_photos_is_enough_to_fit(per_class):
    table, labels, rows = problem(classes=2)
    few = np.concatenate([np.flatnonzero(labels == label)[:per_class] for label in (0, 1)])
    result = run(table, labels, Rows(np.sort(few), rows.validation[:2]), classes=2)
    assert np.isfinite(result.classifier.kernel).all()


def test_copies_do_not_vouch_for_each_other_across_folds():
    """Every training photo four times: out-of-fold accuracy stays what it is without the copies."""
    table, labels, rows = problem()
    values = {name: np.concatenate([value] * 4) for name, value in table.values.items()}
    many = TapTable(values, TAPS)
    train = np.concatenate([rows.train + copy * 240 for copy in range(4)])
    shuffled = np.tile(stream(5, "labels").permutation(np.abs(labels)), 4)
    groups = np.tile(np.arange(240), 4)
    honest = run(many, shuffled, Rows(train, train[:0], groups))
    fooled = run(many, shuffled, Rows(train, train[:0]))
    assert honest.summary.chosen.accuracy < 0.5 < fooled.summary.chosen.accuracy


def test_photos_that_all_look_the_same_teach_nothing_and_break_nothing():
    values = {f"{tap}:avg": np.ones((24, width), np.float16) for tap, width in zip(TAPS, (80, 120, 160), strict=True)}
    rows = Rows(np.arange(16), np.arange(16, 24))
    result = run(TapTable(values, TAPS), np.arange(24) % 2, rows, classes=2, widths=(80, 120, 160))
    assert classify(result.classifier, values) == pytest.approx(0.5, abs=1e-3)


@pytest.mark.parametrize("refit", [True, False])
def test_the_classifier_alone_is_the_same_to_the_last_bit(refit):
    table, labels, rows = problem()
    whole = run(table, labels, rows, refit=refit).classifier
    alone = fit_probe(table, labels, rows, classes=3, plan=plan(refit=refit))
    assert alone.taps == whole.taps and alone.temperature == whole.temperature
    np.testing.assert_array_equal(alone.kernel, whole.kernel)
    np.testing.assert_array_equal(alone.bias, whole.bias)
