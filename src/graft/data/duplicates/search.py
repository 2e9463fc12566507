"""Photos that show the same picture in other bytes: resized, stored anew, or lightly cropped.

Three steps. A perceptual hash (the lowest frequencies of the brightness, as small whole numbers) names for each photo
the few that may be the same; products of whole numbers are exact, so no machine and no order of the photos changes who
is named. The pixel check lays each pair over one another. Then pairs become groups.

Two limits look at the data as a whole. Pictures that hold little (drawings of eight pixels, frames of a film) are alike
by nature: where pairs crowd just beyond the limit, it is lowered to where the crowd ends. And a group above 1 % of the
photos keeps only its closest pairs, or a series on one background would decide a split by itself. Mirrored pictures
are not the same, for left and right may be what the classes are about; nor are pictures without any structure, of
which only equal bytes tell whether they are the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from graft.core.progress import Progress
from graft.data.duplicates.alignment import SMALL_SIDE_PIXELS, distances
from graft.data.fingerprints import SIDE, brightness
from graft.data.scan import Scan

FREQUENCIES = 6  # along each axis: fewer name too many photos, more miss crops
HASH_NORM = 1024  # products stay below 2²⁴, so that float32 holds them and every sum on the way exactly
LEAST_LIKENESS = (
    0.8  # of two hashes; 5 % cut from each side leave 0.86 (19 of 20 photos), other photos have 0.5 and less
)
MOST_NAMED = 32  # photos that one photo is compared with: those on one background would else all be compared
LEAST_DEVIATION = 2.5  # grey levels: below, a picture has no structure to compare
BLOCK_NUMBERS = 1 << 20  # likenesses that a thread holds at once: 4 MiB
CHUNK_PAIRS = 256
# Bands of the distance, each a quarter wider than the next
BANDS = tuple(0.8**step for step in range(-1, 7))
CROWD_SHARE = 0.002  # pairs in a band, of the number of photos, that make a crowd
LARGE_SHARE = 0.01  # of the photos, in one group
LARGE_PHOTOS = 10  # and at least as many: of 50 photos, 1 % is none
CLOSE_DISTANCE = 0.25  # pairs up to here stay together, however many they are


@dataclass(frozen=True)
class NearPair:
    """Two contents, the smaller hash first, that show the same picture. `distance` is at most 1."""

    first: str
    second: str
    distance: float


def find_near(scan: Scan, *, workers: int, progress: Progress) -> tuple[NearPair, ...]:
    """Pairs of contents that show the same picture, closest first, without those that groups are too large for.

    Needs a scan with fingerprints. Depends on the photos only, not on their order, names or the number of workers.
    """
    from threadpoolctl import threadpool_limits  # the threads are ours: BLAS's own would get in their way

    rows = {item.sha256: row for row, item in reversed(list(enumerate(scan.good)))}
    names = sorted(rows)
    order = [rows[name] for name in names]
    fingerprints = scan.fingerprints[order]
    sides = np.array([min(scan.good[row].facts.width, scan.good[row].facts.height) for row in order])
    with threadpool_limits(1, user_api="blas"), progress.stage("Naming similar photos", len(names), "photos") as stage:
        first, second = candidates(hashes(fingerprints), workers=workers, advance=stage.advance)
    with (
        threadpool_limits(1, user_api="blas"),
        progress.stage("Comparing similar photos", len(first), "pairs") as stage,
    ):
        small = np.minimum(sides[first], sides[second]) < SMALL_SIDE_PIXELS
        found = compared(fingerprints, first, second, small, workers=workers, advance=stage.advance)
    near = np.flatnonzero(found <= limit(found, len(names)))
    pairs = [NearPair(names[first[row]], names[second[row]], float(found[row])) for row in near]
    copies: dict[str, int] = {}
    for item in scan.good:
        copies[item.sha256] = copies.get(item.sha256, 0) + 1
    return tighten(pairs, copies)


def hashes(fingerprints: np.ndarray) -> np.ndarray:
    """Perceptual hashes of (n, 1536) fingerprints: (n, 36) float32 whole numbers of norm 1024; 0 without structure.

    The cosine transform's lowest frequencies but the mean, the higher ones weighted up, for they tell photos apart.
    """
    places, numbers = np.arange(SIDE) + 0.5, np.arange(FREQUENCIES)
    waves = np.rint(4096 * np.cos(np.pi / SIDE * numbers[:, None] * places))
    weights = np.sqrt(np.sqrt(numbers[:, None] ** 2 + numbers**2))  # 0 for the mean
    found = np.zeros((len(fingerprints), FREQUENCIES**2), np.float32)
    for start in range(0, len(found), 1024):  # float64 only for a few at once
        pictures = brightness(fingerprints[start : start + 1024]).astype(np.float64)
        parts = (waves @ pictures @ waves.T * weights).reshape(len(pictures), -1)
        norms = np.sqrt((parts * parts).sum(axis=1, keepdims=True))
        telling = pictures.std(axis=(1, 2)) >= LEAST_DEVIATION
        found[start : start + 1024] = np.rint(parts * (HASH_NORM / np.maximum(norms, 1))) * telling[:, None]
    return found


def candidates(hashed: np.ndarray, *, workers: int, advance: Callable[[int], None]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the pairs that may be the same picture, first < second, in order: for each photo the 32 most alike."""
    n = len(hashed)
    step = max(1, BLOCK_NUMBERS // max(n, 1))
    keys = []
    for start, found in _in_threads(lambda start: _named(hashed, start, step), range(0, n, step), workers):
        keys.append(found)
        advance(min(step, n - start))
    pairs = np.unique(np.concatenate(keys)) if keys else np.empty(0, np.int64)
    return pairs // max(n, 1), pairs % max(n, 1)


def _named(hashed: np.ndarray, start: int, step: int) -> np.ndarray:
    """The pairs of a block of rows with any others, each as one number `first * n + second`."""
    n = len(hashed)
    likeness = hashed[start : start + step] @ hashed.T
    likeness[np.arange(len(likeness)), np.arange(start, start + len(likeness))] = 0  # a photo with itself
    least = np.full(len(likeness), LEAST_LIKENESS * HASH_NORM**2, np.float32)
    for row in np.flatnonzero(np.count_nonzero(likeness >= least[:, None], axis=1) > MOST_NAMED):
        least[row] = np.partition(likeness[row], n - MOST_NAMED)[n - MOST_NAMED]
    rows, others = np.nonzero(likeness >= least[:, None])
    # by row, the most alike first; of equals, which may be too many still, the one with the smaller hash
    order = np.lexsort((others, -likeness[rows, others], rows))
    rows, others = rows[order], others[order]
    chosen = np.arange(len(rows)) - np.searchsorted(rows, rows) < MOST_NAMED
    rows, others = rows[chosen] + start, others[chosen]
    pairs: np.ndarray = np.minimum(rows, others) * n + np.maximum(rows, others)
    return pairs


def compared(
    fingerprints: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    small: np.ndarray,
    *,
    workers: int,
    advance: Callable[[int], None],
) -> np.ndarray:
    """The distance of each pair by the pixel check, (n,) float64."""
    found = np.full(len(first), np.inf)

    def compare(start: int) -> np.ndarray:
        chunk = slice(start, start + CHUNK_PAIRS)
        return distances(fingerprints[first[chunk]], fingerprints[second[chunk]], small[chunk])

    for start, values in _in_threads(compare, range(0, len(first), CHUNK_PAIRS), workers):
        found[start : start + len(values)] = values
        advance(len(values))
    return found


def _in_threads(
    work: Callable[[int], np.ndarray], starts: Sequence[int], workers: int
) -> Iterator[tuple[int, np.ndarray]]:
    """Each start with its result, in order."""
    with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="graft-duplicates") as pool:
        yield from zip(starts, pool.map(work, starts), strict=True)


def limit(found: np.ndarray, n: int) -> float:
    """Up to which distance pairs of `n` photos are near duplicates: 1, or less where a crowd reaches below it.

    Copies of one picture are few at the limit, whatever their number below. Where a band beyond the limit is crowded
    and the one below it less so, the pairs there belong to the crowd of different photos.
    """
    counts = [int(((found > low) & (found <= high)).sum()) for high, low in pairwise(BANDS)]
    crowd = max(CROWD_SHARE * n, 3)
    place = 1
    while place < len(counts) and counts[place - 1] > crowd and counts[place] < counts[place - 1]:
        place += 1
    return BANDS[place]


def tighten(pairs: Sequence[NearPair], copies: Mapping[str, int]) -> tuple[NearPair, ...]:
    """The pairs that make groups of at most 1 % of the photos (or ten), closest first; all that are very close.

    `copies` counts the photos of each content. Pairs inside a group that stands anyway are kept.
    """
    most = max(LARGE_SHARE * sum(copies.values()), LARGE_PHOTOS)
    groups = Groups(copies)
    kept = []
    for pair in sorted(pairs, key=lambda pair: (pair.distance, pair.first, pair.second)):
        one, other = groups.root(pair.first), groups.root(pair.second)
        if one == other or pair.distance <= CLOSE_DISTANCE or groups.sizes[one] + groups.sizes[other] <= most:
            groups.join(one, other)
            kept.append(pair)
    return tuple(kept)


class Groups:
    """Names that belong together, directly or in a chain; the smallest name of a group stands for it."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = dict(sizes)  # photos of a group, right for the names that stand for one
        self._parent: dict[str, str] = {}

    def root(self, name: str) -> str:
        """The name that stands for the group of `name`."""
        parent = self._parent
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    def join(self, one: str, other: str) -> None:
        """Make the groups of two names one."""
        first, second = sorted((self.root(one), self.root(other)))
        if first != second:
            self._parent[second] = first
            self.sizes[first] = self.sizes.get(first, 0) + self.sizes.get(second, 0)
