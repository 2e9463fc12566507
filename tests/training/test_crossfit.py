"""Answers out of fold: nobody vouches for himself."""

import numpy as np
import pytest

from graft.core.errors import BadInput, IntegrityProblem
from graft.training.crossfit import cross_fit
from graft.training.probe import Rows, fold_numbers
from graft.training.taps import TapTable
from tests.training.test_probe import plan

TAPS = ("low", "high")


def fitted(values, labels, *, groups=None, readable=None, train=None, classes=2):
    labels = np.asarray(labels)
    everyone = np.arange(len(labels))
    train = everyone if train is None else train
    validation = np.setdiff1d(everyone, train)
    groups = everyone if groups is None else groups
    folds = fold_numbers(np.maximum(labels, 0), groups, seed=0)
    wanted = plan(taps=TAPS, widths=(values.shape[1],) * 2)
    table = TapTable({f"{tap}:avg": values.astype(np.float16) for tap in TAPS}, TAPS, readable)
    done = []
    found = cross_fit(
        table,
        labels,
        Rows(train, validation, groups),
        folds,
        classes=classes,
        plan=wanted,
        advance=lambda: done.append(1),
    )
    assert len(done) == len(found.classifiers) == folds.max() + 1
    return found.predicted


def photos(n=60, classes=2, seed=0):
    random = np.random.default_rng(seed)
    labels = np.arange(n) % classes
    return random.normal(0, 0.3, (n, 6)) + np.eye(6)[labels] * 2, labels


def test_what_can_be_told_apart_is():
    values, labels = photos()
    assert (fitted(values, labels) == labels).mean() > 0.95


def test_chance_stays_chance():
    """Many features, few photos and no signal: fitted on all of them a probe would be right on every one."""
    random = np.random.default_rng(1)
    labels = np.arange(80) % 2
    accuracy = (fitted(random.normal(size=(80, 200)), labels) == labels).mean()
    assert 0.25 < accuracy < 0.75


def test_copies_share_a_fold():
    """Noise in pairs of copies: across folds a copy would give its twin away."""
    random = np.random.default_rng(2)
    values = np.repeat(random.normal(size=(40, 200)), 2, axis=0)
    labels = np.repeat(random.permutation(np.arange(40) % 2), 2)
    groups = np.repeat(np.arange(40), 2)
    honest = (fitted(values, labels, groups=groups) == labels).mean()
    leaking = (fitted(values, labels) == labels).mean()
    assert honest < 0.75 < 0.85 < leaking


def test_rows_that_must_not_be_read_stop_it():
    values, labels = photos()
    readable = np.ones(60, bool)
    readable[7] = False
    with pytest.raises(IntegrityProblem) as caught:
        fitted(values, labels, readable=readable)
    assert caught.value.code == "split_leak"


def test_labels_that_were_kept_back_stop_it():
    values, labels = photos()
    with pytest.raises(IntegrityProblem) as caught:
        fitted(values, np.where(np.arange(60) == 7, -1, labels))
    assert caught.value.code == "split_leak"


def test_a_class_of_one_group_is_answered_by_the_others():
    values, labels = photos(classes=3)
    labels = np.where((labels == 2) & (np.arange(60) > 2), 0, labels)  # one photo is left of the third class
    predicted = fitted(values, labels, classes=3)
    assert predicted[2] in (0, 1) and set(predicted) <= {0, 1, 2}


def test_a_class_whose_training_photos_left_is_learned_from_validation():
    values, labels = photos(n=90, classes=3)
    rare = np.flatnonzero(labels == 2)
    train = np.setdiff1d(np.arange(90), rare[1:])  # one training photo, the rest are validation photos
    predicted = fitted(values, labels, train=train, classes=3)
    assert predicted[rare[0]] == 2


def test_one_class_is_refused():
    values, _ = photos()
    with pytest.raises(BadInput, match="Two classes"):
        fitted(values, np.zeros(60, int))
