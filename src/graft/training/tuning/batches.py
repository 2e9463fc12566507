"""Which photos and views each step reads, with which targets: functions of seed, phase and epoch, never remembered."""

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass

import numpy as np

from graft.core.randomness import stream
from graft.features.sources import Source, prefetch
from graft.training.tuning.task import Task

FRESH_VIEWS = 2**31  # numbers to draw from where a source makes any view


@dataclass(frozen=True)
class Batch:
    """One step's rows; a last batch with fewer photos is filled up to the same shape with rows of no weight.

    `targets` is (batch, class) float32, `weights` and `shares` (batch,) float32, `partners` (batch,) int32. Mixup takes
    `share` of a row and the rest of its partner, of the arrays at the cut; targets and weights are mixed already.
    """

    arrays: tuple[np.ndarray, ...]
    targets: np.ndarray
    weights: np.ndarray
    partners: np.ndarray
    shares: np.ndarray
    n_photos: int


def steps_per_epoch(task: Task) -> int:
    """How many batches make an epoch: those that the phase names, or what all training photos make."""
    return task.schedule.phase.steps_per_epoch or -(-task.train.n_photos // task.schedule.batch_images)


def training_batches(task: Task, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
    """The batches of an epoch (from 0), beginning with number `first`.

    Each photo comes once; where the phase names its steps, photos come in rounds of all of them, each in its own order,
    and an epoch goes on where the one before it ended. Read ahead by a thread: close the generator where it may not be
    read to its end.
    """
    photos, views = _rows(task, epoch)
    most = task.schedule.batch_images
    numbers = range(first, steps_per_epoch(task))
    places = [slice(number * most, (number + 1) * most) for number in numbers]
    with closing(prefetch(task.train, [(photos[place], views[place]) for place in places])) as read:
        for number, place, arrays in zip(numbers, places, read, strict=True):
            rows = photos[place]
            size = len(rows) if normalizes(task) else most  # a batch's own statistics would count rows that fill it
            labels = task.train_labels[rows]
            names = (task.schedule.phase.name, str(epoch), str(number))
            partners, shares = _mixing(task, len(rows), stream(task.seed, "mixup", *names))
            yield Batch(
                arrays=tuple(_filled(array, size) for array in arrays),
                targets=_filled(targets(task, labels, partners, shares), size),
                weights=_filled(row_weights(task, labels, partners, shares), size),
                partners=np.concatenate([partners, np.arange(len(rows), size)]).astype(np.int32),
                shares=np.concatenate([shares, np.ones(size - len(rows))]).astype(np.float32),
                n_photos=len(rows),
            )


def normalizes(task: Task) -> bool:
    """Whether layers may be trained that compute with the batch's own statistics."""
    return task.schedule.phase.batch_normalization == "trained"


def validation_batches(source: Source, size: int) -> Generator[tuple[tuple[np.ndarray, ...], int], None, None]:
    """The unchanged photos in order: arrays of `size` rows, and how many of these are photos. Close it as the other."""
    chosen = [np.arange(begin, min(begin + size, source.n_photos)) for begin in range(0, source.n_photos, size)]
    with closing(prefetch(source, [(rows, np.zeros_like(rows)) for rows in chosen])) as read:
        for rows, arrays in zip(chosen, read, strict=True):
            yield tuple(_filled(array, size) for array in arrays), len(rows)


def targets(task: Task, labels: np.ndarray, partners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """What each row should be: `(row, class)` float32. Smoothed (Szegedy et al. 2016), then mixed."""
    smoothing = task.tuning.label_smoothing
    plain = np.full((len(labels), task.classes), smoothing / task.classes)
    plain[np.arange(len(labels)), labels] += 1 - smoothing
    mixed: np.ndarray = shares[:, None] * plain + (1 - shares[:, None]) * plain[partners]
    return mixed.astype(np.float32)


def row_weights(task: Task, labels: np.ndarray, partners: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """How much each row counts: `(row,)` float32, its class's weight, mixed with the partner's."""
    if task.class_weights is None:
        return np.ones(len(labels), np.float32)
    plain = np.asarray(task.class_weights, np.float64)[labels]
    mixed: np.ndarray = shares * plain + (1 - shares) * plain[partners]
    return mixed.astype(np.float32)


def _rows(task: Task, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Photos and views of an epoch's rows, in the order in which they come."""
    n, phase = task.train.n_photos, task.schedule.phase
    length = phase.photos_an_epoch(batch_images=task.schedule.batch_images, n_train=n)
    places = np.arange(epoch * length, (epoch + 1) * length)
    photos, views = [], []
    for number in range(places[0] // n, places[-1] // n + 1):
        names = (phase.name, str(number))
        order = stream(task.seed, "order", *names).permutation(n)[places[places // n == number] % n]
        photos.append(order)
        views.append(_views(task, n, stream(task.seed, "views", *names))[order])
    return np.concatenate(photos), np.concatenate(views)


def _views(task: Task, n_photos: int, generator: np.random.Generator) -> np.ndarray:
    """A view for each photo: of those there are, each as likely; never-seen ones where the source makes any."""
    if task.train.n_views is None:
        return generator.integers(1, FRESH_VIEWS, n_photos)
    return generator.integers(0, task.train.n_views, n_photos)


def _mixing(task: Task, n_rows: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Partner and share of each row (Zhang et al., arXiv 1710.09412); the share is the larger one, at least a half."""
    alpha = task.tuning.mixup
    if not alpha:
        return np.arange(n_rows), np.ones(n_rows)
    shares = generator.beta(alpha, alpha, n_rows)
    return generator.permutation(n_rows), np.maximum(shares, 1 - shares)


def _filled(array: np.ndarray, size: int) -> np.ndarray:
    """The array with rows of zeros up to `size`."""
    if len(array) == size:
        return array
    whole = np.zeros((size, *array.shape[1:]), array.dtype)
    whole[: len(array)] = array
    return whole
