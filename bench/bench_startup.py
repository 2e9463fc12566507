"""How long commands take to start, as multiples of Python's own start, measured in turns in one run.

The first prediction is that of a fresh process, the network compiled before: with MobileNet 1.0 at 224 px where the
folder `shared` has its weights, else with the built-in backbone.

    python bench/bench_startup.py
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_memory import write_photos
from sides import SHARED, middle, table

ROUNDS = 7
CALLS = {
    "python -c pass": ("-c", "pass"),
    "graft --help": ("-m", "graft", "--help"),
    "graft train --help": ("-m", "graft", "train", "--help"),
    "import graft.pipeline.predict": ("-c", "import graft.pipeline.predict"),
    "import graft.pipeline.train": ("-c", "import graft.pipeline.train"),
}
WEIGHTS = SHARED / "weights" / "mobilenet_1.0_224_notop.weights.h5"


def seconds(words: tuple[str, ...]) -> float:
    """One call, from start to end."""
    began = time.perf_counter()
    subprocess.run([sys.executable, *words], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def trained(folder: Path) -> dict[str, tuple[str, ...]]:
    """Train on a few photos; returns the call that predicts one of them."""
    photos, run = folder / "photos", folder / "run"
    write_photos(photos, 200)
    words = ["--backbone", "mobilenet", "--weights", str(WEIGHTS)] if WEIGHTS.is_file() else []
    subprocess.run([sys.executable, "-m", "graft", "train", str(photos), "-o", str(run), "--quiet", *words], check=True)
    photo = next(photos.rglob("*.jpg"))
    backbone = "MobileNet 1.0" if words else "sprout"
    return {f"graft predict, one photo, {backbone}": ("-m", "graft", "predict", str(run), str(photo))}


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRAFT_CACHE"] = f"{folder}/cache"
        calls = CALLS | trained(Path(folder))
        for words in calls.values():
            seconds(words)  # bytecode is written, the network is compiled, files are in memory
        rounds = [{name: seconds(words) for name, words in calls.items()} for _ in range(ROUNDS)]
    base = middle([each["python -c pass"] for each in rounds])
    rows = []
    for name in calls:
        typical = middle([each[name] for each in rounds])
        rows.append({"start of": name, "seconds": f"{typical:.3f}", "times Python": f"{typical / base:.1f}"})
    table(rows)


if __name__ == "__main__":
    main()
