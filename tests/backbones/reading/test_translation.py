"""Weights as torchvision and timm publish them give the numbers here that they give in torch."""

import importlib.util
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from graft.backbones.catalogue import catalogue, find
from graft.backbones.layouts import layout
from graft.backbones.networks import build
from graft.backbones.reading import translation
from graft.backbones.reading.conversion import convert
from graft.backbones.reading.matching import Difference, Found
from graft.backbones.reading.translation import TRANSLATIONS, Piece, match_translated
from graft.backbones.weights import import_weights, load_into, resolve
from graft.core.errors import BadInput
from graft.core.tensors import tensors_sha256, write_tensors
from tests.backbones.helpers import forward, relative_difference
from tests.backbones.reading.torch_writing import write_torch, write_torch_before_zip

needs_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="needs torch")
SIDE = 224
CLASSIFIERS = {"alexnet": "classifier.", "googlenet": "fc.", "se_resnet50": "fc.", "vit_b16": "head."}


@pytest.fixture(autouse=True)
def same_process(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convert in this process, which saves a second; a test that asks for `real_child` takes the whole way."""
    if "real_child" not in request.fixturenames:
        monkeypatch.setattr("graft.backbones.weights.run_child", lambda _, job, **__: convert(job))


@pytest.fixture
def real_child() -> None:
    """Asks for the conversion in a process of its own."""


def _pieces(name: str, *, top: bool = False) -> list[Piece]:
    known = layout(find(name))
    layers = (*known.layers, *known.top) if top else known.layers
    return [piece for layer in layers for piece in TRANSLATIONS[name].pieces(layer)]


def _published(name: str, *, top: bool = False, seed: int = 0) -> dict[str, np.ndarray]:
    """Tensors of the publisher's names and shapes, without torch."""
    rng = np.random.default_rng(seed)
    return {piece.name: rng.normal(size=piece.shape).astype(np.float32) for piece in _pieces(name, top=top)}


class _Shaped:
    def __init__(self, shape: tuple[int, ...]) -> None:
        self.shape = shape


def _fits(tensors: dict[str, Any]) -> list[str]:
    outcomes = {name: match_translated(layout(find(name)), each, tensors) for name, each in TRANSLATIONS.items()}
    return [name for name, outcome in outcomes.items() if isinstance(outcome, Found)]


@needs_torch
@pytest.mark.parametrize("name", TRANSLATIONS)
def test_the_names_and_shapes_are_those_of_the_publishers(name: str) -> None:
    import torch

    from tests.backbones.reading.torch_networks import NETWORKS

    with torch.device("meta"):  # shapes without numbers
        published = {key: _Shaped(tuple(each.shape)) for key, each in NETWORKS[name](classes=1000).state_dict().items()}
    assert _fits(published) == [name]
    known = layout(find(name))
    found = match_translated(known, TRANSLATIONS[name], published)
    assert isinstance(found, Found)
    assert {key: each.shape for key, each in found.tensors.items()} == known.shapes()
    assert {key: each.shape for key, each in found.top.items()} == known.top_shapes()
    surplus = set(published) - {piece.name for piece in _pieces(name, top=True)}
    assert all(key.endswith("num_batches_tracked") or key.startswith("aux") for key in surplus)
    of_backbone = {key: each for key, each in published.items() if not key.startswith(CLASSIFIERS[name])}
    without = match_translated(known, TRANSLATIONS[name], of_backbone)
    assert isinstance(without, Found)
    assert without.top == {}


@pytest.mark.parametrize("name", TRANSLATIONS)
def test_every_number_of_a_tensor_is_used_once(name: str) -> None:
    """Each tensor of ours is filled with the places of its numbers in the publisher's."""
    used: dict[str, list[np.ndarray]] = {}
    for layer in (*layout(find(name)).layers, *layout(find(name)).top):
        for (weight, shape), piece in zip(layer.weights, TRANSLATIONS[name].pieces(layer), strict=True):
            if np.prod(piece.shape) > 1 << 22:
                continue  # AlexNet's largest: see the dense layer after a map
            ours = piece.ours(np.arange(np.prod(piece.shape), dtype=np.int32).reshape(piece.shape))
            assert ours.shape == shape, f"{layer.name}/{weight}"
            used.setdefault(piece.name, []).append(np.ravel(ours))
    for piece in _pieces(name, top=True):
        if places := used.pop(piece.name, None):
            counts = np.bincount(np.concatenate(places), minlength=int(np.prod(piece.shape)))
            assert (counts == 1).all(), piece.name


def _equal_in_torch(name: str, folder: Path, *, top: bool) -> float:
    """The largest relative difference between both, for the last map and, with `top`, the probabilities."""
    import torch

    from tests.backbones.reading.torch_networks import computed, torch_network

    theirs = torch_network(name)
    state = theirs.state_dict()
    kept = state if top else {key: each for key, each in state.items() if not key.startswith(CLASSIFIERS[name])}
    torch.save(kept, folder / f"{name}.pth")
    record, weights = import_weights(folder / f"{name}.pth", (name,), folder / "cache")
    pixels = np.random.default_rng(0).uniform(-1, 1, (2, SIDE, SIDE, 3)).astype(np.float32)
    ours = build(record, side_pixels=SIDE)
    load_into(ours, weights)
    worst = relative_difference(forward(ours, pixels), computed(theirs.maps, pixels))
    assert (weights.top is not None) == top
    if top:
        whole = build(record, side_pixels=SIDE, include_top=True)
        load_into(whole, weights, include_top=True)
        logits = computed(theirs, pixels).astype(np.float64)
        expected = np.exp(logits - logits.max(axis=1, keepdims=True))
        expected /= expected.sum(axis=1, keepdims=True)
        worst = max(worst, relative_difference(forward(whole, pixels), expected))
    return worst


@needs_torch
def test_maps_are_those_of_torch(tmp_path: Path) -> None:
    assert _equal_in_torch("alexnet", tmp_path, top=False) < 1e-5


@needs_torch
@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSLATIONS)
def test_maps_and_probabilities_are_those_of_torch(name: str, tmp_path: Path) -> None:
    assert _equal_in_torch(name, tmp_path, top=True) < 1e-5


def _sideways(array: np.ndarray) -> np.ndarray:
    return array.transpose(3, 2, 1, 0)


@needs_torch
def test_sabotage_a_kernel_that_lies_on_its_side_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = translation._plain

    def lying(theirs: str, name: str, shape: tuple[int, ...]) -> Piece:
        piece = plain(theirs, name, shape)
        return Piece(piece.name, piece.shape, _sideways) if theirs == "features.8.weight" else piece

    monkeypatch.setattr(translation, "_plain", lying)
    assert _equal_in_torch("alexnet", tmp_path, top=False) > 1e-2


@needs_torch
@pytest.mark.slow
def test_sabotage_query_and_key_in_each_others_place_are_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(translation, "QUERY_KEY_VALUE", ("value", "key", "query"))
    assert _equal_in_torch("vit_b16", tmp_path, top=False) > 1e-2


def test_the_dense_layer_after_a_map_sees_the_map_as_torch_does() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(2, 3, 3, 4))  # (batch, height, width, channel)
    kernel = rng.normal(size=(5, 36))  # torch's: (out, channel by channel)
    expected = maps.transpose(0, 3, 1, 2).reshape(2, 36) @ kernel.T
    piece = translation._after_map(Piece("fc.weight", (5, 36), np.transpose), channels=4, side=3)
    assert np.allclose(maps.reshape(2, 36) @ piece.ours(kernel), expected)
    assert not np.allclose(maps.reshape(2, 36) @ kernel.T, expected)


def test_query_key_and_value_are_parts_of_one_layer() -> None:
    rng = np.random.default_rng(0)
    kernel, bias, tokens = rng.normal(size=(2304, 768)), rng.normal(size=2304), rng.normal(size=(3, 768))
    expected = (tokens @ kernel.T + bias).reshape(3, 3, 768)
    layers = {layer.name: layer for layer in layout(find("vit_b16")).layers}
    for number, part in enumerate(("query", "key", "value")):
        of_kernel, of_bias = TRANSLATIONS["vit_b16"].pieces(layers[f"block7_{part}"])
        assert (of_kernel.name, of_bias.name) == ("blocks.6.attn.qkv.weight", "blocks.6.attn.qkv.bias")
        assert np.allclose(tokens @ of_kernel.ours(kernel) + of_bias.ours(bias), expected[:, number])


def test_torch_and_safetensors_give_the_same_weights(real_child: None, tmp_path: Path) -> None:
    tensors = {**_published("googlenet", top=True), "aux1.fc1.bias": np.ones(1024, np.float32)}
    tensors["conv1.bn.num_batches_tracked"] = np.array(9, np.int64)
    tensors = {name: np.abs(values) if name.endswith("running_var") else values for name, values in tensors.items()}
    files = [
        write_torch(tmp_path / "googlenet.pth", tensors),
        write_torch_before_zip(tmp_path / "googlenet-before.pth", tensors),
        tmp_path / "model.safetensors",
    ]
    write_tensors(files[-1], tensors, metadata={"format": "pt"}, writer="test")
    hashes = set()
    for file in files:
        record, weights = resolve("auto", file, tmp_path / "cache")
        assert record.name == "googlenet"
        assert weights.top is not None
        hashes.add((weights.sha256, weights.top.sha256))
    assert len(hashes) == 1
    model = build(find("googlenet"), side_pixels=64)
    load_into(model, weights)
    kernel = keras.ops.convert_to_numpy(model.get_layer("inception4c_branch3_2_conv").kernel)
    assert np.array_equal(kernel, tensors["inception4c.branch3.1.conv.weight"].transpose(2, 3, 1, 0))


def test_a_top_for_other_classes_is_left_out(tmp_path: Path) -> None:
    tensors = _published("alexnet")
    tensors |= {"classifier.6.weight": np.ones((7, 4096), np.float32), "classifier.6.bias": np.ones(7, np.float32)}
    _, weights = import_weights(write_torch(tmp_path / "seven.pth", tensors), ("alexnet",), tmp_path / "cache")
    assert weights.top is None
    _, expected = import_weights(
        write_torch(tmp_path / "none.pth", _published("alexnet")), ("alexnet",), tmp_path / "cache"
    )
    assert weights.sha256 == expected.sha256


def test_half_precision_is_read(tmp_path: Path) -> None:
    tensors = {name: values.astype(np.float16) for name, values in _published("alexnet").items()}
    _, weights = import_weights(write_torch(tmp_path / "half.pth", tensors), ("alexnet",), tmp_path / "cache")
    ours = {
        f"{layer.name}/{name}": piece.ours(tensors[piece.name].astype(np.float32))
        for layer in layout(find("alexnet")).layers
        for (name, _), piece in zip(layer.weights, TRANSLATIONS["alexnet"].pieces(layer), strict=True)
    }
    assert weights.sha256 == tensors_sha256(ours)


def test_what_differs_is_said_in_the_publishers_words() -> None:
    known, published = layout(find("alexnet")), {piece.name: _Shaped(piece.shape) for piece in _pieces("alexnet")}
    changes: dict[str, dict[str, Any]] = {
        "must have a tensor features.3.weight, got none": {"features.3.weight": None},
        "must have features.3.bias of shape (192,), got (7,)": {"features.3.bias": _Shaped((7,))},
        "must have no tensor besides the network's own, got 'features.12.weight'": {
            "features.12.weight": _Shaped((1,))
        },
    }
    for problem, change in changes.items():
        tensors = {name: each for name, each in {**published, **change}.items() if each is not None}
        outcome = match_translated(known, TRANSLATIONS["alexnet"], tensors)
        assert isinstance(outcome, Difference)
        assert outcome.problem == problem


@pytest.mark.parametrize("kind", ["pth", "safetensors"])
def test_the_network_that_fits_is_named(kind: str, tmp_path: Path) -> None:
    tensors, path = _published("alexnet"), tmp_path / f"weights.{kind}"
    if kind == "pth":
        write_torch(path, tensors)
    else:
        write_tensors(path, tensors, metadata={}, writer="test")
    with pytest.raises(BadInput) as caught:
        import_weights(path, ("googlenet",), tmp_path / "cache")
    assert "does not fit googlenet: it must have a tensor conv1.conv.weight, got none" in caught.value.message
    assert caught.value.hint == "It fits alexnet: use --backbone alexnet."


def test_networks_that_torch_builds_otherwise_are_refused(tmp_path: Path) -> None:
    tensors = {"conv1.weight": np.ones((64, 3, 7, 7), np.float32)}
    write_tensors(tmp_path / "resnet50.safetensors", tensors, metadata={}, writer="test")
    for path in (write_torch(tmp_path / "resnet50.pth", tensors), tmp_path / "resnet50.safetensors"):
        with pytest.raises(BadInput) as caught:
            import_weights(path, ("resnet50",), tmp_path / "cache")
        assert "does not fit resnet50: it must be weights that Keras saved, got a file of torch" in caught.value.message
        assert all(name in caught.value.message for name in TRANSLATIONS)


def test_every_translation_is_of_a_network_of_the_catalogue() -> None:
    assert set(TRANSLATIONS) <= set(catalogue())
