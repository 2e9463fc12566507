"""Files as Keras itself saves its networks, after others were built in the same process, find their network again."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest

from graft.backbones.catalogue import catalogue, find
from graft.backbones.layouts import layout
from graft.backbones.networks import build
from graft.backbones.reading import conversion
from graft.backbones.reading.hdf5 import StoredLayer
from graft.backbones.reading.matching import Difference, Found, match_layers
from graft.backbones.weights import import_weights, load_into
from tests.backbones.helpers import SMALLEST, of_keras, randomise, write_keras3, write_legacy

FAST = {"mobilenet_v3_small_0.75"}
CASES = [pytest.param(name, marks=() if name in FAST else pytest.mark.slow) for name in SMALLEST if name != "sprout"]


@pytest.fixture
def quick_child(monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert in this process: the child is tested elsewhere."""
    monkeypatch.setattr("graft.backbones.weights.run_child", lambda _, job, **__: conversion.convert(job))


def _built_after_others(name: str, side_pixels: int, *, include_top: bool) -> Any:
    keras.layers.Conv2D(1, 1)
    keras.layers.BatchNormalization()  # each takes a number
    keras.layers.LayerNormalization()
    model = of_keras(find(name), side_pixels, include_top=include_top)
    randomise(model, seed=5)
    return model


def _whole_model(path: Path, model: Any) -> Path:
    model.save(path)
    return path


WRITERS: dict[str, Callable[[Path, Any], Path]] = {
    "some.weights.h5": write_keras3,
    "whole.h5": _whole_model,
    "keras2.h5": write_legacy,
}


@pytest.mark.usefixtures("quick_child")
@pytest.mark.timeout(600)
@pytest.mark.parametrize("include_top", [False, True], ids=["without top", "with top"])
@pytest.mark.parametrize("name", CASES)
def test_what_keras_saves_is_recognised_and_loaded(name: str, include_top: bool, tmp_path: Path) -> None:
    record = find(name)
    side = record.side_pixels if name == "vgg16" and include_top else record.min_side_pixels
    theirs = _built_after_others(name, side, include_top=include_top)
    for file, write in WRITERS.items():
        if name.startswith("convnext") and file != "some.weights.h5":
            continue  # a model within a model: the helper knows none, and Keras on OpenVINO cannot describe it
        got, weights = import_weights(write(tmp_path / file, theirs), tuple(catalogue()), tmp_path / "cache")
        assert got == record, file
        assert (weights.top is not None) == include_top
        ours = build(record, side_pixels=side, include_top=include_top)
        load_into(ours, weights, include_top=include_top)
        pairs = zip(ours.get_weights(), theirs.get_weights(), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs), file


class _Shaped:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


def _stored(name: str, spelling: Callable[[str], str], *, top: bool = False) -> tuple[StoredLayer, ...]:
    """The layers of a legacy file of that network, with other names."""
    known = layout(find(name))
    layers = (*known.layers, *known.top) if top else known.layers
    return tuple(
        StoredLayer(spelling(layer.name), None, 0, tuple(_Shaped(shape) for shape in layer.shapes)) for layer in layers
    )


def _fits(stored: tuple[StoredLayer, ...]) -> list[str]:
    outcomes = {name: match_layers(layout(record), stored, "file") for name, record in catalogue().items()}
    return [name for name, outcome in outcomes.items() if isinstance(outcome, Found)]


def _keras2_mobilenet_v3(name: str) -> str:
    """`expanded_conv_1_expand_bn` was `expanded_conv_1/expand/BatchNorm`; `conv_bn` was `Conv/BatchNorm`."""
    name = re.sub(r"_bn$", "/BatchNorm", name)
    name = re.sub(r"^(expanded_conv(_\d+)?)_", r"\1/", name).replace("/squeeze_excite_conv", "/squeeze_excite/Conv")
    return re.sub(r"^conv", "Conv", name).replace("logits", "Logits")


@pytest.mark.parametrize(
    ("name", "spelling"),
    [
        ("mobilenet_v3_small_1.0", _keras2_mobilenet_v3),
        ("densenet121", lambda name: re.sub(r"_(?=(conv|bn)$)", "/", name).replace("predictions", "fc1000")),
        ("resnet101", lambda name: name.replace("predictions", "probs")),
        ("inception_v3", lambda name: re.sub(r"_n(\d+)$", lambda match: f"_{int(match[1]) + 94}", name)),
        ("xception", lambda name: re.sub(r"_n(\d+)$", r"_\1", name)),
    ],
)
def test_names_of_older_releases_are_understood(name: str, spelling: Callable[[str], str]) -> None:
    for top in (False, True):
        assert _fits(_stored(name, spelling, top=top)) == [name]


def test_sabotage_numbered_layers_in_another_order_are_refused() -> None:
    stored = list(_stored("inception_v3", lambda name: re.sub(r"_n(\d+)$", r"_\1", name)))
    convolutions = [index for index, layer in enumerate(stored) if str(layer.name).startswith("conv2d")]
    one, other = convolutions[0], convolutions[-1]
    stored[one], stored[other] = stored[other], stored[one]
    assert _fits(tuple(stored)) == []


def test_sabotage_layers_of_unknown_names_are_not_guessed_at() -> None:
    """ResNet's first release had the same shapes in another order, under other names."""
    stored = _stored("resnet50", lambda name: f"res{name}")
    outcome = match_layers(layout(find("resnet50")), stored, "file")
    assert isinstance(outcome, Difference)
    assert "conv1_conv" in outcome.problem


def test_a_model_within_the_model_is_read_layer_by_layer(tmp_path: Path) -> None:
    theirs = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, name="one"), keras.layers.Dense(2, name="two")])
    outer_input = keras.Input((4,))
    outer = keras.Model(outer_input, keras.layers.Dense(1, name="last")(theirs(outer_input)))
    from graft.backbones.reading.hdf5 import open_layers

    with open_layers(write_keras3(tmp_path / "nested.weights.h5", outer)) as layers:
        assert {layer.name for layer in layers} == {"one", "two", "last"}
    with h5py.File(tmp_path / "legacy.h5", "w") as file:
        file.attrs["layer_names"] = [b"inner", b"last"]
        for group, names in {
            "inner": ["one/kernel:0", "one/bias:0", "two/kernel:0"],
            "last": ["last/kernel:0"],
        }.items():
            file.create_group(group).attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                file[group].create_dataset(name, data=np.zeros(2))
    with open_layers(tmp_path / "legacy.h5") as layers:
        assert [(layer.name, len(layer.datasets)) for layer in layers] == [("one", 2), ("two", 1), ("last", 1)]
