"""Multinomial logistic regression over several strengths, and its temperature."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from graft.training.linear import class_logits, softmax

ClassWeight = Mapping[int, float] | Literal["balanced"] | None
ITERATIONS = 300
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Fit:
    """A fitted regression: `logits = features @ kernel + bias`, one unit for two classes, else one for each."""

    strength: float
    kernel: np.ndarray  # (direction, unit) float32
    bias: np.ndarray  # (unit,) float32

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Class logits `(row, class)` of features `(row, direction)`."""
        return class_logits(features @ self.kernel + self.bias)


def fit_strengths(
    features: np.ndarray, labels: np.ndarray, strengths: Sequence[float], *, class_weight: ClassWeight
) -> Iterator[Fit]:
    """Fit each strength (inverse regularisation C), smallest first, each started from the last one's solution."""
    from sklearn.linear_model import LogisticRegression

    model = LogisticRegression(max_iter=ITERATIONS, tol=TOLERANCE, warm_start=True, class_weight=class_weight)
    for strength in sorted(strengths):
        model.set_params(C=strength).fit(features, labels)
        yield Fit(strength, model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32))


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """Mean negative log-likelihood of the true classes, natural logarithm."""
    chosen = softmax(logits.astype(np.float64))[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def best_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature in [1/100, 100] that makes held-out logits `(row, class)` most likely.

    Source: Guo et al., "On Calibration of Modern Neural Networks", 2017.
    """
    from scipy.optimize import minimize_scalar

    bound = np.log(100.0)
    result = minimize_scalar(
        lambda log_t: log_loss(logits / np.exp(log_t), labels), bounds=(-bound, bound), method="bounded"
    )
    return float(np.exp(result.x))
