"""The smallest training that goes on from checkpoints: momentum descent in NumPy, committed after every step.

`python -m tests.crash.mini_training FOLDER STEPS [SIGNAL]` trains until it is done or asked to end, and writes
`FOLDER/result`. It sends itself the signal of that number in the middle of the third step it makes; twice where the
number is negative.
"""

import os
import sys
from pathlib import Path

import numpy as np

from graft.core.files import write_atomic
from graft.core.interrupts import Stop, Stopped, cooperative
from graft.core.randomness import stream
from graft.core.tensors import tensors_sha256
from graft.training.checkpoints import Checkpoints

WIDTH = 200
IDENTITY = {"plan": "mini"}


def main(folder: str, steps: str, number: str = "0") -> int:
    place = Path(folder)
    with cooperative() as stop:
        print("ready", flush=True)
        done = train(Checkpoints(place / "checkpoints", IDENTITY, print), int(steps), stop, int(number))
        if not stop():
            write_atomic(place / "result", tensors_sha256(done).encode(), writer="result")
    try:
        stop.check()
    except Stopped as stopped:
        print("stopped", flush=True)
        return stopped.status
    return 0


def train(checkpoints: Checkpoints, steps: int, stop: Stop, number: int) -> dict[str, np.ndarray]:
    saved = checkpoints.load()
    begun = saved.step if saved else 0
    weights, momentum = (np.array(saved.tensors[name]) if saved else np.ones(WIDTH) for name in ("weights", "momentum"))
    for step in range(begun, steps):
        if stop():
            break
        batch = stream(0, "order", str(step)).normal(size=(32, WIDTH))
        gradient = batch.T @ (batch @ weights) / 32
        for _ in range(0 if step - begun != 2 or not number else 1 if number > 0 else 2):
            os.kill(os.getpid(), abs(number))
        momentum = 0.9 * momentum + gradient
        weights = weights - 1e-4 * momentum
        checkpoints.save(step + 1, {"weights": weights, "momentum": momentum}, {"done": step + 1 == steps})
    return {"weights": weights, "momentum": momentum}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
