"""95 % intervals: Wilson's for a share of photos, the bootstrap for everything else."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.evaluation.records import Score

NORMAL_97_5 = 1.959963984540054  # the 97.5 % point of the normal distribution
RESAMPLES = 1000


def wilson(successes: float, n: float) -> Score:
    """The share `successes / n` with Wilson's score interval (Wilson 1927, without continuity correction).

    It keeps within 0..1 and stays honest at the ends: 20 right of 20 gives 84 % to 100 %. Counts may be fractions
    where `n` is an effective number of photos.
    """
    if not (0 <= successes <= n and n > 0):
        raise BadInput(f"successes must be between 0 and n, and n above 0, got {successes} of {n}")
    share, z_squared = successes / n, NORMAL_97_5**2
    centre = (share + z_squared / (2 * n)) / (1 + z_squared / n)
    half = NORMAL_97_5 / (1 + z_squared / n) * math.sqrt(share * (1 - share) / n + z_squared / (4 * n * n))
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return Score(value=share, low=min(low, share), high=max(high, share), method="wilson")


def resample(
    statistic: Callable[[np.ndarray], Sequence[float] | np.ndarray], n: int, *, seed: int, n_resamples: int = RESAMPLES
) -> np.ndarray:
    """Bootstrap replicates `(resample, figure)` float64 of `statistic`, which gets row numbers `(n,)`.

    Rows are drawn with replacement; one draw serves all figures of `statistic`, so they stay comparable.
    """
    random = stream(seed, "evaluation", "bootstrap")
    draws = (random.integers(0, n, size=n, dtype=np.int32 if n < 2**31 else np.int64) for _ in range(n_resamples))
    return np.stack([np.atleast_1d(np.asarray(statistic(rows), np.float64)) for rows in draws])


def percentile_score(value: float, replicates: np.ndarray) -> Score:
    """The percentile interval of bootstrap replicates `(resample,)`; it always holds `value`."""
    low, high = (float(edge) for edge in np.percentile(replicates, (2.5, 97.5)))
    return Score(value=value, low=min(low, value), high=max(high, value), method="bootstrap")


def bootstrap(
    statistic: Callable[..., float], arrays: Sequence[np.ndarray], seed: int, n_resamples: int = RESAMPLES
) -> Score:
    """`statistic(*arrays)` with its bootstrap interval; all `arrays` have one row for each photo."""
    counts = {len(array) for array in arrays}
    if len(counts) != 1 or counts == {0}:
        raise BadInput(f"arrays must have the same number of rows, at least one, got {sorted(counts)}")

    def of_rows(rows: np.ndarray) -> Sequence[float]:
        return [statistic(*(array[rows] for array in arrays))]

    replicates = resample(of_rows, counts.pop(), seed=seed, n_resamples=n_resamples)
    return percentile_score(float(statistic(*arrays)), replicates[:, 0])
