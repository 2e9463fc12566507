"""Stored taps as one table: rows by number, columns by run of taps, read in slices."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from graft.core.errors import BadInput, IntegrityProblem

ROWS_AT_ONCE = 2048  # 2,048 rows of 4,096 float32 numbers are 32 MiB
FLOAT16_ROUNDING = 5e-4  # half a unit in the last place of float16, relative


@dataclass(frozen=True)
class TapTable:
    """Taps of all photos, `values[tap + ":avg"]` of shape `(photo, channel)` float16, often memory maps.

    Rows that `readable` (one truth value for each photo) does not name are refused: the test split is kept from
    training by this check, not by good will.
    """

    values: Mapping[str, np.ndarray]
    taps: tuple[str, ...]
    readable: np.ndarray | None = None

    def read(self, first: int, stop: int, rows: np.ndarray) -> np.ndarray:
        """The taps `first` to `stop` of the photos `rows`: `(row, width)` float32. `IntegrityProblem` split_leak."""
        if self.readable is not None and not self.readable[rows].all():
            raise IntegrityProblem(
                "Training must read training and validation photos only, got rows of the test split.",
                hint="This is a defect of Graft: please report it.",
                code="split_leak",
            )
        columns = [np.asarray(self._column(index)[rows], np.float32) for index in range(first, stop)]
        return np.concatenate(columns, axis=1)

    def slices(self, first: int, stop: int, rows: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """As `read`, a bounded number of rows at a time, with the place of each block."""
        for start in range(0, len(rows), ROWS_AT_ONCE):
            place = slice(start, min(start + ROWS_AT_ONCE, len(rows)))
            yield place, self.read(first, stop, rows[place])

    def _column(self, index: int) -> np.ndarray:
        return self.values[f"{self.taps[index]}:avg"]


@dataclass(frozen=True)
class Scaler:
    """Mean and inverse standard deviation of each feature, float32 `(width,)`; 0 where a feature hardly varies."""

    mean: np.ndarray
    scale: np.ndarray

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Standardised copy of `features`, `(row, width)` float32."""
        return np.asarray((features - self.mean) * self.scale, np.float32)


def fit_scaler(blocks: Iterator[np.ndarray]) -> Scaler:
    """Mean and spread over blocks `(row, width)` float32: two float64 sums in one pass, around the first row."""
    count, shift, total, squares = 0, np.zeros(0, np.float32), np.zeros(0), np.zeros(0)
    for block in blocks:
        if count == 0:
            shift = np.nan_to_num(block[0], posinf=0, neginf=0)
            total, squares = np.zeros(len(shift)), np.zeros(len(shift))
        centred = block - shift
        count += len(block)
        total += centred.sum(axis=0, dtype=np.float64)
        squares += np.square(centred).sum(axis=0, dtype=np.float64)
    if count == 0:
        raise BadInput("Features must have at least one row, got none.")
    if not np.isfinite(total).all():
        raise BadInput(
            f"Features must be finite numbers, got {np.count_nonzero(~np.isfinite(total))} columns that are not."
        )
    mean = total / count
    spread = np.sqrt(np.maximum(squares / count - mean**2, 0))
    centre = mean + shift
    varies = spread > np.maximum(1e-6, FLOAT16_ROUNDING * np.abs(centre))
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)
    return Scaler(centre.astype(np.float32), scale.astype(np.float32))


def tap_scaler(table: TapTable, first: int, stop: int, rows: np.ndarray) -> Scaler:
    """The scaler of a run of taps, learned from the photos `rows` only."""
    return fit_scaler(block for _, block in table.slices(first, stop, rows))


def runs_of_taps(widths: Sequence[int], *, max_width: int, tops: int = 3, bottoms: int = 5) -> list[tuple[int, int]]:
    """Runs `(first, stop)` worth comparing: ending at one of the last `tops` taps, with spread-out beginnings.

    The very last layers know most about ImageNet's classes and not always about the user's, so a run may stop
    below them. A run is never wider than `max_width` unless a single tap is.
    """
    runs: list[tuple[int, int]] = []
    for stop in range(len(widths), max(0, len(widths) - tops), -1):
        firsts = [first for first in range(stop) if sum(widths[first:stop]) <= max_width or first == stop - 1]
        picks = np.unique(np.linspace(0, len(firsts) - 1, min(bottoms, len(firsts))).round().astype(int))
        runs.extend((firsts[pick], stop) for pick in picks)
    return runs
