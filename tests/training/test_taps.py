"""Stored taps as a table."""

import numpy as np
import pytest

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.randomness import stream
from graft.training.taps import TapTable, fit_scaler, runs_of_taps


def table(readable: np.ndarray | None = None) -> TapTable:
    values = {"a:avg": np.arange(8).reshape(4, 2), "b:avg": np.arange(12).reshape(4, 3)}
    return TapTable({name: value.astype(np.float16) for name, value in values.items()}, ("a", "b"), readable)


def test_a_run_of_taps_is_read_in_order():
    found = table().read(0, 2, np.array([3, 0]))
    np.testing.assert_array_equal(found, [[6, 7, 9, 10, 11], [0, 1, 0, 1, 2]])


def test_rows_of_the_test_split_cannot_be_read():
    kept = table(np.array([True, True, True, False]))
    assert kept.read(0, 1, np.array([0, 2])).shape == (2, 2)
    with pytest.raises(IntegrityProblem, match="test split") as caught:
        kept.read(0, 1, np.array([2, 3]))
    assert caught.value.code == "split_leak"


def test_the_scaler_agrees_with_numpy_over_blocks_of_any_size():
    features = stream(0, "scaler").normal(100, 3, (50, 4)).astype(np.float32)
    scaler = fit_scaler(iter(np.array_split(features, 7)))
    white = scaler.apply(features)
    np.testing.assert_allclose(white.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(white.std(axis=0), 1, atol=1e-4)


def test_features_that_hardly_vary_are_dropped():
    features = np.ones((10, 2), np.float32)
    features[:, 1] = np.arange(10)
    features[0, 0] += 1e-4  # less than float16 can tell apart near one
    assert fit_scaler(iter([features])).scale.tolist()[0] == 0


def test_a_scaler_needs_rows():
    with pytest.raises(BadInput, match="at least one row"):
        fit_scaler(iter([]))


def test_runs_end_at_the_last_taps_and_are_never_too_wide():
    widths = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024]
    runs = runs_of_taps(widths, max_width=4096)
    assert {stop for _, stop in runs} == {13, 12, 11}
    assert all(sum(widths[first:stop]) <= 4096 for first, stop in runs)
    assert (0, 11) in runs and (12, 13) in runs


def test_a_single_tap_wider_than_allowed_is_still_a_run():
    assert runs_of_taps([10, 5000], max_width=4096)[0] == (1, 2)
