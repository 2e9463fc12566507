"""Which engine runs a program: OpenVINO, or Keras itself."""

from pathlib import Path
from typing import Literal

import numpy as np

from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.errors import BadInput, IntegrityProblem, ResourceProblem
from graft.features.keras_engine import KerasEngine, keras_identity
from graft.features.openvino_engine import OpenVinoEngine, openvino_identity
from graft.features.protocol import Batch as Batch
from graft.features.protocol import Engine as Engine
from graft.features.protocol import Outputs as Outputs
from graft.features.protocol import Rows as Rows
from graft.features.records import Precision, Program

EngineKind = Literal["openvino", "keras"]


def open_engine(
    program: Program,
    weights: WeightsFile,
    *,
    kind: EngineKind = "openvino",
    threads: int,
    cache: Path,
    apart: bool = False,
) -> Engine:
    """An engine that is ready to run `program`. Threads share a batch of one image, unless they are to work `apart`.

    Raises: `IntegrityProblem` hash_mismatch where the weights are not the program's, `ResourceProblem` where the
    precision or the compiled form cannot be had on this machine, `BadInput` extra_missing where Keras has no backend.
    """
    _check_weights(program, weights)
    _check_precision(program.precision, kind)
    if kind == "keras":
        return KerasEngine.open(program, weights)
    return OpenVinoEngine.open(program, weights, threads=threads, cache=cache, apart=apart)


def engine_identity(program: Program, *, kind: EngineKind, threads: int) -> str:
    """The identity an engine of this kind will have here. For OpenVINO it is known without importing anything."""
    return keras_identity() if kind == "keras" else openvino_identity(program, threads)


def best_precision() -> Precision:
    """`bfloat16` where OpenVINO computes in it on this processor, otherwise `float32`.

    ARM processors with bfloat16 instructions are not among them: OpenVINO does not use those.
    """
    x86 = "asimd" not in machine.cpu_features()
    return "bfloat16" if x86 and machine.has_bfloat16() else "float32"


def run_pixels(engine: Engine, pixels: np.ndarray) -> Outputs:
    """Run images that are in memory: (n, side, side, 3) uint8, any n >= 1. Values as in `Engine.run`, n rows."""
    size = engine.program.batch_images
    starts = range(0, len(pixels), size)
    batches = ((tuple(range(at, min(at + size, len(pixels)))), pixels[at : at + size]) for at in starts)
    parts = [outputs for _, outputs in engine.run(batches)]
    if not parts:
        raise BadInput("'pixels' must hold at least one image, got none.")
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _check_weights(program: Program, weights: WeightsFile) -> None:
    top_sha256 = weights.top.sha256 if weights.top is not None else ""
    for name, wanted, got in (
        ("weights", program.weights_sha256, weights.sha256),
        ("weights of the top", program.top_sha256, top_sha256),
    ):
        if wanted and got != wanted:
            raise IntegrityProblem(
                f"The {name} must have SHA-256 {wanted}, got {got or 'none'}.",
                hint="Use the weights file that this classifier was trained with.",
                code="hash_mismatch",
            )


def _check_precision(precision: Precision, kind: EngineKind) -> None:
    if precision == "float32":
        return
    if kind == "keras":
        raise BadInput(
            "The engine 'keras' must run in float32, got bfloat16.",
            hint="Use --precision float32 or --engine openvino.",
        )
    if best_precision() != "bfloat16":
        raise ResourceProblem(
            "The processor must compute in bfloat16 for this program, got one that does not.",
            hint="Use --precision float32.",
        )
