"""`graft.train` and `graft.load`: the command line's work from Python."""

from pathlib import Path
from typing import Literal

from graft.bundle.bundle import Bundle
from graft.core.progress import make_progress
from graft.core.records import construct
from graft.data.records import Duplicates
from graft.pipeline.options import TrainOptions
from graft.pipeline.predict import bundle_of
from graft.pipeline.train import TrainResult
from graft.pipeline.train import train as run_training


def train(
    data: str | Path,
    *,
    output: str | Path | None = None,
    recipe: Literal["auto", "probe", "finetune"] = "auto",
    time_budget: str | None = None,
    backbone: str = "auto",
    weights: str | Path | None = None,
    image_size: int | None = None,
    seed: int = 0,
    split: str = "70/15/15",
    split_from: str | Path | None = None,
    duplicates: Duplicates = "near",
    max_megapixels: float | None = None,
    max_megabytes: float | None = None,
    min_side: int | None = None,
    white: int | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Train a classifier on a folder of labelled photos, as `graft train` does; raises `GraftError`.

    `recipe="auto"` fits a probe, then fine-tunes within `time_budget` ("5m"; "0": not at all) where it can, and keeps
    the better. The result names the run's folder, the bundle and the report; its `summary` holds the scores.
    `split_from` is an earlier run whose photos keep their splits; with `duplicates="exact"` only copies of equal bytes
    share one. Photos above `max_megapixels` (50) or `max_megabytes` (25), or with a side below `min_side` (8 pixels),
    are left out; `white` is the sample of 16-bit photos that is white (65535). The classifier keeps these rules.
    """
    options = construct(
        TrainOptions,
        data=str(data),
        output=None if output is None else str(output),
        recipe=recipe,
        backbone=backbone,
        weights=None if weights is None else str(weights),
        image_size=image_size,
        seed=seed,
        split=split,
        split_from=None if split_from is None else str(split_from),
        duplicates=duplicates,
        max_megapixels=max_megapixels,
        max_megabytes=max_megabytes,
        min_side=min_side,
        white=white,
        time_budget=time_budget,
        command=f"graft.train({str(data)!r})",
    )
    return run_training(options, progress=make_progress(quiet=quiet))


def load(path: str | Path) -> Bundle:
    """Load a classifier: a run's folder or its file `classifier.graft`. Its golden examples are checked first."""
    return Bundle.load(bundle_of(Path(path)))
