"""The pixel check: two fingerprints laid over one another, and how far they then differ.

One picture may be a light crop of the other, so each axis has a scale and a shift, found by least squares on the
brightness (the method of Lucas and Kanade with the gradients of one picture only). It is first done at half the
resolution, which most pairs of different photos do not survive, then in full.
"""

from dataclasses import dataclass

import numpy as np

from graft.data.fingerprints import SIDE, brightness, colours

COARSE_STEPS, FINE_STEPS = 2, 3
LEAST_COARSE_CORRELATION = 0.96  # where the better of both ways is taken; copies have 0.97 and more
MOST_SCALE, MOST_SHIFT = 0.15, 0.13  # off 1 and 0, the picture reaching from -1 to 1: a little more than 5 % a side
LEAST_SEEN = 6  # pixels of a 3×3 window that both pictures show
SMALL_SIDE_PIXELS = 2 * SIDE  # of a photo with a side below, the finest detail depends on its resizing: it is blurred
# Limits for pictures that lie exactly over one another, and for those moved by a pixel of the fingerprint and more.
# Copies that were not cropped need no room, and photos of one fixed camera get none.
LEAST_CORRELATION = (0.98, 0.975)
MOST_LOCAL = (0.35, 0.6)  # mean difference of a 3×3 window, in standard deviations of the picture's brightness
LEAST_DEVIATION = 7.0  # grey levels: below, what a lossy format adds would count as a difference
MOST_COLOUR = 24.0  # mean difference of a 2×2 window of a colour difference, in levels of 255
STILL_PIXELS, MOVED_PIXELS = 0.25, 1.0


@dataclass(frozen=True)
class _Laid:
    """The second pictures of n pairs, resampled to lie over the first; `seen` is 1 where they reach, else 0."""

    pictures: np.ndarray  # (n, side, side) float32
    seen: np.ndarray  # (n, side, side) float32


def distances(first: np.ndarray, second: np.ndarray, small: np.ndarray) -> np.ndarray:
    """How far the pictures of each pair differ: (n,) float64, at most 1 for near duplicates, infinite for most others.

    `first` and `second` are (n, 1536) fingerprints; `small` (n,) tells pairs of which one photo has a side below 64
    pixels.
    """
    found = np.full(len(first), np.inf)
    there, there_places = _coarse(first, second)
    back, back_places = _coarse(second, first)
    kept = np.flatnonzero(np.maximum(there, back) >= LEAST_COARSE_CORRELATION)
    if not len(kept):
        return found
    # a crop lies well over the whole picture, but the whole picture reaches beyond the crop
    turned, small = (back > there)[kept, None], small[kept]
    first, second = np.where(turned, second[kept], first[kept]), np.where(turned, first[kept], second[kept])
    places = np.where(turned, back_places[kept], there_places[kept])
    one, other = brightness(first).astype(np.float32), brightness(second).astype(np.float32)
    one[small], other[small] = _blurred(one[small]), _blurred(other[small])
    places = _aligned(one, other, places, FINE_STEPS)
    shape = _shape_distance(one, _lay(other, places), _moved(places))
    found[kept] = np.maximum(shape, _colour_distance(colours(first), colours(second), places))
    return found


def _coarse(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At half the resolution: how well the second fingerprints, laid over the first, agree; and the places."""
    one, other = (_blurred(_halved(brightness(each).astype(np.float32))) for each in (first, second))
    start = np.tile(np.array([1, 0, 1, 0], np.float32), (len(one), 1))
    places = _aligned(one, other, start, COARSE_STEPS)
    return _correlation(one, _lay(other, places)), places


def _shape_distance(one: np.ndarray, laid: _Laid, moved: np.ndarray) -> np.ndarray:
    """The larger of what the correlation lacks and the largest local difference, each as a share of its limit."""
    correlation = _correlation(one, laid)
    deviation = np.maximum(one.std(axis=(1, 2)), LEAST_DEVIATION)
    local = _windows((one - laid.pictures) * laid.seen)
    weight = _windows(laid.seen)
    largest = np.where(weight >= LEAST_SEEN, np.abs(local) / np.maximum(weight, 1), 0).max(axis=(1, 2))
    least, most = (low + (high - low) * moved for low, high in (LEAST_CORRELATION, MOST_LOCAL))
    distance: np.ndarray = np.maximum((1 - correlation) / (1 - least), largest / deviation / most)
    return distance


def _colour_distance(one: np.ndarray, other: np.ndarray, places: np.ndarray) -> np.ndarray:
    parts = []
    for part in range(2):
        laid = _lay(other[:, part].astype(np.float32), places)
        differences = _halved((one[:, part] - laid.pictures) * laid.seen)
        parts.append(np.abs(differences).max(axis=(1, 2)))
    distance: np.ndarray = np.maximum(*parts) / MOST_COLOUR
    return distance


def _aligned(one: np.ndarray, other: np.ndarray, places: np.ndarray, steps: int) -> np.ndarray:
    """Better places (n, 4): scale and shift of the rows, scale and shift of the columns."""
    side = one.shape[1]
    grid = _grid(side)
    along_rows, along_columns = (np.gradient(one, axis=axis) * np.float32(side / 2) for axis in (1, 2))
    slopes = np.stack((along_rows * grid[:, None], along_rows, along_columns * grid, along_columns), axis=1)
    slopes = slopes.reshape(len(one), 4, side * side)
    square = np.matmul(slopes, slopes.transpose(0, 2, 1)).astype(np.float64)
    # a picture without structure along an axis must not be moved along it
    square += (1e-3 * np.trace(square, axis1=1, axis2=2) / 4 + 1)[:, None, None] * np.eye(4)
    inverse = np.linalg.inv(square)
    low, high = (np.array([1 + sign * MOST_SCALE, sign * MOST_SHIFT] * 2) for sign in (-1, 1))
    for _ in range(steps):
        laid = _lay(other, places)
        rest = ((one - laid.pictures) * laid.seen).reshape(len(one), side * side, 1)
        step = np.matmul(inverse, np.matmul(slopes, rest))[..., 0]
        places = np.clip(places + step, low, high).astype(np.float32)
    return places


def _lay(pictures: np.ndarray, places: np.ndarray) -> _Laid:
    """Resample (n, side, side) linearly at `scale * position + shift` along each axis."""
    side = pictures.shape[1]
    rows, rows_seen = _weights(places[:, 0], places[:, 1], side)
    columns, columns_seen = _weights(places[:, 2], places[:, 3], side)
    laid = np.matmul(np.matmul(rows, pictures), columns.transpose(0, 2, 1))
    return _Laid(laid, rows_seen[:, :, None] * columns_seen[:, None, :])


def _weights(scale: np.ndarray, shift: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """For each place to read, (n, side, side), what each pixel adds; and (n, side), 1 where the picture reaches."""
    wanted = (scale[:, None] * _grid(side) + shift[:, None]) * np.float32(side / 2) + np.float32((side - 1) / 2)
    seen = ((wanted >= -0.5) & (wanted <= side - 0.5)).astype(np.float32)
    read = np.clip(wanted, 0, side - 1)
    away = np.abs(read[:, :, None] - np.arange(side, dtype=np.float32))
    return np.maximum(1 - away, 0, dtype=np.float32), seen


def _grid(side: int) -> np.ndarray:
    """The middles of the pixels, the picture reaching from -1 to 1."""
    return ((np.arange(side) - (side - 1) / 2) / (side / 2)).astype(np.float32)


def _moved(places: np.ndarray) -> np.ndarray:
    """From 0 for pictures that lie over one another to 1 for those with a corner moved by a pixel or more."""
    corner = np.maximum(
        np.abs(places[:, 0] - 1) + np.abs(places[:, 1]), np.abs(places[:, 2] - 1) + np.abs(places[:, 3])
    )
    moved: np.ndarray = np.clip((corner * SIDE / 2 - STILL_PIXELS) / (MOVED_PIXELS - STILL_PIXELS), 0, 1)
    return moved


def _correlation(one: np.ndarray, laid: _Laid) -> np.ndarray:
    """Pearson's correlation over the pixels that both pictures show; 0 where one has no structure."""
    number = laid.seen.sum(axis=(1, 2))
    sums = [(picture * laid.seen).sum(axis=(1, 2)) / number for picture in (one, laid.pictures)]
    rest, other = (
        (picture - mean[:, None, None]) * laid.seen for picture, mean in zip((one, laid.pictures), sums, strict=True)
    )
    norms = (rest * rest).sum(axis=(1, 2)) * (other * other).sum(axis=(1, 2))
    correlation: np.ndarray = (rest * other).sum(axis=(1, 2)) / np.sqrt(np.maximum(norms, 1e-6))
    return correlation


def _halved(pictures: np.ndarray) -> np.ndarray:
    """Means of 2×2 windows, as sums of slices: a mean over two axes takes ten times as long."""
    rows = pictures[:, 0::2] + pictures[:, 1::2]
    halved: np.ndarray = (rows[:, :, 0::2] + rows[:, :, 1::2]) / 4
    return halved


def _blurred(pictures: np.ndarray) -> np.ndarray:
    """Weighted 1-2-1 along both axes."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)), mode="edge")
    rows = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    blurred: np.ndarray = (rows[:, :, :-2] + 2 * rows[:, :, 1:-1] + rows[:, :, 2:]) / 16
    return blurred


def _windows(pictures: np.ndarray) -> np.ndarray:
    """Sums over 3×3 windows, (n, side, side)."""
    padded = np.pad(pictures, ((0, 0), (1, 1), (1, 1)))
    rows = padded[:, :-2] + padded[:, 1:-1] + padded[:, 2:]
    sums: np.ndarray = rows[:, :, :-2] + rows[:, :, 1:-1] + rows[:, :, 2:]
    return sums
