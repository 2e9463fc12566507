"""Centring, scaling and whitening, fitted on training photos before a training begins."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from graft.backbones.records import Preprocessing
from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.progress import Progress
from graft.core.randomness import stream
from graft.core.tensors import write_tensors
from graft.data.augmentation.normalization import Normalization, Normalizer, check_memory, fit
from graft.data.records import Photo
from graft.data.stream import stream_pixels
from graft.features.preprocessing import network_input
from graft.pipeline.intake import Intake

FITTED_ON: Final = 2000  # training photos at most: photos' means spread by some 50 levels, that of so many by one
BATCH_IMAGES: Final = 32
FILE: Final = "whitening.safetensors"
WRITER: Final = "whitening"

# What photos of a side are prepared as, with the whitening's file where there is one.
Normalize = Callable[[Preprocessing, int], tuple[Preprocessing, WeightsFile | None]]


def normalizing(wanted: Normalization, intake: Intake, *, seed: int, scratch: Path, progress: Progress) -> Normalize:
    """A function that adds `wanted` to a preprocessing, fitted on what that makes of the training photos.

    Raises: as `fitted`.
    """

    def normalize(preprocessing: Preprocessing, side_pixels: int) -> tuple[Preprocessing, WeightsFile | None]:
        made = fitted(
            wanted, intake, preprocessing=preprocessing, side_pixels=side_pixels, seed=seed, progress=progress
        )
        whitening = None
        if made.whitening is not None:
            write_tensors(scratch / FILE, made.whitening.tensors(), metadata={}, writer=WRITER)
            whitening = WeightsFile(scratch / FILE, "", made.fitted.whitening_sha256)
        return replace(preprocessing, normalization=made.fitted), whitening

    return normalize


def fitted(
    wanted: Normalization,
    intake: Intake,
    *,
    preprocessing: Preprocessing,
    side_pixels: int,
    seed: int,
    most_photos: int = FITTED_ON,
    progress: Progress,
) -> Normalizer:
    """`wanted`, fitted on training photos after `preprocessing`: on at most `most_photos` of them, drawn by `seed`.

    Raises: `ResourceProblem` for whitening that needs too much memory; what reading photos raises.
    """
    if not wanted.needs_fit:
        return fit(wanted, ())
    photos = [photo for photo in intake.manifest.photos if photo.split == "train"]
    drawn = np.sort(stream(seed, "normalization").permutation(len(photos))[:most_photos])
    check_memory(wanted, (len(drawn), side_pixels, side_pixels, preprocessing.channels))
    with progress.stage("Fitting the normalisation", len(drawn), "photos") as stage:

        def batches() -> Iterator[np.ndarray]:
            for rows, pixels in _pixels([photos[number] for number in drawn], intake, preprocessing, side_pixels):
                yield network_input(pixels, preprocessing)
                stage.advance(len(rows))

        return fit(wanted, batches())


def _pixels(
    photos: list[Photo], intake: Intake, preprocessing: Preprocessing, side_pixels: int
) -> Iterator[tuple[tuple[int, ...], np.ndarray]]:
    return stream_pixels(
        intake.root,
        photos,
        side_pixels=side_pixels,
        geometry=preprocessing.geometry,
        rules=intake.manifest.rules,
        batch_images=BATCH_IMAGES,
        workers=machine.threads(),
    )
