"""A bundle as one Keras model: it computes what the bundle does, and every sabotage of its preprocessing is noticed."""

import itertools
from dataclasses import replace

import numpy as np
import pytest

from graft.backbones.catalogue import find
from graft.backbones.records import Preprocessing
from graft.bundle.export.network import classifier_model, operations
from graft.bundle.export.parity import Answers, check, compare
from graft.core.errors import IntegrityProblem
from graft.core.telemetry import without_telemetry
from graft.data.augmentation.normalization import fit, parse_normalization
from graft.features.compile_worker import probe_pixels, reference_outputs
from graft.features.graphs import exact_forward
from graft.features.preprocessing import network_input
from graft.features.records import Output
from graft.training.linear import classify
from graft.training.records import Classifier, Hidden
from tests.features.samples import random_program, sprout

with without_telemetry():
    import keras  # noqa: F401 (first here, so that its backend is imported inside this block)

TAPS = ("s1_out", "s3_out", "head_relu")
WIDTHS = {"s1_out": 64, "s3_out": 256, "head_relu": 512}
BGR = Preprocessing(channel_order="bgr", scale=(0.5, 0.6, 0.7), offset=(-10.0, 5.0, 20.0))


def head(width: int, units: int = 3, hidden: tuple[int, ...] = (), **changes) -> Classifier:
    """A classifier on features that vary by one or so."""
    draw = np.random.default_rng(0)
    sizes = (width, *hidden, units)
    kernels = [
        draw.normal(0, 4 / np.sqrt(below), (below, above)).astype(np.float32)
        for below, above in itertools.pairwise(sizes)
    ]
    given = {
        "taps": TAPS,
        "mean": draw.normal(0.3, 0.1, width).astype(np.float32),
        "scale": draw.uniform(0.5, 2.0, width).astype(np.float32),
        "kernel": kernels[-1],
        "bias": draw.normal(0, 0.1, units).astype(np.float32),
        "temperature": 1.7,
        "hidden": tuple(Hidden(kernel, kernel[0] * 0 + 0.1, "relu") for kernel in kernels[:-1]),
    }
    return Classifier(**(given | changes))


def answers_of(model, pixels):
    return exact_forward(model, len(pixels))(pixels)


def expected(program, weights, classifier, pixels):
    return classify(classifier, reference_outputs(program, weights, pixels), rounded=False)


def compared(program, weights, classifier):
    """Answers of the bundle's parts and of the model, on pixels that show every difference."""
    program = replace(program, outputs=classifier.outputs)
    pixels = probe_pixels(program.side_pixels)
    model = classifier_model(program, weights, classifier)
    assert model.input_shape == (None, program.side_pixels, program.side_pixels, 3) and model.input.dtype == "uint8"
    return expected(program, weights, classifier, pixels), answers_of(model, pixels), model


@pytest.mark.parametrize("preprocessing", [find("sprout").preprocessing, BGR], ids=["own", "bgr"])
@pytest.mark.parametrize("units", [1, 3])
def test_it_answers_as_the_bundle_does(tmp_path, preprocessing, units):
    program, weights = sprout(tmp_path, preprocessing=preprocessing)
    own, other, model = compared(program, weights, head(sum(WIDTHS.values()), units))
    assert own.shape == other.shape == (3, max(units, 2))
    assert np.abs(own - other).max() < 1e-4
    assert np.ptp(own, axis=0).max() > 0.02  # the photos are told apart at all
    assert operations(model) == []  # so that Keras' older files can hold it


def test_layers_of_one_s_own_read_the_whole_map(tmp_path):
    program, weights = sprout(tmp_path)
    classifier = head(3 * 3 * 512, hidden=(16, 8), taps=("head_relu",), pooling="none")
    own, other, _ = compared(program, weights, classifier)
    assert np.abs(own - other).max() < 1e-4
    assert (own.argmax(axis=1) == other.argmax(axis=1)).all()


def test_a_grey_network_is_given_colour_pixels(tmp_path):
    program, weights = random_program("lenet5", 32, tmp_path)
    record = find("lenet5")
    own, other, model = compared(program, weights, head(record.tap_widths[-1], taps=record.taps[-1:]))
    assert np.abs(own - other).max() < 1e-4
    assert operations(model) == []


def test_normalised_photos_are_normalised_inside(tmp_path):
    program, weights = sprout(tmp_path)
    made = fit(parse_normalization("featurewise-std"), [network_input(probe_pixels(48), program.preprocessing)])
    program = replace(program, preprocessing=replace(program.preprocessing, normalization=made.fitted))
    own, other, model = compared(program, weights, head(sum(WIDTHS.values())))
    assert np.abs(own - other).max() < 1e-4
    assert operations(model)  # which only the newer file of Keras can hold


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(replace(BGR, channel_order="rgb"), id="channels swapped"),
        pytest.param(Preprocessing(), id="skipped"),
        pytest.param(replace(BGR, scale=(0.25, 0.36, 0.49)), id="scaled twice"),
        pytest.param(replace(BGR, scale=(1.0, 1.0, 1.0)), id="not scaled"),
        pytest.param(replace(BGR, offset=(0.0, 0.0, 0.0)), id="not moved"),
        pytest.param(replace(BGR, scale=BGR.scale[::-1]), id="scaled in the other order"),
    ],
)
@pytest.mark.parametrize("numbers", ["float32", "float16"])
def test_sabotaged_preprocessing_does_not_pass_the_gate(tmp_path, wrong, numbers):
    program, weights = sprout(tmp_path, preprocessing=BGR)
    classifier = head(sum(WIDTHS.values()))
    program, pixels = replace(program, outputs=classifier.outputs), probe_pixels(48)
    native = Answers(expected(program, weights, classifier, pixels), np.zeros((0, 3)), np.zeros(0))
    good = answers_of(classifier_model(program, weights, classifier), pixels)
    check(compare(native, Answers(good, np.zeros((0, 3)), np.zeros(0))), "onnx", numbers)
    sabotaged = classifier_model(replace(program, preprocessing=wrong), weights, classifier)
    with pytest.raises(IntegrityProblem, match="on the golden examples"):
        check(compare(native, Answers(answers_of(sabotaged, pixels), np.zeros((0, 3)), np.zeros(0))), "onnx", numbers)


def test_outputs_are_weighed_in_their_own_order(tmp_path):
    """Two taps of the same width, swapped: nothing but values tells them apart."""
    program, weights = sprout(tmp_path)
    classifier = head(512, taps=("s3_down_relu", "s3_out"))
    program, pixels = replace(program, outputs=classifier.outputs), probe_pixels(48)
    own = expected(program, weights, classifier, pixels)
    swapped = replace(program, outputs=(Output(layer="s3_out"), Output(layer="s3_down_relu")))
    assert np.abs(answers_of(classifier_model(program, weights, classifier), pixels) - own).max() < 1e-4
    assert np.abs(answers_of(classifier_model(swapped, weights, classifier), pixels) - own).max() > 1e-2
