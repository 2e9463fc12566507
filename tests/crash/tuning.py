"""Small fine-tunings on the command line, all of them pinned, for tests that disturb them."""

import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

EPOCHS = 12
SECONDS_TO_END = 600.0
# What is left to the machine otherwise is pinned; chance of every kind takes part.
WORDS = (
    *("--recipe", "finetune", "--backbone", "sprout", "--image-size", "64", "--precision", "float32"),
    *("--backend", "tensorflow", "--train-precision", "float32", "--unfreeze-last", "6", "--store", "always"),
    *("--views", "3", "--epochs", str(EPOCHS), "--batch", "8", "--augment", "light"),
    *("--dropout", "0.2", "--mixup", "0.2"),
)
# A reference recipe of two phases: first the head, then the upper layers too; a hundred steps an epoch, as published.
PHASES = (4, 3)  # epochs
RECIPE_WORDS = (
    *("--recipe", "finetune-vgg16-block5", "--backbone", "sprout", "--image-size", "48", "--precision", "float32"),
    *("--backend", "tensorflow", "--train-precision", "float32", "--store", "always", "--views", "2"),
    *("--epochs", ",".join(map(str, PHASES)), "--batch", "8"),
)
# Everything that is the same whenever a training ran; made.json and the report tell times.
SAME = (
    *("classifier.graft", "evaluation.json", "predictions.safetensors", "comparison.json", "manifest.json"),
    *("plan.json", "probe.json", "inspection.json", "tuning.json", "history.csv"),
)
SAME_OF_RECIPE = (*SAME, "phase-1.graft", "layers.txt")


@dataclass(frozen=True)
class Training:
    """One run's folder with a cache of its own."""

    photos: Path
    place: Path
    words: tuple[str, ...] = WORDS
    same: tuple[str, ...] = SAME

    @property
    def run(self) -> Path:
        """What it writes."""
        return self.place / "run"

    @property
    def cache(self) -> Path:
        """What it keeps to be fast."""
        return self.place / "cache"

    def begin(self, *words: str, program: tuple[str, ...] = ("-m", "graft")) -> "subprocess.Popen[str]":
        """Start `graft train`; what it says goes to a pipe."""
        return subprocess.Popen(
            [sys.executable, *program, "train", str(self.photos), "-o", str(self.run), *self.words, *words],
            env=os.environ | {"GRAFT_CACHE": str(self.cache)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def finish(self, *words: str) -> float:
        """Run to the end; returns how many seconds that took."""
        began = time.monotonic()
        process = self.begin(*words)
        _, told = process.communicate(timeout=SECONDS_TO_END)
        assert process.returncode == 0, told
        return time.monotonic() - began

    def commits(self, phase: int = 1) -> list[Path]:
        """A phase's checkpoints, the oldest first."""
        return sorted((self.run / "checkpoints" / str(phase)).glob("step-*"))

    def wait_for_commit(self, process: "subprocess.Popen[str]", n: int = 1, phase: int = 1) -> bool:
        """Until `n` checkpoints are there that were not when this was called; False where the training ended before."""
        before, new = set(self.commits(phase)), set[Path]()
        give_up = time.monotonic() + SECONDS_TO_END
        while len(new) < n:
            new |= set(self.commits(phase)) - before
            if process.poll() is not None:
                return False
            assert time.monotonic() < give_up
            time.sleep(0.01)
        return True

    def results(self) -> dict[str, bytes]:
        """What must not depend on how often the training was begun."""
        return {name: (self.run / name).read_bytes() for name in self.same}
