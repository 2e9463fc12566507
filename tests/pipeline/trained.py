"""Whole trainings in processes of their own, and what is looked at of the runs they leave."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.bundle.format import read_bundle
from graft.pipeline.run import Run

ROOT = Path(__file__).resolve().parents[2]
SECONDS_TO_END = 600
FILES = {
    *("classifier.graft", "comparison.json", "evaluation.json", "inspection.json", "made.json", "manifest.json"),
    *("plan.json", "predictions.safetensors", "probe.json", "report.html", "report.json", "thumbnails.safetensors"),
    *("tuning.json", "history.csv", "layers.txt"),
}
LABELS = ("checks", "plain", "stripes")


class Trained:
    """What a child process left."""

    def __init__(self, place: Path, results: dict[str, Any]) -> None:
        self.place = place
        self.results = results

    def __getitem__(self, name: str) -> dict[str, Any]:
        """What was told of a training that went well."""
        found: dict[str, Any] = self.results[name]
        assert "error" not in found, found
        return found

    def run(self, name: str) -> Run:
        """Its run."""
        return Run.open(self.place / name)


def train_in_child(jobs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """What came of each training, by its name; see `training_child`."""
    if find_spec("tensorflow") is None:  # looked for, not loaded: here Keras computes with OpenVINO
        pytest.skip("needs the extra finetune")
    ended = subprocess.run(
        [sys.executable, "-m", "tests.pipeline.training_child"],
        input=json.dumps(jobs),
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        timeout=SECONDS_TO_END,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def tensors_of(run: Run) -> dict[str, np.ndarray]:
    """Copies of all tensors of its classifier."""
    _, file = read_bundle(run.bundle)
    with file:
        return {name: np.array(array) for name, array in file.tensors.items()}


def backbone_of(run: Run) -> dict[str, np.ndarray]:
    """The network's, by `layer/weight`."""
    every = tensors_of(run)
    return {name.removeprefix("backbone/"): every[name] for name in every if name.startswith("backbone/")}
