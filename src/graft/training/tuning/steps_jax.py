"""Steps on JAX: pure functions of all variables, compiled; their results are put back into the variables."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from graft.training.tuning.batches import Batch
from graft.training.tuning.network import Network
from graft.training.tuning.steps import Trained, advanced, outcome


class JaxSteps:
    """See `steps.Steps`."""

    def __init__(self, network: Network, trained: Trained) -> None:
        import jax

        self._trained = trained
        self._variables = [each.variable for each in trained.tunables]
        self._carried = [*network.seeds, *network.statistics.values()]
        changing = {id(each) for each in (*self._variables, *self._carried)}
        self._frozen = [each for each in network.variables() if id(each) not in changing]
        groups = (self._variables, self._carried, self._frozen)
        self._train = jax.jit(_train(network, trained, groups), donate_argnums=(0, 1, 2, 3))
        self._forward = jax.jit(_forward(network, groups))

    def train(self, batch: Batch, numbers: np.ndarray) -> tuple[float, int]:
        """One step; the variables get new arrays, the old ones are gone."""
        rows = (batch.targets, batch.weights, batch.partners, batch.shares)
        slots = [_values(group) for group in self._trained.slots]
        values, states, frozen = _values(self._variables), _values(self._carried), _values(self._frozen)
        new = self._train(
            values, states, slots, _values(self._trained.averages), frozen, list(batch.arrays), rows, numbers
        )
        for variables, arrays in zip((self._variables, self._carried, self._trained.averages), new[:3], strict=True):
            _put(variables, arrays)
        for group, arrays in zip(self._trained.slots, new[3], strict=True):
            _put(group, arrays)
        total, right = np.asarray(new[4])
        return float(total), int(right)

    def forward(self, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """Logits."""
        values, states, frozen = _values(self._variables), _values(self._carried), _values(self._frozen)
        return np.array(self._forward(values, states, frozen, list(arrays)), np.float32)


def _train(network: Network, trained: Trained, groups: Sequence[Sequence[Any]]) -> Any:
    import jax
    import keras

    carried = groups[1]

    def loss(values: Any, states: Any, frozen: Any, arrays: Any, rows: Any, numbers: Any) -> Any:
        with keras.StatelessScope(state_mapping=_mapping(groups, (values, states, frozen))) as scope:
            mean, told = outcome(network, trained, arrays, rows, numbers)
            return mean, (told, [scope.get_current_value(each) for each in carried])

    def step(
        values: Any, states: Any, slots: Any, means: Any, frozen: Any, arrays: Any, rows: Any, numbers: Any
    ) -> Any:
        given = (values, states, frozen, arrays, rows, numbers)
        (_, (told, new_states)), gradients = jax.value_and_grad(loss, has_aux=True)(*given)
        new_values, new_slots, new_means = advanced(trained, values, gradients, slots, means, numbers)
        return new_values, new_states, new_means, [list(group) for group in new_slots], told

    return step


def _forward(network: Network, groups: Sequence[Sequence[Any]]) -> Any:
    import keras

    def forward(values: Any, states: Any, frozen: Any, arrays: Any) -> Any:
        with keras.StatelessScope(state_mapping=_mapping(groups, (values, states, frozen))):
            return network.logits(network.below(arrays))

    return forward


def _mapping(groups: Sequence[Sequence[Any]], values: Sequence[Sequence[Any]]) -> list[tuple[Any, Any]]:
    return [pair for group, given in zip(groups, values, strict=True) for pair in zip(group, given, strict=True)]


def _values(variables: Sequence[Any]) -> list[Any]:
    return [each.value for each in variables]


def _put(variables: Sequence[Any], arrays: Sequence[Any]) -> None:
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
