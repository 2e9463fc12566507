"""The manifest: classes numbered once, equal photos in one split, given splits kept."""

import shutil
from collections import Counter
from pathlib import Path

import pytest

from graft.core.errors import BadInput
from graft.core.records import from_json, to_json
from graft.data.records import Manifest
from tests.data.folders import make_folder, manifest_of, photo_bytes


def splits_of(manifest: Manifest) -> dict[str, str]:
    return {photo.path: photo.split for photo in manifest.photos}


def test_made_splits(tmp_path: Path) -> None:
    manifest = manifest_of(make_folder(tmp_path, {"a": 20, "b": 20}))
    assert manifest.classes == ("a", "b")
    assert (manifest.split_origin, manifest.split_fractions, manifest.seed) == ("made", (0.7, 0.15, 0.15), 0)
    assert Counter((photo.label, photo.split) for photo in manifest.photos) == {
        (label, split): n for label in (0, 1) for split, n in (("train", 14), ("validation", 3), ("test", 3))
    }
    assert [photo.path for photo in manifest.photos] == sorted(photo.path for photo in manifest.photos)


def test_it_survives_being_stored(tmp_path: Path) -> None:
    manifest = manifest_of(make_folder(tmp_path, {"a": 5, "b\n<x>": 5}))
    assert from_json(Manifest, to_json(manifest), source="manifest.json") == manifest


def test_the_same_photos_elsewhere_give_the_same_manifest(tmp_path: Path) -> None:
    first = make_folder(tmp_path / "here", {"a": 9, "b": 9})
    second = tmp_path / "over there"
    for path in sorted(first.rglob("*.png"), reverse=True):  # made in another order, too
        target = second / path.relative_to(first)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    assert to_json(manifest_of(first)) == to_json(manifest_of(second, workers=1))


def test_equal_photos_share_a_group_and_a_split(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 30, "b": 30})
    for number in range(10):
        shutil.copy(root / "a" / f"photo_{number:03}.png", root / "a" / f"copy_{number}.png")
    shutil.copy(root / "a" / "photo_020.png", root / "b" / "same.png")  # in two classes, even
    for seed in range(5):
        manifest = manifest_of(root, seed=seed)
        by_content: dict[str, set[tuple[str, str]]] = {}
        for photo in manifest.photos:
            by_content.setdefault(photo.sha256, set()).add((photo.group, photo.split))
        assert all(len(found) == 1 for found in by_content.values())
        assert len(by_content) == 60


def test_groups_of_the_user_and_equal_photos_chain(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"x": 20})
    shutil.copy(root / "x" / "photo_000.png", root / "x" / "copy.png")
    rows = [f"x/photo_{number:03}.png,{'ab'[number % 2]},patient {number // 4}" for number in range(20)]
    (root / "t.csv").write_text("\n".join(["path,label,group", *rows, "x/copy.png,a,patient 4"]))
    manifest = manifest_of(root / "t.csv")
    groups = {photo.path: photo.group for photo in manifest.photos}
    assert len({groups[f"x/photo_{number:03}.png"] for number in range(4)}) == 1
    assert groups["x/photo_000.png"] == groups["x/copy.png"] == groups["x/photo_016.png"]
    assert len(set(groups.values())) == 4
    assert all(len({p.split for p in manifest.photos if p.group == group}) == 1 for group in groups.values())


def test_given_splits_are_kept(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"train/a": 4, "train/b": 4, "val/a": 2, "val/b": 2, "test/a": 2, "test/b": 2})
    shutil.copy(root / "train/a/photo_000.png", root / "test/a/leak.png")
    manifest = manifest_of(root)
    assert manifest.split_origin == "given"
    for path, split in splits_of(manifest).items():
        assert split == {"train": "train", "val": "validation", "test": "test"}[path.split("/")[0]]
    assert manifest.split_fractions == pytest.approx((8 / 17, 4 / 17, 5 / 17))


def test_a_missing_test_split_is_not_invented(tmp_path: Path) -> None:
    manifest = manifest_of(make_folder(tmp_path, {"train/a": 9, "train/b": 9, "valid/a": 3, "valid/b": 3}))
    assert Counter(splits_of(manifest).values()) == {"train": 18, "validation": 6}


def test_a_missing_validation_split_is_taken_from_train(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"train/a": 34, "train/b": 34, "test/a": 5, "test/b": 5})
    shutil.copy(root / "train/a/photo_000.png", root / "train/a/again.png")
    manifest = manifest_of(root)
    splits = splits_of(manifest)
    assert manifest.split_origin == "given"
    assert all((split == "test") == path.startswith("test/") for path, split in splits.items())
    assert Counter(splits.values())["validation"] == pytest.approx(69 * 0.15 / 0.85, abs=2)
    assert splits["train/a/photo_000.png"] == splits["train/a/again.png"]


def test_train_alone_is_split(tmp_path: Path) -> None:
    manifest = manifest_of(make_folder(tmp_path, {"train/a": 20, "train/b": 20}))
    assert manifest.split_origin == "made"
    assert Counter(splits_of(manifest).values()) == {"train": 28, "validation": 6, "test": 6}


def test_earlier_splits_win_when_data_grow(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 20, "b": 20})
    before = manifest_of(root)
    make_folder(root, {"a/new": 30, "b/new": 10}, first=100)
    (root / "a" / "photo_000.png").rename(root / "a" / "moved.png")
    shutil.copy(root / "a" / "photo_001.png", root / "a" / "copy.png")
    after = manifest_of(root, seed=99, split_from=before)
    known = {photo.sha256: photo.split for photo in before.photos}
    again = {photo.sha256: photo.split for photo in after.photos}
    assert {sha256: again[sha256] for sha256 in known} == known
    counts = Counter(photo.split for photo in after.photos)
    assert counts["train"] == pytest.approx(0.7 * 81, abs=2)


@pytest.mark.parametrize(
    ("change", "words"), [("added", "new: 'c'"), ("gone", "gone: 'b'"), ("renamed", "new: 'z'; gone: 'b'")]
)
def test_another_set_of_classes_is_refused(tmp_path: Path, change: str, words: str) -> None:
    root = make_folder(tmp_path, {"a": 5, "aa": 5, "b": 5})
    before = manifest_of(root)
    if change == "added":
        make_folder(root, {"c": 5}, first=50)
    elif change == "gone":
        shutil.rmtree(root / "b")
    else:
        (root / "b").rename(root / "z")
    with pytest.raises(BadInput) as caught:
        manifest_of(root, split_from=before)
    assert caught.value.code == "class_set_changed"
    assert words in caught.value.message


def test_class_numbers_of_the_earlier_run_are_kept(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"10": 5, "2": 5})
    before = manifest_of(root)
    assert before.classes == ("2", "10")
    from dataclasses import replace

    turned = replace(before, classes=("10", "2"))
    after = manifest_of(root, split_from=turned)
    assert after.classes == ("10", "2")
    assert all(after.classes[photo.label] == photo.path.split("/")[0] for photo in after.photos)


def test_a_class_whose_good_photos_are_all_in_test_is_refused(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"train/a": 40, "train/b": 0, "test/a": 5, "test/b": 5})
    (root / "train" / "b" / "bad.png").write_bytes(photo_bytes(1)[:40])
    with pytest.raises(BadInput, match="none of 'b'") as caught:
        manifest_of(root)
    assert caught.value.code == "class_empty"


def test_the_real_given_splits(shared: Path) -> None:
    manifest = manifest_of(shared / "data" / "cats_and_dogs_small")
    assert manifest.classes == ("cats", "dogs")
    assert Counter(photo.split for photo in manifest.photos) == {"train": 2_000, "validation": 1_000, "test": 1_000}
