"""From a scan to the manifest: groups of equal photos, class numbers and splits, fixed once and for all."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from graft.core.errors import BadInput
from graft.data.records import SPLITS, Manifest, Photo, Split
from graft.data.scan import Scan, Scanned
from graft.data.splits import Fractions, assign


def build_manifest(scan: Scan, *, fractions: Fractions, seed: int, split_from: Manifest | None = None) -> Manifest:
    """Fix classes, groups and splits of the good photos.

    Given splits are honoured. Of those, validation is taken from train where only it is missing, in proportion to
    `fractions`; a missing test split is not invented, unless there is nothing but train, which is then split as if no
    split had been given. With `split_from`, photos that run knew keep their split and the classes their numbers;
    another set of classes raises `BadInput` (`class_set_changed`).
    """
    classes = _classes(scan, split_from)
    number = {name: index for index, name in enumerate(classes)}
    labels = [number[item.entry.label] for item in scan.good]
    groups = _groups(scan.good)
    given = _given(scan.good)
    if given is None:
        earlier = _earlier(scan.good, groups, split_from)
        splits = assign(labels, groups, fractions, seed=seed, earlier=earlier)
        shares = fractions
    else:
        splits = _completed(given, labels, groups, fractions, seed)
        shares = _found_shares(splits)
    photos = [
        Photo(path=item.entry.path, label=label, split=split, sha256=item.sha256, group=group, facts=item.facts)
        for item, label, split, group in zip(scan.good, labels, splits, groups, strict=True)
    ]
    _check_train(photos, classes)
    return Manifest(
        classes=classes,
        photos=tuple(sorted(photos, key=lambda photo: photo.path)),
        quarantined=scan.quarantined,
        ignored=scan.source.ignored,
        split_origin="made" if given is None else "given",
        split_fractions=shares,
        seed=seed,
        rules=scan.rules,
    )


def _classes(scan: Scan, split_from: Manifest | None) -> tuple[str, ...]:
    found = scan.source.classes
    if split_from is None or set(found) == set(split_from.classes):
        return found if split_from is None else split_from.classes
    added = sorted(set(found) - set(split_from.classes))
    gone = sorted(set(split_from.classes) - set(found))
    changes = [f"{word} {', '.join(map(repr, names))}" for word, names in (("new:", added), ("gone:", gone)) if names]
    raise BadInput(
        f"The classes must be those of the earlier run, but they changed ({'; '.join(changes)}).",
        hint="Train without the earlier run's splits, or restore its class folders.",
        code="class_set_changed",
    )


def _groups(photos: Sequence[Scanned]) -> list[str]:
    """One name for each photo: photos with the same bytes, or of one group of the user's, share it, also in a chain."""
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    members = [
        (item.sha256, item.sha256 if item.entry.group is None else f"group {item.entry.group}") for item in photos
    ]
    for content, own in members:
        first, second = sorted((root(content), root(own)))
        parent[second] = first  # the smallest name wins: it does not depend on the order of the photos
    return [root(content) for content, _ in members]


def _given(photos: Sequence[Scanned]) -> list[Split] | None:
    """The user's splits, or None where there are none to honour."""
    splits = [item.entry.split for item in photos]
    given = [split for split in splits if split is not None]
    return given if len(given) == len(splits) and set(given) != {"train"} else None


def _earlier(photos: Sequence[Scanned], groups: Sequence[str], split_from: Manifest | None) -> Mapping[str, Split]:
    """Splits of the groups that hold a photo of the earlier run: of several, the one with most photos."""
    if split_from is None:
        return {}
    known = {photo.sha256: photo.split for photo in split_from.photos}
    votes: defaultdict[str, Counter[Split]] = defaultdict(Counter)
    for item, group in zip(photos, groups, strict=True):
        if item.sha256 in known:
            votes[group][known[item.sha256]] += 1
    return {group: max(SPLITS, key=lambda split: count[split]) for group, count in votes.items()}


def _completed(
    given: Sequence[Split], labels: Sequence[int], groups: Sequence[str], fractions: Fractions, seed: int
) -> tuple[Split, ...]:
    """The given splits, with a validation split taken from train where the user gave train and test only."""
    train, validation, _ = fractions
    if "validation" in given or validation == 0:
        return tuple(given)
    rows = [row for row, split in enumerate(given) if split == "train"]
    share = validation / (train + validation)
    made = assign([labels[row] for row in rows], [groups[row] for row in rows], (1 - share, share, 0.0), seed=seed)
    splits = list(given)
    for row, split in zip(rows, made, strict=True):
        splits[row] = split
    return tuple(splits)


def _found_shares(splits: Sequence[Split]) -> Fractions:
    counts = Counter(splits)
    train, validation, test = (counts[split] / len(splits) for split in SPLITS)
    return train, validation, test


def _check_train(photos: Sequence[Photo], classes: Sequence[str]) -> None:
    trained = {photo.label for photo in photos if photo.split == "train"}
    missing = [name for index, name in enumerate(classes) if index not in trained]
    if missing:
        raise BadInput(
            f"Every class must have good photos in the train split, got none of {missing[0]!r}.",
            hint="Move photos of it to the train folder.",
            code="class_empty",
        )
