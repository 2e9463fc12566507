"""Every network of the catalogue as every format: it passes the gate that an export passes, or is refused by name.

Weights are random, photos are drawn, and the head is made for them: it reads the upper three taps, scaled as training
scales them. Reading is left to each format's own runtime, as ever.
"""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pytest

from graft.backbones.catalogue import catalogue, find
from graft.backbones.weights import WeightsFile
from graft.bundle.bundle import Bundle, save_bundle
from graft.bundle.export.exporting import Photos, export_bundle
from graft.bundle.export.formats import KINDS, made_of, unable
from graft.bundle.golden import make_golden
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.progress import SilentProgress
from graft.core.tensors import tensors_sha256, write_tensors
from graft.data.records import ImageRules
from graft.features.compile_worker import reference_outputs
from graft.features.records import Output, Program
from graft.training.linear import features_matrix
from graft.training.records import Classifier
from tests.backbones.helpers import SMALLEST, new_network
from tests.bundle.making import PROVENANCE
from tests.features.samples import pictures

FORMATS = ("onnx", "openvino", "keras", "saved-model", "litert")
CLASSES = ("a", "b", "c", "d")
TAPS = 3
LEAST_VARYING = 0.1  # of the features
GOLDEN, PHOTOS = 8, 24  # what is compared, without the bundle's rounding; what the head's scales are taken from
IN_ORDER = (*SMALLEST, *(name for name in catalogue() if name not in SMALLEST))

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module", params=IN_ORDER)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bundle]:
    """A bundle of the network with random weights at its smallest side."""
    name, folder = request.param, tmp_path_factory.mktemp("bundle")
    record = find(name)
    weights, taps = random_weights(name, folder), record.taps[-TAPS:]
    program = Program(
        backbone=name,
        weights_sha256=weights.sha256,
        side_pixels=record.min_side_pixels,
        preprocessing=record.preprocessing,
        outputs=tuple(Output(layer=tap) for tap in taps),
    )
    pixels = pictures(GOLDEN + PHOTOS, record.min_side_pixels)
    features = features_matrix(reference_outputs(program, weights, pixels), program.outputs)
    classifier = head(features, taps)
    golden = make_golden(program, weights, classifier, pixels[:GOLDEN], threads=machine.threads(), cache=folder)
    path = folder / "classifier.graft"
    save_bundle(
        path,
        program=program,
        weights=weights,
        classifier=classifier,
        classes=CLASSES,
        golden=golden,
        provenance=PROVENANCE,
        licences=(("weights", "random numbers"),),
        rules=ImageRules(),
    )
    with Bundle.load(path, cache=folder, precision="float32") as bundle:
        yield bundle


def random_weights(name: str, folder: Path) -> WeightsFile:
    """Weights with which the last layer still tells one photo from another."""
    network = new_network(name)
    tensors = {}
    for layer in network.layers:
        for variable in layer.weights:
            values = keras.ops.convert_to_numpy(variable)
            tensors[f"{layer.name}/{variable.name}"] = values.astype(
                np.float32
            )  # counts too, as weights files are read
    path = folder / "random.safetensors"
    write_tensors(path, tensors, metadata={}, writer="weights")
    return WeightsFile(path, "", tensors_sha256(tensors))


def head(features: np.ndarray, taps: tuple[str, ...]) -> Classifier:
    """A linear head with logits of a few units, whatever the features' scale."""
    width, draw = features.shape[1], np.random.default_rng(0)
    spread, least = features.std(axis=0), 1e-4 * np.abs(features).max()
    assert (spread > least).mean() > LEAST_VARYING, "the network tells no photos apart"
    return Classifier(
        taps=taps,
        mean=features.mean(axis=0),
        scale=(1 / np.maximum(spread, least)).astype(np.float32),
        kernel=draw.normal(0, 2 / np.sqrt(width), (width, len(CLASSES))).astype(np.float32),
        bias=np.zeros(len(CLASSES), np.float32),
        temperature=1.3,
    )


@pytest.mark.parametrize("format", FORMATS)
def test_the_network_answers_the_same_as_this_format(made: Bundle, format: str, tmp_path: Path) -> None:
    told = answers_or_is_refused(made, format, "float32", tmp_path)
    assert not told or "openvino" in told


@pytest.mark.parametrize("made", SMALLEST, indirect=True)
def test_the_network_is_converted_to_openvino_in_int8(made: Bundle, tmp_path: Path) -> None:
    """Its float32 form answers the same; with random weights what int8 loses says nothing."""
    told = answers_or_is_refused(made, "openvino", "int8", tmp_path)
    assert not told or "litert" in told


def answers_or_is_refused(made: Bundle, format: str, numbers: str, folder: Path) -> str:
    """The hint of the refusal where this network cannot be had so; else it is exported and the hint is empty."""
    first = made_of(format, numbers)
    missing = [package for module, package in KINDS[first].modules.items() if importlib.util.find_spec(module) is None]
    if missing:
        pytest.skip(f"{format} needs {', '.join(missing)}")
    pixels = made.golden_examples()[0]

    def export():
        return export_bundle(
            made,
            format,
            folder / "export",
            numbers=numbers,
            compared=Photos(pixels[:0], np.empty(0, int)),
            calibration=pixels if numbers == "int8" else None,
            scratch=folder,
            progress=SilentProgress(),
        )

    if first in unable(find(made.manifest.backbone)):
        with pytest.raises(BadInput, match="cannot hold") as caught:
            export()
        return caught.value.hint
    assert export().parity.n_golden > GOLDEN
    return ""
