"""What stands between the photos and a score to trust, in sentences, the gravest first."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Literal

from graft.core.records import record
from graft.data.depth import depth_note, meant
from graft.data.inspection.shortcuts import Shortcut
from graft.data.records import Manifest, Split
from graft.data.scan import MAX_BAD_SHARE, MIN_CLASS_PHOTOS, meaning, remedy

STRONG_IMBALANCE = 3.0
FEW_PHOTOS = 20  # of a class, for a test of it to say much
SMALL_SIDE_PIXELS = 32
NAMED = 5  # classes in one sentence


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
    """Photos with the same bytes, or that look the same; more than one class or split among them is a fault."""

    paths: tuple[str, ...]
    classes: tuple[str, ...]
    splits: tuple[Split, ...]
    kind: Literal["exact", "near"] = "exact"

    @property
    def leaks(self) -> bool:
        """Whether the photos lie in more than one split."""
        return len(set(self.splits)) > 1

    @property
    def conflicts(self) -> bool:
        """Whether the photos carry more than one label."""
        return len(set(self.classes)) > 1


@record
class Concern:
    """One thing to know about the data; `first` marks those to look at before anything is trained."""

    kind: str  # split_leak, label_conflict, shortcut, left_out, class_empty, one_class, imbalance ...
    first: bool
    sentence: str
    remedy: str
    paths: tuple[str, ...] = ()  # photos that show it


def find_concerns(
    manifest: Manifest,
    counts: Sequence[ClassCount],
    exact: Sequence[DuplicateGroup],
    near: Sequence[DuplicateGroup],
    shortcuts: Sequence[Shortcut],
) -> Iterator[Concern]:
    """Everything there is to say, those to look at first before the others."""
    found = [
        *_class_concerns(counts),
        *_untrained_concern(counts),
        *_copy_concerns(exact),
        *_copy_concerns(near),
        *(_shortcut_concern(shortcut) for shortcut in shortcuts),
        *_file_concerns(manifest),
        *_size_concerns(manifest, counts),
        *_repeated(exact, near),
    ]
    order = {"split_leak": 1, "label_conflict": 2}  # a near copy's leak goes before an exact one's doubtful label
    found.sort(key=lambda item: (not item.first, order.get(item.kind, 3 if item.kind == "shortcut" else 0)))
    yield from found


def _class_concerns(counts: Sequence[ClassCount]) -> Iterator[Concern]:
    """Classes that cannot be trained: none, one, or without photos."""
    if not any(count.total for count in counts):
        yield Concern(
            kind="no_photos",
            first=True,
            sentence="No file could be used as a photo.",
            remedy="The files left out are listed with their reasons.",
        )
        return
    if len(counts) == 1:
        yield Concern(
            kind="one_class",
            first=True,
            sentence=f"There is only one class, {counts[0].name!r}: there is nothing to tell it from.",
            remedy="Sort the photos into two folders or more.",
        )
    small = [f"{count.name!r} has {count.total or 'none'}" for count in counts if count.total < MIN_CLASS_PHOTOS]
    if small:
        yield Concern(
            kind="class_empty",
            first=True,
            sentence=f"A class needs {MIN_CLASS_PHOTOS} good photos at least, but {_some(small)}.",
            remedy="Add photos to the class or remove its folder.",
        )


def _untrained_concern(counts: Sequence[ClassCount]) -> Iterator[Concern]:
    """Classes whose photos were all given to other splits."""
    untrained = [repr(count.name) for count in counts if count.total >= MIN_CLASS_PHOTOS and not count.train]
    if untrained:
        yield Concern(
            kind="untrained",
            first=True,
            sentence=f"No photo to learn from is given of {_some(untrained)}.",
            remedy="Move photos of it to the train folder.",
        )


def _copy_concerns(groups: Sequence[DuplicateGroup]) -> Iterator[Concern]:
    """Copies in two splits or two classes."""
    leaks = [group for group in groups if group.leaks]
    if leaks:
        near = leaks[0].kind == "near"
        what = "Photos that look the same are" if near else "The same photo is"
        yield Concern(
            kind="split_leak",
            first=True,
            sentence=(
                f"{what} in two splits {_times(len(leaks))} (split_leak), as {_pair(leaks[0])}: scores on the later "
                "split are too good by that much."
            ),
            remedy="Keep such photos in one split only.",
            paths=leaks[0].paths[:2],
        )
    conflicts = [group for group in groups if group.conflicts]
    if conflicts:
        near = conflicts[0].kind == "near"
        what = "Photos that look the same are" if near else "The same photo is"
        wrong = "one of the labels may be wrong" if near else "one of the labels is wrong"
        yield Concern(
            kind="label_conflict",
            first=True,
            sentence=f"{what} in two classes {_times(len(conflicts))}, as {_pair(conflicts[0])}: {wrong}.",
            remedy="Decide which label is right and delete the other photo.",
            paths=conflicts[0].paths[:2],
        )


def _shortcut_concern(shortcut: Shortcut) -> Concern:
    return Concern(kind="shortcut", first=True, sentence=shortcut.sentence, remedy=shortcut.remedy)


def _file_concerns(manifest: Manifest) -> Iterator[Concern]:
    bad, good = len(manifest.quarantined), len(manifest.photos)
    if bad:
        tally = sorted(Counter(item.code for item in manifest.quarantined).items(), key=lambda item: (-item[1], item))
        reasons = "; ".join(f"{n} × {meaning(code)}" for code, n in tally)
        too_many = bad > MAX_BAD_SHARE * (bad + good)
        yield Concern(
            kind="left_out",
            first=too_many,
            sentence=f"{'1 file was' if bad == 1 else f'{bad} files were'} left out: {reasons}.",
            remedy=f"{remedy({code for code, _ in tally})}."
            + (f" A training refuses more than {MAX_BAD_SHARE:.0%} bad files." if too_many else ""),
            paths=tuple(item.path for item in manifest.quarantined[:2]),
        )
    if note := depth_note(manifest):
        yield Concern(
            kind="sample_range",
            first=note.grave,
            sentence=note.sentence,
            remedy=note.remedy,
            paths=tuple(photo.path for photo in meant(note, manifest.photos)[:2]),
        )


def _size_concerns(manifest: Manifest, counts: Sequence[ClassCount]) -> Iterator[Concern]:
    """Few photos, uneven classes, a missing test split, tiny photos."""
    largest = max(counts, key=lambda count: count.total, default=None)
    smallest = min((count for count in counts if count.total), key=lambda count: count.total, default=None)
    if largest and smallest and largest.total >= STRONG_IMBALANCE * smallest.total:
        yield Concern(
            kind="imbalance",
            first=False,
            sentence=(
                f"{largest.name!r} has {largest.total} photos, {smallest.name!r} only {smallest.total}: accuracy alone "
                "will flatter the classifier; look at the scores of each class."
            ),
            remedy="Add photos of the small classes.",
        )
    few = [repr(count.name) for count in counts if MIN_CLASS_PHOTOS <= count.total < FEW_PHOTOS]
    if few:
        yield Concern(
            kind="few_photos",
            first=False,
            sentence=(
                f"Fewer than {FEW_PHOTOS} photos of {_some(few)}: scores will be uncertain, and more photos the best "
                "remedy."
            ),
            remedy="Add photos of these classes.",
        )
    if manifest.split_origin == "given" and not any(count.test for count in counts):
        yield Concern(
            kind="no_test",
            first=False,
            sentence="No test photos are given: the score will be one on validation photos, which helped to choose.",
            remedy="Add a folder named test, with photos that are used for nothing else.",
        )
    small = [photo.path for photo in manifest.photos if min(photo.facts.width, photo.facts.height) < SMALL_SIDE_PIXELS]
    if small:
        yield Concern(
            kind="small",
            first=False,
            sentence=f"{_photos(len(small))} less than {SMALL_SIDE_PIXELS} pixels wide or high.",
            remedy="Use the originals where they are larger.",
            paths=tuple(small[:2]),
        )


def _repeated(exact: Sequence[DuplicateGroup], near: Sequence[DuplicateGroup]) -> Iterator[Concern]:
    """Copies that do no harm but count as more photos than there are."""
    for groups, words in ((exact, "repeated within a class"), (near, "nearly the same as another of its class")):
        inside = [group for group in groups if not group.leaks and not group.conflicts]
        if inside:
            extra = sum(len(group.paths) - 1 for group in inside)
            yield Concern(
                kind="copies",
                first=False,
                sentence=f"{_photos(extra)} {words}; copies stay in the same split.",
                remedy="Nothing needs to be done, but there are fewer different photos than it seems.",
                paths=inside[0].paths[:2],
            )


def _photos(n: int) -> str:
    return "1 photo is" if n == 1 else f"{n} photos are"


def _times(n: int) -> str:
    return "once" if n == 1 else f"{n} times"


def _pair(group: DuplicateGroup) -> str:
    return " and ".join(repr(path) for path in group.paths[:2])


def _some(items: Sequence[str]) -> str:
    return ", ".join(items[:NAMED]) + (f" and {len(items) - NAMED} more" if len(items) > NAMED else "")
