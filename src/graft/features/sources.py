"""What a training reads, batch by batch: stored activations of many views, or pixels of fresh views."""

from typing import Protocol

import numpy as np


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
