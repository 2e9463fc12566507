"""Whitened coordinates."""

import numpy as np
import pytest

from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.training import whitening as module
from graft.training.taps import TapTable
from graft.training.whitening import fit_whitening, whiten

ROWS = np.arange(200)


def table() -> TapTable:
    mixed = stream(0, "white").normal(size=(200, 6)) @ stream(1, "white").normal(size=(6, 6))
    return TapTable({"a:avg": mixed.astype(np.float16)}, ("a",))


def test_whitened_features_have_unit_covariance_when_nothing_is_shrunk():
    white = whiten(fit_whitening(table(), 0, 1, ROWS, shrinkage=1e-6), table(), 0, 1, ROWS)
    np.testing.assert_allclose(white.T @ white / 200, np.eye(6), atol=0.02)


def test_shrinkage_draws_directions_of_little_variance_towards_zero():
    white = whiten(fit_whitening(table(), 0, 1, ROWS, shrinkage=10.0), table(), 0, 1, ROWS)
    spread = np.linalg.eigvalsh(white.T @ white / 200)
    assert spread[0] < 0.7 < spread[-1] < 1


def test_the_main_directions_span_what_the_full_map_does(monkeypatch):
    full = whiten(fit_whitening(table(), 0, 1, ROWS, shrinkage=0.1), table(), 0, 1, ROWS)
    monkeypatch.setattr(module, "MAX_WHITE_NUMBERS", 10)
    few = whiten(fit_whitening(table(), 0, 1, ROWS, shrinkage=0.1), table(), 0, 1, ROWS)
    np.testing.assert_allclose(few @ few.T, full @ full.T, atol=0.05)  # equal up to a rotation


def test_features_must_be_finite():
    broken = TapTable({"a:avg": np.full((4, 2), np.inf, np.float16)}, ("a",))
    with pytest.raises(BadInput, match="finite"):
        fit_whitening(broken, 0, 1, np.arange(4), shrinkage=0.1)
