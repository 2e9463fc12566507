"""A small real data set that needs no download: the handwritten digits that come with scikit-learn."""

import errno
from pathlib import Path

import numpy as np

from graft.core.errors import BadInput, ResourceProblem
from graft.core.files import make_directory, remove_tree, temporary_path
from graft.data.images import encode_png, resize

STORED_LEVELS = 16  # the digits hold ink from 0 to 16


def write_digits_sample(folder: Path, *, side_pixels: int = 32) -> None:
    """Write 1,797 digits as gray PNG files into `folder/0` to `folder/9`; one that is there already is kept.

    The folder appears whole or not at all: it is written beside its place and renamed. Its files are not made durable
    one by one as results are, for they can be made again: 1,797 times waiting for the disk would take longer than
    training.
    """
    from sklearn.datasets import load_digits

    if folder.exists() and any(folder.iterdir()):
        if sum(1 for _ in folder.glob("[0-9]/digit_*.png")) == len(load_digits().images):
            return
        raise BadInput(
            f"The folder for the sample must be new or empty, got {str(folder)!r}.",
            hint="Name another folder.",
            code="already_exists",
        )
    digits = load_digits()
    make_directory(folder.parent)
    unfinished = temporary_path(folder.parent)
    try:
        for number, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
            path = unfinished / str(label) / f"digit_{number:04}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_png(_enlarged(image, side_pixels)))
        if folder.exists():
            folder.rmdir()
        unfinished.rename(folder)
    except OSError as error:
        code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot_write"
        raise ResourceProblem(f"The sample must be written to {str(folder)!r}, got: {error}.", code=code) from error
    finally:
        if unfinished.exists():
            remove_tree(unfinished)


def _enlarged(image: np.ndarray, side_pixels: int) -> np.ndarray:
    """Ink 0..16 of shape (8, 8) as (side, side) uint8, dark on white as on paper."""
    gray = np.round(255 - image * (255 / STORED_LEVELS)).astype(np.uint8)
    return resize(np.repeat(gray[..., None], 3, axis=2), side_pixels, "squash")[..., 0]
