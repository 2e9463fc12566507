"""What is in a folder of photos, before anything is trained on it."""

from pathlib import Path

from graft.core.progress import Progress
from graft.data.inspection import Inspection, inspect_manifest
from graft.data.scan import OnBad
from graft.pipeline.intake import read_data


def inspect(
    data: Path, *, on_bad: OnBad = "quarantine", seed: int = 0, split: str = "70/15/15", progress: Progress
) -> Inspection:
    """Counts, files left out however many, exact duplicates, imbalance, sizes, modes, orientation."""
    intake = read_data(data, split=split, seed=seed, on_bad=on_bad, most_bad=1.0, progress=progress)
    return inspect_manifest(intake.manifest)
