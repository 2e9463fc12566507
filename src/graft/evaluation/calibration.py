"""Are the probabilities true? Temperature scaling, and the expected calibration error."""

import itertools

import numpy as np

from graft.core.errors import BadInput
from graft.evaluation.records import ReliabilityBin

BINS = 15
TEMPERATURE_RANGE = (0.01, 100.0)
MAX_STEPS = 60


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities `(photo, class)` float64 of `logits / temperature`, computed without overflow."""
    scaled = np.asarray(logits, np.float64) / temperature
    scaled -= scaled.max(axis=1, keepdims=True)
    np.exp(scaled, out=scaled)
    scaled /= scaled.sum(axis=1, keepdims=True)
    return scaled


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature T for which `softmax(logits / T)` has the least negative log-likelihood (Guo et al. 2017).

    `logits` is `(photo, class)`, `labels` `(photo,)`. As in Platt (1999), the labels count as if one more photo had
    been labelled at random: without it, logits that are right on every photo would ask for T = 0 and so for certainty.
    """
    logits, labels = _checked(logits, labels)
    n = len(labels)
    weight = 1 / (n + 1)
    wanted = (1 - weight) * logits[np.arange(n), labels].mean() + weight * logits.mean()
    low, high = 1 / TEMPERATURE_RANGE[1], 1 / TEMPERATURE_RANGE[0]
    enough = 1e-12 * max(1.0, float(np.abs(logits).max()))
    inverse = 1.0
    for _ in range(MAX_STEPS):  # Newton's method on 1/T, in which the likelihood is convex, kept inside a bracket
        slope, curvature = _slope(logits, inverse, float(wanted))
        if abs(slope) <= enough:
            break
        low, high = (inverse, high) if slope < 0 else (low, inverse)
        step = inverse - slope / curvature if curvature > 0 else np.inf
        following = step if low < step < high else float(np.sqrt(low * high))
        if abs(following - inverse) <= 1e-9 * inverse:
            break
        inverse = following
    return float(1 / inverse)


def expected_calibration_error(
    probabilities: np.ndarray, labels: np.ndarray, *, bins: int = BINS
) -> tuple[float, tuple[ReliabilityBin, ...]]:
    """The mean gap between confidence and accuracy over bins of equal count, and the bins from least to most sure.

    `probabilities` is `(photo, class)`. Photos of exactly equal confidence share a bin, so that the order of photos
    cannot matter; there may therefore be fewer than `bins`, as there are with fewer photos than bins.
    """
    n = len(labels)
    if n == 0 or probabilities.shape[0] != n:
        raise BadInput(
            f"probabilities and labels must have as many rows, at least one, got {probabilities.shape[0]}, {n}"
        )
    found = reliability(*confidence_and_right(probabilities, labels), bins=bins)
    return mean_gap(found), found


def confidence_and_right(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How sure each answer is, and 1 where it is right: two rows `(photo,)` float64."""
    right = probabilities.argmax(axis=1) == labels
    return probabilities.max(axis=1).astype(np.float64), right.astype(np.float64)


def reliability(confidence: np.ndarray, right: np.ndarray, *, bins: int = BINS) -> tuple[ReliabilityBin, ...]:
    """Bins of equal count from least to most sure."""
    order = np.argsort(confidence, kind="stable")
    confidence, right = confidence[order], right[order]
    return tuple(_bin(confidence[a:b], right[a:b]) for a, b in itertools.pairwise(_edges(confidence, bins)))


def mean_gap(found: tuple[ReliabilityBin, ...]) -> float:
    """The gap between confidence and accuracy, averaged over photos."""
    n = sum(item.count for item in found)
    return min(1.0, float(sum(item.count * abs(item.accuracy - item.confidence) for item in found) / n))


def _checked(logits: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    logits, labels = np.asarray(logits, np.float64), np.asarray(labels)
    if logits.ndim != 2 or logits.shape[1] < 2 or labels.shape != logits.shape[:1] or not len(labels):
        raise BadInput(
            f"logits must have shape (photos, classes) and labels (photos,), got {logits.shape}, {labels.shape}"
        )
    if not np.isfinite(logits).all():
        raise BadInput("logits must be finite, got NaN or infinity")
    if labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise BadInput(f"labels must be 0 to {logits.shape[1] - 1}, got {labels.min()} to {labels.max()}")
    return logits - logits.max(axis=1, keepdims=True), labels


def _slope(logits: np.ndarray, inverse: float, wanted: float) -> tuple[float, float]:
    """First and second derivative of the mean negative log-likelihood by the inverse temperature."""
    chances = softmax(logits, 1 / inverse)
    mean = np.einsum("nk,nk->n", chances, logits)
    square = np.einsum("nk,nk,nk->n", chances, logits, logits)
    return float(mean.mean()) - wanted, float((square - mean**2).mean())


def _edges(confidence: np.ndarray, bins: int) -> list[int]:
    """Row numbers at which bins of equal count begin, moved to the end of each run of equal values."""
    n = len(confidence)
    targets = (np.arange(1, bins) * n) // bins
    ends = np.searchsorted(confidence, confidence[np.maximum(targets - 1, 0)], side="right")
    inner = {int(end) for target, end in zip(targets, ends, strict=True) if target > 0}
    return sorted({0, n} | inner)


def _bin(confidence: np.ndarray, right: np.ndarray) -> ReliabilityBin:
    return ReliabilityBin(
        low=float(confidence[0]),
        high=float(confidence[-1]),
        count=len(confidence),
        confidence=float(confidence.mean()),
        accuracy=float(right.mean()),
    )
