"""The child process that compares a compiled network with the same network in Keras, both on the same pixels.

Run as `python -m graft.features.proof_worker` by `graft.features.proof`, with KERAS_BACKEND=openvino.
"""

import json
from pathlib import Path
from typing import Any

from graft.core.child import serve_child
from graft.core.records import from_json
from graft.features.compile_worker import probe_pixels, reference_outputs, relative_error, weights_of
from graft.features.engines import open_engine, run_pixels
from graft.features.records import Program


def main(job: dict[str, Any]) -> dict[str, Any]:
    """The largest relative error over all outputs; an error of another shape or NaN counts as -1, JSON has no infinity.

    `job` is made by `graft.features.proof`.
    """
    program = from_json(Program, json.dumps(job["program"]).encode(), source="job")
    weights = weights_of(job)
    pixels = probe_pixels(program.side_pixels)
    expected = reference_outputs(program, weights, pixels)
    with open_engine(program, weights, threads=job["threads"], cache=Path(job["cache"])) as engine:
        values = run_pixels(engine, pixels)
        events = list(engine.events)
    errors = [relative_error(values[name], expected[name]) for name in expected]
    largest = max(errors)
    return {"largest_error": largest if largest != float("inf") else -1.0, "events": events}


if __name__ == "__main__":
    serve_child(main)
