"""What the benchmarks share: where optional real data lie, and a table of results."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

SHARED = Path(__file__).resolve().parents[2] / "shared"  # real photos and weights, no part of the repository
POLL_SECONDS = 0.05
SAVE = """
import sys
from graft.backbones.catalogue import find
from graft.backbones.networks import build
build(find(sys.argv[1]), side_pixels=int(sys.argv[2])).save_weights(sys.argv[3])
"""


def train(words: Sequence[str], *, cache: Path, run: Path | None = None) -> dict[str, Any]:
    """Run `graft train … --json` in a process of its own; returns its object with `wall` seconds and `anonymous` bytes.

    The run is kept where `run` names a folder. `anonymous` is the peak of memory that no file backs, children included,
    sampled on Linux; 0 elsewhere. Added are the run's records `comparison`, and `summary` of its fine-tuning, None
    where there was none.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = run or Path(folder, "run")
        command = [sys.executable, "-m", "graft", "train", *words, "-o", str(run), "--json", "--quiet"]
        began = time.perf_counter()
        environment = os.environ | {"GRAFT_CACHE": str(cache)}
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        peak = watch_anonymous(process)
        output = process.communicate()[0]
        wall = time.perf_counter() - began
        if process.returncode:
            sys.exit(f"{' '.join(command)} ended with status {process.returncode}")
        comparison = json.loads((run / "comparison.json").read_text())
        tuning = run / "tuning.json"
        summary = json.loads(tuning.read_text()) if tuning.is_file() else None
    measured = {"wall": wall, "anonymous": peak, "comparison": comparison, "summary": summary}
    return json.loads(output.splitlines()[-1]) | measured


def random_weights(name: str, side_pixels: int, folder: Path) -> Path:
    """A weights file of a backbone with random numbers, which change no speed."""
    file = folder / "random.weights.h5"
    words = [sys.executable, "-c", SAVE, name, str(side_pixels), str(file)]
    subprocess.run(words, env=os.environ | {"KERAS_BACKEND": "openvino"}, check=True)
    return file


def watch_anonymous(process: "subprocess.Popen[str]") -> int:
    """Wait for a process; returns the largest sum of its and its children's anonymous memory, in bytes."""
    peak = 0
    while process.poll() is None:
        peak = max(peak, anonymous_bytes(process.pid))
        time.sleep(POLL_SECONDS)
    return peak


def anonymous_bytes(pid: int) -> int:
    """Anonymous memory of a process and all below it, from /proc; 0 where that cannot be read."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return 0
    own = next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("RssAnon")), 0)
    return own + sum(anonymous_bytes(int(child)) for child in children)


def table(rows: Sequence[Mapping[str, object]]) -> None:
    """Print rows as a Markdown table: what `RESULTS.md` keeps."""
    names = list(rows[0])
    print("| " + " | ".join(names) + " |")
    print("|" + "---|" * len(names))
    for row in rows:
        print("| " + " | ".join(str(row[name]) for name in names) + " |")


def middle(values: Sequence[float]) -> float:
    """The median."""
    return statistics.median(values)
