"""Classifiers measured on photos they never saw, beside a probe on the last layer alone."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graft.data.records import Manifest, Split
from graft.evaluation.comparison import Comparison, compare
from graft.evaluation.metrics import evaluate
from graft.evaluation.records import Evaluation
from graft.features.records import Activations
from graft.pipeline.planning import Resolved
from graft.training.linear import classify as answers
from graft.training.probe import ProbeResult, Rows
from graft.training.records import Classifier

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


@dataclass(frozen=True)
class Candidate:
    """A classifier that a run may keep: a head, the network below it, and how good both are together."""

    recipe: str  # probe, finetune, or the name of a reference recipe
    resolved: Resolved  # its weights are those that the head was made for
    classifier: Classifier
    fitted_on: tuple[Split, ...]
    scored: Scored
    evaluation: Evaluation


@dataclass(frozen=True)
class Probed:
    """The probe with what it read: where fine-tuning begins, and what it must be better than."""

    result: ProbeResult
    candidate: Candidate
    activations: Activations


def rows_of(manifest: Manifest, split: Split) -> np.ndarray:
    """Numbers of the photos of one split."""
    return np.array([row for row, photo in enumerate(manifest.photos) if photo.split == split], dtype=int)


def training_rows(manifest: Manifest) -> Rows:
    """What a probe may see: the training and validation photos, and which of them belong together."""
    groups = np.unique([photo.group for photo in manifest.photos], return_inverse=True)[1]
    return Rows(rows_of(manifest, "train"), rows_of(manifest, "validation"), groups)


def judged_rows(manifest: Manifest) -> tuple[Split, np.ndarray]:
    """The split that a run is judged by, and its photos: test, or validation where there is no test split."""
    split: Split = "test" if any(photo.split == "test" for photo in manifest.photos) else "validation"
    return split, rows_of(manifest, split)


def measure(
    recipe: str,
    resolved: Resolved,
    manifest: Manifest,
    classifier: Classifier,
    chances: np.ndarray,
    last_layer: np.ndarray,
) -> Candidate:
    """Measure a classifier of the resolved network on the split that the run is judged by.

    `chances` are its probabilities `(photo, class)` for the photos of `judged_rows`; `last_layer` the classes that a
    head on the untuned network's last layer gives them.
    """
    split, rows = judged_rows(manifest)
    labels = np.array([photo.label for photo in manifest.photos])[rows]
    evaluation = evaluate(
        chances,
        labels,
        manifest.classes,
        manifest_hash=resolved.plan.manifest_hash,
        bundle_hash="",  # known when the bundle is written, which quotes this evaluation
        split=split,
        seed=resolved.plan.seed,
    )
    return Candidate(
        recipe=recipe,
        resolved=resolved,
        classifier=classifier,
        fitted_on=("train", "validation") if recipe == "probe" and resolved.plan.refit else ("train",),
        scored=Scored(split, rows, labels, chances, compare(labels, last_layer, chances.argmax(axis=1))),
        evaluation=evaluation,
    )


def classify(values: Mapping[str, np.ndarray], classifier: Classifier, rows: np.ndarray) -> np.ndarray:
    """Probabilities `(row, class)` of the photos `rows`, some thousand at a time."""
    parts = []
    for start in range(0, len(rows), 4096):
        chosen = rows[start : start + 4096]
        parts.append(answers(classifier, {each.name: values[each.name][chosen] for each in classifier.outputs}))
    return np.concatenate(parts)
