"""Fine-tuning: how fast an epoch is from the activation store, and how good and how long whole trainings are.

Speed: epochs of VGG16 at 150 px, block 5 trained, from stored activations with Graft's own loop, against the same
epochs from pixels with Keras' `fit` on TensorFlow, in turns, each in a process of its own (`epochs.py`). Keras is taken
with its faster `jit_compile`. It keeps no averaged weights; Graft at its defaults does.

Accuracy: `graft train` with its default recipe and time budget on the data sets of the folder `shared`, from an empty
cache: what the probe reaches, what was kept, and whether that is better, photo by photo.

Ends with status 1 where a goal is missed.

    python bench/bench_finetune.py [--speed] [--photos N] [--batch N] [--epochs N] [--rounds N]
    python bench/bench_finetune.py [--accuracy] [--data NAME ...] [--seed N ...]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from epochs import BACKBONE, CUT, SIDE_PIXELS, VIEWS, Way
from sides import SHARED, middle, random_weights, table, train

EQUAL_GOAL = 3.5  # times as fast, both in the same precision
DEFAULT_GOAL = 7.0  # the precision that Graft takes by itself here, against Keras' float32
SECONDS_GOAL = 300.0  # of a whole training
MEMORY_GOAL = 3 << 30  # bytes that no file backs
AVERAGING = 0.98  # Graft's default


@dataclass(frozen=True)
class Case:
    """A data set, the backbone to train, and what is asked of the mean over its seeds."""

    data: str
    family: str
    weights: str
    side_pixels: int
    seeds: int  # of the split; one where the data come with their own
    floor: float = 0.0  # mean test accuracy of what was kept
    gains: bool = False  # fine-tuning must be kept, and right on more test photos than the probe


CASES = (
    Case("sign_digits", "mobilenet", "mobilenet_1.0_224_notop.weights.h5", 128, 3, 0.985, gains=True),
    Case("santa", "mobilenet", "mobilenet_1.0_224_notop.weights.h5", 128, 1),
    Case("cats_and_dogs_small", "mobilenet_v2", "mobilenet_v2_1.0_224_notop.weights.h5", 224, 1),
    Case("cifar10_small", "mobilenet", "mobilenet_1.0_224_notop.weights.h5", 96, 1),
)


@dataclass(frozen=True)
class Speed:
    """Of the middle epoch after the first. Processor time tells how far a busy machine shaped the rate."""

    rate: float  # images a second
    work: float  # processor milliseconds an image, over all threads


def measured(way: Way) -> Speed:
    """One way's speed, in a process of its own."""
    words = [sys.executable, str(Path(__file__).with_name("epochs.py")), json.dumps(asdict(way))]
    environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{label(way)} ended with status {done.returncode}:\n{done.stderr[-3000:]}")
    wall, work = zip(*json.loads(done.stdout.splitlines()[-1]), strict=True)
    found = Speed(rate=way.photos / middle(wall), work=1000 * middle(work) / way.photos)
    print(f"{label(way)}: {found.rate:.1f} images/s, {found.work:.1f} ms of processor an image", file=sys.stderr)
    return found


def label(way: Way) -> str:
    """What a row is called."""
    averaged = ", averaged weights" if way.averaging else ""
    jit = "default" if way.jit is None else way.jit
    names = {
        "graft": f"Graft from the store{averaged}",
        "keras": f"Keras fit from pixels, jit_compile {jit}{averaged}",
        "store": f"Graft up to {CUT}, to fill the store",
    }
    return f"{names[way.tool]}, {way.precision}"


def ways(usual: Way, precisions: Sequence[str]) -> Iterator[Way]:
    """All that is measured in one round; the store is filled in the last of the precisions, which is the default."""
    yield replace(usual, tool="store", precision=precisions[-1])
    for precision in precisions:
        own = replace(usual, precision=precision)
        for averaging in (0.0, AVERAGING):
            yield replace(own, tool="graft", averaging=averaging)
        for jit in (None, False):
            yield replace(own, tool="keras", jit=jit)


def measure_speed(words: argparse.Namespace) -> list[str]:
    """Measure and print; returns the goals that were missed."""
    from graft.features.engines import best_precision

    precisions = list(dict.fromkeys(("float32", best_precision())))
    with tempfile.TemporaryDirectory() as folder:
        weights = random_weights(BACKBONE, SIDE_PIXELS, Path(folder))
        usual = Way("keras", "float32", None, 0.0, words.photos, words.batch, words.epochs, str(weights), folder)
        every = list(ways(usual, precisions))
        rounds = [{way: measured(way) for way in every} for _ in range(words.rounds)]
    load = f", {os.getloadavg()[0]:.1f} processes running on average" if hasattr(os, "getloadavg") else ""
    print(f"{words.photos} photos in batches of {words.batch}, {words.rounds} rounds{load}\n")
    table([speed_row(way, rounds) for way in every])
    print()
    ratios = list(speed_ratios(usual, precisions, rounds))
    table(
        [
            {
                "Graft from the store": f"{ours}, averaged weights" if goal == DEFAULT_GOAL else ours,
                "Keras fit from pixels": theirs,
                "times as fast": f"{ratio:.1f}",
                "goal": goal,
                "times less processor time": f"{work:.1f}",
            }
            for ours, theirs, ratio, work, goal in ratios
        ]
    )
    print("".join(f"\n{break_even(usual, precision, precisions, rounds)}" for precision in precisions))
    return [
        f"{ours} from the store was {ratio:.1f} times as fast as {theirs} from pixels, not {goal}"
        for ours, theirs, ratio, _, goal in ratios
        if ratio < goal
    ]


def speed_row(way: Way, rounds: Sequence[Mapping[Way, Speed]]) -> dict[str, object]:
    """The middle of the rounds."""
    return {
        "what": label(way),
        "images/s": f"{middle([each[way].rate for each in rounds]):.1f}",
        "processor ms an image": f"{middle([each[way].work for each in rounds]):.1f}",
    }


def speed_ratios(
    usual: Way, precisions: Sequence[str], rounds: Sequence[Mapping[Way, Speed]]
) -> Iterator[tuple[str, str, float, float, float]]:
    """Precision of Graft, of Keras, middle ratios of time and work, the goal: equal ones, then the defaults."""
    pairs = [(each, each, 0.0, EQUAL_GOAL) for each in precisions]
    for ours, theirs, averaging, goal in (*pairs, (precisions[-1], "float32", AVERAGING, DEFAULT_GOAL)):
        own = replace(usual, tool="graft", precision=ours, averaging=averaging)
        others = [faster(usual, theirs, each) for each in rounds]
        time = middle([each[own].rate / other.rate for each, other in zip(rounds, others, strict=True)])
        work = middle([other.work / each[own].work for each, other in zip(rounds, others, strict=True)])
        yield ours, theirs, time, work, goal


def faster(usual: Way, precision: str, speeds: Mapping[Way, Speed]) -> Speed:
    """Keras with the better `jit_compile`."""
    both = [speeds[replace(usual, precision=precision, jit=jit)] for jit in (None, False)]
    return max(both, key=lambda speed: speed.rate)


def break_even(usual: Way, precision: str, precisions: Sequence[str], rounds: Sequence[Mapping[Way, Speed]]) -> str:
    """After how many epochs filling the store has paid."""
    fill = replace(usual, tool="store", precision=precisions[-1])
    own = replace(usual, tool="graft", precision=precision)
    needed = []
    for each in rounds:
        saved = 1 / faster(usual, precision, each).rate - 1 / each[own].rate  # seconds a photo and epoch
        needed.append(VIEWS / each[fill].rate / saved if saved > 0 else float("inf"))
    return f"In {precision}, storing {VIEWS} views of each photo is made up for after {middle(needed):.1f} epochs."


def measure_accuracy(words: argparse.Namespace) -> list[str]:
    """Train, print, and return the goals that were missed."""
    missed: list[str] = []
    rows: list[dict[str, object]] = []
    for case in CASES:
        if words.data and case.data not in words.data:
            continue
        absent = [
            path for path in (SHARED / "data" / case.data, SHARED / "weights" / case.weights) if not path.exists()
        ]
        if absent:
            print(f"{case.data} is skipped: {absent[0]} is not there", file=sys.stderr)
            continue
        results = [train_once(case, seed) for seed in words.seed or range(case.seeds)]
        rows += [result_row(case, result) for result in results]
        missed += [sentence for result in results for sentence in missed_by(case, result)]
        mean = sum(result["test"]["accuracy"] for result in results) / len(results)
        if mean < case.floor:
            missed.append(f"{case.data}: {mean:.2%} on the test photos in the mean, not {case.floor:.1%}")
        print(f"{case.data}: {mean:.2%} in the mean of {len(results)}", file=sys.stderr)
    if rows:
        table(rows)
    return missed


def train_once(case: Case, seed: int) -> dict:
    """One training from an empty cache."""
    words = [str(SHARED / "data" / case.data), "--weights", str(SHARED / "weights" / case.weights)]
    words += ["--backbone", case.family, "--image-size", str(case.side_pixels), "--seed", str(seed)]
    with tempfile.TemporaryDirectory() as cache:
        result = train([*words, "--recipe", "auto"], cache=Path(cache)) | {"seed": seed}
    print(f"{case.data} seed {seed}: {result['test']['accuracy']:.4f} in {result['wall']:.0f} s", file=sys.stderr)
    return result


def result_row(case: Case, result: dict) -> dict[str, object]:
    """A training as a row."""
    summary = result["summary"] or {}
    paired = summary.get("comparison_on_test")
    gain = "—"
    if paired:
        points = [f"{100 * paired[name]:+.1f}" for name in ("difference", "low", "high")]
        gain = f"{points[0]} ({points[1]} to {points[2]}), p = {paired['p_value']:.2g}: {paired['verdict']}"
    return {
        "data": case.data,
        "backbone": f"{result['backbone']} at {case.side_pixels} px",
        "seed": result["seed"],
        "probe, test": f"{paired['accuracy_first'] if paired else result['test']['accuracy']:.2%}",
        "fine-tuned, test": f"{paired['accuracy_second']:.2%}" if paired else "—",
        "points, 95 % interval": gain,
        "kept, test": f"{result['test']['accuracy']:.2%}",
        "kept": f"{summary['kept']}: {summary['reason']}" if summary else "probe: no time for fine-tuning",
        "epochs": len(summary.get("epochs", ())),
        "seconds": f"{result['wall']:.0f}",
        "anonymous memory": f"{result['anonymous'] / 2**20:,.0f} MiB",
    }


def missed_by(case: Case, result: dict) -> Iterator[str]:
    """Which goals a single training missed, each as a sentence."""
    name = f"{case.data} seed {result['seed']}"
    if result["wall"] > SECONDS_GOAL:
        yield f"{name}: {result['wall']:.0f} s, not {SECONDS_GOAL:.0f}"
    if result["anonymous"] >= MEMORY_GOAL:
        yield f"{name}: {result['anonymous'] / 2**30:.1f} GiB of anonymous memory, not {MEMORY_GOAL / 2**30:.0f}"
    summary = result["summary"] or {}
    paired = summary.get("comparison_on_test")
    if paired and summary["kept"] == "finetune" and paired["verdict"] == "worse":
        yield f"{name}: fine-tuning was kept, and is shown to be worse than the probe"
    if case.gains and not (paired and summary["kept"] == "finetune" and paired["difference"] > 0):
        yield f"{name}: fine-tuning did not gain anything"


def main() -> None:
    """Measure the parts named, or both."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--speed", action="store_true")
    words.add_argument("--accuracy", action="store_true")
    words.add_argument("--photos", type=int, default=320)
    words.add_argument("--batch", type=int, default=32)
    words.add_argument("--epochs", type=int, default=3, help="timed ones, after one that is not")
    words.add_argument("--rounds", type=int, default=3)
    words.add_argument("--data", nargs="+", choices=[case.data for case in CASES])
    words.add_argument("--seed", nargs="+", type=int)
    given = words.parse_args()
    both = given.speed == given.accuracy
    missed = measure_speed(given) if given.speed or both else []
    if given.accuracy or both:
        missed += measure_accuracy(given)
    print("\n" + ("\n".join(f"Missed: {each}." for each in missed) or "All goals are reached."))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
