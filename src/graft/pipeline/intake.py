"""From what the user calls DATA to a manifest."""

from dataclasses import dataclass
from pathlib import Path

from graft.bundle.checks import class_problem
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.progress import Progress
from graft.data.manifest import build_manifest
from graft.data.records import ImageLimits, Manifest
from graft.data.scan import OnBad, scan
from graft.data.sources import read_source
from graft.data.splits import parse_split


@dataclass(frozen=True)
class Intake:
    """The manifest, and the folder that its paths are relative to."""

    root: Path
    manifest: Manifest


def read_data(
    data: Path,
    *,
    split: str,
    seed: int,
    on_bad: OnBad,
    split_from: Manifest | None = None,
    progress: Progress,
) -> Intake:
    """Scan `data` and decide the splits. Decoding outcomes are remembered by content in the cache."""
    source = read_source(data)
    findings = scan(
        source,
        limits=ImageLimits(),
        on_bad=on_bad,
        progress=progress,
        workers=machine.threads(),
        cache=machine.cache_directory() / "scan",
    )
    problem = class_problem(source.classes)
    if problem:
        raise BadInput(f"The names of DATA's classes cannot be used: {problem}.", hint="Rename the folder or label.")
    fractions = parse_split(split, len(findings.good))
    manifest = build_manifest(findings, fractions=fractions, seed=seed, split_from=split_from)
    return Intake(source.root, manifest)
