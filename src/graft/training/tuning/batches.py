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
    """One step's rows; the last batch of an epoch is filled up to the same shape with rows of no weight.

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
    """How many batches all training photos make."""
    return -(-task.train.n_photos // task.schedule.batch_images)


def training_batches(task: Task, phase: int, epoch: int, first: int = 0) -> Generator[Batch, None, None]:
    """The batches of a phase's epoch (both from 0), beginning with number `first`. Each photo comes once.

    Read ahead by a thread: close the generator where it may not be read to its end.
    """
    n, size = task.train.n_photos, task.schedule.batch_images
    names = (str(phase), str(epoch))
    order = stream(task.seed, "order", *names).permutation(n)
    views = _views(task, n, stream(task.seed, "views", *names))
    numbers = range(first, steps_per_epoch(task))
    chosen = [order[number * size : (number + 1) * size] for number in numbers]
    with closing(prefetch(task.train, [(rows, views[rows]) for rows in chosen])) as read:
        for number, rows, arrays in zip(numbers, chosen, read, strict=True):
            labels = task.train_labels[rows]
            partners, shares = _mixing(task, len(rows), stream(task.seed, "mixup", *names, str(number)))
            yield Batch(
                arrays=tuple(_filled(array, size) for array in arrays),
                targets=_filled(targets(task, labels, partners, shares), size),
                weights=_filled(row_weights(task, labels, partners, shares), size),
                partners=np.concatenate([partners, np.arange(len(rows), size)]).astype(np.int32),
                shares=np.concatenate([shares, np.ones(size - len(rows))]).astype(np.float32),
                n_photos=len(rows),
            )


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
