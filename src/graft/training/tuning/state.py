"""Where a fine-tuning stands, as something that can be written down and gone on with; and who keeps it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import numpy as np

from graft.core.records import from_json, record
from graft.training.tuning.records import Epoch


@dataclass(frozen=True)
class Saved:
    """One commit. `tensors` may be views of a file: copy what is to outlive it."""

    step: int
    tensors: Mapping[str, np.ndarray]
    state: Mapping[str, Any]  # JSON values


class CheckpointStore(Protocol):
    """Keeps what a fine-tuning must have to go on, one commit after the other."""

    def save(self, step: int, tensors: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Commit: when this returns, `load` gives it back even after a crash. `state` is JSON values."""

    def load(self) -> Saved | None:
        """The newest good commit; None where there is none."""


@record
class Standing:
    """How far a fine-tuning has come, and what it knows of the epoch under way. All counts begin at 0."""

    phase: int = 0  # the number of phases once all are done
    epoch: int = 0  # done in this phase
    batch: int = 0  # done in this epoch
    step: int = 0  # done in all
    loss_sum: float = 0.0  # of this epoch's photos
    n_right: int = 0
    n_photos: int = 0
    epochs: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    best_loss: float | None = None
    phase_best_loss: float | None = None
    stale: int = 0  # epochs since this phase's best
    stopped_early: bool = False

    def after_batch(self, loss_sum: float, n_right: int, n_photos: int) -> Self:
        """One step further."""
        return replace(
            self,
            step=self.step + 1,
            batch=self.batch + 1,
            loss_sum=self.loss_sum + loss_sum,
            n_right=self.n_right + n_right,
            n_photos=self.n_photos + n_photos,
        )

    def after_epoch(self, epoch: Epoch) -> Self:
        """One epoch further, with its measurements."""
        loss, known = epoch.validation_loss, self.phase_best_loss
        better = loss is None or known is None or loss < known
        return replace(
            self,
            epoch=self.epoch + 1,
            batch=0,
            loss_sum=0.0,
            n_right=0,
            n_photos=0,
            epochs=(*self.epochs, epoch),
            phase_best_loss=loss if better else known,
            stale=0 if better else self.stale + 1,
        )

    def after_phase(self, *, early: bool) -> Self:
        """One phase further."""
        stopped_early = self.stopped_early or early
        return replace(self, phase=self.phase + 1, epoch=0, stale=0, phase_best_loss=None, stopped_early=stopped_early)


def standing_of(saved: Saved) -> Standing:
    """The standing that was committed. Raises `IntegrityProblem` record_invalid."""
    return from_json(Standing, json.dumps(dict(saved.state)).encode(), source="the checkpoint")
