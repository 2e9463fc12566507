"""What a user should know about the data before trusting a score: counts, duplicates, leaks, oddities."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar

from graft.core.records import record
from graft.data.records import SPLITS, Manifest, Photo, Quarantined, Split

CHANCE_OF_COINCIDENCE = 1e-4  # a property found in one class only is named when chance explains it less often
MIN_TELLING_PHOTOS = 8
STRONG_IMBALANCE = 3.0
FEW_PHOTOS = 20  # of a class, for a test of it to say much
SMALL_SIDE_PIXELS = 32


@record
class ClassCount:
    """Good photos of one class, by split."""

    name: str
    train: int
    validation: int
    test: int

    @property
    def total(self) -> int:
        return self.train + self.validation + self.test


@record
class DuplicateGroup:
    """Photos with the same bytes; more than one class or split among them is a fault of the data."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[Split, ...]


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
    """Counts and findings over a manifest. `notes` are plain sentences, the most important first."""

    SCHEMA: ClassVar[str] = "graft/inspection/1"
    n: int  # good photos
    classes: tuple[ClassCount, ...]
    split_origin: str
    quarantined: tuple[Quarantined, ...]
    ignored: tuple[str, ...]
    exact_duplicates: tuple[DuplicateGroup, ...]
    imbalance: float  # largest class / smallest class
    formats: dict[str, int]
    modes: dict[str, int]
    orientations: dict[str, int]
    flags: dict[str, int]
    width: Quantiles
    height: Quantiles
    notes: tuple[str, ...]


def inspect_manifest(manifest: Manifest) -> Inspection:
    """Count and judge; needs the manifest only, no photo is opened."""
    photos = manifest.photos
    counts = _class_counts(manifest)
    duplicates = _duplicates(manifest)
    totals = [count.total for count in counts]
    return Inspection(
        n=len(photos),
        classes=counts,
        split_origin=manifest.split_origin,
        quarantined=manifest.quarantined,
        ignored=manifest.ignored,
        exact_duplicates=duplicates,
        imbalance=max(totals) / max(min(totals), 1),
        formats=_count(photo.facts.format for photo in photos),
        modes=_count(photo.facts.mode for photo in photos),
        orientations=_count(str(photo.facts.orientation) for photo in photos),
        flags=_count(flag for photo in photos for flag in photo.facts.flags),
        width=_quantiles([photo.facts.width for photo in photos]),
        height=_quantiles([photo.facts.height for photo in photos]),
        notes=tuple(_notes(manifest, counts, duplicates)),
    )


def _class_counts(manifest: Manifest) -> tuple[ClassCount, ...]:
    counts = Counter((photo.label, photo.split) for photo in manifest.photos)
    return tuple(
        ClassCount(
            name=name, train=counts[index, "train"], validation=counts[index, "validation"], test=counts[index, "test"]
        )
        for index, name in enumerate(manifest.classes)
    )


def _duplicates(manifest: Manifest) -> tuple[DuplicateGroup, ...]:
    by_content: defaultdict[str, list[Photo]] = defaultdict(list)
    for photo in manifest.photos:
        by_content[photo.sha256].append(photo)
    return tuple(
        DuplicateGroup(
            paths=tuple(photo.path for photo in group),
            classes=tuple(manifest.classes[label] for label in sorted({photo.label for photo in group})),
            splits=tuple(split for split in SPLITS if any(photo.split == split for photo in group)),
        )
        for group in by_content.values()
        if len(group) > 1
    )


def _count(values: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(values).items(), key=lambda item: (-item[1], item[0])))


def _quantiles(values: Sequence[int]) -> Quantiles:
    ordered = sorted(values)
    least, lower, middle, upper, greatest = (ordered[(len(ordered) - 1) * part // 4] for part in range(5))
    return Quantiles(least=least, lower=lower, middle=middle, upper=upper, greatest=greatest)


def _notes(manifest: Manifest, counts: Sequence[ClassCount], duplicates: Sequence[DuplicateGroup]) -> Iterable[str]:
    yield from _leak_notes(duplicates)
    yield from _shortcut_notes(manifest)
    if manifest.quarantined:
        codes = ", ".join(f"{n} {code}" for code, n in _count(item.code for item in manifest.quarantined).items())
        yield f"{_files(len(manifest.quarantined))} left out: {codes}."
    yield from _size_notes(manifest, counts)
    inside = [group for group in duplicates if len(group.classes) == 1 and len(group.splits) == 1]
    if inside:
        extra = sum(len(group.paths) - 1 for group in inside)
        yield f"{_photos(extra)} repeated within a class; copies stay in the same split."
    low_range = sum("low_range" in photo.facts.flags for photo in manifest.photos)
    if low_range:
        yield (
            f"{_photos(low_range)} stored with 16 bits but only up to 4095 used: they look like 12-bit data and will "
            "be nearly black. Stretch them to the full range."
        )


def _photos(n: int) -> str:
    return "1 photo is" if n == 1 else f"{n} photos are"


def _files(n: int) -> str:
    return "1 file was" if n == 1 else f"{n} files were"


def _leak_notes(duplicates: Sequence[DuplicateGroup]) -> Iterable[str]:
    leaks = [group for group in duplicates if len(group.splits) > 1]
    if leaks:
        example = " and ".join(repr(path) for path in leaks[0].paths[:2])
        yield (
            f"The same photo is in two splits {_times(len(leaks))} (split_leak), as {example}: scores on the later "
            "split are too good by that much."
        )
    conflicts = [group for group in duplicates if len(group.classes) > 1]
    if conflicts:
        example = " and ".join(repr(path) for path in conflicts[0].paths[:2])
        yield f"The same photo is in two classes {_times(len(conflicts))}, as {example}: one of the labels is wrong."


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


_PROPERTIES: Mapping[str, Callable[[Photo], str]] = MappingProxyType(
    {
        "turned by their EXIF orientation": lambda photo: "yes" if photo.facts.orientation != 1 else "",
        "of format {}": lambda photo: photo.facts.format,
        "of colour mode {}": lambda photo: photo.facts.mode,
        "of exactly {} pixels": lambda photo: f"{photo.facts.width}×{photo.facts.height}",
    }
)


def _shortcut_notes(manifest: Manifest) -> Iterable[str]:
    """Properties that give a class away although they say nothing about what the photos show."""
    sizes = Counter(photo.label for photo in manifest.photos)
    for wording, value_of in _PROPERTIES.items():
        by_value: defaultdict[str, Counter[int]] = defaultdict(Counter)
        for photo in manifest.photos:
            if value := value_of(photo):
                by_value[value][photo.label] += 1
        found = [(value, labels) for value, labels in by_value.items() if _is_telling(labels, sizes)]
        for value, labels in sorted(found, key=lambda item: (-item[1].total(), item[0]))[:3]:
            (label,) = labels
            yield (
                f"All {labels.total()} photos {wording.format(value)} are in {manifest.classes[label]!r}: a classifier "
                "may learn that instead of what they show."
            )


def _is_telling(labels: Counter[int], sizes: Counter[int]) -> bool:
    """Whether photos with a property are all of one class, more often than chance explains."""
    if len(labels) != 1 or labels.total() < MIN_TELLING_PHOTOS:
        return False
    (label,) = labels
    share = sizes[label] / sizes.total()
    return share < 1 and share ** labels.total() < CHANCE_OF_COINCIDENCE


def _size_notes(manifest: Manifest, counts: Sequence[ClassCount]) -> Iterable[str]:
    largest = max(counts, key=lambda count: count.total)
    smallest = min(counts, key=lambda count: count.total)
    if largest.total >= STRONG_IMBALANCE * smallest.total:
        yield (
            f"{largest.name!r} has {largest.total} photos, {smallest.name!r} only {smallest.total}: accuracy alone "
            "will flatter the classifier; look at the scores of each class."
        )
    few = [count.name for count in counts if count.total < FEW_PHOTOS]
    if few:
        names = ", ".join(repr(name) for name in few[:5]) + (" and others" if len(few) > 5 else "")
        yield f"Fewer than {FEW_PHOTOS} photos of {names}: scores will be uncertain, and more photos the best remedy."
    if manifest.split_origin == "given" and not any(count.test for count in counts):
        yield "No test photos are given: the score will be one on validation photos, which helped to choose."
    small = sum(min(photo.facts.width, photo.facts.height) < SMALL_SIDE_PIXELS for photo in manifest.photos)
    if small:
        yield f"{_photos(small)} less than {SMALL_SIDE_PIXELS} pixels wide or high."
