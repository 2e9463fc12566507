"""Honest answers for photos that a probe may also learn from: each by a probe that never saw its fold.

Nothing is shared between folds but the recipe's lists of candidates: taps, shrinkage, strength, temperature and head
are all chosen anew without the fold's photos, as `train_probe` would choose them on the rest. So the share of right
answers is that of the whole procedure, and the same folds for several backbones make their answers comparable photo by
photo.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from graft.core.errors import BadInput
from graft.training.linear import probabilities
from graft.training.probe import Rows, fit_probe
from graft.training.records import Classifier, Plan
from graft.training.taps import TapTable


@dataclass(frozen=True)
class CrossFit:
    """The class predicted for each row of the table (-1 where it is in no fold), and the classifier of each fold."""

    predicted: np.ndarray
    classifiers: tuple[Classifier, ...]


def cross_fit(
    table: TapTable,
    labels: np.ndarray,
    rows: Rows,
    folds: np.ndarray,
    *,
    classes: int,
    plan: Plan,
    advance: Callable[[], None],
) -> CrossFit:
    """Predict each photo of `rows` without its fold. `folds` has a number for each row of the table, -1 for none.

    Rows of one group must share a fold. `advance` is called after each fold.
    """
    predicted = np.full(len(labels), -1)
    classifiers = []
    for fold in range(int(folds.max()) + 1):
        outside = np.flatnonzero(folds == fold)
        inside = _inside(rows, labels, folds != fold)
        present, local = _present(labels, inside, classes)
        classifier = fit_probe(table, local, inside, classes=len(present), plan=plan)
        predicted[outside] = present[_answers(table, classifier, outside)]
        classifiers.append(classifier)
        advance()
    return CrossFit(predicted, tuple(classifiers))


def _inside(rows: Rows, labels: np.ndarray, kept: np.ndarray) -> Rows:
    """The rows without a fold. A class whose last training photos went with it keeps those for validation to learn."""
    train, validation = rows.train[kept[rows.train]], rows.validation[kept[rows.validation]]
    needed = ~np.isin(labels[validation], labels[train])
    return Rows(np.sort(np.concatenate([train, validation[needed]])), validation[~needed], rows.groups)


def _present(labels: np.ndarray, inside: Rows, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes that occur without the fold, and every row's label counted among them; -1 where it cannot be."""
    present = np.unique(labels[inside.train])
    if len(present) < 2:
        raise BadInput(
            f"Two classes must have photos in two groups or more to be ranked on, got {len(present)}.",
            hint="Add photos that are no copies of others.",
        )
    places = np.full(classes, -1)
    places[present] = np.arange(len(present))
    return present, np.where(labels >= 0, places[labels], -1)


def _answers(table: TapTable, classifier: Classifier, rows: np.ndarray) -> np.ndarray:
    first = table.taps.index(classifier.taps[0])
    parts = [
        probabilities(classifier, features).argmax(axis=1)
        for _, features in table.slices(first, first + len(classifier.taps), rows)
    ]
    return np.concatenate(parts)
