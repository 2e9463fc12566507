"""What happens to an ONNX file after its conversion: names that say something, smaller numbers, what it is."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graft.bundle.export.network import HEAD

BATCH = "photos"
WEIGHED = ["Conv", "MatMul", "Gemm"]  # operations with weights


def finish(
    path: Path, numbers: str, photos: np.ndarray | None, *, inputs: str, outputs: str, classes: Sequence[str]
) -> None:
    """Name input, output and batch, quantise where asked, and write down the classes.

    `photos`, (photo, side, side, 3) uint8, are what int8 is calibrated on.
    """
    import onnx

    model = onnx.load(str(path))
    _rename(model, inputs, outputs)
    if numbers == "float16":
        from onnxconverter_common import float16

        # What makes numbers of pixels stays as it is: the library would leave it between two types.
        casts = [node.name for node in model.graph.node if node.op_type == "Cast"]
        model = float16.convert_float_to_float16(model, keep_io_types=True, node_block_list=casts)
    if numbers == "int8":
        model = _quantised(model, path, photos)
    entry = model.metadata_props.add()
    entry.key, entry.value = "classes", json.dumps(list(classes), ensure_ascii=False)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _rename(model: Any, inputs: str, outputs: str) -> None:
    """Give the graph's one input and output names that say what they are, wherever they are read."""
    graph = model.graph
    new = {graph.input[0].name: inputs, graph.output[0].name: outputs}
    for node in graph.node:
        node.input[:] = [new.get(name, name) for name in node.input]
        node.output[:] = [new.get(name, name) for name in node.output]
    for value in (graph.input[0], graph.output[0]):
        value.name = new[value.name]
        value.type.tensor_type.shape.dim[0].dim_param = BATCH


def _quantised(model: Any, path: Path, photos: np.ndarray | None) -> Any:
    """What computes with weights in int8, by channel, ranges taken from `photos`; the rest, and the head, in float32.

    All in int8 lost up to 15 points: what several depths give differs in range. Weights have seven bits, or processors
    without instructions for it would overflow.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    plain, prepared = path.with_name("plain.onnx"), path.with_name("prepared.onnx")
    onnx.save(model, str(plain))
    quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
    name = model.graph.input[0].name

    class Photos(quantization.CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        """Photo by photo."""

        def __init__(self) -> None:
            self.rest = iter(np.empty(0) if photos is None else photos)

        def get_next(self) -> dict[str, np.ndarray] | None:
            """The next one as the network is given it, None after the last."""
            photo = next(self.rest, None)
            return None if photo is None else {name: np.array(photo[np.newaxis])}

    quantization.quantize_static(
        str(prepared),
        str(path),
        Photos(),
        per_channel=True,
        reduce_range=True,
        activation_type=quantization.QuantType.QUInt8,
        op_types_to_quantize=WEIGHED,
        nodes_to_exclude=[node.name for node in onnx.load(str(prepared)).graph.node if HEAD in node.name],
    )
    quantised = onnx.load(str(path))
    for each in (plain, prepared):
        each.unlink()
    return quantised
