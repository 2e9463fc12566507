"""What happens to OpenVINO graphs after their conversion, and int8: made of an ONNX file that is in int8 already."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from graft.core.telemetry import import_openvino


def finish(graph: Any, *, inputs: str, outputs: str, classes: Sequence[str]) -> None:
    """Name input and output of a graph, and write down the classes."""
    graph.inputs[0].get_tensor().set_names({inputs})
    graph.outputs[0].get_tensor().set_names({outputs})
    graph.set_rt_info(list(classes), ["model_info", "labels"])


def write_of_onnx(source: Path, path: Path, *, inputs: str, outputs: str, classes: Sequence[str]) -> None:
    """An ONNX file as OpenVINO converts it: weights stay as small as they are, and int8 is computed in int8.

    By `convert_model`, not `read_model`: what that leaves unfused took twice as long as this in int8.
    """
    openvino = import_openvino()
    graph = openvino.convert_model(str(source))
    finish(graph, inputs=inputs, outputs=outputs, classes=classes)
    openvino.save_model(graph, str(path), compress_to_fp16=False)
