"""Two choices behind the compiled forms: channels-first graphs against channels-last ones, and images in a batch.

Random weights, random pixels in memory, in turns in one run, in the fastest precision this processor has.

    python bench/bench_layout.py [BACKBONE ...]
"""

import os

os.environ["KERAS_BACKEND"] = "openvino"  # before Keras is imported: this file exports networks

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from sides import middle, table

from graft.backbones.catalogue import find
from graft.backbones.networks import build
from graft.core import machine
from graft.core.telemetry import import_openvino
from graft.features.engines import best_precision
from graft.features.graphs import read
from graft.features.records import Output

SIDES = {"mobilenet_1.0": 128, "mobilenet_v2_1.0": 224, "resnet50": 224}
BATCHES = (2, 4, 8, 16)
IMAGES = 256
ROUNDS = 3


def exported(name: str, side_pixels: int, data_format: str, folder: Path) -> Path:
    """The network with all its taps as an OpenVINO graph in one data format."""
    import keras

    record = find(name)
    path = folder / f"{name}-{data_format}.xml"
    network = build(record, side_pixels=side_pixels, data_format=data_format)
    channels_first = data_format == "channels_first"
    taps = [read(network, Output(layer=layer), channels_first=channels_first) for layer in record.taps]
    keras.Model(network.input, taps).export(str(path), format="openvino", verbose=False)
    return path


def loaded(path: Path, batch: int) -> Any:
    """A queue of inference requests on the graph, as the engine sets them up."""
    openvino, threads = import_openvino(), machine.threads()
    core = openvino.Core()
    graph = core.read_model(str(path))
    graph.reshape({graph.inputs[0]: [batch, *(size.get_length() for size in list(graph.inputs[0].partial_shape)[1:])]})
    hint = {"bfloat16": "bf16", "float32": "f32"}[best_precision()]
    settings = {"INFERENCE_PRECISION_HINT": hint, "PERFORMANCE_HINT": "THROUGHPUT"}
    settings |= {"NUM_STREAMS": str(threads), "INFERENCE_NUM_THREADS": str(threads)}
    return openvino.AsyncInferQueue(core.compile_model(graph, "CPU", settings), 2 * threads)


def rate(queue: Any, shape: list[int]) -> float:
    """Images a second."""
    images = np.random.default_rng(0).random(shape, np.float32)
    began = time.perf_counter()
    for _ in range(IMAGES // shape[0]):
        queue.start_async({0: images})
    queue.wait_all()
    return IMAGES / (time.perf_counter() - began)


def measure(name: str, side_pixels: int, folder: Path) -> dict[str, object]:
    """Rates of both formats at batch 8, and of channels-first at each batch."""
    first, last = (exported(name, side_pixels, form, folder) for form in ("channels_first", "channels_last"))
    shapes = {batch: [batch, 3, side_pixels, side_pixels] for batch in BATCHES}
    queues = {batch: loaded(first, batch) for batch in BATCHES}
    other = loaded(last, 8)
    rounds = []
    for _ in range(ROUNDS + 1):
        rates: dict[object, float] = {batch: rate(queue, shapes[batch]) for batch, queue in queues.items()}
        rounds.append(rates | {"last": rate(other, [8, side_pixels, side_pixels, 3])})
    rounds = rounds[1:]  # the first warms up
    row: dict[str, object] = {"backbone": f"{name} at {side_pixels} px"}
    row["channels-last, images/s"] = f"{middle([rates['last'] for rates in rounds]):.0f}"
    row["channels-first / channels-last"] = f"{middle([rates[8] / rates['last'] for rates in rounds]):.1f}"
    for batch in BATCHES:
        row[f"batch of {batch}, images/s"] = f"{middle([rates[batch] for rates in rounds]):.0f}"
    return row


def main() -> None:
    """Measure the backbones named, or all."""
    with tempfile.TemporaryDirectory() as folder:
        table([measure(name, SIDES[name], Path(folder)) for name in sys.argv[1:] or SIDES])


if __name__ == "__main__":
    main()
