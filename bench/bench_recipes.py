"""The reference recipes on real photos, each with a stand-in where its own weights are not at hand.

Each recipe is trained with `graft train --recipe NAME` on a data set of the folder `shared`, with the backbone and the
epochs named here, and so is `--recipe auto` on the same photos with the same backbone; beside networks from scratch,
which have none, with the built-in one. Every training begins with an empty cache. Networks from scratch are judged by
their validation photos, as published, the others by the test photos.

Ends with status 1 where a recipe does not reach its floor.

    python bench/bench_recipes.py [--recipe NAME ...] [--without-auto] [--runs FOLDER] [--json FILE]
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sides import SHARED, table, train

from graft.training.recipes.catalogue import find
from graft.training.recipes.records import Measured

MOBILENET = ("mobilenet_1.0", "mobilenet_1.0_224_notop.weights.h5")
MOBILENET_V2 = ("mobilenet_v2_1.0", "mobilenet_v2_1.0_224_notop.weights.h5")


@dataclass(frozen=True)
class Case:
    """A recipe, what stands in for its backbone, and what it must reach on these photos."""

    recipe: str
    data: str
    floor: float
    epochs: tuple[int, ...]  # of each phase
    stand_in: tuple[str, str] | None = None  # backbone and weights file; None: from scratch
    split: str = ""  # "": as the folders are
    side_pixels: int | None = None  # None: the recipe's
    views: int | None = None
    judged_on: str = "test"


CASES = (
    Case("sign-digits-vgg16", "sign_digits", 0.97, (30,), MOBILENET, split="1712/300/50"),
    Case("scratch-cnn", "cats_and_dogs_small", 0.70, (12,), judged_on="validation"),
    Case("scratch-cnn-augmented", "cats_and_dogs_small", 0.76, (60,), judged_on="validation"),
    Case("features-vgg16", "cats_and_dogs_small", 0.96, (30,), MOBILENET_V2),
    Case("features-vgg16-augmented", "cats_and_dogs_small", 0.96, (30,), MOBILENET_V2),
    Case("finetune-vgg16-block5", "cats_and_dogs_small", 0.97, (30, 10), MOBILENET_V2),
    Case("santa-vgg19", "santa", 0.93, (30,), MOBILENET_V2, split="540/200/180"),
    Case("cifar10-efficientnetb0@corrected", "cifar10_small", 0.70, (18, 40), MOBILENET, split="92/8/0"),
)


def words_of(case: Case) -> list[str]:
    """What both trainings of a case are told."""
    words = [str(SHARED / "data" / case.data)]
    if case.stand_in:
        words += ["--backbone", case.stand_in[0], "--weights", str(SHARED / "weights" / case.stand_in[1])]
    if case.split:
        words += ["--split", case.split]
    return words


def recipe_words(case: Case) -> list[str]:
    """What the recipe is told beside."""
    words = ["--recipe", case.recipe, "--epochs", ",".join(map(str, case.epochs))]
    if case.side_pixels:
        words += ["--image-size", str(case.side_pixels)]
    return words + (["--views", str(case.views)] if case.views else [])


def run_case(case: Case, *, with_auto: bool, runs: Path | None) -> dict[str, Any]:
    """Train both from empty caches; what each reached."""
    common, own = words_of(case), recipe_words(case)
    with tempfile.TemporaryDirectory() as cache:
        found = outcome(train([*common, *own], cache=Path(cache), run=runs / case.recipe if runs else None))
    auto = None
    if with_auto:
        side = str(case.side_pixels or find(case.recipe).side_pixels)
        with tempfile.TemporaryDirectory() as cache:
            auto = outcome(train([*common, "--image-size", side, "--recipe", "auto"], cache=Path(cache)))
    shown = [word.replace(f"{SHARED}/", "shared/") for word in (*common, *own)]
    command = " ".join(["graft", "train", *shown])
    told = {"recipe": case.recipe, "command": command, "cores": os.cpu_count(), "floor": case.floor}
    reached = found[case.judged_on]["accuracy"] if found[case.judged_on] else 0.0
    print(f"{case.recipe}: {reached:.2%} in {found['seconds']:.0f} s", file=sys.stderr)
    return told | {"judged_on": case.judged_on, "reached": reached, "found": found, "auto": auto}


def outcome(result: dict[str, Any]) -> dict[str, Any]:
    """The scores of one training, without what tells of this machine's folders."""
    summary = result["summary"] or {}
    kept = summary.get("comparison") or {}
    validation = kept.get("accuracy_second") if summary.get("kept") == "finetune" else kept.get("accuracy_first")
    return {
        "backbone": result["backbone"],
        "validation": {"accuracy": validation} if validation is not None else result["validation"],
        "test": result["test"],
        "phases": [[each["name"], each["accuracy"]["value"]] for each in summary.get("phases", ())],
        "epochs": len(summary.get("epochs", ())),
        "best_epoch": summary.get("best_epoch", 0),
        "kept": summary.get("kept", "probe"),
        "seconds": result["wall"],
        "stages": result["seconds"],
    }


def row(case: Case, result: dict[str, Any]) -> dict[str, object]:
    """A case as a row."""
    found, auto = result["found"], result["auto"]
    return {
        "recipe": case.recipe,
        "stand-in": found["backbone"],
        "data": case.data,
        "epochs": " + ".join(map(str, case.epochs)),
        "floor": f"{case.floor:.0%} {case.judged_on}",
        "validation": f"{found['validation']['accuracy']:.1%}",
        "test": tested(found),
        "seconds": f"{found['seconds']:.0f}",
        "auto, test": f"{tested(auto)} ({auto['kept']})" if auto else "—",
        "auto, seconds": f"{auto['seconds']:.0f}" if auto else "—",
    }


def measured(case: Case, result: dict[str, Any]) -> Measured:
    """A case as the record that the recipe's own file keeps."""
    found, auto = result["found"], result["auto"]
    test = found["test"] or {"accuracy": None, "interval": None}
    low, high = map(rounded, test["interval"] or (0.0, 0.0))
    return Measured(
        backbone=found["backbone"],
        data=case.data,
        side_pixels=case.side_pixels or find(case.recipe).side_pixels,
        epochs=" + ".join(map(str, case.epochs)),
        validation=rounded(found["validation"]["accuracy"]),
        test=rounded(test["accuracy"]) if found["test"] else None,
        interval=(low, high) if test["interval"] else None,
        seconds=round(found["seconds"]),
        cores=result["cores"],
        command=result["command"].replace("shared/data/", "").replace("shared/weights/", ""),
        auto_backbone=auto["backbone"] if auto else None,
        auto_test=rounded(auto["test"]["accuracy"]) if auto and auto["test"] else None,
        auto_seconds=round(auto["seconds"]) if auto else None,
    )


def rounded(share: float) -> float:
    """To digits that no later rounding to tenths of a percent can notice."""
    return round(share, 6)


def tested(found: dict[str, Any]) -> str:
    """`98.1 % (97.0-98.8)`, or a dash without test photos."""
    test = found["test"]
    if not test:
        return "—"
    low, high = test["interval"]
    return f"{test['accuracy']:.1%} ({100 * low:.1f}-{100 * high:.1f})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the recipes named, or all."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--recipe", nargs="+", choices=[case.recipe for case in CASES])
    words.add_argument("--without-auto", action="store_true")
    words.add_argument("--runs", type=Path, help="keep the recipes' runs there, for their charts")
    words.add_argument("--json", type=Path, help="write everything there too")
    given = words.parse_args(arguments)
    chosen = [case for case in CASES if not given.recipe or case.recipe in given.recipe]
    results = []
    for case in chosen:
        results.append(run_case(case, with_auto=not given.without_auto, runs=given.runs))
        if given.json:  # after each: all of them take hours
            given.json.write_text(json.dumps(results, indent=1) + "\n")
    table([row(case, result) for case, result in zip(chosen, results, strict=True)])
    print("\nFor `measured` of the recipes:\n")
    for case, result in zip(chosen, results, strict=True):
        print(f"{case.recipe}: {measured(case, result)}\n")
    missed = [
        f"{result['recipe']}: {result['reached']:.2%} of the {result['judged_on']} photos, not {result['floor']:.0%}"
        for result in results
        if result["reached"] < result["floor"]
    ]
    print("\n" + ("\n".join(f"Missed: {each}." for each in missed) or "All floors are reached."))
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
