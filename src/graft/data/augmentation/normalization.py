"""Centring, scaling and whitening of images as Keras' ImageDataGenerator defines them: fitted on training photos only.

Backbones bring their own preprocessing, so these are for networks that are trained from nothing, and for looking at.
"""

import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt

from graft.core.errors import BadInput, ResourceProblem
from graft.core.records import record

SMALLEST_SCALE = 1e-6  # added to each standard deviation, as in Keras
MAX_WHITENING_BYTES = 2 << 30  # that whitening may need at once
WHITENING_COPIES = 3  # of its images in float64, while it is fitted
NAMES = ("samplewise-center", "samplewise-std", "featurewise-center", "featurewise-std", "zca")


@record
class Normalization:
    """Which of the classic normalisations are wanted.

    Scaling and whitening bring the centring that they need, and whitening takes the place of featurewise scaling.
    """

    SCHEMA: ClassVar[str] = "graft/normalization/1"
    samplewise_center: bool = False  # less the image's own mean, of all channels
    samplewise_std: bool = False  # divided by the image's own standard deviation
    featurewise_center: bool = False  # less each channel's mean over the training photos
    featurewise_std: bool = False
    zca_whitening: bool = False  # all pixels of the training photos uncorrelated, changed as little as can be
    zca_epsilon: Annotated[float, Gt(0)] = 1e-6

    @property
    def words(self) -> str:
        """What `parse_normalization` reads back as this."""
        wanted = (
            self.samplewise_center,
            self.samplewise_std,
            self.featurewise_center,
            self.featurewise_std,
            self.zca_whitening,
        )
        return ",".join(name for name, is_wanted in zip(NAMES, wanted, strict=True) if is_wanted)

    @property
    def needs_fit(self) -> bool:
        """Whether training photos have to be seen first."""
        return self.featurewise_center or self.featurewise_std or self.zca_whitening


@dataclass(frozen=True)
class Normalizer:
    """A `Normalization` with what was learned from the training photos; `fit` makes it."""

    normalization: Normalization
    mean: np.ndarray | None = None  # (channel,) float32
    scale: np.ndarray | None = None  # (channel,) float32, `SMALLEST_SCALE` added
    directions: np.ndarray | None = None  # (height * width * channel, rank) float32, orthonormal columns
    gains: np.ndarray | None = None  # (rank,) float32
    shape: tuple[int, ...] = ()  # of the images that were seen

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Normalised (image, height, width, channel) float32; the images given are left as they are.

        Raises: `BadInput` where whitening meets images of another shape than it was fitted on.
        """
        values: np.ndarray = np.array(images, np.float32)
        wanted = self.normalization
        if wanted.samplewise_center or wanted.samplewise_std:
            values -= values.mean(axis=(1, 2, 3), keepdims=True)
        if wanted.samplewise_std:
            values /= values.std(axis=(1, 2, 3), keepdims=True) + SMALLEST_SCALE
        if self.mean is not None:
            values -= self.mean
        if self.scale is not None:
            values /= self.scale
        if self.directions is None or self.gains is None:
            return values
        if values.shape[1:] != self.shape:
            raise BadInput(f"Whitened images must be {self.shape}, as those it was fitted on, got {values.shape[1:]}.")
        # Keras multiplies by one square matrix of all pixels; this is the same product without ever making it
        flat = values.reshape(len(values), -1)
        whitened: np.ndarray = ((flat @ self.directions) * self.gains) @ self.directions.T
        return whitened.reshape(values.shape)


def fit(normalization: Normalization, images: np.ndarray) -> Normalizer:
    """Learn what `normalization` needs from training photos: (image, height, width, channel), any number type.

    Raises: `ResourceProblem` where whitening would need more than `MAX_WHITENING_BYTES`.
    """
    if not normalization.needs_fit:
        return Normalizer(normalization)
    if images.ndim != 4 or len(images) == 0:
        raise BadInput(f"Training photos must be (image, height, width, channel), at least one, got {images.shape}.")
    check_memory(normalization, images.shape)
    mean = images.mean(axis=(0, 1, 2), dtype=np.float64)
    if normalization.zca_whitening:
        directions, gains = _whitening(images - mean, normalization.zca_epsilon)
        return Normalizer(normalization, mean.astype(np.float32), None, directions, gains, images.shape[1:])
    if not normalization.featurewise_std:
        return Normalizer(normalization, mean.astype(np.float32))
    scale = images.std(axis=(0, 1, 2), dtype=np.float64) + SMALLEST_SCALE
    return Normalizer(normalization, mean.astype(np.float32), scale.astype(np.float32))


def parse_normalization(text: str) -> Normalization:
    """`featurewise-center,zca` as a record; `BadInput` for other words."""
    names = [name.strip().lower().replace("_", "-") for name in text[:1000].split(",")]
    for name in names:
        if name not in NAMES:
            raise BadInput(f"A normalisation must be one of {', '.join(NAMES)}, got {name[:40]!r}.")
    return Normalization(
        samplewise_center="samplewise-center" in names,
        samplewise_std="samplewise-std" in names,
        featurewise_center="featurewise-center" in names,
        featurewise_std="featurewise-std" in names,
        zca_whitening="zca" in names,
    )


def check_memory(normalization: Normalization, shape: tuple[int, ...]) -> None:
    """Refuse (`ResourceProblem`) to fit on photos of a shape, (image, height, width, channel), before they are read."""
    if not normalization.zca_whitening:
        return
    n_bytes = math.prod(shape) * 8 * WHITENING_COPIES
    if n_bytes > MAX_WHITENING_BYTES:
        raise ResourceProblem(
            f"ZCA whitening of {shape[0]:,} photos of {shape[1]} x {shape[2]} pixels would need {n_bytes / 1e9:.1f} GB "
            f"of memory, at most {MAX_WHITENING_BYTES / 1e9:.1f} GB are allowed.",
            hint="Use smaller or fewer photos.",
        )


def _whitening(centred: np.ndarray, epsilon: float) -> tuple[np.ndarray, np.ndarray]:
    """Directions and gains: Keras' matrix is `directions * gains @ directions.T`."""
    n = len(centred)
    directions, singular, _ = np.linalg.svd(centred.reshape(n, -1).T, full_matrices=False)
    gains = math.sqrt(n) / (singular + epsilon)
    return directions.astype(np.float32), gains.astype(np.float32)
