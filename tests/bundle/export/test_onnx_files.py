"""Smaller numbers in ONNX files: weights are rounded, the head is not, and it is told what rounding moves."""

import numpy as np
import pytest

from graft.bundle.export import onnx_files
from graft.bundle.export.network import HEAD, SCALED

onnx = pytest.importorskip("onnx", reason="the extra [export] is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")
SIDE, CHANNELS, CLASSES = 12, 32, 3
STEEP = 2e5  # more than a float16 can be


@pytest.fixture
def exact(tmp_path):
    """A network as conversions leave them: pixels, two convolutions, an average, and a head that scales steeply."""
    draw = np.random.default_rng(0)
    scale = np.ones(CHANNELS, np.float32)
    scale[0] = STEEP
    first = draw.normal(0, 0.2, (CHANNELS, 3, 3, 3))
    second = draw.normal(0, 0.1, (CHANNELS, CHANNELS, 3, 3))
    second[0] *= 1e-5  # hardly varies: what the head makes of it by its scale
    values = {
        "first": first,
        "second": second,
        "scale": scale,
        "kernel": draw.normal(0, 1, (CHANNELS, CLASSES)),
        "hundred": np.full(1, 0.01),
    }
    node = onnx.helper.make_node
    nodes = [
        node("Cast", ["pixels"], ["numbers"], to=onnx.TensorProto.FLOAT),
        node("Transpose", ["numbers"], ["turned"], perm=[0, 3, 1, 2]),
        node("Mul", ["turned", "hundred"], ["small"]),
        node("Conv", ["small", "first"], ["a"], name="conv_a"),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "second"], ["c"], name="conv_c"),
        node("GlobalAveragePool", ["c"], ["d"]),
        node("Flatten", ["d"], ["features"]),
        node("Mul", ["features", "scale"], ["e"], name=f"net/{SCALED}_0/mul"),
        node("MatMul", ["e", "kernel"], ["f"], name=f"net/{HEAD}_0/MatMul"),
        node("Softmax", ["f"], ["probabilities"]),
    ]
    info = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        nodes,
        "net",
        [info("pixels", onnx.TensorProto.UINT8, ["photos", SIDE, SIDE, 3])],
        [info("probabilities", onnx.TensorProto.FLOAT, ["photos", CLASSES])],
        [onnx.numpy_helper.from_array(np.asarray(value, np.float32), name) for name, value in values.items()],
    )
    path = tmp_path / "exact.onnx"
    opset = [onnx.helper.make_opsetid("", 15)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


def photos(count=16):
    return np.random.default_rng(1).integers(0, 256, (count, SIDE, SIDE, 3), np.uint8)


def stored(path):
    return {each.name: onnx.numpy_helper.to_array(each).dtype for each in onnx.load(str(path)).graph.initializer}


def features(path):
    """What the head scales, of each photo."""
    model = onnx.load(str(path))
    name = next(node.input[0] for node in model.graph.node if SCALED in node.name)
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    network = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return network.run([name], {"pixels": photos()})[0]


def test_float16_rounds_weights_and_leaves_the_head(exact, tmp_path):
    onnx_files.write_halved(exact, tmp_path / "half.onnx")
    kept = stored(tmp_path / "half.onnx")
    assert kept["first_small"] == kept["second_small"] == np.float16
    assert kept["scale"] == kept["kernel"] == np.float32
    before, after = features(exact), features(tmp_path / "half.onnx")
    assert 0 < np.abs(after - before).max() < 2e-3 * np.abs(before).max()


def test_int8_weights_are_close(exact, tmp_path):
    onnx_files.write_weights_int8(exact, tmp_path / "eighth.onnx")
    kept = stored(tmp_path / "eighth.onnx")
    assert kept["first_small"] == kept["second_small"] == np.int8 and kept["kernel"] == np.float32
    before, after = features(exact), features(tmp_path / "eighth.onnx")
    assert 0 < np.abs(after - before).max() < 2e-2 * np.abs(before).max()


def moved(exact, path):
    """By how much the means of features have moved, in the spread that each has over the photos; the largest."""
    before = features(exact)
    return np.abs((features(path) - before).mean(axis=0) / before.std(axis=0)).max()


def test_int8_tells_the_head_what_it_has_moved(exact, tmp_path):
    onnx_files.write_int8(exact, tmp_path / "int8.onnx", photos())
    assert moved(exact, tmp_path / "int8.onnx") < 1e-3


def test_sabotage_without_it_the_head_takes_rounding_for_a_difference(exact, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, "_recentre", lambda *given: None)
    onnx_files.write_int8(exact, tmp_path / "int8.onnx", photos())
    assert moved(exact, tmp_path / "int8.onnx") > 0.05


def test_the_head_reads_what_the_network_gives(exact):
    assert onnx_files._read_by_head(onnx.load(str(exact))) == ["features"]
