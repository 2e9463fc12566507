"""What a training reads, batch by batch: stored activations of many views, or pixels of fresh views."""

from collections import deque
from collections.abc import Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from graft.backbones.records import Preprocessing
from graft.core.errors import BadInput
from graft.data.augmentation.normalization import Normalizer, Whitening
from graft.data.augmentation.records import Augmentation
from graft.data.records import ImageRules, Photo
from graft.data.stream import PhotoReader
from graft.features.preprocessing import network_input
from graft.features.table import spacious

Arrays = tuple[np.ndarray, ...]
READ_AHEAD = 2  # batches: one is waiting while the next is read


class Source(Protocol):
    """Views of photos, each as the arrays that a model reads, in a fixed order."""

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """Of one row of each array: `(height, width, channel)` of an activation, `(channel,)` of a vector."""

    @property
    def n_photos(self) -> int:
        """Photos are numbered from 0."""

    @property
    def n_views(self) -> int | None:
        """Views of each photo, from view 0, the photo unchanged; None where any number can be asked for."""

    def read(self, photos: np.ndarray, views: np.ndarray) -> tuple[np.ndarray, ...]:
        """Row i of each array: view `views[i]` of photo `photos[i]`; float32, or bfloat16 where stored so."""

    def close(self) -> None:
        """Give back threads and files."""


class StoredSource:
    """Activations that lie ready, in memory or in files on disk."""

    def __init__(self, values: Sequence[np.ndarray], vectors: Sequence[np.ndarray] = ()) -> None:
        """Take arrays of shape `(view, photo, …)`, each an array of the model's.

        `vectors`, of shape `(view, photo, width)`, are joined to one array more, the last: `(sum of widths,)`.
        """
        self._values = tuple(values)
        self._vectors = tuple(vectors)
        lengths = {array.shape[:2] for array in (*self._values, *self._vectors)}
        if len(lengths) != 1 or any(array.ndim != 3 for array in self._vectors):
            shapes = [array.shape for array in (*self._values, *self._vectors)]
            raise BadInput(f"'values' and 'vectors' must agree in views and photos, got the shapes {shapes}.")
        n_views, n_photos = next(iter(lengths))
        self._n_views, self._n_photos = int(n_views), int(n_photos)

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """See `Source.shapes`."""
        shapes = tuple(array.shape[2:] for array in self._values)
        return (*shapes, (sum(array.shape[2] for array in self._vectors),)) if self._vectors else shapes

    @property
    def n_photos(self) -> int:
        """See `Source.n_photos`."""
        return self._n_photos

    @property
    def n_views(self) -> int:
        """See `Source.n_views`."""
        return self._n_views

    def read(self, photos: np.ndarray, views: np.ndarray) -> Arrays:
        """See `Source.read`. What is kept in float16 comes as float32."""
        _check(photos, views, self.n_photos, self.n_views)
        values = tuple(_rows(array, photos, views) for array in self._values)
        if not self._vectors:
            return values
        return (*values, np.concatenate([_rows(array, photos, views) for array in self._vectors], axis=1))

    def close(self) -> None:
        """Let go of the arrays; files without a name go with the last that does."""
        self._values = self._vectors = ()


class PixelSource:
    """Photos as the network's input, decoded and augmented while they are read; any view of training photos.

    The one array is `(side, side, channels)` float32 after the backbone's preprocessing. With `scratch` each photo is
    decoded once and its pixels are kept, in memory or in a file in that folder; without, it is decoded each time. Where
    all are `judged_augmented`, the photos as they are are never among the views: the first is an augmented one too.
    """

    def __init__(
        self,
        root: Path,
        photos: Sequence[Photo],
        *,
        side_pixels: int,
        preprocessing: Preprocessing,
        rules: ImageRules,
        augmentation: Augmentation,
        seed: int,
        workers: int,
        scratch: Path | None = None,
        judged_augmented: bool = False,
        whitening: Whitening | None = None,
    ) -> None:
        self._photos = tuple(photos)
        self._plain = replace(preprocessing, normalization=None)
        fitted = preprocessing.normalization
        self._normalizer = Normalizer(fitted, whitening) if fitted else None
        self._reader = PhotoReader(
            root=root,
            side_pixels=side_pixels,
            geometry=preprocessing.geometry,
            rules=rules,
            augmentation=augmentation,
            seed=seed,
            judged_augmented=judged_augmented,
        )
        self._first_view = 1 if judged_augmented else 0
        self._n_views = None if all(photo.split == "train" for photo in self._photos) else 1
        self._shape = (side_pixels, side_pixels, preprocessing.channels)
        decoded = (len(self._photos), side_pixels, side_pixels, 3)
        self._kept = None if scratch is None else spacious(scratch, decoded, np.uint8)
        self._decoded = np.zeros(len(self._photos), bool)
        self._pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="graft-views")

    @property
    def shapes(self) -> tuple[tuple[int, ...], ...]:
        """See `Source.shapes`."""
        return (self._shape,)

    @property
    def n_photos(self) -> int:
        """See `Source.n_photos`."""
        return len(self._photos)

    @property
    def n_views(self) -> int | None:
        """See `Source.n_views`: 1 where a photo is none of the training photos, which alone have other views."""
        return self._n_views

    def read(self, photos: np.ndarray, views: np.ndarray) -> Arrays:
        """See `Source.read`. Raises `IntegrityProblem` changed_since_scan naming a photo that is another one now."""
        _check(photos, views, self.n_photos, self.n_views)
        batch = np.empty((len(photos), *self._shape), np.float32)
        tasks = [
            self._pool.submit(self._put, int(photo), int(view), batch[row])
            for row, (photo, view) in enumerate(zip(photos, views, strict=True))
        ]
        try:
            for task in tasks:
                task.result()
        finally:
            for task in tasks:  # of a batch that fails; nothing happens to those that are done
                task.cancel()
        # All rows at once: whitening one by one would read its matrices for each.
        return (batch if self._normalizer is None else self._normalizer.apply(batch),)

    def close(self) -> None:
        """Give back the threads and the pixels."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._kept = None

    def _put(self, number: int, view: int, place: np.ndarray) -> None:
        """One view into its row of a batch."""
        photo = self._photos[number]
        pixels = self._reader.view(photo, self._pixels(number), view + self._first_view)
        place[...] = network_input(pixels[np.newaxis], self._plain)[0]

    def _pixels(self, number: int) -> np.ndarray:
        """A photo's own pixels, kept once they are known; two threads that decode the same one write the same."""
        if self._kept is None:
            return self._reader.pixels(self._photos[number])
        if not self._decoded[number]:
            self._kept[number] = self._reader.pixels(self._photos[number])
            self._decoded[number] = True
        pixels: np.ndarray = self._kept[number]
        return pixels


def prefetch(
    source: Source, batches: Iterable[tuple[np.ndarray, np.ndarray]], *, ahead: int = READ_AHEAD
) -> Generator[Arrays, None, None]:
    """Yield `source.read(photos, views)` for each pair of `batches`, in order, read by a thread `ahead` of the caller.

    `batches` is asked for in the caller's thread. An exception of a read is raised at its batch's turn. Close the
    generator (`contextlib.closing`) where it may not be read to its end: reading ahead then stops at once.
    """
    pairs = iter(batches)
    in_flight: deque[Future[Arrays]] = deque()
    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix="graft-prefetch")
    try:
        while True:
            while len(in_flight) < ahead and (pair := next(pairs, None)) is not None:
                in_flight.append(pool.submit(source.read, *pair))
            if not in_flight:
                return
            yield in_flight.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _rows(array: np.ndarray, photos: np.ndarray, views: np.ndarray) -> np.ndarray:
    """Rows of a `(view, photo, …)` array in memory; float16 as float32."""
    rows = np.asarray(array[views, photos])
    return rows.astype(np.float32) if rows.dtype == np.float16 else rows


def _check(photos: np.ndarray, views: np.ndarray, n_photos: int, n_views: int | None) -> None:
    """Refuse what no array has: numpy would count negative numbers from the end."""
    inside = photos.shape == views.shape and photos.ndim == 1
    inside = inside and bool(np.all((photos >= 0) & (photos < n_photos) & (views >= 0)))
    if not inside or (n_views is not None and bool(np.any(views >= n_views))):
        wanted = "any" if n_views is None else f"0 to {n_views - 1}"
        raise BadInput(
            f"'photos' must be numbers from 0 to {n_photos - 1} and 'views' {wanted}, one for each, "
            f"got photos {_range(photos)} and views {_range(views)}."
        )


def _range(numbers: np.ndarray) -> str:
    return f"{numbers.min()} to {numbers.max()} ({numbers.shape})" if numbers.size else "none"
