"""What a user should know about the data before trusting a score: counts, duplicates, leaks, shortcuts, oddities."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

from graft.core.records import record
from graft.data.inspection.concerns import ClassCount, Concern, DuplicateGroup, find_concerns
from graft.data.inspection.shortcuts import Shortcut, find_shortcuts
from graft.data.records import SPLITS, Manifest, Photo, Quarantined


@record
class Quantiles:
    """Five numbers in pixels: least, lower quarter, middle, upper quarter, greatest."""

    least: int
    lower: int
    middle: int
    upper: int
    greatest: int


@record
class Inspection:
    """Counts and findings over a manifest. `notes` are the sentences of `concerns`, the most important first."""

    SCHEMA: ClassVar[str] = "graft/inspection/1"
    n: int  # good photos
    classes: tuple[ClassCount, ...]
    split_origin: str
    quarantined: tuple[Quarantined, ...]
    ignored: tuple[str, ...]
    exact_duplicates: tuple[DuplicateGroup, ...]
    near_duplicates: tuple[DuplicateGroup, ...] = ()  # groups of photos that look the same, bytes apart
    shortcuts: tuple[Shortcut, ...] = ()
    concerns: tuple[Concern, ...] = ()
    imbalance: float  # largest class / smallest class, an empty one counted as of one photo
    formats: dict[str, int]
    modes: dict[str, int]
    orientations: dict[str, int]
    flags: dict[str, int]
    width: Quantiles
    height: Quantiles
    notes: tuple[str, ...]

    @property
    def duplicates(self) -> tuple[DuplicateGroup, ...]:
        """All groups of copies, exact ones first."""
        return self.exact_duplicates + self.near_duplicates

    @property
    def leaks(self) -> tuple[DuplicateGroup, ...]:
        """The groups that lie in more than one split."""
        return tuple(group for group in self.duplicates if group.leaks)

    @property
    def conflicts(self) -> tuple[DuplicateGroup, ...]:
        """The groups that carry more than one label."""
        return tuple(group for group in self.duplicates if group.conflicts)


def inspect_manifest(manifest: Manifest) -> Inspection:
    """Count and judge; needs the manifest only, no photo is opened."""
    photos = manifest.photos
    counts = _class_counts(manifest)
    exact, near = _exact_groups(manifest), _near_groups(manifest)
    shortcuts = find_shortcuts(manifest)
    concerns = tuple(find_concerns(manifest, counts, exact, near, shortcuts))
    totals = [count.total for count in counts]
    return Inspection(
        n=len(photos),
        classes=counts,
        split_origin=manifest.split_origin,
        quarantined=manifest.quarantined,
        ignored=manifest.ignored,
        exact_duplicates=exact,
        near_duplicates=near,
        shortcuts=shortcuts,
        concerns=concerns,
        imbalance=max(totals, default=1) / max(min(totals, default=1), 1),
        formats=_count(photo.facts.format for photo in photos),
        modes=_count(photo.facts.mode for photo in photos),
        orientations=_count(str(photo.facts.orientation) for photo in photos),
        flags=_count(flag for photo in photos for flag in photo.facts.flags),
        width=_quantiles([photo.facts.width for photo in photos]),
        height=_quantiles([photo.facts.height for photo in photos]),
        notes=tuple(concern.sentence for concern in concerns),
    )


def _class_counts(manifest: Manifest) -> tuple[ClassCount, ...]:
    counts = Counter((photo.label, photo.split) for photo in manifest.photos)
    return tuple(
        ClassCount(
            name=name, train=counts[index, "train"], validation=counts[index, "validation"], test=counts[index, "test"]
        )
        for index, name in enumerate(manifest.classes)
    )


def _exact_groups(manifest: Manifest) -> tuple[DuplicateGroup, ...]:
    by_content: defaultdict[str, list[Photo]] = defaultdict(list)
    for photo in manifest.photos:
        by_content[photo.sha256].append(photo)
    return tuple(_group(manifest, group, "exact") for group in by_content.values() if len(group) > 1)


def _near_groups(manifest: Manifest) -> tuple[DuplicateGroup, ...]:
    """Groups of photos that look the same; one whose photos all have the same bytes is told as exact already."""
    if not manifest.near_duplicates:
        return ()
    by_path = {photo.path: photo for photo in manifest.photos}
    groups = ([by_path[path] for path in paths if path in by_path] for paths in manifest.near_duplicates)
    return tuple(_group(manifest, group, "near") for group in groups if len({photo.sha256 for photo in group}) > 1)


def _group(manifest: Manifest, group: Sequence[Photo], kind: Literal["exact", "near"]) -> DuplicateGroup:
    return DuplicateGroup(
        paths=tuple(photo.path for photo in group),
        classes=tuple(manifest.classes[label] for label in sorted({photo.label for photo in group})),
        splits=tuple(split for split in SPLITS if any(photo.split == split for photo in group)),
        kind=kind,
    )


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _quantiles(values: Sequence[int]) -> Quantiles:
    ordered = sorted(values) or [0]
    least, lower, middle, upper, greatest = (ordered[(len(ordered) - 1) * part // 4] for part in range(5))
    return Quantiles(least=least, lower=lower, middle=middle, upper=upper, greatest=greatest)
