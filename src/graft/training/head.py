"""The linear head alone, as a scikit-learn classifier on any table of features.

Public, for use without Graft's own pipeline: on what `graft features` writes, in pipelines and searches of
scikit-learn, whose checks of estimators it passes. Training itself fits many heads at once (`graft.training.probe`).
"""

from collections.abc import Mapping
from typing import Any, Literal, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import compute_class_weight
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, validate_data

from graft.core.errors import BadInput
from graft.evaluation.calibration import softmax
from graft.training.linear import class_logits, decision
from graft.training.logistic import fit_strengths
from graft.training.records import Classifier
from graft.training.taps import TapTable
from graft.training.whitening import fit_whitening, whiten


class LinearHead(ClassifierMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Standardise, whiten with shrinkage, multinomial logistic regression: what a probe fits on taps.

    Parameters:
        shrinkage: how far the covariance is drawn towards a multiple of the identity, above 0.
        strength: inverse regularisation C of the logistic regression, above 0.
        class_weight: None, "balanced", or a weight for each class.

    Learned: `classes_`, `classifier_` (a `Classifier`), `n_features_in_`.
    """

    def __init__(
        self,
        shrinkage: float = 0.1,
        strength: float = 0.1,
        class_weight: Mapping[Any, float] | Literal["balanced"] | None = None,
    ) -> None:
        self.shrinkage = shrinkage
        self.strength = strength
        self.class_weight = class_weight

    def fit(self, X: Any, y: Any) -> Self:  # scikit-learn's names
        """Fit on features `(row, width)` and one class for each row; raises `ValueError` as scikit-learn does."""
        for name in ("shrinkage", "strength"):
            if not getattr(self, name) > 0:
                raise BadInput(f"'{name}' must be above 0, got {getattr(self, name)!r}.")
        features, y = validate_data(self, X, y, dtype=np.float32, ensure_min_samples=2)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y must have at least two classes, got one class: {self.classes_[0]!r}")
        weights = compute_class_weight(self.class_weight, classes=self.classes_, y=y)
        table, rows = TapTable({"features:avg": features}, ("features",)), np.arange(len(features))
        whitening = fit_whitening(table, 0, 1, rows, shrinkage=self.shrinkage)
        white = whiten(whitening, table, 0, 1, rows)
        fit = next(fit_strengths(white, labels, [self.strength], class_weight=dict(enumerate(weights))))
        self.classifier_ = Classifier(
            taps=("features",),
            mean=whitening.scaler.mean,
            scale=whitening.scaler.scale,
            kernel=np.asarray(whitening.map @ fit.kernel, np.float32),
            bias=fit.bias,
            temperature=1.0,
        )
        return self

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits: `(row,)` for two classes, `(row, class)` for more."""
        check_is_fitted(self)
        units = decision(self.classifier_, validate_data(self, X, dtype=np.float32, reset=False))
        return units[:, 0] if units.shape[1] == 1 else units

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities `(row, class)`, columns as `classes_`."""
        scores = self.decision_function(X)
        return softmax(class_logits(scores[:, None] if scores.ndim == 1 else scores))

    def predict(self, X: Any) -> np.ndarray:
        """The likeliest class of each row."""
        likeliest = self.predict_proba(X).argmax(axis=1)
        return np.asarray(self.classes_[likeliest])
