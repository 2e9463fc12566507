"""Images a second: all taps through OpenVINO against the last layer alone through Keras' `predict` on TensorFlow.

Both sides get the same pixels in memory, in turns, in one run; weights are random, which changes no speed. Graft's
side does more work, since it returns a vector for every tap. Without TensorFlow (pip install '.[finetune]') it stops.

    python bench/bench_extraction.py [BACKBONE ...]
"""

import os
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sides import middle, random_weights, table

ROUNDS = 3
SIDES = {"mobilenet_1.0": 128, "mobilenet_v2_1.0": 224, "efficientnet_b0": 224, "resnet50": 224}
IMAGES = 256
KERAS_BATCH = 32  # the default of Keras' predict


def keras_rate(name: str, side_pixels: int) -> float:
    """Images a second of `predict` on TensorFlow in a process of its own, after one warm-up call."""
    words = [sys.executable, __file__, "--keras", name, str(side_pixels)]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(words, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.splitlines()[-1])


def run_keras(name: str, side_pixels: int) -> None:
    """The child's part: print the rate."""
    from graft.backbones.catalogue import find
    from graft.backbones.networks import build
    from graft.features.preprocessing import network_input

    record = find(name)
    model = build(record, side_pixels=side_pixels)
    inputs = network_input(pixels(side_pixels), record.preprocessing)
    model.predict(inputs[:KERAS_BATCH], batch_size=KERAS_BATCH, verbose=0)
    began = time.perf_counter()
    model.predict(inputs, batch_size=KERAS_BATCH, verbose=0)
    print(len(inputs) / (time.perf_counter() - began))


def pixels(side_pixels: int) -> np.ndarray:
    """Random images, `(image, side, side, 3)` uint8."""
    return np.random.default_rng(0).integers(0, 256, (IMAGES, side_pixels, side_pixels, 3), dtype=np.uint8)


def graft_engine(name: str, side_pixels: int, cache: Path):  # an Engine, imported late
    """An engine for all taps with random weights."""
    from graft.backbones.weights import resolve
    from graft.core import machine
    from graft.features.engines import best_precision, open_engine
    from graft.features.records import Output, Program

    record, weights = resolve(name, random_weights(name, side_pixels, cache), cache)
    program = Program(
        backbone=record.name,
        weights_sha256=weights.sha256,
        side_pixels=side_pixels,
        preprocessing=record.preprocessing,
        outputs=tuple(Output(layer=layer) for layer in record.taps),
        precision=best_precision(),
    )
    threads = machine.threads()
    engines = {program.precision: open_engine(program, weights, threads=threads, cache=cache)}
    full = replace(program, precision="float32")
    engines["float32"] = engines.get("float32") or open_engine(full, weights, threads=threads, cache=cache)
    return engines


def graft_rate(engine, images: np.ndarray) -> float:
    """Images a second through an engine."""
    from graft.features.engines import run_pixels

    run_pixels(engine, images[:32])
    began = time.perf_counter()
    run_pixels(engine, images)
    return len(images) / (time.perf_counter() - began)


def measure(name: str, side_pixels: int) -> dict[str, object]:
    """Rates in turns, and the median of their ratios."""
    images = pixels(side_pixels)
    with tempfile.TemporaryDirectory() as cache:
        engines = graft_engine(name, side_pixels, Path(cache))
        rounds = []
        for _ in range(ROUNDS):
            rates = {precision: graft_rate(engine, images) for precision, engine in engines.items()}
            rounds.append(rates | {"keras": keras_rate(name, side_pixels)})
    row: dict[str, object] = {"backbone": f"{name} at {side_pixels} px"}
    row["Keras predict, images/s"] = f"{middle([rates['keras'] for rates in rounds]):.0f}"
    for precision in ("float32", "bfloat16"):
        if precision in engines:
            row[f"Graft {precision}, images/s"] = f"{middle([rates[precision] for rates in rounds]):.0f}"
            row[f"{precision} ratio"] = f"{middle([rates[precision] / rates['keras'] for rates in rounds]):.1f}"
    return row


def main() -> None:
    """Measure the backbones named, or all."""
    if sys.argv[1:2] == ["--keras"]:
        run_keras(sys.argv[2], int(sys.argv[3]))
        return
    table([measure(name, SIDES[name]) for name in sys.argv[1:] or SIDES])


if __name__ == "__main__":
    main()
