"""Whether a network computes here what it computes in Keras: the check behind `graft backbones verify --deep`."""

from pathlib import Path

from graft.backbones.catalogue import find
from graft.backbones.weights import WeightsFile
from graft.core.child import run_child
from graft.core.records import to_value
from graft.features.compiled import COMPILE_SECONDS, child_environment, described
from graft.features.records import Program

WORKER = "graft.features.proof_worker"
# Of float32, relative to an output's largest value; sound forms stay near 1e-6, the batch may take another algorithm.
TOLERANCE = 1e-3


def proof_error(program: Program, weights: WeightsFile, *, threads: int, cache: Path) -> float:
    """The largest relative difference between engine and Keras on probe pixels; -1 where they are no numbers at all.

    Takes a second process and, where the program was never compiled, a minute.
    """
    answer = run_child(
        WORKER,
        {"program": to_value(program), **described(program, weights), "threads": threads, "cache": str(cache)},
        environment=child_environment(cache),
        timeout_seconds=2 * COMPILE_SECONDS,
        task=f"Checking {find(program.backbone).title}",
    )
    return float(answer["largest_error"])
