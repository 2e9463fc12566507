"""The head alone keeps every one of scikit-learn's conventions."""

import numpy as np
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from graft.core.errors import BadInput
from graft.training.head import LinearHead


@parametrize_with_checks([LinearHead(), LinearHead(class_weight="balanced", shrinkage=1.0)])
def test_it_passes_scikit_learns_checks(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", ["shrinkage", "strength"])
def test_parameters_must_be_above_zero(name):
    with pytest.raises(BadInput, match=f"'{name}' must be above 0, got 0"):
        LinearHead(**{name: 0}).fit(np.eye(4), [0, 1, 0, 1])
