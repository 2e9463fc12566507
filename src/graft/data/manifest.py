"""From a scan to the manifest: groups of equal photos, class numbers and splits, fixed once and for all."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from graft.core.errors import BadInput
from graft.data.duplicates.search import Groups, NearPair
from graft.data.records import SPLITS, Manifest, Photo, Split
from graft.data.scan import Scan, Scanned
from graft.data.splits import Fractions, assign


def build_manifest(
    scan: Scan,
    *,
    fractions: Fractions,
    seed: int,
    split_from: Manifest | None = None,
    near: Sequence[NearPair] | None = None,
    trainable: bool = True,
) -> Manifest:
    """Fix classes, groups and splits of the good photos. Those of a group share a split: equal photos, pairs of `near`
    (None where near duplicates were not looked for), photos of one group of the user's, and what these hold together.

    Given splits are honoured. Of those, validation is taken from train where only it is missing, in proportion to
    `fractions`; a missing test split is not invented, unless there is nothing but train, which is then split as if no
    split had been given. With `split_from`, photos that run knew keep their split, each its own, and the classes their
    numbers; another set of classes raises `BadInput` (`class_set_changed`). What is not to be `trainable` may have
    classes without training photos, which else raise `class_empty`.
    """
    classes = _classes(scan, split_from)
    number = {name: index for index, name in enumerate(classes)}
    labels = [number[item.entry.label] for item in scan.good]
    groups = _groups(scan.good, near or ())
    given = _given(scan.good)
    if given is None:
        placed, earlier = _earlier(scan.good, groups, split_from)
        splits = assign(labels, placed, fractions, seed=seed, earlier=earlier)
        shares = fractions
    else:
        splits = _completed(given, labels, groups, fractions, seed)
        shares = _found_shares(splits)
    photos = [
        Photo(path=item.entry.path, label=label, split=split, sha256=item.sha256, group=group, facts=item.facts)
        for item, label, split, group in zip(scan.good, labels, splits, groups, strict=True)
    ]
    if trainable:
        _check_train(photos, classes)
    return Manifest(
        classes=classes,
        photos=tuple(sorted(photos, key=lambda photo: photo.path)),
        quarantined=scan.quarantined,
        ignored=scan.source.ignored,
        duplicates="exact" if near is None else "near",
        near_duplicates=_look_alikes(scan.good, near or ()),
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


def _groups(photos: Sequence[Scanned], near: Sequence[NearPair]) -> list[str]:
    """One name for each photo: photos that show the same, or of one group of the user's, share it, also in a chain."""
    groups = Groups({})
    for item in photos:
        groups.join(item.sha256, item.sha256 if item.entry.group is None else f"group {item.entry.group}")
    for pair in near:
        groups.join(pair.first, pair.second)
    return [groups.root(item.sha256) for item in photos]


def _look_alikes(photos: Sequence[Scanned], near: Sequence[NearPair]) -> tuple[tuple[str, ...], ...]:
    """The paths of near duplicates, as the manifest holds them."""
    groups, contents = Groups({}), {content for pair in near for content in (pair.first, pair.second)}
    for pair in near:
        groups.join(pair.first, pair.second)
    paths: defaultdict[str, list[str]] = defaultdict(list)
    for item in photos:
        if item.sha256 in contents:
            paths[groups.root(item.sha256)].append(item.entry.path)
    return tuple(sorted(tuple(sorted(group)) for group in paths.values()))


def _given(photos: Sequence[Scanned]) -> list[Split] | None:
    """The user's splits, or None where there are none to honour."""
    splits = [item.entry.split for item in photos]
    given = [split for split in splits if split is not None]
    return given if given and len(given) == len(splits) and set(given) != {"train"} else None


def _earlier(
    photos: Sequence[Scanned], groups: Sequence[str], split_from: Manifest | None
) -> tuple[list[str], Mapping[str, Split]]:
    """The groups to place, one name for each photo, and the splits of those that the earlier run decided.

    Each photo of the earlier run keeps its own split. A group whose photos it knew in several splits is therefore
    taken apart, and its new photos go to the first of train, validation and test among these: so no photo is tested
    more that resembles one which was trained on.
    """
    if split_from is None:
        return list(groups), {}
    exactly = {(photo.path, photo.sha256): photo.split for photo in split_from.photos}
    known: dict[str, Split] = {}  # where the earlier run had one content in several splits, the first of them
    for photo in sorted(split_from.photos, key=lambda photo: -SPLITS.index(photo.split)):
        known[photo.sha256] = photo.split
    own = [exactly.get((item.entry.path, item.sha256), known.get(item.sha256)) for item in photos]
    found: defaultdict[str, set[Split]] = defaultdict(set)
    for group, split in zip(groups, own, strict=True):
        if split:
            found[group].add(split)
    earlier = {group: min(splits, key=SPLITS.index) for group, splits in found.items()}
    placed = []
    for group, split in zip(groups, own, strict=True):
        if split and split != earlier[group]:
            group = f"{group} {split}"
            earlier[group] = split
        placed.append(group)
    return placed, earlier


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
