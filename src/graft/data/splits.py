"""Which photos train, which choose and which test: a salted hash of each group decides, repaired as little as possible.

The hash makes a group's place depend on the seed and its own name only, so data may grow and be listed in any order.
Alone it would leave a small class without test photos, and every class a few photos off. The repair moves groups from
a split that has too many of a class to one that has too few, those first whose hash lies nearest to the other split.
"""

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from graft.core.errors import BadInput
from graft.data.records import SPLITS, Split

Fractions = tuple[float, float, float]
PERCENT_TOLERANCE = 1e-6
MAX_PASSES = 20  # only groups with photos of several classes need more than two
_NUMBER = re.compile(r"\d+(\.\d+)?|\.\d+")
_IMPORTANCE = (0, 2, 1)  # a class with too few groups for all splits goes to train first, then test, then validation


@dataclass
class _Group:
    """One group while it is being placed: `counts` holds its photos by class."""

    name: str
    counts: Counter[int]
    position: float  # of its hash, in [0, 1)
    place: int  # index into SPLITS
    movable: bool


def parse_split(text: str, n: int | None) -> Fractions:
    """Shares of train, validation and test from "70/15/15", "0.7/0.15/0.15" or numbers of photos that add up to `n`."""
    parts = [part.strip() for part in text.split("/")]
    if len(parts) != 3 or not all(_NUMBER.fullmatch(part) for part in parts):
        raise BadInput(
            f"The split must be three numbers for train/validation/test, got {text!r:.60}.",
            hint="Write 70/15/15, or numbers of photos.",
        )
    train, validation, test = (float(part) for part in parts)
    total = train + validation + test
    shares = any(math.isclose(total, whole, rel_tol=PERCENT_TOLERANCE) for whole in (1, 100))
    if not shares and n is not None and total != n:
        raise BadInput(
            f"The split must add up to 100 or to the number of photos ({n}), got {text!r:.60} with the sum {total:g}.",
            hint="Write 70/15/15, or numbers of photos.",
        )
    if train <= 0:
        raise BadInput(f"The split must leave photos to train with, got {text!r:.60}.", hint="Write 70/15/15.")
    return train / total, validation / total, test / total


def assign(
    labels: Sequence[int],
    groups: Sequence[str],
    fractions: Fractions,
    *,
    seed: int,
    earlier: Mapping[str, Split] | None = None,
) -> tuple[Split, ...]:
    """The split of each photo; photos of one group share it, and the order of the photos does not matter.

    `earlier` fixes the splits of groups it names. Of groups with one class each: a class with a group for every split
    asked for has one there, and otherwise each split's number of its photos is less than one group off.
    """
    placed = _hashed(labels, groups, fractions, seed, earlier or {})
    classes = sorted(set(labels))
    targets = _targets(Counter(labels), fractions)
    balance = _Balance(placed, targets, fractions)
    for label in classes:
        balance.fill(label)
    for _ in range(MAX_PASSES):
        if not any([balance.level(label) for label in classes]):
            break
    place = {group.name: SPLITS[group.place] for group in placed}
    return tuple(place[name] for name in groups)


def hash_position(seed: int, group: str) -> float:
    """Where in [0, 1) a group's salted hash lies."""
    digest = hashlib.sha256(f"{seed}\x00{group}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def _hashed(
    labels: Sequence[int], groups: Sequence[str], fractions: Fractions, seed: int, earlier: Mapping[str, Split]
) -> list[_Group]:
    """Every group where its hash, or an earlier run, puts it; in the order of the hash."""
    counts: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for label, name in zip(labels, groups, strict=True):
        counts[name][label] += 1
    placed = []
    for name, of_class in counts.items():
        position = hash_position(seed, name)
        fixed = earlier.get(name)
        place = _interval(position, fractions) if fixed is None else SPLITS.index(fixed)
        placed.append(_Group(name, of_class, position, place, fixed is None))
    return sorted(placed, key=lambda group: (group.position, group.name))


def _interval(position: float, fractions: Fractions) -> int:
    if position < fractions[0]:
        return 0
    if position < fractions[0] + fractions[1] or fractions[2] == 0:
        return 1 if fractions[1] > 0 else 0
    return 2


def _targets(counts: Mapping[int, int], fractions: Fractions) -> dict[int, list[int]]:
    """Whole numbers of photos for each class and split: rounded down or up so that classes and totals both add up."""
    wanted = {label: [share * count for share in fractions] for label, count in counts.items()}
    targets = {label: _apportion(values, counts[label]) for label, values in wanted.items()}
    totals = _apportion([share * sum(counts.values()) for share in fractions], sum(counts.values()))
    while True:
        excess = [sum(row[split] for row in targets.values()) - totals[split] for split in range(3)]
        most, least = excess.index(max(excess)), excess.index(min(excess))
        # what was rounded up for the one and down for the other can be rounded the other way round
        candidates = [
            (targets[label][least] - values[least] - (targets[label][most] - values[most]), label)
            for label, values in wanted.items()
            if targets[label][most] > values[most] and targets[label][least] < values[least]
        ]
        if excess[most] <= 0 or excess[least] >= 0 or not candidates:
            return targets
        _, label = min(candidates)
        targets[label][most] -= 1
        targets[label][least] += 1


def _apportion(values: Sequence[float], total: int) -> list[int]:
    """Round `values` down or up to whole numbers with the sum `total`: the largest remainders are rounded up."""
    rounded = [math.floor(value + 1e-9) for value in values]
    order = sorted(range(len(values)), key=lambda index: (rounded[index] - values[index], index))
    for index in order[: total - sum(rounded)]:
        rounded[index] += 1
    return rounded


class _Balance:
    """How far each class and split is from its target, and the moves that bring it nearer."""

    def __init__(self, placed: Sequence[_Group], targets: Mapping[int, Sequence[int]], fractions: Fractions) -> None:
        self.fractions = fractions
        self.of_class: defaultdict[int, list[_Group]] = defaultdict(list)
        self.excess = {label: [-target for target in row] for label, row in targets.items()}
        self.groups = {label: [0, 0, 0] for label in targets}  # groups of a class in each split
        for group in placed:
            for label, count in group.counts.items():
                self.of_class[label].append(group)
                self.excess[label][group.place] += count
                self.groups[label][group.place] += 1

    def needed(self, label: int) -> set[int]:
        """The splits in which a class must have a group, as far as it has enough of them."""
        asked = [split for split in _IMPORTANCE if self.fractions[split] > 0]
        return set(asked[: len(self.of_class[label])])

    def fill(self, label: int) -> None:
        """Give a class one group at least in each split that needs one."""
        for split in sorted(self.needed(label)):
            if self.groups[label][split]:
                continue
            candidates = [
                (self.change(group, split), self.distance(group, split), group.name, group)
                for group in self.of_class[label]
                if self.may_leave(group)
            ]
            if candidates:
                self.move(min(candidates)[3], split)

    def level(self, label: int) -> bool:
        """Move groups of a class while that brings the classes nearer to their targets; whether any moved."""
        moved = False
        for source, target in self.pairs(label):
            if self.excess[label][source] - self.excess[label][target] < 2:
                continue  # not even a single photo would bring both nearer
            inside = [group for group in self.of_class[label] if group.place == source and group.movable]
            for group in sorted(inside, key=lambda group: (self.distance(group, target), group.name)):
                if self.excess[label][source] <= self.excess[label][target]:
                    break
                if self.change(group, target) < 0 and self.may_leave(group):
                    self.move(group, target)
                    moved = True
        return moved

    def pairs(self, label: int) -> Iterator[tuple[int, int]]:
        """From the fuller split to the emptier one, the widest gap first, as things stand at each step."""
        for _ in range(len(SPLITS)):
            order = sorted(range(len(SPLITS)), key=lambda split: (-self.excess[label][split], split))
            yield order[0], order[2]
            yield order[0], order[1]
            yield order[1], order[2]

    def change(self, group: _Group, target: int) -> int:
        """What a move adds to the sum of squared distances from the targets (halved)."""
        return sum(
            count * (count + self.excess[label][target] - self.excess[label][group.place])
            for label, count in group.counts.items()
        )

    def may_leave(self, group: _Group) -> bool:
        """Whether no class loses its last group in a split that needs one."""
        return group.movable and all(
            self.groups[label][group.place] > 1 or group.place not in self.needed(label) for label in group.counts
        )

    def distance(self, group: _Group, target: int) -> float:
        """How far a group's hash lies from the interval of another split."""
        low = sum(self.fractions[:target])
        return max(low - group.position, group.position - (low + self.fractions[target]), 0.0)

    def move(self, group: _Group, target: int) -> None:
        for label, count in group.counts.items():
            self.excess[label][group.place] -= count
            self.excess[label][target] += count
            self.groups[label][group.place] -= 1
            self.groups[label][target] += 1
        group.place = target
