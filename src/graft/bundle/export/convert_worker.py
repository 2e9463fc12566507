"""The child process that writes a bundle's network in another format.

Run as `python -m graft.bundle.export.convert_worker` by `exporting`, with KERAS_BACKEND as the format has it.
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.networks import fastest_format
from graft.bundle.bundle import bundle_classifier, bundle_program, bundle_weights
from graft.bundle.export import onnx_files
from graft.bundle.export.network import OUTPUT, classifier_model, operations
from graft.bundle.format import read_bundle
from graft.bundle.records import BundleManifest
from graft.core.child import serve_child
from graft.core.errors import BadInput
from graft.core.files import remove_tree, write_atomic
from graft.core.telemetry import import_openvino, without_telemetry
from graft.features.compile_worker import free_batch

INPUT: Final = "pixels"
FLOAT_OPERATIONS: Final = ["FULLY_CONNECTED", "SOFTMAX", "MEAN", "MUL", "SUB"]  # of LiteRT, left alone by int8


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Write the network that `job` asks for at its `target`."""
    with without_telemetry():
        import keras  # noqa: F401 (first here, so that its backend is imported inside this block)
    path, target = Path(job["bundle"]), Path(job["target"])
    manifest, file = read_bundle(path)
    with file:
        classifier = bundle_classifier(manifest, file.tensors)
    program, weights = bundle_program(manifest), bundle_weights(path, manifest)
    in_openvino = job["format"] == "openvino"
    data_format = fastest_format(find(program.backbone)) if in_openvino else "channels_last"
    model = classifier_model(program, weights, classifier, data_format=data_format)
    photos = np.load(job["photos"], mmap_mode="r", allow_pickle=False) if job["photos"] else None
    WRITERS[job["format"]](model, target, job["numbers"], photos, manifest)
    return {}


def _onnx(model: Any, target: Path, numbers: str, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    _settle(model)
    model(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras exports only what was called
    model.export(str(target), format="onnx", verbose=False, input_signature=_signature(model))
    onnx_files.finish(target, numbers, photos, inputs=INPUT, outputs=OUTPUT, classes=manifest.classes)


def _settle(model: Any) -> None:
    """Let Normalization compute with plain arrays: tf2onnx takes the backend's own for further inputs of the graph."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.Model):
            _settle(layer)
        elif isinstance(layer, keras.layers.Normalization):
            layer.mean, layer.variance = (
                np.asarray(keras.ops.convert_to_numpy(value)) for value in (layer.mean, layer.variance)
            )


def _openvino(model: Any, target: Path, numbers: str, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    openvino = import_openvino()
    plain = target.with_name("converted.xml")
    model.export(str(plain), format="openvino", verbose=False)
    graph = openvino.Core().read_model(str(plain))
    free_batch(graph)
    graph.inputs[0].get_tensor().set_names({INPUT})
    graph.outputs[0].get_tensor().set_names({OUTPUT})
    graph.set_rt_info(list(manifest.classes), ["model_info", "labels"])
    openvino.save_model(graph, str(target), compress_to_fp16=numbers == "float16")
    for path in (plain, plain.with_suffix(".bin")):
        path.unlink()


def _keras(model: Any, target: Path, numbers: str, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    model.save(str(target))


def _h5(model: Any, target: Path, numbers: str, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    if others := operations(model):
        raise BadInput(
            f"--format h5 must be a network of layers alone, but {manifest.backbone} with this preprocessing has "
            f"operations between them, such as {others[0]}.",
            hint="Use --format keras.",
        )
    _keras(model, target, numbers, photos, manifest)


def _saved_model(model: Any, target: Path, numbers: str, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    model.export(str(target), format="tf_saved_model", verbose=False, input_signature=_signature(model))


def _litert(model: Any, target: Path, numbers: str, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    import tensorflow

    settings: dict[str, Any] = {}
    if numbers == "int8" and photos is not None:
        return _litert_int8(model, target, photos)
    if numbers == "float16":
        settings["optimizations"] = [tensorflow.lite.Optimize.DEFAULT]
        settings["target_spec"] = {"supported_types": [tensorflow.float16]}
    model.export(str(target), format="litert", verbose=False, input_signature=_signature(model), **settings)
    return None


def _litert_int8(model: Any, target: Path, photos: np.ndarray) -> None:
    """In int8, ranges taken from `photos`; averages and the head stay in float32: in int8 they cost seven points."""
    import tensorflow

    def samples() -> Iterator[list[np.ndarray]]:
        for photo in photos:
            yield [np.array(photo[np.newaxis])]

    folder = target.with_name("converted")
    model.export(str(folder), format="tf_saved_model", verbose=False, input_signature=_signature(model))
    converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(folder))
    converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
    converter.representative_dataset = samples
    in_float32 = tensorflow.lite.experimental.QuantizationDebugOptions(denylisted_ops=FLOAT_OPERATIONS)
    selecting = tensorflow.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=samples, debug_options=in_float32
    )
    write_atomic(target, selecting.get_nondebug_quantized_model(), writer="export")
    remove_tree(folder)


def _signature(model: Any) -> list[Any]:
    import keras

    return [keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="uint8", name=INPUT)]


Writer = Callable[[Any, Path, str, np.ndarray | None, BundleManifest], None]
WRITERS: Mapping[str, Writer] = MappingProxyType(
    {
        "onnx": _onnx,
        "folder": _onnx,
        "openvino": _openvino,
        "keras": _keras,
        "h5": _h5,
        "saved-model": _saved_model,
        "litert": _litert,
    }
)


if __name__ == "__main__":
    serve_child(main)
