"""OpenVINO files made of ONNX: int8 is computed in int8, weights stay small, answers stay what they were."""

import platform

import numpy as np
import pytest

from graft.bundle.export import onnx_files, openvino_files
from graft.core.telemetry import import_openvino
from tests.bundle.export.test_onnx_files import exact, onnxruntime, photos

__all__ = ["exact"]  # a fixture: a network as conversions leave them
CLASSES = ("a", "b", "c")


def converted(source):
    path = source.with_suffix(".xml")
    openvino_files.write_of_onnx(source, path, inputs="pixels", outputs="probabilities", classes=CLASSES)
    core = import_openvino().Core()
    return path, core.compile_model(core.read_model(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})


def convolutions(network):
    """What each is computed in."""
    kinds = [each.get_rt_info() for each in network.get_runtime_model().get_ops()]
    return {kind["runtimePrecision"].astype(str) for kind in kinds if kind["layerType"].astype(str) == "Convolution"}


def answers_of_onnx(path):
    network = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return network.run(None, {"pixels": photos()})[0]


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="what is asked for is what x86 does")
def test_int8_is_computed_in_int8(exact, tmp_path):
    onnx_files.write_int8(exact, tmp_path / "int8.onnx", photos())
    assert convolutions(converted(tmp_path / "int8.onnx")[1]) == {"u8"}


def test_int8_answers_as_it_does_in_onnx(exact, tmp_path):
    onnx_files.write_int8(exact, tmp_path / "int8.onnx", photos())
    path, network = converted(tmp_path / "int8.onnx")
    assert network.input(0).names == {"pixels"} and network.input(0).element_type.get_type_name() == "u8"
    assert network.input(0).partial_shape.to_string() == "[?,12,12,3]"
    assert network.output(0).names == {"probabilities"}
    labels = import_openvino().Core().read_model(path).get_rt_info(["model_info", "labels"])
    assert labels.astype(str) == "a b c"
    assert np.abs(network({0: photos()})[0] - answers_of_onnx(tmp_path / "int8.onnx")).mean() < 0.02


def test_sabotage_in_float32_nothing_is(exact):
    assert convolutions(converted(exact)[1]) == {"f32"}


def test_weights_alone_in_int8_stay_small(exact, tmp_path):
    onnx_files.write_weights_int8(exact, tmp_path / "eighth.onnx")
    path, network = converted(tmp_path / "eighth.onnx")
    large = converted(exact)[0].with_suffix(".bin").stat().st_size
    assert path.with_suffix(".bin").stat().st_size < 0.4 * large
    assert convolutions(network) == {"f32"}
    assert np.abs(network({0: photos()})[0] - answers_of_onnx(tmp_path / "eighth.onnx")).max() < 1e-3
