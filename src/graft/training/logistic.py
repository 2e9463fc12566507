"""Multinomial logistic regression over several strengths."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from graft.training.linear import class_logits

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
    from threadpoolctl import threadpool_limits

    model = LogisticRegression(max_iter=ITERATIONS, tol=TOLERANCE, warm_start=True, class_weight=class_weight)
    for strength in sorted(strengths):
        # L-BFGS takes many small steps: BLAS threads that wait for each other made it three times slower.
        with threadpool_limits(1, user_api="blas"):
            model.set_params(C=strength).fit(features, labels)
        yield Fit(strength, model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32))


def balanced_weights(labels: np.ndarray) -> np.ndarray:
    """Each class the same weight in all, 1 in the mean over the rows: `(class,)` float32."""
    from sklearn.utils import compute_class_weight

    return np.asarray(compute_class_weight("balanced", classes=np.unique(labels), y=labels), np.float32)
