"""The child process that lets an exported network answer, loaded by its own format's runtime.

Run as `python -m graft.bundle.export.answer_worker` by `exporting`. Nothing of the bundle is there: only the file.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from graft.core.child import serve_child
from graft.core.telemetry import import_openvino, without_telemetry

BATCH_IMAGES = 8
Network = Callable[[np.ndarray], np.ndarray]


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Write the answers (photo, class) float32 for the `photos` of `job` to its `answers`."""
    with without_telemetry():  # of libraries that some of the runtimes load
        network = OPENERS[job["format"]](job["path"])
    photos = np.load(job["photos"], mmap_mode="r", allow_pickle=False)
    starts = range(0, len(photos), BATCH_IMAGES)
    answers = [np.asarray(network(np.array(photos[at : at + BATCH_IMAGES]))) for at in starts]
    np.save(job["answers"], np.concatenate(answers).astype(np.float32))
    return {}


def _onnx(path: str) -> Network:
    import onnxruntime

    network = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    name = network.get_inputs()[0].name
    return lambda photos: np.asarray(network.run(None, {name: photos})[0])


def _openvino(path: str) -> Network:
    core = import_openvino().Core()
    compiled = core.compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda photos: np.array(compiled({0: photos})[0])


def _keras(path: str) -> Network:
    import keras

    from graft.features.graphs import exact_forward

    # A file that was written a moment ago by Graft itself, from layers of Keras alone.
    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    forward = exact_forward(model, BATCH_IMAGES)

    def run(photos: np.ndarray) -> np.ndarray:
        rows = np.concatenate([photos, np.zeros((BATCH_IMAGES - len(photos), *photos.shape[1:]), np.uint8)])
        return forward(rows)[: len(photos)]

    return run


def _saved_model(path: str) -> Network:
    import tensorflow

    loaded = tensorflow.saved_model.load(path)
    return lambda photos: np.asarray(loaded.serve(tensorflow.constant(photos)))


def _litert(path: str) -> Network:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(path)
    place = interpreter.get_input_details()[0]["index"]

    def run(photos: np.ndarray) -> np.ndarray:
        interpreter.resize_tensor_input(place, photos.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(place, photos)
        interpreter.invoke()
        return np.array(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]))

    return run


OPENERS: Mapping[str, Callable[[str], Network]] = MappingProxyType(
    {
        "onnx": _onnx,
        "folder": _onnx,
        "openvino": _openvino,
        "keras": _keras,
        "h5": _keras,
        "saved-model": _saved_model,
        "litert": _litert,
    }
)


if __name__ == "__main__":
    serve_child(main)
