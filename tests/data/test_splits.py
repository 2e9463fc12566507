"""Splits: groups stay together, classes are spread, and nothing but the seed and the names decides."""

from collections import Counter, defaultdict
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.core.errors import BadInput
from graft.data.records import SPLITS
from graft.data.splits import assign, hash_position, parse_split

FRACTIONS = [(0.7, 0.15, 0.15), (0.6, 0.2, 0.2), (0.8, 0.0, 0.2), (0.5, 0.5, 0.0), (0.9, 0.05, 0.05), (1.0, 0.0, 0.0)]
fractions = st.sampled_from(FRACTIONS)
seeds = st.integers(0, 1_000)


@st.composite
def one_class_groups(draw: st.DrawFn) -> tuple[list[int], list[str]]:
    """Photos in groups of 1 to 5, each group of one class."""
    labels, groups = [], []
    for label in range(draw(st.integers(1, 4))):
        for number, size in enumerate(draw(st.lists(st.sampled_from([1, 1, 1, 2, 5]), min_size=1, max_size=40))):
            labels += [label] * size
            groups += [f"{label}-{number}"] * size
    return labels, groups


@st.composite
def mixed_groups(draw: st.DrawFn) -> tuple[list[int], list[str]]:
    """Photos in groups that may hold several classes, as of one patient."""
    n = draw(st.integers(1, 80))
    labels = draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    return labels, [f"g{number}" for number in draw(st.lists(st.integers(0, 25), min_size=n, max_size=n))]


@given(st.one_of(one_class_groups(), mixed_groups()), fractions, seeds)
def test_groups_stay_together_and_order_does_not_matter(photos, shares, seed) -> None:
    labels, groups = photos
    splits = assign(labels, groups, shares, seed=seed)
    of_group = defaultdict(set)
    for group, split in zip(groups, splits, strict=True):
        of_group[group].add(split)
    assert all(len(found) == 1 for found in of_group.values())
    backwards = assign(labels[::-1], groups[::-1], shares, seed=seed)
    assert backwards[::-1] == splits


@given(one_class_groups(), fractions, seeds)
@settings(max_examples=200)
def test_every_class_is_spread_as_asked_for(photos, shares, seed) -> None:
    labels, groups = photos
    splits = assign(labels, groups, shares, seed=seed)
    asked = [split for split, share in zip(SPLITS, shares, strict=True) if share > 0]
    assert set(splits) <= set(asked)
    for label in set(labels):
        sizes = Counter(group for its, group in zip(labels, groups, strict=True) if its == label)
        counts = Counter(split for its, split in zip(labels, splits, strict=True) if its == label)
        if len(sizes) >= len(asked):
            assert set(counts) == set(asked)
        assert counts["train"] > 0
        largest, total = max(sizes.values()), sum(sizes.values())
        # where a share is less than one group, having one group there at all comes first
        forced = sum(largest for share in shares if 0 < share * total < largest)
        for split, share in zip(SPLITS, shares, strict=True):
            assert abs(counts[split] - share * total) < largest + forced


@given(seeds, st.integers(30, 300))
def test_single_photos_are_split_to_the_number(seed: int, n: int) -> None:
    splits = assign([row % 2 for row in range(n)], [str(row) for row in range(n)], (0.7, 0.15, 0.15), seed=seed)
    for split, share in zip(SPLITS, (0.7, 0.15, 0.15), strict=True):
        assert abs(Counter(splits)[split] - share * n) < 1


def test_counts_are_met_exactly() -> None:
    labels = [row % 10 for row in range(2_062)]
    groups = [str(row) for row in range(2_062)]
    splits = assign(labels, groups, parse_split("1712/300/50", 2_062), seed=0)
    assert Counter(splits) == {"train": 1_712, "validation": 300, "test": 50}


@given(one_class_groups(), fractions, seeds, st.integers(0, 100))
def test_earlier_assignments_win_when_data_grow(photos, shares, seed, cut) -> None:
    labels, groups = photos
    known = sorted(set(groups))[: max(1, len(set(groups)) * cut // 100)]
    rows = [row for row, group in enumerate(groups) if group in known]
    before = assign([labels[row] for row in rows], [groups[row] for row in rows], shares, seed=seed)
    earlier = {groups[row]: split for row, split in zip(rows, before, strict=True)}
    after = dict(zip(groups, assign(labels, groups, shares, seed=seed, earlier=earlier), strict=True))
    assert {group: after[group] for group in known} == earlier


def test_most_photos_stay_where_they_were_without_an_earlier_run() -> None:
    names = [f"photo {number}" for number in range(1_100)]
    before = assign([0] * 1_000, names[:1_000], (0.7, 0.15, 0.15), seed=3)
    after = assign([0] * 1_100, names, (0.7, 0.15, 0.15), seed=3)
    assert sum(a == b for a, b in zip(before, after, strict=False)) >= 950


def test_the_repair_moves_few_groups() -> None:
    names = [f"photo {number}" for number in range(5_000)]
    splits = assign([0] * 5_000, names, (0.7, 0.15, 0.15), seed=1)
    by_hash = ["train" if hash_position(1, name) < 0.7 else "" for name in names]
    moved = sum((split == "train") != (place == "train") for split, place in zip(splits, by_hash, strict=True))
    assert moved <= abs(by_hash.count("train") - 3_500)  # not one more than needed


def test_the_seed_matters() -> None:
    names = [str(number) for number in range(200)]
    splits = {assign([0] * 200, names, (0.7, 0.15, 0.15), seed=seed) for seed in range(5)}
    assert len(splits) == 5


def test_positions_are_spread_evenly() -> None:
    positions = sorted(hash_position(0, str(number)) for number in range(2_000))
    assert max(later - earlier for earlier, later in pairwise(positions)) < 0.01
    assert 0 <= positions[0] < positions[-1] < 1


@pytest.mark.parametrize(
    ("text", "n", "expected"),
    [
        ("70/15/15", None, (0.7, 0.15, 0.15)),
        ("0.7/0.15/0.15", 10, (0.7, 0.15, 0.15)),
        (" 80 / 20 / 0 ", 10, (0.8, 0.2, 0.0)),
        ("1712/300/50", 2_062, (1_712 / 2_062, 300 / 2_062, 50 / 2_062)),
        ("33.3/33.3/33.4", 7, (0.333, 0.333, 0.334)),
        ("6/2/2", None, (0.6, 0.2, 0.2)),
    ],
)
def test_splits_are_read(text: str, n: int | None, expected: tuple[float, ...]) -> None:
    assert parse_split(text, n) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["", "70/30", "a/b/c", "70/15/15/0", "-70/85/85", "0/50/50", "nan/1/1", "1712/300/51"])
def test_wrong_splits_are_told(text: str) -> None:
    with pytest.raises(BadInput, match=r"got|sum") as caught:
        parse_split(text, 2_062)
    assert "70/15/15" in caught.value.hint
