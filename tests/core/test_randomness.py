"""Random streams depend on seed and names, and on nothing else."""

import numpy as np

from graft.core.randomness import stream


def test_streams_are_named() -> None:
    draws = {
        names: tuple(stream(*names).integers(1 << 60, size=4))
        for names in [(0,), (1,), (0, "a"), (0, "b"), (1, "a"), (0, "a", "b"), (0, "ab"), (0, "b", "a"), (-1,)]
    }
    assert len(set(draws.values())) == len(draws)
    assert tuple(stream(0, "a").integers(1 << 60, size=4)) == draws[(0, "a")]


def test_streams_are_the_same_everywhere_and_ever() -> None:
    np.testing.assert_array_equal(stream(0, "split").integers(1000, size=5), EXPECTED)


EXPECTED = [155, 964, 819, 576, 330]
