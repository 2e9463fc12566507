"""The child process that converts a network to an OpenVINO graph and proves that the graph computes the same.

Run as `python -m graft.features.compile_worker` by `graft.features.compiled`, with KERAS_BACKEND=openvino.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.networks import fastest_format
from graft.backbones.weights import WeightsFile
from graft.core.child import serve_child
from graft.core.errors import ResourceProblem
from graft.core.files import make_directory, remove_tree, temporary_path, write_atomic
from graft.core.hashing import CHUNK_BYTES, sha256_file
from graft.core.randomness import stream
from graft.core.records import from_json, to_json, to_value
from graft.core.telemetry import import_openvino, without_telemetry
from graft.features.forms import CONSTANTS_FILE, GRAPH_FILE, RECORD_FILE
from graft.features.graphs import exact_forward, joined_outputs, loaded_network, pixels_model, separate
from graft.features.preprocessing import network_input, whitening_of
from graft.features.protocol import check_finite
from graft.features.records import CompiledForm, Program

PROBE_IMAGES = 3  # not 1: a batch size of 1 that conversion left behind must show
TOLERANCE = 1e-4  # relative to the largest value of an output; correct conversions stay near 1e-6
WRITER = "compiled"


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Convert, repair, bind, prove, store. `job` is made by `graft.features.compiled`."""
    program = from_json(Program, json.dumps(job["program"]).encode(), source="job")
    weights = weights_of(job)
    folder = Path(job["folder"])
    with without_telemetry():
        import keras
    scratch = temporary_path(folder)
    make_directory(scratch)
    try:
        converted = scratch / "converted.xml"
        convert(program, weights, converted)
        graph = import_openvino().Core().read_model(str(converted))
        repaired = free_batch(graph)
        pixels = probe_pixels(program.side_pixels)
        expected = reference_outputs(program, weights, pixels)
        check_finite(expected, range(PROBE_IMAGES))
        error = bind_outputs(graph, program, expected, pixels)
        import_openvino().serialize(graph, str(scratch / GRAPH_FILE), str(scratch / CONSTANTS_FILE))
        form = CompiledForm(
            key=job["key"],
            graph_sha256=sha256_file(scratch / GRAPH_FILE),
            constants_sha256=sha256_file(scratch / CONSTANTS_FILE),
            largest_error=error,
            repaired=repaired,
            openvino=import_openvino().__version__,
            keras=keras.__version__,
            backbone=program.backbone,
            weights_sha256=program.weights_sha256,
            top_sha256=program.top_sha256,
            side_pixels=program.side_pixels,
        )
        _store(form, scratch, folder)
    finally:
        remove_tree(scratch)
    return dict(to_value(form))


def weights_of(job: dict[str, Any]) -> WeightsFile:
    """The weights that `graft.features.compiled.described` named."""

    def file(value: dict[str, str]) -> WeightsFile:
        return WeightsFile(Path(value["path"]), value["prefix"], value["sha256"])

    top, whitening = (file(job[name]) if job[name] else None for name in ("top", "whitening"))
    return replace(file(job["weights"]), top=top, whitening=whitening)


def convert(program: Program, weights: WeightsFile, path: Path) -> None:
    """Write the program's graph, pixels in, as Keras exports it."""
    network = loaded_network(program, weights, data_format=fastest_format(find(program.backbone)))
    whitening = whitening_of(program.preprocessing, weights)
    pixels_model(network, program, whitening).export(str(path), format="openvino", verbose=False)


def free_batch(graph: Any) -> int:
    """Let every reshape keep the batch it is given, and return how many did not.

    The conversion traces one image, so a reshape to `(batch, 1, 1, channel)` (squeeze and excitation) becomes one to
    `(1, 1, 1, channel)`. A first number of 1 where a dynamic batch comes in is such a leftover: it becomes -1.
    """
    repaired = 0
    while True:
        found = next((node for node in graph.get_ordered_ops() if _holds_batch(node)), None)
        if found is None:
            return repaired
        shape = found.input_value(1).get_node().data.copy()
        shape[0] = -1
        constant = import_openvino().opset16.constant(shape)
        found.input(1).replace_source_output(constant.output(0))
        graph.validate_nodes_and_infer_types()  # what follows this reshape may only now be seen to be dynamic
        repaired += 1


def reference_outputs(program: Program, weights: WeightsFile, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The outputs by name as Keras computes them in float32, on another way: channels-last, numpy preprocessing."""
    model, shapes = joined_outputs(loaded_network(program, weights), program.outputs)
    forward = exact_forward(model, len(pixels))
    whitening = whitening_of(program.preprocessing, weights)
    return separate(forward(network_input(pixels, program.preprocessing, whitening)), shapes)


def probe_pixels(side_pixels: int) -> np.ndarray:
    """Seeded coarse patches with noise, (3, side, side, 3) uint8: bright and dark areas, colours and edges."""
    generator = stream(0, "compile", "probe")
    coarse = generator.integers(0, 226, (PROBE_IMAGES, 8, 8, 3))
    where = np.arange(side_pixels) * 8 // side_pixels
    patches = coarse[:, where][:, :, where]
    return (patches + generator.integers(0, 30, patches.shape)).astype(np.uint8)


def bind_outputs(graph: Any, program: Program, expected: Mapping[str, np.ndarray], pixels: np.ndarray) -> float:
    """Give each result of the graph the name of the output whose values it has; return the largest relative error.

    Conversion numbers results and may reorder them, so their values decide. An output that no result reproduces within
    `TOLERANCE` is refused (`ResourceProblem` cannot_compile): this is what proves preprocessing, layout and repairs.
    """
    compiled = import_openvino().Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    request = compiled.create_infer_request()
    try:
        request.infer({0: pixels})
    except RuntimeError as error:
        raise _unlike(program, f"got: {str(error).strip().splitlines()[-1][:200]}") from error
    results = [np.array(request.get_output_tensor(number).data) for number in range(len(compiled.outputs))]
    free = set(range(len(results)))
    largest = 0.0
    for position, output in enumerate(program.outputs):
        difference, _, chosen = _nearest(results, free, expected[output.name], position)
        if difference > TOLERANCE:
            raise _unlike(program, f"got {difference:.3g} in output {output.name}")
        graph.outputs[chosen].get_tensor().add_names({output.name})
        free.remove(chosen)
        largest = max(largest, difference)
    return largest


def relative_error(values: np.ndarray, expected: np.ndarray) -> float:
    """Largest difference relative to the largest expected value; infinite for another shape, NaN or infinity."""
    if values.shape != expected.shape or not np.isfinite(values).all():
        return float("inf")
    scale = float(np.abs(expected).max())
    difference = float(np.abs(values - expected).max())
    return difference / scale if scale else difference


def _nearest(
    results: Sequence[np.ndarray], free: set[int], expected: np.ndarray, position: int
) -> tuple[float, bool, int]:
    """Error, whether it is not at `position`, and number of the free result that is most like `expected`."""
    ranked = sorted((relative_error(results[number], expected), number != position, number) for number in free)
    return ranked[0] if ranked else (float("inf"), True, -1)


def _unlike(program: Program, problem: str) -> ResourceProblem:
    return ResourceProblem(
        f"The compiled form of {program.backbone} must reproduce its network within {TOLERANCE:g}, {problem}.",
        hint="Use --engine keras, and tell us the versions: graft --version.",
        code="cannot_compile",
    )


def _holds_batch(node: Any) -> bool:
    if node.get_type_name() != "Reshape" or not node.input(0).get_partial_shape()[0].is_dynamic:
        return False
    source = node.input_value(1).get_node()
    if source.get_type_name() != "Constant":
        return False
    shape = source.data
    return bool(len(shape) and shape[0] == 1 and (shape != -1).all())


def _store(form: CompiledForm, scratch: Path, folder: Path) -> None:
    """Move the two files into place, then the record that makes them count."""
    for name in (GRAPH_FILE, CONSTANTS_FILE):
        write_atomic(
            folder / name, _pieces(scratch / name), writer=WRITER, needed_bytes=(scratch / name).stat().st_size
        )
    write_atomic(folder / RECORD_FILE, to_json(form), writer=WRITER)


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


if __name__ == "__main__":
    serve_child(main)
