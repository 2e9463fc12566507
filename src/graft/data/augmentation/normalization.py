"""Centring, scaling and whitening of images as Keras' ImageDataGenerator defines them: fitted on training photos only.

Backbones bring their own preprocessing, so these are for networks that are trained from nothing, and for looking at.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, ClassVar

import numpy as np
from annotated_types import Gt

from graft.core.errors import BadInput, ResourceProblem
from graft.core.records import record
from graft.core.tensors import tensors_sha256

SMALLEST_SCALE = 1e-6  # added to each standard deviation, as in Keras
MAX_WHITENING_BYTES = 2 << 30  # that whitening may need at once
WHITENING_COPIES = 3  # of its images in float32, while it is fitted
SLICE = 4096  # of the numbers of an image that are computed in float64 at a time
LEAST_SPREAD = 1e-6  # of the greatest: a direction that varies less, in copies of one photo say, is rounding
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
        own = "" if self.zca_epsilon == Normalization.zca_epsilon else f"={self.zca_epsilon:g}"
        names = (*NAMES[:-1], f"{NAMES[-1]}{own}")
        return ",".join(name for name, is_wanted in zip(names, wanted, strict=True) if is_wanted)

    @property
    def needs_fit(self) -> bool:
        """Whether training photos have to be seen first."""
        return self.featurewise_center or self.featurewise_std or self.zca_whitening


@record
class Fitted:
    """A `Normalization` with the numbers that were learned; whitening's matrices are kept apart, as tensors."""

    normalization: Normalization
    mean: tuple[float, ...] = ()  # of each channel, where it is taken off
    deviation: tuple[float, ...] = ()  # of each channel, `SMALLEST_SCALE` added, where it is divided by
    whitening_sha256: str = ""  # of `Whitening.tensors()`; "": nothing is whitened


@dataclass(frozen=True)
class Whitening:
    """ZCA's matrix as two factors: it is `directions * gains @ directions.T`, and is never made."""

    directions: np.ndarray  # (height * width * channel, rank) float32, orthonormal columns
    gains: np.ndarray  # (rank,) float32

    def tensors(self) -> dict[str, np.ndarray]:
        """As files keep them; `of` reads them back."""
        return {"directions": self.directions, "gains": self.gains}

    @classmethod
    def of(cls, tensors: Mapping[str, np.ndarray]) -> "Whitening":
        """From `tensors()`, copied."""
        return cls(np.array(tensors["directions"]), np.array(tensors["gains"]))


@dataclass(frozen=True)
class Normalizer:
    """What is done to images; `fit` makes it."""

    fitted: Fitted
    whitening: Whitening | None = None

    def __post_init__(self) -> None:
        """Refuse (ValueError) whitening without its matrices, which would pass for none."""
        if bool(self.fitted.whitening_sha256) != (self.whitening is not None):
            raise ValueError("whitening must come with its matrices, and matrices with whitening")

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Normalised (image, height, width, channel) float32; the images given are left as they are.

        Raises: `BadInput` where whitening meets images of another size than it was fitted on.
        """
        values: np.ndarray = np.array(images, np.float32)
        wanted = self.fitted.normalization
        if wanted.samplewise_center or wanted.samplewise_std:
            values -= values.mean(axis=(1, 2, 3), keepdims=True)
        if wanted.samplewise_std:
            values /= values.std(axis=(1, 2, 3), keepdims=True) + SMALLEST_SCALE
        if self.fitted.mean:
            values -= np.asarray(self.fitted.mean, np.float32)
        if self.fitted.deviation:
            values /= np.asarray(self.fitted.deviation, np.float32)
        if self.whitening is None:
            return values
        flat, seen = values.reshape(len(values), -1), len(self.whitening.directions)
        if flat.shape[1] != seen:
            raise BadInput(f"Whitened images must have {seen} numbers, as those it was fitted on, got {flat.shape[1]}.")
        whitened = ((flat @ self.whitening.directions) * self.whitening.gains) @ self.whitening.directions.T
        return np.asarray(whitened.reshape(values.shape))


def fit(normalization: Normalization, batches: Iterable[np.ndarray]) -> Normalizer:
    """Learn what `normalization` needs from training photos, which nothing is done to before.

    Each of `batches`: (image, height, width, channel), any number type. Only whitening keeps them all at once.

    Raises: `ResourceProblem` where whitening would need more than `MAX_WHITENING_BYTES`.
    """
    if not normalization.needs_fit:
        return Normalizer(Fitted(normalization=normalization))
    moments, kept = _Moments(), []
    for batch in batches:
        if batch.ndim != 4:
            raise BadInput(f"Training photos must be (image, height, width, channel), got {batch.shape}.")
        moments.add(batch.astype(np.float64))
        if normalization.zca_whitening:
            kept.append(batch.astype(np.float32))
            check_memory(normalization, (sum(map(len, kept)), *batch.shape[1:]))
    if not moments.count:
        raise BadInput("There must be training photos to fit on, at least one, got none.")
    mean = moments.total / moments.count
    fitted = Fitted(normalization=normalization, mean=_numbers(mean))
    if normalization.zca_whitening:
        whitening = _whitening(np.concatenate(kept), mean, normalization.zca_epsilon)
        return Normalizer(replace(fitted, whitening_sha256=tensors_sha256(whitening.tensors())), whitening)
    if not normalization.featurewise_std:
        return Normalizer(fitted)
    variance = np.maximum(moments.squares / moments.count - mean**2, 0)
    return Normalizer(replace(fitted, deviation=_numbers(np.sqrt(variance) + SMALLEST_SCALE)))


def parse_normalization(text: str) -> Normalization:
    """`featurewise-center,zca` as a record, `zca=0.1` with another epsilon; `BadInput` for other words."""
    words, epsilon = set[str](), Normalization.zca_epsilon
    for word in text[:1000].split(","):
        name, given, value = word.strip().lower().replace("_", "-").partition("=")
        if name not in NAMES or (given and name != NAMES[-1]):
            raise BadInput(f"A normalisation must be one of {', '.join(NAMES)}, got {word.strip()[:40]!r}.")
        if given:
            epsilon = _epsilon(value)
        words.add(name)
    return Normalization(
        samplewise_center="samplewise-center" in words,
        samplewise_std="samplewise-std" in words,
        featurewise_center="featurewise-center" in words,
        featurewise_std="featurewise-std" in words,
        zca_whitening="zca" in words,
        zca_epsilon=epsilon,
    )


def check_memory(normalization: Normalization, shape: tuple[int, ...]) -> None:
    """Refuse (`ResourceProblem`) to fit on photos of a shape, (image, height, width, channel), before they are read."""
    if not normalization.zca_whitening:
        return
    n_bytes = math.prod(shape) * np.dtype(np.float32).itemsize * WHITENING_COPIES
    if n_bytes > MAX_WHITENING_BYTES:
        raise ResourceProblem(
            f"ZCA whitening of {shape[0]:,} photos of {shape[1]} x {shape[2]} pixels would need {n_bytes / 1e9:.1f} GB "
            f"of memory, at most {MAX_WHITENING_BYTES / 1e9:.1f} GB are allowed.",
            hint="Use smaller or fewer photos.",
        )


class _Moments:
    """Sums over all pixels of all images, channel by channel, in float64."""

    def __init__(self) -> None:
        self.count = 0
        self.total, self.squares = np.zeros(()), np.zeros(())

    def add(self, images: np.ndarray) -> None:
        self.count += math.prod(images.shape[:3])
        self.total = self.total + images.sum(axis=(0, 1, 2))
        self.squares = self.squares + (images**2).sum(axis=(0, 1, 2))


def _whitening(images: np.ndarray, mean: np.ndarray, epsilon: float) -> Whitening:
    """Directions and gains, from products of the images with each other: they are fewer than their numbers.

    What no image has varied in is left out, as in Keras.
    """
    n = len(images)
    images -= mean.astype(np.float32)
    flat = images.reshape(n, -1)
    products = np.zeros((n, n))
    for at in range(0, flat.shape[1], SLICE):
        part = flat[:, at : at + SLICE].astype(np.float64)
        products += part @ part.T
    squares, sides = np.linalg.eigh(products)
    singular = np.sqrt(np.maximum(squares, 0))
    kept = np.flatnonzero(singular > LEAST_SPREAD * singular[-1])[::-1]
    directions = flat.T @ (sides[:, kept] / singular[kept]).astype(np.float32)
    gains = math.sqrt(n) / (singular[kept] + epsilon)
    return Whitening(np.ascontiguousarray(directions), gains.astype(np.float32))


def _numbers(values: np.ndarray) -> tuple[float, ...]:
    """As records keep them: the nearest float32, which every engine computes with."""
    return tuple(float(value) for value in values.astype(np.float32))


def _epsilon(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < math.inf:
        raise BadInput(f"The epsilon of zca must be a number above 0, got {text[:40]!r}.")
    return value
