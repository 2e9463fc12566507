"""From probabilities and labels to an `Evaluation`: every figure with its interval."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from graft.core.errors import BadInput
from graft.evaluation.calibration import confidence_and_right, expected_calibration_error, mean_gap, reliability
from graft.evaluation.intervals import bootstrap, percentile_score, resample, wilson
from graft.evaluation.records import ClassScore, Confusion, Evaluation, Score

TOP5_FROM_CLASSES = 10
WORST_CONFUSIONS = 10
ECE_RESAMPLES = 200
LEAST_PROBABILITY = float(np.finfo(np.float32).eps)  # the log loss of a zero is bounded, as scikit-learn does


def evaluate(
    probabilities: np.ndarray,
    labels: np.ndarray,
    classes: Sequence[str],
    *,
    manifest_hash: str,
    bundle_hash: str,
    split: Literal["train", "validation", "test", "given"],
    seed: int,
) -> Evaluation:
    """Measure a classifier on one split.

    `probabilities` is `(photo, class)` with rows that sum to 1, `labels` `(photo,)` indexes `classes`. Shares of
    photos carry Wilson intervals; balanced accuracy, macro F1 and log loss carry bootstrap intervals drawn from `seed`.
    Raises `BadInput` for arrays that cannot be probabilities and labels.
    """
    probabilities, labels = _checked(probabilities, labels, len(classes))
    predicted = probabilities.argmax(axis=1)
    confusion = confusion_matrix(labels, predicted, len(classes))
    n, support = len(labels), confusion.sum(axis=1)
    balanced, macro_f1, log_loss = _bootstrapped(probabilities, labels, predicted, confusion, seed)
    ece, bins = expected_calibration_error(probabilities, labels)
    return Evaluation(
        manifest_hash=manifest_hash,
        bundle_hash=bundle_hash,
        split=split,
        n=n,
        classes=tuple(classes),
        accuracy=wilson(int(np.trace(confusion)), n),
        top5=wilson(_in_top5(probabilities, labels), n) if len(classes) >= TOP5_FROM_CLASSES else None,
        balanced_accuracy=balanced,
        macro_f1=macro_f1,
        log_loss=log_loss,
        ece=ece,
        ece_interval=_ece_interval(probabilities, labels, ece, seed),
        reliability=bins,
        per_class=tuple(_class_score(name, index, confusion) for index, name in enumerate(classes)),
        confusion=tuple(tuple(row) for row in confusion.tolist()),
        worst_confusions=_worst(confusion, classes),
        majority_share=float(support.max() / n),
    )


def confusion_matrix(labels: np.ndarray, predicted: np.ndarray, n_classes: int) -> np.ndarray:
    """Photos by true class (row) and predicted class (column): `(class, class)` int64."""
    cells = labels.astype(np.int64) * n_classes + predicted
    return np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes)


def photo_losses(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Negative log-likelihood of each photo's true class, `(photo,)` float64."""
    chance = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return np.asarray(-np.log(np.clip(chance, LEAST_PROBABILITY, 1.0)))


def _checked(probabilities: np.ndarray, labels: np.ndarray, n_classes: int) -> tuple[np.ndarray, np.ndarray]:
    probabilities, labels = np.asarray(probabilities), np.asarray(labels)
    n = labels.shape[0] if labels.ndim == 1 else -1
    if n < 1 or n_classes < 2 or probabilities.shape != (n, n_classes):
        raise BadInput(
            f"probabilities must have shape (photos, {n_classes}) and labels (photos,), at least one photo and two "
            f"classes, got {probabilities.shape} and {labels.shape}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= n_classes:
        raise BadInput(f"labels must be whole numbers from 0 to {n_classes - 1}, got {labels.min()} to {labels.max()}")
    sums = probabilities.sum(axis=1, dtype=np.float64)
    if not (np.abs(sums - 1) <= 1e-3).all() or probabilities.min() < 0:  # "not <=" also catches NaN
        raise BadInput("probabilities must be at least 0 and each row must sum to 1")
    return probabilities, labels


def _in_top5(probabilities: np.ndarray, labels: np.ndarray) -> int:
    """Photos whose true class is among the five likeliest; of equal probabilities the lower class number wins."""
    true = probabilities[np.arange(len(labels)), labels][:, None]
    before = np.arange(probabilities.shape[1]) < labels[:, None]
    rank = ((probabilities > true) | ((probabilities == true) & before)).sum(axis=1)
    return int((rank < 5).sum())


def _bootstrapped(
    probabilities: np.ndarray, labels: np.ndarray, predicted: np.ndarray, confusion: np.ndarray, seed: int
) -> tuple[Score, Score, Score]:
    """Balanced accuracy, macro F1 and log loss from one set of resamples."""
    k = confusion.shape[0]
    losses = photo_losses(probabilities, labels)
    # Three counts for each class are all that the figures need: right answers go to their class, others to a spare one.
    right_class = np.where(labels == predicted, labels, k)

    def figures(rows: np.ndarray) -> tuple[float, float, float]:
        right = np.bincount(right_class[rows], minlength=k + 1)[:k]
        support = np.bincount(labels[rows], minlength=k)
        guesses = np.bincount(predicted[rows], minlength=k)
        return _mean_recall(right, support), _mean_f1(right, support, guesses), float(losses[rows].mean())

    values = figures(np.arange(len(labels)))
    replicates = resample(figures, len(labels), seed=seed)
    scores = [percentile_score(value, replicates[:, column]) for column, value in enumerate(values)]
    support = confusion.sum(axis=1)
    return _opened(scores[0], support), _opened(scores[1], support), scores[2]


def _ece_interval(probabilities: np.ndarray, labels: np.ndarray, ece: float, seed: int) -> tuple[float, float]:
    """Bootstrap interval of the calibration error."""
    pairs = confidence_and_right(probabilities, labels)
    score = bootstrap(lambda *rows: mean_gap(reliability(*rows)), pairs, seed, n_resamples=ECE_RESAMPLES)
    return min(score.low, ece), max(score.high, ece)


def _mean_recall(right: np.ndarray, support: np.ndarray) -> float:
    """Recall averaged over the classes that occur."""
    return float((right / np.maximum(support, 1)).sum() / max(1, np.count_nonzero(support)))


def _mean_f1(right: np.ndarray, support: np.ndarray, guesses: np.ndarray) -> float:
    """F1 averaged over the classes that occur or were predicted."""
    f1 = 2 * right / np.maximum(support + guesses, 1)
    return float(f1.sum() / np.count_nonzero(support + guesses))


def _opened(score: Score, support: np.ndarray) -> Score:
    """A score whose resamples all agree (every photo right, or every one wrong) with a Wilson interval instead.

    The bootstrap would claim certainty there. The effective number of photos is the one that gives a mean of
    recalls the variance it has: `classes ** 2 / sum(1 / photos of the class)`.
    """
    if score.low < score.high or score.value not in (0.0, 1.0):
        return score
    occurring = support[support > 0]
    effective = len(occurring) ** 2 / float((1 / occurring).sum())
    return wilson(score.value * effective, effective)


def _class_score(name: str, index: int, confusion: np.ndarray) -> ClassScore:
    right = int(confusion[index, index])
    support, guesses = int(confusion[index].sum()), int(confusion[:, index].sum())
    return ClassScore(
        name=name,
        support=support,
        predicted=guesses,
        precision=wilson(right, guesses) if guesses else None,
        recall=wilson(right, support) if support else None,
        f1=_f1_score(right, support + guesses - right) if support + guesses else None,
    )


def _f1_score(right: int, involved: int) -> Score:
    """F1 of one class: `2 J / (1 + J)` of the share J of right photos among those that are or were taken for the class.

    J is a plain share, so its Wilson interval gives that of F1, and no class is too small for it.
    """
    share = wilson(right, involved)
    value, low, high = (2 * edge / (1 + edge) for edge in (share.value, share.low, share.high))
    return Score(value=value, low=low, high=high, method="wilson")


def _worst(confusion: np.ndarray, classes: Sequence[str]) -> tuple[Confusion, ...]:
    """The commonest mistakes, most first; equal counts in the order of the classes."""
    counts = confusion.copy()
    np.fill_diagonal(counts, 0)
    order = np.argsort(-counts, axis=None, kind="stable")[:WORST_CONFUSIONS]
    cells = [divmod(int(cell), len(classes)) for cell in order]
    return tuple(
        Confusion(true=classes[row], predicted=classes[column], count=int(counts[row, column]))
        for row, column in cells
        if counts[row, column]
    )
