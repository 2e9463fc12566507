"""Tops: kept apart from the weights they came with, found again, chosen the same way each time; and their classes."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.backbones.catalogue import find
from graft.backbones.layouts import layout
from graft.backbones.networks import build
from graft.backbones.reading.conversion import convert
from graft.backbones.tops import check_side, imagenet_classes, resolve_with_top
from graft.backbones.weights import import_weights, imported, load_into
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.tensors import read_tensors, tensors_sha256, write_tensors
from tests.backbones.helpers import randomise, tensors_of, write_keras3, write_legacy

NAME = "mobilenet_0.25"


@pytest.fixture(autouse=True)
def same_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graft.backbones.weights.run_child", lambda _, job, **__: convert(job))


@pytest.fixture(scope="module")
def whole() -> Any:
    model = build(find(NAME), side_pixels=32, include_top=True)
    randomise(model)
    return model


@pytest.fixture(scope="module")
def with_top(whole: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_keras3(tmp_path_factory.mktemp("weights") / "top.weights.h5", whole)


@pytest.fixture(scope="module")
def without_top(whole: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    backbone = build(find(NAME), side_pixels=32)
    backbone.set_weights(whole.get_weights()[: len(backbone.weights)])
    return write_keras3(tmp_path_factory.mktemp("weights") / "notop.weights.h5", backbone)


def top_tensors(whole: Any) -> dict[str, np.ndarray]:
    names = layout(find(NAME)).top_shapes()
    return {name: values for name, values in tensors_of(whole).items() if name in names}


def other_top(whole: Any, folder: Path, name: str, change: float) -> Path:
    """The same backbone with another classifier, as Graft's own file."""
    tensors = tensors_of(whole)
    tensors["conv_preds/bias"] = tensors["conv_preds/bias"] + np.float32(change)
    write_tensors(folder / name, tensors, metadata={}, writer="test")
    return folder / name


def test_a_top_makes_no_difference_to_the_weights(with_top: Path, without_top: Path, tmp_path: Path) -> None:
    _, plain = import_weights(without_top, (NAME,), tmp_path)
    _, full = import_weights(with_top, (NAME,), tmp_path)
    assert plain.top is None and full.top is not None
    assert plain.sha256 == full.sha256
    with read_tensors(plain.path) as one, read_tensors(full.path) as other:
        assert one.tensors.keys() == other.tensors.keys() == layout(find(NAME)).shapes().keys()
    ((_, known),) = imported(tmp_path)
    assert known.top == full.top


def test_the_top_is_the_file_s_own(whole: Any, with_top: Path, tmp_path: Path) -> None:
    legacy = write_legacy(tmp_path / "legacy.h5", whole)
    for path in (with_top, legacy, other_top(whole, tmp_path, "own.safetensors", 0.0)):
        _, weights = import_weights(path, (NAME,), tmp_path / "cache")
        assert weights.top is not None and weights.top.sha256 == tensors_sha256(top_tensors(whole))
    model = build(find(NAME), side_pixels=64, include_top=True)  # a pooled top fits every side
    load_into(model, weights, include_top=True)
    expected = tensors_of(whole)
    assert all(np.array_equal(values, expected[name]) for name, values in tensors_of(model).items())


def test_a_network_without_its_top_ignores_the_top(whole: Any, with_top: Path, tmp_path: Path) -> None:
    _, weights = import_weights(with_top, (NAME,), tmp_path)
    model = build(find(NAME), side_pixels=32)
    load_into(model, weights)
    expected = tensors_of(whole)
    assert all(np.array_equal(values, expected[name]) for name, values in tensors_of(model).items())


def test_of_two_tops_the_same_one_is_chosen_whatever_came_first(whole: Any, tmp_path: Path) -> None:
    files = [other_top(whole, tmp_path, f"{number}.safetensors", number) for number in (1, 2, 3)]
    chosen = []
    for cache, order in ((tmp_path / "a", files), (tmp_path / "b", files[::-1])):
        tops = {import_weights(path, (NAME,), cache)[1].top.sha256 for path in order}  # type: ignore[union-attr]
        ((_, known),) = imported(cache)
        assert known.top is not None and known.top.sha256 == min(tops) and len(tops) == 3
        chosen.append(known.top.sha256)
    assert chosen[0] == chosen[1]


def test_a_top_for_other_classes_is_left(whole: Any, with_top: Path, tmp_path: Path) -> None:
    tensors = tensors_of(whole)
    tensors["conv_preds/bias"] = np.zeros(10, np.float32)
    write_tensors(tmp_path / "own.safetensors", tensors, metadata={}, writer="test")
    _, weights = import_weights(tmp_path / "own.safetensors", (NAME,), tmp_path / "cache")
    _, full = import_weights(with_top, (NAME,), tmp_path / "cache")
    assert weights.top is None and weights.sha256 == full.sha256
    with pytest.raises(BadInput, match=r"must hold the classifier of MobileNet 0\.25"):
        resolve_with_top(NAME, tmp_path / "own.safetensors", tmp_path / "cache")


def test_nan_in_a_top_is_refused(whole: Any, tmp_path: Path) -> None:
    with pytest.raises(IntegrityProblem) as caught:
        import_weights(other_top(whole, tmp_path, "nan.safetensors", float("nan")), (NAME,), tmp_path / "cache")
    assert caught.value.code == "weights_not_finite"
    assert imported(tmp_path / "cache") == ()


@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_top_is_made_anew_from_its_file(with_top: Path, tmp_path: Path, damage: str) -> None:
    _, first = import_weights(with_top, (NAME,), tmp_path)
    assert first.top is not None
    good = first.top.path.read_bytes()
    if damage == "gone":
        first.top.path.unlink()
    else:
        first.top.path.write_bytes(good[:-5] + bytes([good[-5] ^ 1]) + good[-4:] if damage == "flip" else good[:-9])
    if damage != "flip":
        assert [weights.top for _, weights in imported(tmp_path)] == [None]
    assert import_weights(with_top, (NAME,), tmp_path)[1] == first
    assert first.top.path.read_bytes() == good


def test_a_flipped_bit_in_a_top_is_noticed_on_loading(with_top: Path, tmp_path: Path) -> None:
    _, weights = import_weights(with_top, (NAME,), tmp_path)
    assert weights.top is not None
    content = bytearray(weights.top.path.read_bytes())
    content[-7] ^= 4
    weights.top.path.write_bytes(content)
    with pytest.raises(IntegrityProblem) as caught:
        load_into(build(find(NAME), side_pixels=32, include_top=True), weights, include_top=True)
    assert caught.value.code == "hash_mismatch"


def test_a_conversion_that_knew_no_tops_is_made_again_only_from_a_file(with_top: Path, tmp_path: Path) -> None:
    """What an earlier Graft imported stays of use; given again, its top is taken too."""
    _, weights = import_weights(with_top, (NAME,), tmp_path)
    assert weights.top is not None
    with read_tensors(weights.path) as file:
        tensors = {name: np.array(values) for name, values in file.tensors.items()}
        metadata = {key: text for key, text in file.metadata.items() if key != "top_sha256"}
    write_tensors(weights.path, tensors, metadata=metadata, writer="test")
    weights.top.path.unlink()
    ((_, known),) = imported(tmp_path)
    assert known.sha256 == weights.sha256 and known.top is None
    assert import_weights(with_top, (NAME,), tmp_path)[1] == weights


def test_the_best_network_with_a_top_is_taken(whole: Any, with_top: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must be on this machine, got none") as caught:
        resolve_with_top("auto", None, tmp_path)
    assert "graft backbones fetch NAME --top" in caught.value.hint and "--weights FILE" in caught.value.hint
    import_weights(with_top, (NAME,), tmp_path)
    larger = build(find("mobilenet_0.5"), side_pixels=32, include_top=True)
    import_weights(write_keras3(tmp_path / "larger.weights.h5", larger), ("mobilenet_0.5",), tmp_path)
    assert resolve_with_top("mobilenet", None, tmp_path)[0].name == "mobilenet_0.5"
    assert resolve_with_top("auto", None, tmp_path)[0].name == "mobilenet_0.5"
    assert resolve_with_top(NAME, None, tmp_path)[0].name == NAME
    with pytest.raises(BadInput, match="weights of vgg16 with its own classifier"):
        resolve_with_top("vgg16", None, tmp_path)
    with pytest.raises(BadInput, match="must have a classifier of its own"):
        resolve_with_top("sprout", None, tmp_path)
    other = build(find("mobilenet_0.5"), side_pixels=32, include_top=True)
    randomise(other, seed=5)
    import_weights(write_keras3(tmp_path / "another.weights.h5", other), ("mobilenet_0.5",), tmp_path)
    with pytest.raises(BadInput, match="must be one set, got 2"):
        resolve_with_top("auto", None, tmp_path)


def test_only_a_flattening_top_needs_one_side() -> None:
    check_side(find("mobilenet_v2_1.0"), 96)
    check_side(find("vgg16"), 224)
    with pytest.raises(BadInput, match="must be 224 px for VGG16 with its own classifier, got 192"):
        check_side(find("vgg16"), 192)


def test_the_classes_are_those_of_imagenet_in_its_order() -> None:
    classes = imagenet_classes()
    ids = [number for number, _ in classes]
    assert len(classes) == 1000 and ids == sorted(set(ids))
    assert classes[0] == ("n01440764", "tench") and classes[999] == ("n15075141", "toilet_tissue")
    assert dict(classes)["n02133161"] == "American_black_bear"
    assert all(name and " " not in name for _, name in classes)


def test_the_classes_name_the_sample_s_photos(shared: Path) -> None:
    classes = imagenet_classes()
    stems = sorted(path.stem.split("_", 1) for path in (shared / "data" / "imagenet_sample").iterdir())
    places = [classes.index((number, name)) for number, name in stems]
    assert len(places) == 250 and {place % 4 for place in places} == {places[0] % 4}


def test_the_classes_name_their_source() -> None:
    from graft.backbones.tops import CLASSES_PATH

    value = json.loads(CLASSES_PATH.read_bytes())
    assert "WordNet" in value["source"] and "Princeton" in value["licence"]


def test_a_copied_file_gives_the_same_top(with_top: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(with_top, tmp_path / "copy.h5"))
    assert import_weights(copy, (NAME,), tmp_path / "c") == import_weights(with_top, (NAME,), tmp_path / "c")
