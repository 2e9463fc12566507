"""A training just after its probe, made up: for tests of what is decided then, without training anything."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from graft.core.progress import SilentProgress
from graft.data.records import Manifest
from graft.evaluation.records import Score
from graft.pipeline.clock import Clock
from graft.pipeline.intake import Intake, read_data
from graft.pipeline.options import TrainOptions, TuningOptions
from graft.pipeline.planning import resolve_plan
from graft.pipeline.run import Run
from graft.pipeline.scoring import Probed, rows_of
from graft.pipeline.work import Work
from graft.training.records import Classifier, Depth
from tests.pipeline.conftest import options

# Of sprout: the classes are told apart no better above the end of its second stage.
RISING_TO_S2 = (0.6, 0.7, 0.8, 0.95, 0.95, 0.95, 0.95, 0.95)
TAPS = ("s1_out", "s2_down_relu", "s2_a_relu", "s2_out", "s3_down_relu", "s3_a_relu", "s3_out", "head_relu")
WIDTHS = (64, 128, 128, 128, 256, 256, 256, 512)


@dataclass
class FixedClock(Clock):
    """So many seconds have passed."""

    passed: float = 0.0

    def seconds(self) -> dict[str, float]:
        """Always the same."""
        return {"total": self.passed}


def intake_of(photos: Path, split: str = "70/15/15") -> Intake:
    """The folder of generated photos, read."""
    return read_data(
        photos,
        split=split,
        seed=0,
        on_bad="quarantine",
        rules=TuningOptions().rules(),
        progress=SilentProgress(),
    )


def work_of(intake: Intake, photos: Path, place: Path, *, passed: float = 0.0, **words: Any) -> Work:
    """A training of the built-in network at 64 px as `words` ask, `passed` seconds old."""
    asked: TrainOptions = options(photos, place / "run", **{"recipe": "finetune", "backend": "tensorflow"} | words)
    resolved = resolve_plan(asked, intake.manifest)
    return Work(Run(place / "run"), intake, resolved, asked, place, FixedClock(passed=passed), SilentProgress())


def head_on(taps: Sequence[str], classes: int = 3, seed: int = 0, temperature: float = 1.0) -> Classifier:
    """A head with random numbers."""
    draw = np.random.default_rng(seed)
    width = sum(WIDTHS[TAPS.index(tap)] for tap in taps)
    return Classifier(
        taps=tuple(taps),
        mean=draw.normal(size=width).astype(np.float32),
        scale=draw.uniform(0.5, 2, width).astype(np.float32),
        kernel=draw.normal(size=(width, classes)).astype(np.float32),
        bias=draw.normal(size=classes).astype(np.float32),
        temperature=temperature,
    )


def probed_of(
    manifest: Manifest,
    *,
    profile: Sequence[float] = RISING_TO_S2,
    head: Classifier | None = None,
    class_weighted: bool = False,
) -> Probed:
    """A probe with this depth profile. Its refitted head is another one than `held_out`."""
    n = len(manifest.photos)
    draw = np.random.default_rng(1)
    held_out = head or head_on(TAPS)
    depths = tuple(
        Depth(layer=tap, width=width, accuracy=Score(value=value, low=value, high=value, method="wilson"))
        for tap, width, value in zip(TAPS, WIDTHS, profile, strict=True)
    )
    result = SimpleNamespace(
        summary=SimpleNamespace(depth_profile=depths, class_weighted=class_weighted, validation_accuracy=None),
        classifier=head_on(held_out.taps, seed=9),
        held_out=held_out,
        held_out_last_layer=head_on(TAPS[-1:], seed=5),
        validation_logits=np.zeros((len(rows_of(manifest, "validation")), 3), np.float32),
    )
    values = {
        f"{tap}:avg": draw.normal(3, 2, (n, width)).astype(np.float16) for tap, width in zip(TAPS, WIDTHS, strict=True)
    }
    return Probed(result, SimpleNamespace(), SimpleNamespace(values=values))  # type: ignore[arg-type]


def scheduled(work: Work, schedule: Any) -> Work:
    """The same work after its schedule was decided, as a rerun finds it."""
    return replace(work, resolved=replace(work.resolved, plan=replace(work.resolved.plan, schedules=(schedule,))))
