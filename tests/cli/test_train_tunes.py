"""`graft train` that fine-tunes, as typed: the words reach the training on each backend, as what it leaves shows."""

import csv
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.pipeline.conftest import write_photos
from tests.report.test_tensorboard import scalars

ROOT = Path(__file__).resolve().parents[2]
SECONDS_TO_END = 600
USUAL = ("--recipe", "finetune", "--backbone", "sprout", "--image-size", "48", "--views", "2")
BACKENDS = ("tensorflow", "jax", "torch")
pytestmark = pytest.mark.slow  # a whole command, which loads a training library


def typed(data: Path, run: Path, *words: str) -> list[dict[str, str]]:
    """The rows of `history.csv` that `graft train` leaves, in a process of its own."""
    command = [sys.executable, "-m", "graft", "train", str(data), "-o", str(run), *USUAL, *words]
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS_TO_END, check=False
    )
    assert ended.returncode == 0, ended.stderr
    with (run / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def told_of_layers(run: Path) -> list[tuple[str, str]]:
    """(name, what became of it) of each layer that `layers.txt` tells of."""
    text = (run / "layers.txt").read_text(encoding="utf-8")
    rows = [line.split() for line in text.splitlines() if re.match(r"\d+ +\w", line)]
    return [(row[1], "trained" if row[-1] == "trained" else "frozen") for row in rows]


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"), per_class=12, labels=("plain", "stripes"))


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_last_layers_are_tuned_and_watched(backend: str, photos: Path, tmp_path: Path) -> None:
    if find_spec(backend) is None or find_spec("tensorboard") is None:
        pytest.skip(f"needs {backend} and tensorboard")
    words = ("--unfreeze-last", "5", "--epochs", "2", "--backend", backend, "--tensorboard", str(tmp_path / "curves"))
    rows = typed(photos, tmp_path / "run", *words)
    assert [row["number"] for row in rows] == ["1", "2"]
    assert json.loads((tmp_path / "run" / "plan.json").read_bytes())["tuning"]["backend"] == backend

    layers = told_of_layers(tmp_path / "run")
    assert len(layers) > 20
    assert {state for _, state in layers[:-5]} == {"frozen"}
    assert "trained" in {state for _, state in layers[-5:]}

    for split, prefix in (("train", ""), ("validation", "validation_")):
        drawn = scalars(tmp_path / "curves" / split)
        for number, row in enumerate(rows, start=1):
            for name in ("loss", "accuracy"):
                assert drawn[name, number] == pytest.approx(float(row[prefix + name]), rel=1e-5)


def test_where_no_time_is_left_the_least_is_done_in_larger_batches(photos: Path, tmp_path: Path) -> None:
    if find_spec("tensorflow") is None:
        pytest.skip("needs the extra finetune")
    rows = typed(photos, tmp_path / "run", "--time-budget", "1s", "--backend", "tensorflow")
    text = (tmp_path / "run" / "layers.txt").read_text(encoding="utf-8")
    assert "the least there is, more than the budget of 1.0 s allows" in text
    n_train = 24 * 0.7
    steps = int(rows[0]["step"])
    assert steps == -(-n_train // 32)  # so few photos are usually taken by 16
