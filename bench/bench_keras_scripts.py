"""The reference recipes against the same systems as scripts in plain Keras, which Graft writes itself.

For each recipe, in turns: `graft train DATA --recipe NAME`, and `python SCRIPT DATA`, the script being what `graft
recipes show NAME --as-keras` prints for the same network, weights and epochs. Whole commands, each from an empty cache.
Graft's seconds hold what the script leaves out: the linear probe, its depth profile, a look for duplicates and leaks,
calibration, the report.

    python bench/bench_keras_scripts.py [--recipe NAME ...] [--epochs N] [--rounds N]
"""

import argparse
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench_recipes import CASES, Case, outcome, recipe_words, words_of
from sides import SHARED, table, train

from graft.pipeline.recipes.showing import script


def keras_run(case: Case) -> tuple[float, float]:
    """Seconds of the script, from start to exit, and the test accuracy that it prints."""
    name, weights = case.stand_in or ("auto", "")
    said: dict[str, Any] = {"weights": str(SHARED / "weights" / weights)} if weights else {}
    said |= {"split": case.split} if case.split else {}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "system.py")
        file.write_text(script(case.recipe, backbone=name, epochs=case.epochs, **said), encoding="utf-8")
        began = time.perf_counter()
        ended = subprocess.run(
            [sys.executable, str(file), str(SHARED / "data" / case.data)],
            cwd=folder,
            env=os.environ | {"KERAS_BACKEND": "tensorflow"},
            capture_output=True,
            text=True,
            check=False,
        )
        wall = time.perf_counter() - began
    found = re.search(r"^test: accuracy ([\d.]+)", ended.stdout, re.MULTILINE)
    if ended.returncode or not found:
        sys.exit(f"the script of {case.recipe} ended with status {ended.returncode}: {ended.stderr[-500:]}")
    return wall, float(found[1])


def graft_run(case: Case) -> tuple[float, float]:
    """The same of `graft train`."""
    with tempfile.TemporaryDirectory() as cache:
        found = outcome(train([*words_of(case), *recipe_words(case)], cache=Path(cache)))
    return found["seconds"], found["test"]["accuracy"]


def row(case: Case, rounds: int) -> dict[str, object]:
    """Both sides in turns; medians."""
    sides = [(keras_run(case), graft_run(case)) for _ in range(rounds)]
    seconds = [statistics.median(each[side][0] for each in sides) for side in (0, 1)]
    accuracy = [statistics.median(each[side][1] for each in sides) for side in (0, 1)]
    print(f"{case.recipe}: {seconds[0]:.0f} s and {seconds[1]:.0f} s", file=sys.stderr)
    return {
        "recipe": case.recipe,
        "network": case.stand_in[0] if case.stand_in else "its own",
        "epochs": " + ".join(map(str, case.epochs)),
        "plain Keras, seconds": f"{seconds[0]:.0f}",
        "Graft, seconds": f"{seconds[1]:.0f}",
        "ratio": f"{seconds[0] / seconds[1]:.1f}",
        "plain Keras, test": f"{accuracy[0]:.1%}",
        "Graft, test": f"{accuracy[1]:.1%}",
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare the recipes named, or all but the largest."""
    names = [case.recipe for case in CASES]
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--recipe", nargs="+", choices=names, default=names[:-1])
    words.add_argument("--epochs", type=int, default=3, help="of each phase")
    words.add_argument("--rounds", type=int, default=1)
    given = words.parse_args(arguments)
    chosen = [replace(case, epochs=(given.epochs,) * len(case.epochs)) for case in CASES if case.recipe in given.recipe]
    table([row(case, given.rounds) for case in chosen])


if __name__ == "__main__":
    main()
