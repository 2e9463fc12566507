"""Whole trainings on real photos: accuracy over split seeds, the gain over the last layer alone, and wall time.

Needs the folder `shared` beside the repository. The compiled backbone is made before the first timed run; features are
not kept between runs, so that each run reads its photos through the network.

    python bench/bench_accuracy.py [DATA ...]
"""

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sides import SHARED, middle, table, train


@dataclass(frozen=True)
class Case:
    """A data set, the backbone to read it with, and what is asked of the result."""

    data: str
    family: str
    weights: str
    side_pixels: int
    seeds: int
    floor: float  # mean test accuracy
    seconds: float  # of a whole command


CASES = (
    Case("sign_digits", "mobilenet", "mobilenet_1.0_224_notop.weights.h5", 128, 5, 0.965, 25),
    Case("santa", "mobilenet", "mobilenet_1.0_224_notop.weights.h5", 128, 5, 0.985, 20),
    Case("cats_and_dogs_small", "mobilenet_v2", "mobilenet_v2_1.0_224_notop.weights.h5", 224, 1, 0.983, 60),
)


def measure(case: Case, cache: Path) -> dict[str, object]:
    """Train once for each seed."""
    words = [str(SHARED / "data" / case.data), "--weights", str(SHARED / "weights" / case.weights)]
    words += ["--recipe", "probe", "--backbone", case.family, "--image-size", str(case.side_pixels)]
    train(words, cache=cache)  # compiles
    results = []
    for seed in range(case.seeds):
        for folder in ("store", "scan"):
            shutil.rmtree(cache / folder, ignore_errors=True)
        results.append(train([*words, "--seed", str(seed)], cache=cache))
        tested, wall = results[-1]["test"]["accuracy"], results[-1]["wall"]
        print(f"{case.data} seed {seed}: {tested:.4f} in {wall:.1f} s", file=sys.stderr)
    accuracies = [result["test"]["accuracy"] for result in results]
    gains = [result["comparison"]["difference"] for result in results]
    return {
        "data": case.data,
        "backbone": f"{results[0]['backbone']} at {case.side_pixels} px",
        "seeds": case.seeds,
        "test, mean": f"{sum(accuracies) / len(accuracies):.2%}",
        "test, range": f"{min(accuracies):.2%} to {max(accuracies):.2%}",
        "floor": f"{case.floor:.1%}",
        "gain over last layer, mean": f"{100 * sum(gains) / len(gains):+.1f} points",
        "seconds, median": f"{middle([result['wall'] for result in results]):.1f}",
        "seconds allowed": f"{case.seconds:.0f}",
        "anonymous memory": f"{max(result['anonymous'] for result in results) / 2**20:.0f} MiB",
    }


def main() -> None:
    """Measure the data sets named, or all."""
    if not SHARED.is_dir():
        sys.exit(f"real photos and weights must be in {SHARED}, but it is not there")
    wanted = sys.argv[1:] or [case.data for case in CASES]
    with tempfile.TemporaryDirectory() as cache:
        table([measure(case, Path(cache)) for case in CASES if case.data in wanted])


if __name__ == "__main__":
    main()
