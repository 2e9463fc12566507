"""From what the user calls DATA to a manifest."""

from dataclasses import dataclass, replace
from pathlib import Path

from graft.bundle.checks import class_problem
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.progress import Progress
from graft.data.archives.unpacking import Archive, is_archive, unpack
from graft.data.duplicates.search import find_near
from graft.data.manifest import build_manifest
from graft.data.records import Duplicates, ImageRules, Manifest
from graft.data.scan import MAX_BAD_SHARE, MIN_CLASS_PHOTOS, OnBad, scan
from graft.data.sources import is_run, read_source
from graft.data.splits import Fractions, parse_split
from graft.pipeline.run import Run


@dataclass(frozen=True)
class Intake:
    """The manifest, and the folder that its paths are relative to; and the archive that was unpacked there, if any."""

    root: Path
    manifest: Manifest
    archive: Archive | None = None

    @property
    def origin(self) -> Path:
        """Absolute path of what the photos were taken from: the folder, or the archive."""
        return self.archive.path if self.archive else self.root.resolve()


def earlier_splits(run: str | None) -> Manifest | None:
    """The manifest of the run that `--split-from` names; None where there is none to follow."""
    return Run.open(Path(run)).read(Manifest) if run else None


def read_data(
    data: Path,
    *,
    split: str | Fractions,
    seed: int,
    on_bad: OnBad,
    split_from: Manifest | None = None,
    most_bad: float = MAX_BAD_SHARE,
    least_classes: int = 2,
    least_photos: int = MIN_CLASS_PHOTOS,
    rules: ImageRules = ImageRules(),
    duplicates: Duplicates = "near",
    progress: Progress,
) -> Intake:
    """Scan `data` and decide the splits. Decoding outcomes are remembered by content in the cache.

    At most the share `most_bad` of the files may be bad; `least_classes` classes must have `least_photos` photos each;
    with none asked for, a class may be without training photos too. `rules` say what a photo may be,
    `duplicates` whether photos that look the same are kept in one split, or only those with equal bytes.
    """
    archive = unpack(data, machine.cache_directory(), progress=progress) if is_archive(data) else None
    source = read_source(archive.root if archive else data, least_classes=least_classes, name=data.name)
    findings = scan(
        source,
        rules=rules,
        on_bad=on_bad,
        progress=progress,
        workers=machine.threads(),
        cache=machine.cache_directory() / "scan",
        most_bad=most_bad,
        least_photos=least_photos,
        fingerprints=duplicates == "near",
    )
    problem = class_problem(source.classes) if least_classes > 1 else ""  # one class is only measured, never trained
    if problem:
        raise BadInput(f"The names of DATA's classes cannot be used: {problem}.", hint="Rename the folder or label.")
    fractions = parse_split(split, len(findings.good)) if isinstance(split, str) else split
    near = find_near(findings, workers=machine.threads(), progress=progress) if duplicates == "near" else None
    manifest = build_manifest(
        findings, fractions=fractions, seed=seed, split_from=split_from, near=near, trainable=least_photos > 0
    )
    # A run written into the data must not change the manifest, or the same command could never continue it.
    ignored = tuple(path for path in manifest.ignored if not is_run(source.root / path))
    return Intake(source.root, replace(manifest, ignored=ignored), archive)
