"""Kernel ridge classification in closed form: fast enough to compare every run of taps before fitting one.

The kernel of a run of taps is the sum of its taps' kernels, so each tap is multiplied once. Scores count the training
photos, each predicted without itself and its group (`inverse_gg⁻¹ alpha_g`, after Rifkin & Lippert, "Notes on
Regularized Least Squares", MIT-CSAIL-TR-2007-025), and the validation photos: a choice among sixty candidates needs
many photos to be steady.
"""

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from graft.training.taps import TapTable, tap_scaler


@dataclass(frozen=True)
class TapKernels:
    """One linear kernel for each tap, between training photos and themselves, then held-out photos.

    `blocks[tap]` has shape `(train + held out, train)`, float32; `widths[tap]` counts the features that vary. `groups`
    holds the places of training photos that belong together (copies, one burst): they are left out together.
    """

    blocks: tuple[np.ndarray, ...]
    widths: tuple[int, ...]
    train_labels: np.ndarray
    held_out_labels: np.ndarray
    classes: int
    groups: tuple[np.ndarray, ...] = ()


@dataclass(frozen=True)
class RidgeScore:
    """How a ridge classifier on taps `first` to `stop` did on photos it was not fitted on."""

    first: int
    stop: int
    shrinkage: float
    correct: int
    n: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.n


def tap_kernels(
    table: TapTable,
    labels: np.ndarray,
    train: np.ndarray,
    held_out: np.ndarray,
    *,
    classes: int,
    groups: tuple[np.ndarray, ...] = (),
) -> TapKernels:
    """Multiply each tap once. `held_out` may be empty: only the scores of `train` left out count then."""
    blocks, widths = [], []
    everyone = np.concatenate([train, held_out])
    for index in range(len(table.taps)):
        scaler = tap_scaler(table, index, index + 1, train)
        features = scaler.apply(table.read(index, index + 1, everyone))
        blocks.append(features @ features[: len(train)].T)
        widths.append(int(np.count_nonzero(scaler.scale)))
    return TapKernels(tuple(blocks), tuple(widths), labels[train], labels[held_out], classes, groups)


def score_in_threads(
    kernels: TapKernels, tasks: Sequence[tuple[tuple[int, int], Sequence[float]]], *, threads: int
) -> Iterator[tuple[RidgeScore, ...]]:
    """Scores of each run of taps at each of its shrinkages, in the order of `tasks`.

    Each thread solves alone: small Cholesky factors gain nothing from sharing, and the numbers do not depend on how
    many threads there are.
    """
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        yield from pool.map(lambda task: score_run(kernels, *task), tasks)


def score_run(kernels: TapKernels, run: tuple[int, int], shrinkages: Sequence[float]) -> tuple[RidgeScore, ...]:
    """Score one run of taps at each shrinkage, on photos left out one by one and on the held-out photos."""
    first, stop = run
    kernel = functools.reduce(np.add, kernels.blocks[first:stop])
    width = max(1, sum(kernels.widths[first:stop]))
    found = ((shrinkage, _count_correct(kernels, kernel, shrinkage * width)) for shrinkage in shrinkages)
    return tuple(RidgeScore(first, stop, shrinkage, correct, len(kernel)) for shrinkage, correct in found)


def _count_correct(kernels: TapKernels, kernel: np.ndarray, penalty: float) -> int:
    """How many photos, left out or held out, a ridge with this kernel and penalty classifies rightly.

    The bias is free and fitted anew without each photo: with the mean of all targets in its place, few photos with many
    centred features would give away the class of the one left out.
    """
    from scipy.linalg import cho_factor, cho_solve
    from scipy.linalg.lapack import strtri

    n = len(kernels.train_labels)
    targets = np.where(kernels.train_labels[:, None] == np.arange(kernels.classes), 1, -1).astype(np.float32)
    regularised = kernel[:n].copy()
    regularised[np.diag_indices(n)] += np.float32(penalty)
    factor = cho_factor(regularised, lower=True, overwrite_a=True, check_finite=False)
    solved = cho_solve(factor, np.column_stack([targets, np.ones(n, np.float32)]), check_finite=False)
    ones = solved[:, -1]
    bias = ones @ targets / ones.sum()
    alpha = solved[:, :-1] - np.outer(ones, bias)
    root, _ = strtri(factor[0], lower=1, overwrite_c=1)
    root = np.tril(root)
    errors = alpha / (np.square(root).sum(axis=0) - ones**2 / ones.sum())[:, None]
    for places in kernels.groups:
        columns, border = root[:, places], ones[places]
        errors[places] = np.linalg.solve(columns.T @ columns - np.outer(border, border) / ones.sum(), alpha[places])
    left_out = (targets - errors).argmax(axis=1)
    held_out = (kernel[n:] @ alpha + bias).argmax(axis=1)
    right = np.count_nonzero(left_out == kernels.train_labels)
    return int(right + np.count_nonzero(held_out == kernels.held_out_labels))
