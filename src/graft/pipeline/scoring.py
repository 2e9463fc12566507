"""A fitted probe measured on photos it never saw, beside the same probe on the last layer alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graft.data.records import Manifest, Split
from graft.evaluation.comparison import Comparison, compare
from graft.training.linear import features_matrix, probabilities
from graft.training.probe import ProbeResult, Rows
from graft.training.records import LinearClassifier

MAX_MISTAKES = 24


@dataclass(frozen=True)
class Scored:
    """Answers on the split that the run is judged by. `rows` index the manifest's photos; the rest follows them."""

    split: Split
    rows: np.ndarray
    labels: np.ndarray
    probabilities: np.ndarray
    last_layer: Comparison

    def mistakes(self) -> np.ndarray:
        """Places of the wrong answers, the surest first, at most `MAX_MISTAKES`."""
        predicted = self.probabilities.argmax(axis=1)
        wrong = np.flatnonzero(predicted != self.labels)
        sure = self.probabilities[wrong, predicted[wrong]]
        return wrong[np.argsort(-sure, kind="stable")][:MAX_MISTAKES]


def rows_of(manifest: Manifest, split: Split) -> np.ndarray:
    """Numbers of the photos of one split."""
    return np.array([row for row, photo in enumerate(manifest.photos) if photo.split == split], dtype=int)


def training_rows(manifest: Manifest) -> Rows:
    """What a probe may see: the training and validation photos, and which of them belong together."""
    groups = np.unique([photo.group for photo in manifest.photos], return_inverse=True)[1]
    return Rows(rows_of(manifest, "train"), rows_of(manifest, "validation"), groups)


def score(manifest: Manifest, values: Mapping[str, np.ndarray], result: ProbeResult) -> Scored:
    """Classify the test photos, or the validation photos where there is no test split.

    `values` are the taps of the manifest's photos, row by row. This is the first time that test features are read.
    """
    labels = np.array([photo.label for photo in manifest.photos])
    split: Split = "test" if any(photo.split == "test" for photo in manifest.photos) else "validation"
    rows = rows_of(manifest, split)
    found = classify(values, result.classifier, rows)
    last = classify(values, result.last_layer, rows)
    comparison = compare(labels[rows], last.argmax(axis=1), found.argmax(axis=1))
    return Scored(split, rows, labels[rows], found, comparison)


def classify(values: Mapping[str, np.ndarray], classifier: LinearClassifier, rows: np.ndarray) -> np.ndarray:
    """Probabilities `(row, class)` of the photos `rows`, some thousand at a time."""
    parts = []
    for start in range(0, len(rows), 4096):
        block = {f"{tap}:avg": values[f"{tap}:avg"][rows[start : start + 4096]] for tap in classifier.taps}
        parts.append(probabilities(classifier, features_matrix(block, classifier.taps)))
    return np.concatenate(parts)
