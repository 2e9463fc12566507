"""Photos as a stream of pixel batches: read, checked against their hash, decoded and resized by threads."""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graft.core.errors import ImageRefused, IntegrityProblem
from graft.core.hashing import sha256_bytes
from graft.data.images import Geometry, load_pixels, read_bytes
from graft.data.records import ImageRules, Photo

READ_AHEAD_BATCHES = 3  # beyond those the threads work on: enough to bridge a slow photo, and bounded memory


def stream_pixels(
    root: Path,
    photos: Sequence[Photo],
    *,
    side_pixels: int,
    geometry: Geometry,
    rules: ImageRules,
    batch_images: int,
    workers: int,
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Yield (row numbers, (n, side, side, 3) uint8 RGB) in the order of `photos`; only the last batch may be smaller.

    Raises `IntegrityProblem` (`changed_since_scan`) naming the first photo that is gone or no longer the one scanned.
    """
    wanted = _Wanted(root=root, side_pixels=side_pixels, geometry=geometry, rules=rules)
    starts = iter(range(0, len(photos), batch_images))
    in_flight: deque[tuple[tuple[int, ...], np.ndarray, list[Future[None]]]] = deque()
    ahead = READ_AHEAD_BATCHES + -(-workers // batch_images)
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="graft-decode")
    try:
        while True:
            while len(in_flight) < ahead and (start := next(starts, None)) is not None:
                rows = tuple(range(start, min(start + batch_images, len(photos))))
                pixels = np.empty((len(rows), side_pixels, side_pixels, 3), np.uint8)
                tasks = [pool.submit(wanted.put, photos[row], pixels[index]) for index, row in enumerate(rows)]
                in_flight.append((rows, pixels, tasks))
            if not in_flight:
                return
            rows, pixels, tasks = in_flight.popleft()
            for task in tasks:
                task.result()
            yield rows, pixels
    finally:
        # also when the reader stops early or a photo fails: no thread goes on decoding for nobody
        pool.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True)
class _Wanted:
    root: Path
    side_pixels: int
    geometry: Geometry
    rules: ImageRules

    def put(self, photo: Photo, place: np.ndarray) -> None:
        """Decode one photo into its row of a batch."""
        data = read_photo(self.root, photo, rules=self.rules)
        place[...] = load_pixels(data, side_pixels=self.side_pixels, geometry=self.geometry, rules=self.rules)


def read_photo(root: Path, photo: Photo, *, rules: ImageRules) -> bytes:
    """The bytes of a scanned photo; raises `IntegrityProblem` where they are not the ones that were scanned."""
    try:
        data = read_bytes(root / photo.path, rules=rules, root=root)
    except ImageRefused as refusal:
        reason = f"can no longer be read ({refusal.code})"
    else:
        if sha256_bytes(data) == photo.sha256:
            return data
        reason = "holds other bytes now"
    raise IntegrityProblem(
        f"{photo.path!r} must be the photo that was scanned, but it {reason}.",
        hint="Leave the data alone while Graft works, then run the command again.",
        code="changed_since_scan",
    )
