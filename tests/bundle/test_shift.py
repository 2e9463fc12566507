"""A head that belongs to the features of one precision reads those of another, which lie elsewhere as a whole."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graft.bundle.bundle
import graft.bundle.golden
from graft.bundle.bundle import Bundle
from graft.core.errors import IntegrityProblem
from graft.features.records import Precision
from graft.training.linear import in_float32
from graft.training.records import Classifier
from tests.bundle.making import (
    TinyEngine,
    colour_classifier,
    contents,
    install_tiny,
    layered_classifier,
    rewrite,
    solid,
    write_tiny,
)

MOVED = 0.125  # by which features are larger in float32: what is rounded to 16 bits stays apart by it
STEEP = 64.0
REDS = np.stack([solid((red, 120, 120), 32, 32) for red in (120, 128, 136)])  # the first feature: -MOVED, 0, MOVED
RIGHT = [0, 1, 2]


class MovingEngine(TinyEngine):
    """In float32 its features are others, all by the same."""

    def run(self, batches: Iterable[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
        moved = np.float32(MOVED if self.program.precision == "float32" else 0)
        for rows, outputs in super().run(batches):
            yield rows, {name: values + moved for name, values in outputs.items()}


@pytest.fixture(autouse=True)
def moving(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny network on this engine."""
    install_tiny(monkeypatch.setattr)
    for module in (graft.bundle.bundle, graft.bundle.golden):
        monkeypatch.setattr(module, "open_engine", lambda program, weights, **_: MovingEngine(program, weights))


def steep() -> Classifier:
    """A head that tells three reds apart, as features in bfloat16 have them, by differences as small as `MOVED`."""
    kernel = np.zeros((6, 3), np.float32)
    kernel[0] = (-1, 0, 1)
    bias = np.array([0, STEEP * MOVED / 2, 0], np.float32)
    return replace(colour_classifier(), kernel=kernel, bias=bias, scale=np.full(6, STEEP, np.float32))


def shifted(classifier: Classifier) -> Classifier:
    return replace(classifier, shift=np.full(len(classifier.mean), MOVED, np.float32))


def answers(path: Path, precision: Precision, **words: Any) -> np.ndarray:
    with Bundle.load(path, precision=precision, **words) as bundle:
        return bundle.predict_pixels(REDS)


@pytest.mark.parametrize(
    "head", [steep(), layered_classifier("none"), layered_classifier("max")], ids=lambda it: it.pooling
)
def test_the_answers_of_both_precisions_are_the_same(tmp_path, head):
    path = write_tiny(tmp_path / "shifted.graft", shifted(head), precision="bfloat16")
    np.testing.assert_allclose(answers(path, "float32"), answers(path, "bfloat16"), atol=1e-3)


def test_sabotage_without_it_photos_change_their_class(tmp_path):
    """A file from before there was one is read, and answers as it did: wrongly in float32."""
    path = write_tiny(tmp_path / "older.graft", steep(), precision="bfloat16")
    assert answers(path, "bfloat16").argmax(axis=1).tolist() == RIGHT
    assert answers(path, "float32").argmax(axis=1).tolist() == [1, 2, 2]
    path = write_tiny(tmp_path / "shifted.graft", shifted(steep()), precision="bfloat16")
    assert answers(path, "float32").argmax(axis=1).tolist() == RIGHT


def test_golden_examples_are_those_of_each_precision(tmp_path):
    """The reference is what is answered in float32, shift included: with it nothing is left to be tolerated here."""
    path = write_tiny(tmp_path / "shifted.graft", shifted(steep()), precision="bfloat16")
    with Bundle.load(path, precision="bfloat16") as bundle:
        assert bundle.manifest.golden.tolerance == {"float32": 1e-3, "bfloat16": 2e-2}
    description, tensors = contents(path)
    tensors["head/shift"][:] = 0
    rewrite(path, description, tensors)
    answers(path, "bfloat16")  # does not read it
    with pytest.raises(IntegrityProblem, match="golden examples") as caught:
        answers(path, "float32")
    assert caught.value.code == "golden_mismatch"


def test_a_file_of_float32_has_none(tmp_path):
    path = write_tiny(tmp_path / "float32.graft", steep())
    description, tensors = contents(path)
    assert "head/shift" not in tensors
    rewrite(path, description, tensors | {"head/shift": np.zeros(6, np.float32)})
    with pytest.raises(IntegrityProblem, match="'head/shift'") as caught:
        Bundle.load(path)
    assert caught.value.code == "bundle_invalid"


@pytest.mark.parametrize(
    ("shift", "code"),
    [
        (np.zeros(5, np.float32), "bundle_invalid"),
        (np.zeros((6, 1), np.float32), "bundle_invalid"),
        (np.zeros(6, np.float64), "bundle_invalid"),
        (np.full(6, np.nan, np.float32), "weights_not_finite"),
    ],
    ids=["width", "dimensions", "type", "no numbers"],
)
def test_one_that_fits_nothing_is_neither_read_nor_written(tmp_path, shift, code):
    path = write_tiny(tmp_path / "shifted.graft", shifted(steep()), precision="bfloat16")
    description, tensors = contents(path)
    rewrite(path, description, tensors | {"head/shift": shift})
    with pytest.raises(IntegrityProblem) as caught:
        Bundle.load(path)
    assert caught.value.code == code


def test_the_same_bytes_twice(tmp_path):
    first, second = (
        write_tiny(tmp_path / name, shifted(steep()), precision="bfloat16").read_bytes() for name in ("a", "b")
    )
    assert first == second


def test_in_float32_the_mean_moves_and_nothing_is_left_to_move():
    head = shifted(steep())
    moved = in_float32(head)
    np.testing.assert_array_equal(moved.mean, head.mean + np.float32(MOVED))
    assert moved.shift is None and moved.mean.dtype == np.float32
    assert in_float32(moved) is moved
