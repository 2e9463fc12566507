"""What happens to an ONNX file after its conversion: names that say something, smaller numbers, what it is."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from graft.bundle.export.network import HEAD, SCALED
from graft.bundle.export.rounding import LEAST_ELEMENTS, by_channel, halved

BATCH = "photos"
WEIGHED = ["Conv", "MatMul", "Gemm"]  # operations with weights


def finish(path: Path, *, inputs: str, outputs: str, classes: Sequence[str]) -> None:
    """Name input, output and batch, and write down the classes."""
    import onnx

    model = onnx.load(str(path))
    _rename(model, inputs, outputs)
    entry = model.metadata_props.add()
    entry.key, entry.value = "classes", json.dumps(list(classes), ensure_ascii=False)
    _save(model, path)


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


def write_halved(exact: Path, path: Path) -> None:
    """The float32 file `exact` with weights of 16 bits, which are read as float32: the head keeps its own.

    Its scales may be larger than a float16 can be, and what it subtracts needs all of its digits.
    """
    import onnx

    model = onnx.load(str(exact))
    for weight, _ in _weights(model):
        values = halved(onnx.numpy_helper.to_array(weight))
        if values is not None:
            _stored(model, weight, values)
    _save(model, path)


def write_weights_int8(exact: Path, path: Path) -> None:
    """The float32 file `exact` with weights of 8 bits, by channel, which are read as float32.

    By a cast and a product, which the runtime computes once. With the operation that is made for it MobileNetV2 took
    twice as long as in float32: what followed was fused no more.
    """
    import onnx

    model = onnx.load(str(exact))
    for weight, axis in _weights(model):
        values, scales = by_channel(onnx.numpy_helper.to_array(weight), axis)
        _stored(model, weight, values, scales)
    _save(model, path)


def _weights(model: Any) -> Iterator[tuple[Any, int]]:
    """The large weights of convolutions and products that are none of the head's, each with its axis of channels."""
    import onnx

    kept = {weight.name: weight for weight in model.graph.initializer if weight.data_type == onnx.TensorProto.FLOAT}
    for node in list(model.graph.node):
        if node.op_type not in WEIGHED or _of_head(node) or node.input[1] not in kept:
            continue
        weight = kept.pop(node.input[1])
        if np.prod(weight.dims) >= LEAST_ELEMENTS:
            turned = any(each.name == "transB" and each.i for each in node.attribute)
            yield weight, 0 if node.op_type == "Conv" or turned else len(weight.dims) - 1


def _stored(model: Any, weight: Any, values: np.ndarray, scales: np.ndarray | None = None) -> None:
    """Keep a weight as other numbers, which are cast and, where given, multiplied when the network is opened."""
    import onnx
    from onnx import helper

    name = weight.name
    weight.CopyFrom(onnx.numpy_helper.from_array(values, f"{name}_small"))
    cast = name if scales is None else f"{name}_cast"
    reading = [helper.make_node("Cast", [f"{name}_small"], [cast], name=f"{name}_read", to=onnx.TensorProto.FLOAT)]
    if scales is not None:
        model.graph.initializer.append(onnx.numpy_helper.from_array(scales, f"{name}_scale"))
        reading.append(helper.make_node("Mul", [cast, f"{name}_scale"], [name], name=f"{name}_scaling"))
    for node in reversed(reading):
        model.graph.node.insert(0, node)


def _of_head(node: Any) -> bool:
    return HEAD in node.name or SCALED in node.name


def write_int8(exact: Path, path: Path, photos: np.ndarray) -> None:
    """The float32 file `exact` computing with weights in int8, by channel, ranges taken from `photos`.

    Averages and the head stay in float32: all in int8 lost up to 15 points, for what several depths give differs in
    range. Weights have seven bits, or processors without instructions for products of 8-bit numbers would overflow;
    without signs they may have eight, but then the network is slower than in float32.
    `photos` have shape (photo, side, side, 3) uint8.
    """
    import onnx
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    prepared = path.with_name("prepared.onnx")
    quant_pre_process(str(exact), str(prepared), skip_symbolic_shape=True)
    before = onnx.load(str(prepared))
    name = before.graph.input[0].name

    class Photos(quantization.CalibrationDataReader):  # type: ignore[misc]  # the library has no types
        """Photo by photo."""

        def __init__(self) -> None:
            self.rest = iter(photos)

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
        nodes_to_exclude=[node.name for node in before.graph.node if _of_head(node)],
    )
    prepared.unlink()
    quantised = onnx.load(str(path))
    _recentre(before, quantised, photos)
    _save(quantised, path)


def _recentre(exact: Any, model: Any, photos: np.ndarray) -> None:
    """Take from what the head reads by how much the smaller numbers have moved its mean over `photos`.

    Rounding moves each feature, and the head, which scales what varies little, would take that for a difference
    between photos. Seen with MobileNetV2 on sign digits, weights of 8 bits: 69 % right without, 93 % with it.
    """
    import onnx

    read = _read_by_head(exact)
    for name, before, after in zip(read, _means(exact, read, photos), _means(model, read, photos), strict=True):
        moved = onnx.numpy_helper.from_array((after - before).astype(np.float32), f"{name}_moved")
        model.graph.initializer.append(moved)
        node = onnx.helper.make_node("Sub", [name, moved.name], [f"{name}_recentred"], name=f"{name}_recentre")
        at = next(number for number, each in enumerate(model.graph.node) if _of_head(each) and name in each.input)
        for each in model.graph.node:
            if _of_head(each):
                each.input[:] = [node.output[0] if given == name else given for given in each.input]
        model.graph.node.insert(at, node)


def _read_by_head(model: Any) -> list[str]:
    """The tensors that the network gives to the head."""
    own = {name for node in model.graph.node if _of_head(node) for name in node.output}
    known = {weight.name for weight in model.graph.initializer}
    known |= {name for node in model.graph.node if node.op_type == "Constant" for name in node.output}
    given = [name for node in model.graph.node if _of_head(node) for name in node.input if name]
    return [name for name in dict.fromkeys(given) if name not in own | known]


def _means(model: Any, names: list[str], photos: np.ndarray) -> list[np.ndarray]:
    """The mean of each of these tensors over `photos`."""
    import onnx
    import onnxruntime

    seen = onnx.ModelProto()
    seen.CopyFrom(model)
    seen.graph.output.extend(onnx.helper.make_empty_tensor_value_info(name) for name in names)
    network = onnxruntime.InferenceSession(seen.SerializeToString(), providers=["CPUExecutionProvider"])
    given = seen.graph.input[0].name
    sums = [np.zeros(1)] * len(names)
    for photo in photos:
        values = network.run(names, {given: np.array(photo[np.newaxis])})
        sums = [total + value[0].astype(np.float64) for total, value in zip(sums, values, strict=True)]
    return [total / len(photos) for total in sums]


def _save(model: Any, path: Path) -> None:
    import onnx

    onnx.checker.check_model(model)
    onnx.save(model, str(path))
