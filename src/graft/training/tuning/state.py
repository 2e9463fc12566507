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
    """How far a phase has come, and what it knows of the epoch under way. All counts begin at 0."""

    epoch: int = 0  # done
    batch: int = 0  # done in this epoch
    step: int = 0  # done in all
    loss_sum: float = 0.0  # of this epoch's photos
    n_right: int = 0
    n_photos: int = 0
    epochs: tuple[Epoch, ...] = ()
    best_epoch: int = 0
    best_loss: float | None = None
    stale: int = 0  # epochs since the best
    stopped_early: bool = False
    frozen_sha256: str = ""  # of the frozen tensors, proved equal before and after, once all is done
    events: tuple[str, ...] = ()  # what there was to say, once all is done

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
        better = self.improved_by(epoch.validation_loss)
        return replace(
            self,
            epoch=self.epoch + 1,
            batch=0,
            loss_sum=0.0,
            n_right=0,
            n_photos=0,
            epochs=(*self.epochs, epoch),
            best_epoch=self.epoch + 1 if better else self.best_epoch,
            best_loss=epoch.validation_loss if better else self.best_loss,
            stale=0 if better else self.stale + 1,
        )

    def improved_by(self, loss: float | None) -> bool:
        """Whether an epoch with this validation loss is the best up to now; without validation each one is."""
        return loss is None or self.best_loss is None or loss < self.best_loss

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.frozen_sha256)


def standing_of(saved: Saved) -> Standing:
    """The standing that was committed. Raises `IntegrityProblem` record_invalid."""
    return from_json(Standing, json.dumps(dict(saved.state)).encode(), source="the checkpoint")
