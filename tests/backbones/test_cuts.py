from typing import Any

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.backbones.cuts import cuts, split
from graft.core.errors import BadInput
from tests.backbones.helpers import forward


def _residual() -> Any:
    inputs = keras.Input((4,), name="input")
    x = keras.layers.Dense(4, name="below")(inputs)
    branch = keras.layers.Dense(4, name="branch_1")(x)
    branch = keras.layers.Dense(4, name="branch_2")(branch)
    x = keras.layers.Add(name="add")([x, branch])
    return keras.Model(inputs, keras.layers.Dense(2, name="above")(x))


def test_a_residual_block_can_be_cut_before_and_after() -> None:
    assert cuts(_residual()) == ("input", "below", "add", "above")


def test_in_a_chain_every_layer_is_a_cut() -> None:
    inputs = keras.Input((3,), name="input")
    x = inputs
    for name in ("one", "two", "three"):
        x = keras.layers.Dense(3, name=name)(x)
    assert cuts(keras.Model(inputs, x)) == ("input", "one", "two", "three")


def test_both_parts_share_the_weights_of_the_whole() -> None:
    model = _residual()
    rows = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    expected = forward(model, rows)
    for name in cuts(model):
        prefix, suffix = split(model, name)
        assert np.abs(forward(suffix, forward(prefix, rows)) - expected).max() < 1e-6
        assert {id(each) for each in prefix.weights + suffix.weights} == {id(each) for each in model.weights}
        assert len(prefix.weights) + len(suffix.weights) == len(model.weights)


def test_sabotage_a_changed_suffix_changes_the_whole() -> None:
    model = _residual()
    rows = np.ones((1, 4), np.float32)
    before = forward(model, rows)
    _, suffix = split(model, "add")
    suffix.get_layer("above").kernel.assign(np.ones((4, 2), np.float32))
    assert np.abs(forward(model, rows) - before).max() > 1e-3


@pytest.mark.parametrize(("layer", "nearest"), [("branch_2", "below"), ("nothing", "input")])
def test_a_layer_inside_a_block_is_refused(layer: str, nearest: str) -> None:
    with pytest.raises(BadInput, match=rf"got '{layer}'\. Nearest cut below it: {nearest}\."):
        split(_residual(), layer)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.integers(0, 20), min_size=1, max_size=3, unique=True), min_size=1, max_size=7))
def test_cuts_are_the_layers_no_path_avoids(parents: list[list[int]]) -> None:
    """Against the definition: without the layer, nothing leads from the input to the output."""
    model = _random_graph(parents)
    sources = {layer.name: _sources(layer) for layer in model.layers}
    expected = tuple(layer.name for layer in model.layers if not _connected(sources, model, without=layer.name))
    assert cuts(model) == expected


def _random_graph(parents: list[list[int]]) -> Any:
    tensors = [keras.Input((2,), name="input")]
    for index, choice in enumerate(parents):
        chosen = [tensors[number % len(tensors)] for number in dict.fromkeys(n % len(tensors) for n in choice)]
        joined = keras.layers.Add(name=f"add_{index}")(chosen) if len(chosen) > 1 else chosen[0]
        tensors.append(keras.layers.ReLU(name=f"relu_{index}")(joined))
    return keras.Model(tensors[0], tensors[-1])


def _sources(layer: Any) -> list[str]:
    if isinstance(layer, keras.layers.InputLayer):
        return []
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation.name for tensor in tensors]


def _connected(sources: dict[str, list[str]], model: Any, *, without: str) -> bool:
    reached, pending = set(), [model.output._keras_history.operation.name]
    while pending:
        name = pending.pop()
        if name == without or name in reached:
            continue
        reached.add(name)
        pending += sources[name]
    return "input" in reached
