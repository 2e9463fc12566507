"""Views: one photo, changed as an augmentation allows. A view is a pure function of what it is asked for with."""

import numpy as np

from graft.core.randomness import stream
from graft.data.augmentation.records import Augmentation
from graft.data.augmentation.transforms import N_DRAWS, Draw, apply, draw

AUGMENTATION_VERSION = "1"  # raise it with every change that may alter a pixel of a view; part of the store's keys


def make_view(pixels: np.ndarray, augmentation: Augmentation, *, sha256: str, view: int, seed: int) -> np.ndarray:
    """View number `view` of a photo: (side, side, 3) uint8, from the photo's pixels in that shape.

    View 0 is the photo itself. `sha256` is that of the photo's file: equal photos have equal views wherever they lie.
    Different augmentations draw from the same numbers, so widening one range leaves the other changes as they were.
    """
    if view == 0 or augmentation.changes_nothing:
        return pixels
    drawn = draw_view(augmentation, sha256=sha256, view=view, seed=seed)
    return apply(pixels, drawn, augmentation.fill_mode, augmentation.fill_value)


def draw_view(augmentation: Augmentation, *, sha256: str, view: int, seed: int) -> Draw:
    """What `make_view` does for these arguments."""
    if view == 0:
        return Draw()
    return draw(augmentation, stream(seed, "view", sha256, str(view)).random(N_DRAWS))
