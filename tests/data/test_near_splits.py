"""What near duplicates mean for groups and splits: together in one, listed where given splits part them, and stable."""

import shutil
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from graft.core.progress import SilentProgress
from graft.core.records import from_json, to_json
from graft.data.duplicates.search import NearPair, find_near
from graft.data.entries import Entry
from graft.data.manifest import build_manifest
from graft.data.records import SPLITS, ImageFacts, Manifest, Split
from graft.data.scan import Scan, Scanned
from graft.data.sources import Source
from tests.data.look_alikes import cropped, natural, resized, scanned_with_fingerprints, stored, write

FACTS = ImageFacts(format="PNG", width=100, height=100, mode="RGB")
SHARES = (0.7, 0.15, 0.15)


def near_manifest(data: Path, **options: object) -> Manifest:
    scan = scanned_with_fingerprints(data)
    near = find_near(scan, workers=2, progress=SilentProgress())
    return build_manifest(scan, fractions=SHARES, near=near, **{"seed": 0, **options})


def copy_of(number: int, seed: int = 0) -> bytes:
    """A lightly cropped, smaller JPEG of a natural photo."""
    draw = np.random.default_rng(seed)
    return stored(resized(cropped(natural(number), draw), 0.7, draw), "JPEG", 70)


def splits_of(manifest: Manifest) -> dict[str, Split]:
    return {photo.path: photo.split for photo in manifest.photos}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty photos of two classes; of the first ten there is a copy, twice that of number 0."""
    files = {f"{'ab'[number % 2]}/{number:02}.png": stored(natural(number)) for number in range(40)}
    files |= {f"{'ab'[number % 2]}/copy {number:02}.jpg": copy_of(number) for number in range(10)}
    files["a/copy 00 again.jpg"] = copy_of(0)
    return write(tmp_path_factory.mktemp("photos"), files)


def test_near_duplicates_share_group_and_split_and_are_listed(photos: Path) -> None:
    for seed in range(4):
        manifest = near_manifest(photos, seed=seed)
        found = {photo.path: (photo.group, photo.split) for photo in manifest.photos}
        for number in range(10):
            label = "ab"[number % 2]
            assert found[f"{label}/{number:02}.png"] == found[f"{label}/copy {number:02}.jpg"]
        assert len({photo.group for photo in manifest.photos}) == 40
    assert manifest.duplicates == "near"
    assert len(manifest.near_duplicates) == 10
    assert manifest.near_duplicates[0] == ("a/00.png", "a/copy 00 again.jpg", "a/copy 00.jpg")
    assert all(paths == tuple(sorted(paths)) for paths in manifest.near_duplicates)
    assert from_json(Manifest, to_json(manifest), source="manifest.json") == manifest


def test_turned_off_only_equal_bytes_count(photos: Path) -> None:
    manifest = build_manifest(scanned_with_fingerprints(photos), fractions=SHARES, seed=0)
    assert (manifest.duplicates, manifest.near_duplicates) == ("exact", ())
    assert len({photo.group for photo in manifest.photos}) == 50


def test_the_same_photos_elsewhere_in_another_order_give_the_same_manifest(photos: Path, tmp_path: Path) -> None:
    for path in sorted(photos.rglob("*.*"), reverse=True):
        target = tmp_path / path.relative_to(photos)
        target.parent.mkdir(exist_ok=True)
        shutil.copy(path, target)
    assert to_json(near_manifest(photos)) == to_json(near_manifest(tmp_path))


def test_given_splits_are_kept_and_what_leaks_is_listed(tmp_path: Path) -> None:
    files = {f"train/{'ab'[number % 2]}/{number}.png": stored(natural(number)) for number in range(10)}
    files |= {f"test/{'ab'[number % 2]}/{number}.png": stored(natural(number)) for number in range(20, 26)}
    files["test/a/leak.jpg"] = copy_of(0)
    manifest = near_manifest(write(tmp_path, files))
    assert manifest.split_origin == "given"
    assert all((split == "test") == path.startswith("test/") for path, split in splits_of(manifest).items())
    assert manifest.near_duplicates == (("test/a/leak.jpg", "train/a/0.png"),)


def test_groups_of_the_user_hold_near_duplicates_too(tmp_path: Path) -> None:
    files = {f"x/{number}.png": stored(natural(number)) for number in range(12)} | {"x/copy.jpg": copy_of(0)}
    rows = [f"x/{number}.png,{'ab'[number % 2]},patient {number // 3}" for number in range(12)]
    table = "\n".join(["path,label,group", *rows, "x/copy.jpg,a,patient 3"])
    manifest = near_manifest(write(tmp_path, files | {"t.csv": table.encode()}) / "t.csv")
    groups = {photo.path: photo.group for photo in manifest.photos}
    assert len({groups[f"x/{number}.png"] for number in (0, 1, 2, 9, 10, 11)} | {groups["x/copy.jpg"]}) == 1
    assert len({groups[f"x/{number}.png"] for number in range(12)}) == 3


def test_a_new_copy_of_a_test_photo_is_tested(photos: Path, tmp_path: Path) -> None:
    before = near_manifest(photos)
    data = shutil.copytree(photos, tmp_path / "photos")
    alone = [photo for photo in before.photos if int(Path(photo.path).stem.split()[-1].replace("again", "0")) >= 10]
    wanted = {}
    for split in SPLITS:
        old = next(photo for photo in alone if photo.split == split)
        name = f"{old.path[0]}/new copy of {split}.jpg"
        (data / name).write_bytes(copy_of(int(Path(old.path).stem), seed=9))
        wanted[name] = split
    for seed in range(3):
        after = splits_of(near_manifest(data, seed=seed, split_from=before))
        assert {name: after[name] for name in wanted} == wanted
        assert {path: after[path] for path in splits_of(before)} == splits_of(before)
    # with the old photos gone, only what is there counts
    for photo in before.photos:
        if photo.split != "train":
            (data / photo.path).unlink()
    left = near_manifest(data, split_from=before)
    assert all(splits_of(left)[photo.path] == "train" for photo in before.photos if photo.split == "train")


def test_a_photo_between_two_old_splits_is_not_tested_and_moves_nothing(tmp_path: Path) -> None:
    one, other = natural(0, 200, 200), natural(1, 200, 200)
    files = {f"{'ab'[number % 2]}/{number:02}.png": stored(natural(number + 50)) for number in range(30)}
    files |= {"a/one.png": stored(one), "a/other.png": stored(other)}
    scan = scanned_with_fingerprints(write(tmp_path, files))
    before = build_manifest(scan, fractions=SHARES, seed=0, near=())
    splits = {"a/one.png": "test", "a/other.png": "validation"}
    before = replace(
        before, photos=tuple(replace(photo, split=splits.get(photo.path, photo.split)) for photo in before.photos)
    )
    (tmp_path / "a" / "between.png").write_bytes(stored(Image.blend(one, other, 0.5)))
    scan = scanned_with_fingerprints(tmp_path)
    content = {item.entry.path: item.sha256 for item in scan.good}
    near = [NearPair(*sorted((content["a/between.png"], content[path])), 0.5) for path in ("a/one.png", "a/other.png")]
    after = build_manifest(scan, fractions=SHARES, seed=1, near=near, split_from=before)
    assert {path: splits_of(after)[path] for path in splits_of(before)} == splits_of(before)
    assert splits_of(after)["a/between.png"] == "validation"
    assert after.near_duplicates == (("a/between.png", "a/one.png", "a/other.png"),)
    assert len({photo.group for photo in after.photos if photo.path in after.near_duplicates[0]}) == 1


# Any photos, any pairs: no file is read.


def scan_of(contents: Sequence[int], labels: Sequence[int]) -> Scan:
    good = tuple(
        Scanned(Entry(f"{label}/{row:03}.png", str(label)), f"{content:064x}", FACTS)
        for row, (content, label) in enumerate(zip(contents, labels, strict=True))
    )
    entries = tuple(item.entry for item in good)
    classes = tuple(sorted({entry.label for entry in entries}))
    return Scan(Source(root=Path(), entries=entries, classes=classes, origin="folder"), good, ())


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], list[int], list[NearPair]]:
    n = draw(st.integers(12, 90))
    contents = draw(st.lists(st.integers(0, n), min_size=n, max_size=n))
    labels = [content % 3 for content in contents]
    pairs = draw(st.lists(st.tuples(st.sampled_from(contents), st.sampled_from(contents)), max_size=n // 3))
    near = [NearPair(f"{min(pair):064x}", f"{max(pair):064x}", 0.5) for pair in pairs if pair[0] != pair[1]]
    return contents, labels, near


def built(contents: Sequence[int], labels: Sequence[int], near: Sequence[NearPair], **options: object) -> Manifest:
    scan = scan_of(contents, labels)
    return build_manifest(scan, fractions=SHARES, near=near, trainable=False, **{"seed": 0, **options})


@given(cases(), st.integers(0, 20))
@settings(max_examples=60)
def test_no_group_is_split_and_shares_are_near(case, seed: int) -> None:
    contents, labels, near = case
    manifest = built(contents, labels, near, seed=seed)
    group = {photo.sha256: photo.group for photo in manifest.photos}
    assert all(group[pair.first] == group[pair.second] for pair in near)
    splits = defaultdict(set)
    for photo in manifest.photos:
        splits[photo.group].add(photo.split)
    assert all(len(found) == 1 for found in splits.values())
    sizes = Counter(photo.group for photo in manifest.photos)
    counts = Counter(photo.split for photo in manifest.photos)
    for split, share in zip(SPLITS, SHARES, strict=True):
        assert abs(counts[split] - share * len(contents)) <= 3 * max(sizes.values()) + 3
    listed = [path for paths in manifest.near_duplicates for path in paths]
    assert len(listed) == len(set(listed))
    assert {
        photo.path for photo in manifest.photos if photo.sha256 in {p for q in near for p in (q.first, q.second)}
    } == set(listed)


@given(cases(), st.integers(0, 20), st.integers(0, 60))
@settings(max_examples=60)
def test_earlier_splits_win_for_each_photo(case, seed: int, known: int) -> None:
    """The first `known` photos were there before, without pairs; then come the others, and pairs among all of them."""
    contents, labels, near = case
    known = min(known, len(contents))
    before = built(contents[:known], labels[:known], [], seed=seed) if len(set(labels[:known])) == 3 else None
    if before is None or len(set(labels)) != 3:
        return
    after = built(contents, labels, near, seed=seed + 1, split_from=before)
    old = {photo.sha256: photo.split for photo in before.photos}
    of_group = defaultdict(set)
    for photo in after.photos:
        if photo.sha256 in old:
            assert photo.split == old[photo.sha256]
            of_group[photo.group].add(photo.split)
    for photo in after.photos:
        if photo.sha256 not in old and of_group[photo.group]:
            assert photo.split == min(of_group[photo.group], key=SPLITS.index)
    undecided = defaultdict(set)
    for photo in after.photos:
        if not of_group[photo.group]:
            undecided[photo.group].add(photo.split)
    assert all(len(found) == 1 for found in undecided.values())
