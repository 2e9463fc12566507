"""Bundles whose classifier has layers of its own, on the whole of the last map, its averages or its maxima."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graft.backbones.catalogue import catalogue, find
from graft.bundle import bundle as module
from graft.bundle.bundle import Bundle
from graft.bundle.checks import expected_layout
from graft.bundle.format import read_bundle
from graft.bundle.records import HeadSpec, HiddenSpec
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.randomness import stream
from graft.features.engines import run_pixels
from graft.features.records import Pooling
from graft.training.linear import classify, features_matrix
from graft.training.records import Classifier, Hidden
from tests.bundle.making import (
    SIDE,
    TinyEngine,
    contents,
    layered_classifier,
    rewrite,
    tiny_program,
    tiny_weights,
    write_tiny,
)

POOLINGS: tuple[Pooling, ...] = ("none", "avg", "max")
pytestmark = pytest.mark.usefixtures("tiny")


def photos(count: int = 5) -> np.ndarray:
    """Four quarters of a colour each, under noise: averages of noise alone would all be the same."""
    draw = stream(3, "layers")
    coarse = draw.integers(0, 226, size=(count, 2, 2, 3)).repeat(SIDE // 2, axis=1).repeat(SIDE // 2, axis=2)
    return (coarse + draw.integers(0, 30, size=coarse.shape)).astype(np.uint8)


def answers(classifier: Classifier, folder: Path, pixels: np.ndarray) -> np.ndarray:
    """What the classifier answers on what the engine gives, without any bundle."""
    weights = tiny_weights(folder)
    program = replace(tiny_program(weights), outputs=classifier.outputs)
    return classify(classifier, run_pixels(TinyEngine(program, weights), pixels))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_it_answers_as_the_classifier_that_was_saved(tmp_path: Path, pooling: Pooling) -> None:
    head = layered_classifier(pooling)
    bundle = Bundle.load(write_tiny(tmp_path / "layered.graft", head))
    spec = bundle.manifest.head
    assert (spec.taps, spec.pooling) == (("high",), pooling)
    assert spec.positions == ((2, 2) if pooling == "none" else (1, 1))
    assert [(each.units, each.activation) for each in spec.hidden] == [(5, "relu"), (4, "linear")]
    found = bundle.predict_pixels(photos())
    np.testing.assert_array_equal(found, answers(head, tmp_path, photos()))
    assert np.ptp(found, axis=0).max() > 0.01, "photos that differ must be answered differently"


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_answer_is_that_of_the_formula(tmp_path: Path, pooling: Pooling) -> None:
    """Written out: standardise, multiply, cut off below zero, multiply, multiply, soften."""
    head = layered_classifier(pooling)
    bundle = Bundle.load(write_tiny(tmp_path / "layered.graft", head))
    program = replace(tiny_program(tiny_weights(tmp_path)), outputs=head.outputs)
    values = run_pixels(TinyEngine(program, tiny_weights(tmp_path)), photos())
    read = features_matrix(values, head.outputs).astype(np.float64)
    assert read.shape == (5, 12 if pooling == "none" else 3)
    first = np.maximum(read @ head.hidden[0].kernel + head.hidden[0].bias, 0)
    logits = ((first @ head.hidden[1].kernel + head.hidden[1].bias) @ head.kernel + head.bias) / head.temperature
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(bundle.predict_pixels(photos()), chances, atol=1e-5)


def test_a_linear_head_may_read_the_whole_map(tmp_path: Path) -> None:
    head = layered_classifier("none", units=())
    bundle = Bundle.load(write_tiny(tmp_path / "linear.graft", head))
    assert bundle.manifest.head.hidden == ()
    np.testing.assert_array_equal(bundle.predict_pixels(photos()), answers(head, tmp_path, photos()))


def test_one_sigmoid_unit_on_hidden_layers(tmp_path: Path) -> None:
    head = layered_classifier("none")
    one = replace(head, kernel=head.kernel[:, :1].copy(), bias=head.bias[:1].copy())
    bundle = Bundle.load(write_tiny(tmp_path / "one.graft", one, classes=("no", "yes")))
    found = bundle.predict_pixels(photos())
    assert found.shape == (5, 2)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_array_equal(found, answers(one, tmp_path, photos()))


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_same_bytes_twice(tmp_path: Path, pooling: Pooling) -> None:
    first = write_tiny(tmp_path / "first.graft", layered_classifier(pooling)).read_bytes()
    assert write_tiny(tmp_path / "second.graft", layered_classifier(pooling)).read_bytes() == first


@pytest.mark.parametrize("name", ["head/hidden_0/kernel", "head/hidden_1/bias"])
def test_sabotage_another_hidden_layer_is_a_golden_mismatch(tmp_path: Path, name: str) -> None:
    path = write_tiny(tmp_path / "layered.graft", layered_classifier())
    description, tensors = contents(path)
    tensors[name] = tensors[name] + np.float32(0.5)
    rewrite(path, description, tensors)
    with pytest.raises(IntegrityProblem) as caught:
        Bundle.load(path)
    assert caught.value.code == "golden_mismatch"


def test_sabotage_another_activation_is_a_golden_mismatch(tmp_path: Path) -> None:
    path = write_tiny(tmp_path / "layered.graft", layered_classifier())
    description, tensors = contents(path)
    description["head"]["hidden"][0]["activation"] = "linear"
    rewrite(path, description, tensors)
    with pytest.raises(IntegrityProblem) as caught:
        Bundle.load(path)
    assert caught.value.code == "golden_mismatch"


@pytest.mark.parametrize("count", [16, 17])
def test_what_could_not_be_read_is_not_written(tmp_path: Path, count: int) -> None:
    path, head = tmp_path / "deep.graft", layered_classifier("avg", units=(2,) * count)
    if count <= 16:
        assert len(Bundle.load(write_tiny(path, head)).manifest.head.hidden) == count
        return
    with pytest.raises((BadInput, IntegrityProblem, ValueError), match="hidden"):
        write_tiny(path, head)
    assert not path.exists()


@pytest.mark.parametrize(
    "change",
    [
        {"taps": ("middle",)},
        {"mean": np.zeros(11, np.float32), "scale": np.ones(11, np.float32)},
        {"hidden": (Hidden(np.full((12, 4), np.nan, np.float32), np.zeros(4, np.float32), "relu"),)},
    ],
    ids=["another layer", "another width", "no numbers"],
)
def test_a_classifier_that_fits_nothing_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, object]
) -> None:
    """Its golden examples are those of a good one, so that nothing but the writing refuses it."""
    golden = []
    make = module.save_bundle
    write_tiny(tmp_path / "good.graft", layered_classifier())
    monkeypatch.setattr("tests.bundle.making.save_bundle", lambda path, **words: golden.append(words))
    write_tiny(tmp_path / "none.graft", layered_classifier())
    bad = replace(layered_classifier(), **change)  # type: ignore[arg-type]
    with pytest.raises(IntegrityProblem) as caught:
        make(tmp_path / "bad.graft", **{**golden[0], "classifier": bad})
    assert caught.value.code in ("bundle_invalid", "weights_not_finite")
    assert not (tmp_path / "bad.graft").exists()


@pytest.mark.parametrize(
    ("head", "width"),
    [
        (HeadSpec(taps=("encoder_norm",), temperature=1.0), 1536),  # the mean of the patches, then the class token
        (HeadSpec(taps=("encoder_norm",), pooling="max", temperature=1.0), 1536),
        (HeadSpec(taps=("encoder_norm",), pooling="none", positions=(197, 1), temperature=1.0), 197 * 768),
    ],
)
def test_of_a_transformer_tokens_are_read(tiny: Path, head: HeadSpec, width: int) -> None:
    manifest, file = read_bundle(tiny)
    file.close()
    hidden = (HiddenSpec(units=8, activation="relu"),)
    layout = expected_layout(replace(manifest, head=replace(head, hidden=hidden)), catalogue()["vit_b16"])
    assert layout["head/mean"] == ("float32", ((width,),))
    assert layout["head/hidden_0/kernel"] == ("float32", ((width, 8),))


@pytest.mark.parametrize(
    ("backbone", "width", "positions"),
    [("vit_b16", 197 * 768, (197, 1)), ("vgg16", 16 * 512, (4, 4)), ("vgg16", 512, (1, 1))],
)
def test_a_whole_map_is_square_and_tokens_stand_in_a_row(
    backbone: str, width: int, positions: tuple[int, int], tmp_path: Path
) -> None:
    record = find(backbone)
    head = replace(layered_classifier(), taps=(record.last,), mean=np.zeros(width, np.float32))
    program = replace(tiny_program(tiny_weights(tmp_path)), backbone=backbone)
    assert module._head_spec(head, program).positions == positions
