"""One training step and one forward pass on whichever backend Keras has: what they share."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from graft.training.tuning.batches import Batch
from graft.training.tuning.network import Network, Tunable, read
from graft.training.tuning.optimizer import SHARE, SLOTS, averaged, updated
from graft.training.tuning.records import Phase


@dataclass(frozen=True)
class Trained:
    """What a phase changes: tensors, the optimiser's slots for each, and their moving averages where kept."""

    phase: Phase
    tunables: tuple[Tunable, ...]
    slots: tuple[tuple[Any, ...], ...]
    averages: tuple[Any, ...]  # empty: none are kept
    mixes: bool  # whether rows are mixed with their partners

    def named(self) -> dict[str, Any]:
        """The variables that only this phase has, by name."""
        found = {f"average/{tunable.name}": each for tunable, each in zip(self.tunables, self.averages, strict=False)}
        for tunable, slots in zip(self.tunables, self.slots, strict=True):
            for name, slot in zip(SLOTS[self.phase.optimizer], slots, strict=True):
                found[f"{name}/{tunable.name}"] = slot
        return found


class Steps(Protocol):
    """A phase's two computations, made ready for one batch shape."""

    def train(self, batch: Batch, numbers: np.ndarray) -> tuple[float, int]:
        """One step. Sum of the rows' losses before it, and how many rows were right. `numbers`: `optimizer.scalars`."""

    def forward(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Logits `(batch, class)` float32 with the weights as they are, nothing dropped."""


def begin(network: Network, phase: Phase, *, averaging: float, mixes: bool) -> Trained:
    """Fresh slots, and averages that begin at the weights as they are."""
    import keras

    tunables = network.tunables

    def variable(value: np.ndarray) -> Any:
        return keras.Variable(value, trainable=False, dtype="float32")

    zeros = [np.zeros(tuple(each.variable.shape), np.float32) for each in tunables]
    slots = tuple(tuple(variable(zero) for _ in SLOTS[phase.optimizer]) for zero in zeros)
    averages = tuple(variable(read(each.variable)) for each in tunables) if averaging else ()
    return Trained(phase, tunables, slots, averages, mixes)


def outcome(
    network: Network, trained: Trained, arrays: Sequence[Any], rows: Sequence[Any], numbers: Any
) -> tuple[Any, Any]:
    """The loss to descend, a mean over photos, and `(2,)` float32: the sum of losses and how many rows were right.

    `rows` are the batch's targets, weights, partners and shares as tensors.
    """
    from keras import ops

    targets, weights, partners, shares = rows
    cut = network.below(arrays)
    if trained.mixes:
        cut = [_mixed(each, partners, shares) for each in cut]
    logits = network.logits(cut, training=True)
    losses = -ops.sum(targets * ops.log_softmax(logits, axis=-1), axis=-1) * weights
    right = ops.equal(ops.argmax(logits, axis=-1), ops.argmax(targets, axis=-1))
    is_photo = ops.sum(targets, axis=-1) > 0.5
    total = ops.sum(losses)
    return total * numbers[SHARE], ops.stack([total, ops.sum(ops.cast(ops.logical_and(right, is_photo), "float32"))])


def advanced(
    trained: Trained,
    values: Sequence[Any],
    gradients: Sequence[Any],
    slots: Sequence[Any],
    means: Sequence[Any],
    numbers: Any,
) -> tuple[list[Any], list[tuple[Any, ...]], list[Any]]:
    """Tensors, slots and averages after one step, all given and answered as the backend's tensors."""
    new_values: list[Any] = []
    new_slots: list[tuple[Any, ...]] = []
    for tunable, value, gradient, slot in zip(trained.tunables, values, gradients, slots, strict=True):
        factor = tunable.factor(trained.phase)
        new, kept = updated(trained.phase, value, gradient, slot, numbers, factor=factor, decays=tunable.decays)
        new_values.append(new)
        new_slots.append(kept)
    return new_values, new_slots, [averaged(mean, new, numbers) for mean, new in zip(means, new_values, strict=False)]


def _mixed(array: Any, partners: Any, shares: Any) -> Any:
    """Each row's share of itself and the rest of its partner, in float32."""
    from keras import ops

    values = ops.cast(array, "float32")
    share = ops.reshape(shares, (-1,) + (1,) * (len(array.shape) - 1))
    return values * share + ops.take(values, partners, axis=0) * (1 - share)
