"""The table of layers: true to the network, kept in the cache, and made without Keras in this process."""

import math

import pytest

from graft.backbones import layers
from graft.backbones.catalogue import find
from graft.backbones.cuts import wide_cuts
from graft.backbones.layers import layer_table, measure
from graft.backbones.measuring import multiply_adds
from graft.backbones.networks import build
from graft.core.errors import BadInput


def test_the_table_is_what_the_network_is():
    model = build(find("mobilenet_0.25"), side_pixels=64)
    table = measure(find("mobilenet_0.25"), 64)
    below = table.without_top()
    assert [layer.name for layer in below] == [layer.name for layer in model.layers]
    assert [layer.shape for layer in below] == [tuple(layer.output.shape[1:]) for layer in model.layers]
    assert sum(layer.parameters for layer in below) == model.count_params() == find("mobilenet_0.25").parameters
    assert sum(layer.parameters for layer in table.layers) == find("mobilenet_0.25").parameters_with_top
    assert [layer.number for layer in table.layers] == list(range(len(table.layers)))
    assert table.layers[-1].top and not below[-1].top
    trainable = sum(layer.trainable_parameters for layer in below)
    assert trainable == sum(math.prod(weight.shape) for weight in model.trainable_weights) < model.count_params()
    assert sum(layer.multiply_adds for layer in below) == multiply_adds(model)
    assert table.cuts == wide_cuts(model, tensors=1)


def test_work_and_cuts_are_those_of_the_wanted_side():
    small, large = (measure(find("sprout"), side) for side in (64, 128))
    assert small.cuts == large.cuts
    work = [[layer.multiply_adds for layer in table.layers] for table in (small, large)]
    assert [4 * each for each in work[0]] == work[1]
    assert small.find("stem").multiply_adds == 32 * 32 * 3 * 3 * 3 * 32


def test_a_network_without_a_top_of_its_own():
    assert not any(layer.top for layer in measure(find("sprout"), 64).layers)


def test_an_unknown_name_tells_the_nearest():
    table = measure(find("sprout"), 64)
    with pytest.raises(BadInput) as caught:
        table.find("head_rleu")
    assert caught.value.code == "not_found" and "head_relu" in caught.value.hint
    with pytest.raises(BadInput, match="zzz") as caught:
        table.find("zzz")
    assert "--list-layers" in caught.value.hint


def test_it_is_made_once_and_again_where_it_is_damaged(tmp_path, monkeypatch):
    calls = []

    def child(module, job, **_):
        calls.append(module)
        return layers.main(dict(job))

    monkeypatch.setattr(layers, "run_child", child)
    first = layer_table(find("sprout"), 64, tmp_path)
    assert layer_table(find("sprout"), 64, tmp_path) == first and calls == [layers.__name__]
    (path,) = (tmp_path / layers.FOLDER).iterdir()
    path.write_bytes(path.read_bytes().replace(b"Conv2D", b"Conv3D", 1))
    assert layer_table(find("sprout"), 64, tmp_path) == first and len(calls) == 2
    path.write_bytes(b"{}")
    assert layer_table(find("sprout"), 64, tmp_path) == first and len(calls) == 3
    assert layer_table(find("sprout"), 96, tmp_path) != first and len(calls) == 4
