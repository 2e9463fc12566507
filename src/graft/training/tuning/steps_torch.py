"""Steps on torch: as written, operation by operation."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graft.training.tuning.batches import Batch
from graft.training.tuning.network import Network
from graft.training.tuning.steps import Trained, advanced, outcome


class TorchSteps:
    """See `steps.Steps`."""

    def __init__(self, network: Network, trained: Trained) -> None:
        self._network = network
        self._trained = trained

    def train(self, batch: Batch, numbers: np.ndarray) -> tuple[float, int]:
        """One step, in place."""
        import torch

        trained = self._trained
        values = [each.variable.value for each in trained.tunables]
        slots = [[slot.value for slot in group] for group in trained.slots]
        means = [mean.value for mean in trained.averages]
        rows = [_tensor(each) for each in (batch.targets, batch.weights, batch.partners, batch.shares)]
        shared = _tensor(numbers)
        for value in values:
            value.requires_grad_(True)
        loss, told = outcome(self._network, trained, [_tensor(each) for each in batch.arrays], rows, shared)
        gradients = torch.autograd.grad(loss, values)
        with torch.no_grad():
            new = advanced(trained, values, gradients, slots, means, shared)
            for value, result in zip((*values, *means), (*new[0], *new[2]), strict=True):
                value.copy_(result)
            for group, results in zip(slots, new[1], strict=True):
                for slot, result in zip(group, results, strict=True):
                    slot.copy_(result)
        total, right = told.detach().cpu().numpy()
        return float(total), int(right)

    def forward(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Logits."""
        import torch

        with torch.no_grad():
            logits = self._network.logits(self._network.below([_tensor(each) for each in arrays]))
        return np.array(logits.cpu().numpy(), np.float32)


def _tensor(array: np.ndarray) -> Any:
    """On Keras' device. NumPy's bfloat16 is unknown to torch: the same bits under its own type."""
    import keras
    import torch

    if array.dtype.name == "bfloat16":
        return keras.ops.convert_to_tensor(torch.from_numpy(array.view(np.int16)).view(torch.bfloat16))
    return keras.ops.convert_to_tensor(np.ascontiguousarray(array))
