"""Weights in smaller numbers: how far they may be from what they were."""

import numpy as np
import pytest

from graft.bundle.export.rounding import LARGEST_INT8, by_channel, halved


@pytest.mark.parametrize("axis", [0, 1, 3])
def test_int8_is_half_a_step_off_at_most_in_every_channel(axis):
    weights = np.random.default_rng(0).normal(0, 1, (3, 4, 5, 6)).astype(np.float32)
    weights *= np.logspace(-3, 3, weights.shape[axis]).reshape([-1 if each == axis else 1 for each in range(4)])
    values, scales = by_channel(weights, axis)
    assert values.dtype == np.int8 and scales.size == weights.shape[axis]
    assert np.abs(values).max() == LARGEST_INT8
    assert (np.abs(values * scales - weights) <= 0.501 * scales).all()


def test_channels_of_zeros_stay_zeros():
    values, scales = by_channel(np.zeros((2, 3), np.float32), 0)
    assert not values.any() and np.isfinite(scales).all()


def test_float16_is_not_used_where_it_would_be_infinite():
    assert halved(np.array([7e4, 1.0])) is None
    assert halved(np.array([6e4, 1.0])).dtype == np.float16
