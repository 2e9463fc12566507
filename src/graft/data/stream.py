"""Photos as a stream of pixel batches: read, checked against their hash, decoded, resized and augmented by threads."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graft.core.errors import ImageRefused, IntegrityProblem
from graft.core.hashing import sha256_bytes
from graft.data.augmentation.presets import PRESETS
from graft.data.augmentation.records import Augmentation
from graft.data.augmentation.views import make_view
from graft.data.images import Geometry, load_pixels, read_bytes
from graft.data.records import ImageRules, Photo

READ_AHEAD_BATCHES = 3  # beyond those the threads work on: enough to bridge a slow photo, and bounded memory


@dataclass(frozen=True)
class PhotoReader:
    """How photos become pixels and their views.

    Views 1 and up are made of training photos only, whoever asks; unless all are `judged_augmented`, as some tutorials
    have it.
    """

    root: Path
    side_pixels: int
    geometry: Geometry
    rules: ImageRules
    augmentation: Augmentation = PRESETS["none"]
    seed: int = 0
    judged_augmented: bool = False

    def pixels(self, photo: Photo) -> np.ndarray:
        """The photo decoded and resized: (side, side, 3) uint8. Raises as `read_photo`."""
        data = read_photo(self.root, photo, rules=self.rules)
        return load_pixels(data, side_pixels=self.side_pixels, geometry=self.geometry, rules=self.rules)

    def view(self, photo: Photo, pixels: np.ndarray, view: int) -> np.ndarray:
        """One view from the photo's `pixels`, of the same shape; view 0 is `pixels` itself."""
        if view == 0:
            return pixels
        if not self.judged_augmented:
            require_training([photo])
        return make_view(pixels, self.augmentation, sha256=photo.sha256, view=view, seed=self.seed)

    def views(self, photo: Photo, views: Sequence[int]) -> list[np.ndarray]:
        """Several views of a photo, which is decoded once."""
        pixels = self.pixels(photo)
        return [self.view(photo, pixels, view) for view in views]


def require_training(photos: Iterable[Photo]) -> None:
    """Refuse photos that are no training photos: what measures a classifier is seen as it is."""
    for photo in photos:
        if photo.split != "train":
            raise IntegrityProblem(
                f"Augmented views must be made of training photos only, got {photo.path!r} of the {photo.split} split.",
                hint="This is a defect of Graft: please report it.",
                code="split_leak",
            )


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
    reader = PhotoReader(root=root, side_pixels=side_pixels, geometry=geometry, rules=rules)
    return stream_views(reader, [(photo, (0,)) for photo in photos], batch_images=batch_images, workers=workers)


def stream_views(
    reader: PhotoReader, wanted: Sequence[tuple[Photo, Sequence[int]]], *, batch_images: int, workers: int
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    """Yield (row numbers, (n, side, side, 3) uint8 RGB), photo after photo, the views of each in the order given.

    Rows count all views of all photos; only the last batch may be smaller. Each photo is decoded once. Raises as
    `stream_pixels`.
    """
    first = 0
    waiting: list[np.ndarray] = []
    with closing(_views_in_order(reader, wanted, batch_images, workers)) as images:
        for image in images:
            waiting.append(image)
            if len(waiting) == batch_images:
                yield tuple(range(first, first + batch_images)), np.stack(waiting)
                first, waiting = first + batch_images, []
    if waiting:
        yield tuple(range(first, first + len(waiting))), np.stack(waiting)


def _views_in_order(
    reader: PhotoReader, wanted: Sequence[tuple[Photo, Sequence[int]]], batch_images: int, workers: int
) -> Generator[np.ndarray, None, None]:
    """All views one by one; threads work on the photos ahead, as many as make a few batches."""
    ahead = READ_AHEAD_BATCHES * batch_images + workers
    photos = iter(wanted)
    in_flight: deque[Future[list[np.ndarray]]] = deque()
    n_ahead = 0
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="graft-decode")
    try:
        while True:
            while n_ahead < ahead or len(in_flight) < workers:  # with many views no thread is left without a photo
                if (each := next(photos, None)) is None:
                    break
                in_flight.append(pool.submit(reader.views, *each))
                n_ahead += len(each[1])
            if not in_flight:
                return
            views = in_flight.popleft().result()
            n_ahead -= len(views)
            yield from views
    finally:
        # also when the reader stops early or a photo fails: no thread goes on decoding for nobody
        pool.shutdown(wait=True, cancel_futures=True)


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
