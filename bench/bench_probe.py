"""What each step of the probe buys: the same features, the same splits, one step taken away at a time.

Mean test accuracy over five split seeds on the folder `shared`'s sign digits (MobileNet 1.0 at 128 px), and seconds of
fitting. "Standardised only" fits the regression without whitening on the taps the probe chose.

    python bench/bench_probe.py [SEEDS]
"""

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from sides import SHARED, table

from graft.core import machine
from graft.core.progress import SilentProgress
from graft.data.manifest import build_manifest
from graft.data.records import ImageRules, Manifest
from graft.data.scan import Scan, scan
from graft.data.sources import read_source
from graft.evaluation.calibration import softmax, temperature
from graft.evaluation.metrics import photo_losses
from graft.pipeline.intake import Intake
from graft.pipeline.options import TrainOptions
from graft.pipeline.planning import resolve_plan
from graft.pipeline.scoring import classify, rows_of, training_rows
from graft.pipeline.train import read_taps
from graft.training.logistic import fit_strengths
from graft.training.probe import train_probe
from graft.training.records import Plan
from graft.training.taps import TapTable, tap_scaler

DATA = SHARED / "data" / "sign_digits"
WEIGHTS = SHARED / "weights" / "mobilenet_1.0_224_notop.weights.h5"
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # wider than the plan's: unwhitened features need other strengths


class Measured:
    """The features of one split of the data, and what the variants share."""

    def __init__(self, manifest: Manifest, values: dict[str, np.ndarray], plan: Plan) -> None:
        self.manifest, self.values, self.plan = manifest, values, plan
        self.labels = np.array([photo.label for photo in manifest.photos])
        self.rows, self.test = training_rows(manifest), rows_of(manifest, "test")
        self.table = TapTable(values, plan.taps)

    def product(self, **changes: object) -> float:
        """The probe as it ships, with fields of the plan changed."""
        classes, plan = len(self.manifest.classes), replace(self.plan, **changes)
        result = train_probe(self.table, self.labels, self.rows, classes=classes, plan=plan, progress=SilentProgress())
        self.result = result
        return self.accuracy(classify(self.values, result.classifier, self.test))

    def last_layer(self) -> float:
        """The same tuning on the last tap alone; call after `product`."""
        return self.accuracy(classify(self.values, self.result.last_layer, self.test))

    def standardised_only(self) -> float:
        """Logistic regression on standardised features of the taps that `product` chose, no refit."""
        first, stop = (
            self.plan.taps.index(name) for name in (self.result.classifier.taps[0], self.result.classifier.taps[-1])
        )
        stop += 1
        scaler = tap_scaler(self.table, first, stop, self.rows.train)
        train, validation, test = (
            scaler.apply(self.table.read(first, stop, rows))
            for rows in (self.rows.train, self.rows.validation, self.test)
        )
        truth = self.labels[self.rows.validation]

        def loss(logits: np.ndarray) -> float:
            return float(photo_losses(softmax(logits, temperature(logits, truth)), truth).mean())

        fits = list(fit_strengths(train, self.labels[self.rows.train], STRENGTHS, class_weight=None))
        best = min(fits, key=lambda fit: loss(fit.logits(validation)))
        return self.accuracy(best.logits(test))

    def accuracy(self, scores: np.ndarray) -> float:
        """Share of test photos whose highest score is the true class."""
        return float((scores.argmax(axis=1) == self.labels[self.test]).mean())


def measured(findings: Scan, seed: int, scratch: Path) -> Measured:
    """Split with `seed` and read the taps; only the first seed computes them."""
    manifest = build_manifest(findings, fractions=(0.7, 0.15, 0.15), seed=seed)
    options = TrainOptions(data=str(DATA), backbone="mobilenet", weights=str(WEIGHTS), image_size=128, seed=seed)
    resolved = resolve_plan(options, manifest)
    activations = read_taps(Intake(DATA, manifest), resolved, scratch, SilentProgress())
    return Measured(manifest, activations.values, resolved.plan)


def main() -> None:
    """Measure and print."""
    if not DATA.is_dir():
        sys.exit(f"real photos must be in {DATA}, but they are not there")
    seeds = int(sys.argv[1]) if sys.argv[1:] else 5
    findings = scan(
        read_source(DATA),
        rules=ImageRules(),
        on_bad="quarantine",
        progress=SilentProgress(),
        workers=machine.threads(),
        cache=None,
    )
    variants = {
        "the probe": Measured.product,
        "last layer only, tuned the same way": Measured.last_layer,
        "not refitted": lambda each: each.product(refit=False),
        "not refitted, standardised only": Measured.standardised_only,
    }
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(seeds):
            each = measured(findings, seed, Path(scratch))
            for name, variant in variants.items():
                began = time.perf_counter()
                accuracy = variant(each)
                found[name].append((accuracy, time.perf_counter() - began))
    table(
        [
            {
                "variant": name,
                "test accuracy, mean": f"{np.mean([accuracy for accuracy, _ in rounds]):.2%}",
                "by seed": ", ".join(f"{accuracy:.1%}" for accuracy, _ in rounds),
                "seconds, median": f"{np.median([seconds for _, seconds in rounds]):.1f}",
            }
            for name, rounds in found.items()
        ]
    )


if __name__ == "__main__":
    main()
