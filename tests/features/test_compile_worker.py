from dataclasses import replace

import numpy as np
import pytest

from graft.backbones.records import Preprocessing
from graft.backbones.weights import WeightsFile
from graft.core.errors import IntegrityProblem, ResourceProblem
from graft.core.telemetry import import_openvino
from graft.core.tensors import read_tensors, tensors_sha256, write_tensors
from graft.data.augmentation.normalization import fit, parse_normalization
from graft.features import compile_worker as worker
from graft.features.compiled import described
from graft.features.forms import form_key, stored_form
from graft.features.preprocessing import network_input
from graft.features.records import Output
from tests.features.samples import OUTPUTS, SIDE, random_program, sprout

# Unlike sprout's own, each part of it matters.
PREPROCESSING = Preprocessing(channel_order="bgr", scale=(0.9, 1.0, 1.1), offset=(-10.0, 5.0, 20.0))
PIXELS = worker.probe_pixels(SIDE)


def converted(program, weights, folder):
    """The graph as the conversion leaves it: unrepaired, its results not named."""
    path = folder / "converted.xml"
    worker.convert(program, weights, path)
    return import_openvino().Core().read_model(str(path))


def reference(program, weights):
    return worker.reference_outputs(program, weights, worker.probe_pixels(program.side_pixels))


def run(graph, pixels):
    """The graph's outputs by the names that were bound."""
    compiled = import_openvino().Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    request.infer({0: pixels})
    return {
        name: np.array(request.get_output_tensor(port).data)
        for port, output in enumerate(compiled.outputs)
        for name in output.names
    }


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    return sprout(tmp_path_factory.mktemp("weights"), preprocessing=PREPROCESSING)


@pytest.fixture(scope="module")
def expected(program):
    return reference(*program)


def test_all_outputs_are_bound_to_their_own_values(program, expected, tmp_path):
    graph = converted(*program, tmp_path)
    assert worker.bind_outputs(graph, program[0], expected, PIXELS) < 1e-5
    got = run(graph, PIXELS)
    for output in OUTPUTS:
        assert worker.relative_error(got[output.name], expected[output.name]) < 1e-5
    assert expected["s3_out:none"].shape == (3, 3, 3, 256)


def test_results_in_another_order_get_the_right_names(program, expected, tmp_path):
    """Sabotage of the order: binding by position would give every output another one's values."""
    graph = converted(*program, tmp_path)
    reordered = import_openvino().Model(list(reversed(graph.get_results())), graph.get_parameters())
    by_position = [np.array(each) for each in run_in_order(reordered)]
    assert worker.relative_error(by_position[0], expected[OUTPUTS[0].name]) > worker.TOLERANCE
    worker.bind_outputs(reordered, program[0], expected, PIXELS)
    got = run(reordered, PIXELS)
    for output in OUTPUTS:
        assert worker.relative_error(got[output.name], expected[output.name]) < 1e-5


def run_in_order(graph):
    compiled = import_openvino().Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    request.infer({0: PIXELS})
    return [request.get_output_tensor(port).data for port in range(len(compiled.outputs))]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(Preprocessing(), id="skipped"),
        pytest.param(replace(PREPROCESSING, channel_order="rgb"), id="channels swapped"),
        pytest.param(replace(PREPROCESSING, offset=(0.0, 0.0, 0.0)), id="not shifted"),
        pytest.param(replace(PREPROCESSING, scale=(0.81, 1.0, 1.21)), id="scaled twice"),
        pytest.param(replace(PREPROCESSING, scale=(1.1, 1.0, 0.9)), id="scaled in the other order"),
    ],
)
def test_sabotaged_preprocessing_is_refused(program, expected, tmp_path, wrong):
    graph = converted(replace(program[0], preprocessing=wrong), program[1], tmp_path)
    with pytest.raises(ResourceProblem, match="must reproduce its network") as caught:
        worker.bind_outputs(graph, program[0], expected, PIXELS)
    assert caught.value.code == "cannot_compile"


@pytest.fixture(scope="module")
def whitened(program, tmp_path_factory):
    """The program with photos that are centred one by one and then whitened, as a training on patches leaves it."""
    folder = tmp_path_factory.mktemp("whitened")
    patches = (
        np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), np.uint8).repeat(SIDE // 8, 1).repeat(SIDE // 8, 2)
    )
    made = fit(parse_normalization("samplewise-center,zca"), [network_input(patches, PREPROCESSING)])
    write_tensors(folder / "whitening", made.whitening.tensors(), metadata={}, writer="test")
    whitening = WeightsFile(folder / "whitening", "", made.fitted.whitening_sha256)
    preprocessing = replace(PREPROCESSING, normalization=made.fitted)
    return replace(program[0], preprocessing=preprocessing), replace(program[1], whitening=whitening)


def test_whitened_photos_are_compiled_with_the_network(whitened, tmp_path):
    answer = worker.main(job(*whitened, tmp_path / "form"))
    assert answer["largest_error"] < worker.TOLERANCE


def test_sabotage_other_whitening_is_refused(whitened, program, tmp_path, monkeypatch):
    expected = reference(*whitened)
    own = worker.whitening_of(whitened[0].preprocessing, whitened[1])
    for wrong in (replace(own, gains=own.gains[::-1]), replace(own, directions=own.directions[::-1])):
        monkeypatch.setattr(worker, "whitening_of", lambda *_, wrong=wrong: wrong)
        with pytest.raises(ResourceProblem, match="must reproduce its network"):
            worker.bind_outputs(converted(*whitened, tmp_path), whitened[0], expected, PIXELS)


def test_another_layer_of_the_same_width_is_refused(program, expected, tmp_path):
    other = replace(program[0], outputs=(*OUTPUTS[:1], Output(layer="s3_a_relu"), *OUTPUTS[2:]))
    graph = converted(other, program[1], tmp_path)
    with pytest.raises(ResourceProblem, match="in output s3_down_relu:avg"):
        worker.bind_outputs(graph, program[0], expected, PIXELS)


def test_other_weights_are_refused(program, expected, tmp_path):
    with read_tensors(program[1].path) as file:
        tensors = {name: np.array(tensor) for name, tensor in file.tensors.items()}
    tensors["s1_a/kernel"] = tensors["s1_a/kernel"] * np.float16(1.01)
    write_tensors(tmp_path / "other.safetensors", tensors, metadata={}, writer="test")
    other = replace(program[1], path=tmp_path / "other.safetensors", sha256=tensors_sha256(tensors))
    with pytest.raises(ResourceProblem, match="must reproduce its network"):
        worker.bind_outputs(converted(program[0], other, tmp_path), program[0], expected, PIXELS)


def test_weights_that_are_not_finite_are_refused(program, tmp_path):
    with read_tensors(program[1].path) as file:
        tensors = {name: np.array(tensor) for name, tensor in file.tensors.items()}
    tensors["head_bn/beta"][0] = np.inf  # a NaN would end in the ReLU, as 0
    write_tensors(tmp_path / "bad.safetensors", tensors, metadata={}, writer="test")
    weights = replace(program[1], path=tmp_path / "bad.safetensors", sha256=tensors_sha256(tensors))
    with pytest.raises(IntegrityProblem) as caught:
        worker.main(job(program[0], weights, tmp_path / "form"))
    assert caught.value.code == "weights_not_finite"


def job(program, weights, folder):
    from graft.core.records import to_value

    folder.mkdir(exist_ok=True)
    return {
        "program": to_value(program),
        **described(program, weights),
        "folder": str(folder),
        "key": form_key(program),
    }


def test_efficientnet_is_repaired_and_proven(tmp_path):
    program, weights = random_program("efficientnet_b0", 32, tmp_path)
    program = replace(program, outputs=program.outputs[-3:])
    expected = reference(program, weights)
    pixels = worker.probe_pixels(32)
    graph = converted(program, weights, tmp_path)
    with pytest.raises(ResourceProblem, match="must reproduce its network"):  # sabotage: the repair left out
        worker.bind_outputs(graph, program, expected, pixels)
    graph = import_openvino().Core().read_model(str(tmp_path / "converted.xml"))
    assert worker.free_batch(graph) == 16  # one for each block's squeeze and excitation
    assert worker.bind_outputs(graph, program, expected, pixels) < 1e-5
    three = run(graph, pixels)
    for count in (1, 2):
        some = run(graph, pixels[:count])
        for output in program.outputs:
            assert worker.relative_error(some[output.name], three[output.name][:count]) < 1e-5


def test_a_network_without_such_reshapes_needs_no_repair(program, tmp_path):
    assert worker.free_batch(converted(*program, tmp_path)) == 0


def test_the_stored_form_verifies_and_nothing_else_is_left(program, tmp_path):
    folder = tmp_path / "form"
    answer = worker.main(job(*program, folder))
    form, damage = stored_form(folder, form_key(program[0]))
    assert damage == "" and form.record.graph_sha256 == answer["graph_sha256"]
    assert sorted(path.name for path in folder.iterdir()) == ["form.json", "network.bin", "network.xml"]


def test_probe_pictures_are_the_same_everywhere():
    assert PIXELS.shape == (3, SIDE, SIDE, 3) and PIXELS.dtype == np.uint8
    assert (worker.probe_pixels(SIDE) == PIXELS).all()


@pytest.mark.parametrize(
    ("values", "expected", "error"),
    [
        ([1.0, 2.0], [1.0, 2.0], 0.0),
        ([1.0, 2.2], [1.0, 2.0], 0.1),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
        ([0.5, 0.0], [0.0, 0.0], 0.5),
        ([1.0], [1.0, 2.0], float("inf")),
        ([np.nan, 2.0], [1.0, 2.0], float("inf")),
        ([np.inf, 2.0], [1.0, 2.0], float("inf")),
    ],
)
def test_relative_error(values, expected, error):
    got = worker.relative_error(np.array(values, np.float32), np.array(expected, np.float32))
    assert got == pytest.approx(error, abs=1e-6)
