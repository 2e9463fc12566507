"""Steps on TensorFlow: one graph for each, without XLA, which gains nothing on CPUs and compiles for minutes."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graft.training.tuning.batches import Batch
from graft.training.tuning.convolution import quicken
from graft.training.tuning.network import Network
from graft.training.tuning.steps import Trained, advanced, outcome


class TensorFlowSteps:
    """See `steps.Steps`."""

    def __init__(self, network: Network, trained: Trained) -> None:
        import tensorflow

        for layer in network.backbone.layers:
            if layer.trainable:
                quicken(layer)
        self._tensor = tensorflow.convert_to_tensor
        self._train = tensorflow.function(_train(network, trained))
        self._forward = tensorflow.function(lambda arrays: network.logits(network.below(arrays)))

    def train(self, batch: Batch, numbers: np.ndarray) -> tuple[float, int]:
        """One step, in place."""
        rows = (batch.targets, batch.weights, batch.partners, batch.shares)
        given = [[self._tensor(each) for each in group] for group in (batch.arrays, rows)]
        total, right = self._train(*given, self._tensor(numbers)).numpy()
        return float(total), int(right)

    def forward(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Logits."""
        return np.asarray(self._forward([self._tensor(each) for each in arrays]).numpy(), np.float32)


def _train(network: Network, trained: Trained) -> Any:
    import tensorflow

    variables = [each.variable.value for each in trained.tunables]
    slots = [[slot.value for slot in group] for group in trained.slots]
    means = [mean.value for mean in trained.averages]

    def step(arrays: Any, rows: Any, numbers: Any) -> Any:
        with tensorflow.GradientTape(watch_accessed_variables=False) as tape:
            for variable in variables:
                tape.watch(variable)
            loss, told = outcome(network, trained, arrays, rows, numbers)
        gradients = tape.gradient(loss, variables)
        new = advanced(trained, variables, gradients, slots, means, numbers)
        for variable, value in zip((*variables, *means), (*new[0], *new[2]), strict=True):
            variable.assign(value)
        for group, values in zip(slots, new[1], strict=True):
            for slot, value in zip(group, values, strict=True):
                slot.assign(value)
        return told

    return step
