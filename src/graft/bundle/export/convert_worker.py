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
from graft.bundle.export import onnx_files, openvino_files
from graft.bundle.export.network import OUTPUT, classifier_model, operations
from graft.bundle.format import read_bundle
from graft.bundle.records import BundleManifest
from graft.core.child import serve_child
from graft.core.errors import BadInput
from graft.core.files import remove_tree, write_atomic
from graft.core.telemetry import import_openvino, without_telemetry
from graft.features.compile_worker import free_batch

INPUT: Final = "pixels"
Forms = Mapping[str, Path]  # where each form goes
FLOAT_OPERATIONS: Final = ["FULLY_CONNECTED", "SOFTMAX", "MEAN", "MUL", "SUB"]  # of LiteRT, left alone by int8


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Write the network of `job` as each of its `forms`, float32 among them: paths by form."""
    with without_telemetry():
        import keras  # noqa: F401 (first here, so that its backend is imported inside this block)
    path = Path(job["bundle"])
    manifest, file = read_bundle(path)
    with file:
        classifier = bundle_classifier(manifest, file.tensors, "float32")
    program, weights = bundle_program(manifest), bundle_weights(path, manifest)
    first = job["made_of"]
    data_format = fastest_format(find(program.backbone)) if first == "openvino" else "channels_last"
    model = classifier_model(program, weights, classifier, data_format=data_format)
    photos = np.load(job["photos"], mmap_mode="r", allow_pickle=False) if job["photos"] else None
    forms = {form: Path(target) for form, target in job["forms"].items()}
    write = WRITERS[first] if first == job["format"] else _openvino_of_onnx
    write(model, forms, photos, manifest)
    return {}


def _onnx(model: Any, forms: Forms, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    exact = forms["float32"]
    _settle(model)
    model(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras exports only what was called
    model.export(str(exact), format="onnx", verbose=False, input_signature=_signature(model))
    onnx_files.finish(exact, inputs=INPUT, outputs=OUTPUT, classes=manifest.classes)
    if "float16" in forms:
        onnx_files.write_halved(exact, forms["float16"])
    if "int8" in forms and photos is not None:
        onnx_files.write_int8(exact, forms["int8"], photos)
    if "int8-weights" in forms:
        onnx_files.write_weights_int8(exact, forms["int8-weights"])


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


def _openvino(model: Any, forms: Forms, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    openvino = import_openvino()
    plain = forms["float32"].with_name("converted.xml")
    model.export(str(plain), format="openvino", verbose=False)
    graph = openvino.Core().read_model(str(plain))
    free_batch(graph)
    openvino_files.finish(graph, inputs=INPUT, outputs=OUTPUT, classes=manifest.classes)
    for form, path in forms.items():
        openvino.save_model(graph, str(path), compress_to_fp16=form == "float16")
    for path in (plain, plain.with_suffix(".bin")):
        path.unlink()


def _openvino_of_onnx(model: Any, forms: Forms, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    sources = {form: path.with_suffix(".onnx") for form, path in forms.items()}
    _onnx(model, sources, photos, manifest)
    for form, path in forms.items():
        openvino_files.write_of_onnx(sources[form], path, inputs=INPUT, outputs=OUTPUT, classes=manifest.classes)
        sources[form].unlink()


def _keras(model: Any, forms: Forms, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    model.save(str(forms["float32"]))


def _h5(model: Any, forms: Forms, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    if others := operations(model):
        raise BadInput(
            f"--format h5 must be a network of layers alone, but {manifest.backbone} with this preprocessing has "
            f"operations between them, such as {others[0]}.",
            hint="Use --format keras.",
        )
    _keras(model, forms, photos, manifest)


def _saved_model(model: Any, forms: Forms, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    model.export(str(forms["float32"]), format="tf_saved_model", verbose=False, input_signature=_signature(model))


def _litert(model: Any, forms: Forms, photos: np.ndarray | None, manifest: BundleManifest) -> None:
    import tensorflow

    folder = forms["float32"].with_name("converted")
    model.export(str(folder), format="tf_saved_model", verbose=False, input_signature=_signature(model))
    for form, path in forms.items():
        converter = tensorflow.lite.TFLiteConverter.from_saved_model(str(folder))
        if form != "float32":
            converter.optimizations = [tensorflow.lite.Optimize.DEFAULT]
        if form == "float16":
            converter.target_spec.supported_types = [tensorflow.float16]
        int8 = form == "int8" and photos is not None
        content = _litert_int8(converter, photos) if int8 else converter.convert()
        write_atomic(path, content, writer="export")
    remove_tree(folder)


def _litert_int8(converter: Any, photos: Any) -> bytes:
    """In int8, ranges taken from `photos`; averages and the head stay in float32: in int8 they cost seven points."""
    import tensorflow

    def samples() -> Iterator[list[np.ndarray]]:
        for photo in photos:
            yield [np.array(photo[np.newaxis])]

    converter.representative_dataset = samples
    in_float32 = tensorflow.lite.experimental.QuantizationDebugOptions(denylisted_ops=FLOAT_OPERATIONS)
    selecting = tensorflow.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=samples, debug_options=in_float32
    )
    return bytes(selecting.get_nondebug_quantized_model())


def _signature(model: Any) -> list[Any]:
    import keras

    return [keras.InputSpec(shape=(None, *model.input_shape[1:]), dtype="uint8", name=INPUT)]


Writer = Callable[[Any, Forms, np.ndarray | None, BundleManifest], None]
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
