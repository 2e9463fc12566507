"""How fast this machine computes a network's layers: a convolution on the inference engine, timed for a moment."""

import time
from typing import Final

import numpy as np

from graft.core.telemetry import import_openvino
from graft.features.openvino_engine import HINTS
from graft.features.records import Precision

CHANNELS: Final = 256
SIDE: Final = 28
IMAGES: Final = 4
MULTIPLY_ADDS: Final = IMAGES * SIDE**2 * CHANNELS**2 * 9
TIMED_SECONDS: Final = 0.25
LEAST_RUNS: Final = 12  # where other programs take the processor, a few would all be slow


def multiply_adds_per_second(precision: Precision, threads: int) -> float:
    """Multiply-adds a second of a 3 x 3 convolution of 256 channels, the best of a quarter of a second."""
    openvino = import_openvino()
    ops = openvino.opset13

    read = ops.parameter((IMAGES, CHANNELS, SIDE, SIDE), np.float32)
    kernel = ops.constant(np.full((CHANNELS, CHANNELS, 3, 3), 1e-3, np.float32))
    layer = ops.convolution(read, kernel, (1, 1), (1, 1), (1, 1), (1, 1))
    mean = ops.reduce_mean(layer, ops.constant(np.array([2, 3])), keep_dims=False)  # a few numbers to hand out
    hints = {"INFERENCE_PRECISION_HINT": HINTS[precision], "INFERENCE_NUM_THREADS": threads}
    request = openvino.Core().compile_model(openvino.Model([mean], [read]), "CPU", hints).create_infer_request()
    images = np.ones((IMAGES, CHANNELS, SIDE, SIDE), np.float32)
    request.infer([images])
    runs: list[float] = []
    until = time.perf_counter() + TIMED_SECONDS
    while len(runs) < LEAST_RUNS or time.perf_counter() < until:
        began = time.perf_counter()
        request.infer([images])
        runs.append(time.perf_counter() - began)
    return MULTIPLY_ADDS / min(runs)
