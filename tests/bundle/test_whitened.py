"""Bundles whose photos are normalised: what they carry, and what of it is refused."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graft.backbones.weights import WeightsFile
from graft.bundle.bundle import Bundle, bundle_program, bundle_weights, save_bundle
from graft.bundle.format import read_bundle
from graft.bundle.golden import make_golden
from graft.core.errors import IntegrityProblem
from graft.core.randomness import stream
from graft.core.tensors import write_tensors
from graft.data.augmentation.normalization import fit, parse_normalization
from graft.data.records import ImageRules
from graft.features.preprocessing import network_input, whitening_of
from tests.bundle.making import (
    BLUE,
    COLOURS,
    GREEN,
    PROVENANCE,
    RED,
    SIDE,
    TINY,
    colour_classifier,
    contents,
    install_tiny,
    rewrite,
    solid,
    tiny_program,
    tiny_weights,
)

WORDS = "featurewise-std,zca=50"


@pytest.fixture
def whitened(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A good bundle that tells red, green and blue photos apart by whitened pixels."""
    install_tiny(monkeypatch.setattr)
    return write_whitened(tmp_path / "classifier.graft")


def write_whitened(path: Path) -> Path:
    seen = stream(0, "whitened").integers(0, 256, size=(30, SIDE, SIDE, 3)).astype(np.uint8)
    seen = np.concatenate([seen, [solid(colour, SIDE, SIDE) for colour in (RED, GREEN, BLUE)]])
    made = fit(parse_normalization(WORDS), [network_input(seen, TINY.preprocessing)])
    assert made.whitening is not None
    write_tensors(path.parent / "whitening", made.whitening.tensors(), metadata={}, writer="test")
    whitening = WeightsFile(path.parent / "whitening", "", made.fitted.whitening_sha256)
    weights = replace(tiny_weights(path.parent), whitening=whitening)
    program = tiny_program(weights)
    program = replace(program, preprocessing=replace(program.preprocessing, normalization=made.fitted))
    golden = make_golden(program, weights, colour_classifier(), seen[:3], threads=1, cache=path.parent)
    save_bundle(
        path,
        program=program,
        weights=weights,
        classifier=colour_classifier(),
        classes=COLOURS,
        golden=golden,
        provenance=PROVENANCE,
        licences=(("tiny", "Apache-2.0"),),
        rules=ImageRules(),
    )
    return path


def test_it_carries_what_its_photos_are_whitened_with(whitened: Path, tmp_path: Path) -> None:
    (tmp_path / "whitening").unlink()  # the bundle is all there is
    with Bundle.load(whitened, cache=tmp_path) as bundle:
        assert [bundle.predict(solid(colour))[0].label for colour in (RED, GREEN, BLUE)] == list(COLOURS)
        manifest = bundle.manifest
        matrices = whitening_of(bundle_program(manifest).preprocessing, bundle_weights(whitened, manifest))
        assert matrices is not None and matrices.directions.shape == (SIDE * SIDE * 3, 33)


def test_sabotage_other_matrices_are_noticed(whitened: Path, tmp_path: Path) -> None:
    """Their hash tells; with that mended too, the golden examples do."""
    manifest, tensors = contents(whitened)
    tensors["whitening/gains"] = tensors["whitening/gains"][::-1].copy()
    rewrite(whitened, manifest, tensors)
    with pytest.raises(IntegrityProblem) as caught:
        Bundle.load(whitened, cache=tmp_path)
    assert caught.value.code == "hash_mismatch"
    manifest["preprocessing"]["normalization"]["mean"] = [100.0, 0.0, 0.0]
    manifest["preprocessing"]["normalization"]["whitening_sha256"] = ""
    plain = {name: array for name, array in tensors.items() if not name.startswith("whitening/")}
    rewrite(whitened, manifest, plain)
    with pytest.raises(IntegrityProblem) as caught:
        Bundle.load(whitened, cache=tmp_path)
    assert caught.value.code == "golden_mismatch"


def numbers_for_two_channels(manifest, tensors):
    manifest["preprocessing"]["normalization"]["mean"] = [0.0, 0.0]


def no_deviation(manifest, tensors):
    manifest["preprocessing"]["normalization"]["deviation"] = [1.0, 0.0, 1.0]


def no_directions(manifest, tensors):
    del tensors["whitening/directions"]


def no_gains(manifest, tensors):
    tensors["whitening/gains"] = np.zeros(0, np.float32)


def another_size(manifest, tensors):
    tensors["whitening/directions"] = tensors["whitening/directions"][:-1].copy()


def other_numbers(manifest, tensors):
    tensors["whitening/gains"] = tensors["whitening/gains"].astype(np.float64)


def not_asked_for(manifest, tensors):
    manifest["preprocessing"]["normalization"] = None


def not_finite(manifest, tensors):
    tensors["whitening/gains"] = np.full_like(tensors["whitening/gains"], np.inf)


@pytest.mark.parametrize(
    ("attack", "said"),
    [
        (numbers_for_two_channels, "mean must have 3 numbers or none, got 2"),
        (no_deviation, "deviation must be above 0"),
        (no_directions, "whitening/directions must have shape"),
        (no_gains, "whitening/gains must have shape"),
        (another_size, "whitening/directions must have shape"),
        (other_numbers, "whitening/gains must have shape"),
        (not_asked_for, "tensors must be weights, head or golden examples"),
        (not_finite, "must be finite"),
    ],
)
def test_what_does_not_fit_is_refused(whitened: Path, attack, said: str) -> None:
    manifest, tensors = contents(whitened)
    attack(manifest, tensors)
    rewrite(whitened, manifest, tensors)
    with pytest.raises(IntegrityProblem, match=said):
        read_bundle(whitened)
