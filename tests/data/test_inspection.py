"""Findings about the data, each made by a small folder that has the fault."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.core.records import from_json, to_json
from graft.data.inspection.concerns import ClassCount
from graft.data.inspection.summary import Inspection, inspect_manifest
from tests.data.folders import make_folder, manifest_of, photo_bytes
from tests.hostile.image_kinds import deep_picture, deep_png


def inspected(root: Path) -> Inspection:
    return inspect_manifest(manifest_of(root))


def notes(root: Path) -> str:
    return "\n".join(inspected(root).notes)


def test_counts(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 40, "b": 20})
    (root / "a" / "bad.jpg").write_bytes(b"")
    (root / "a" / "notes.txt").write_bytes(b"")
    found = inspected(root)
    assert found.n == 60
    assert found.classes == (
        ClassCount(name="a", train=28, validation=6, test=6),
        ClassCount(name="b", train=14, validation=3, test=3),
    )
    assert found.classes[0].total == 40
    assert found.imbalance == 2
    assert (found.formats, found.modes, found.orientations) == ({"PNG": 60}, {"RGB": 60}, {"1": 60})
    assert (found.width.least, found.width.middle, found.height.greatest) == (12, 12, 12)
    assert [item.path for item in found.quarantined] == ["a/bad.jpg"]
    assert found.ignored == ("a/notes.txt",)
    assert "1 file was left out: 1 × the file is no image." in found.notes


def test_it_survives_being_stored(tmp_path: Path) -> None:
    found = inspected(make_folder(tmp_path, {"a": 4, "b": 4}))
    assert from_json(Inspection, to_json(found), source="inspection.json") == found


def test_the_same_photo_in_two_splits(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"train/a": 25, "train/b": 25, "test/a": 20, "test/b": 20})
    assert "split_leak" not in notes(root)
    shutil.copy(root / "train/a/photo_003.png", root / "test/a/leak.png")
    shutil.copy(root / "train/a/photo_003.png", root / "test/b/leak.png")
    found = inspected(root)
    (group,) = found.exact_duplicates
    assert group.paths == ("test/a/leak.png", "test/b/leak.png", "train/a/photo_003.png")
    assert group.classes == ("a", "b")
    assert "test" in group.splits
    assert len(group.splits) == 2
    assert "two splits once (split_leak)" in found.notes[0]  # what spoils scores comes first
    assert "two classes once" in found.notes[1]


def test_copies_within_a_class(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 25, "b": 25})
    for number in range(3):
        shutil.copy(root / "a" / "photo_001.png", root / "a" / f"copy{number}.png")
    assert "3 photos are repeated within a class" in notes(root)


def test_imbalance_and_few_photos(tmp_path: Path) -> None:
    text = notes(make_folder(tmp_path, {"a": 60, "b": 20, "c": 5}))
    assert "'a' has 60 photos, 'c' only 5" in text
    assert "Fewer than 20 photos of 'c'" in text


def test_nothing_to_say(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 0, "b": 0})
    for number in range(60):
        (root / "ab"[number % 2] / f"{number}.png").write_bytes(photo_bytes(number, side=40))
    assert inspected(root).notes == ()


def test_a_missing_test_split_is_said(tmp_path: Path) -> None:
    text = notes(make_folder(tmp_path, {"train/a": 25, "train/b": 25, "val/a": 5, "val/b": 5}))
    assert "one on validation photos" in text


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("orientation", "All 20 photos turned by their EXIF orientation are in 'a'"),
        ("format", "All 20 photos of format JPEG are in 'a'"),
        ("mode", "All 20 photos of colour mode L are in 'a'"),
        ("size", "All 20 photos of exactly 50×40 pixels are in 'a'"),
    ],
)
def test_what_gives_a_class_away(tmp_path: Path, fault: str, words: str) -> None:
    root = make_folder(tmp_path, {"a": 20, "b": 40})
    for number in range(20):
        path = root / "a" / f"photo_{number:03}.png"
        with Image.open(path) as image:
            image.load()
        exif = Image.Exif()
        exif[0x0112] = 6
        size = (50, 40) if fault == "size" else image.size
        image = image.convert("L" if fault == "mode" else "RGB").resize(size)
        image.save(path, "JPEG" if fault == "format" else "PNG", **({"exif": exif} if fault == "orientation" else {}))
    text = notes(root)
    assert words in text
    for path in sorted((root / "a").iterdir())[:2]:  # in both classes, it gives nothing away
        shutil.move(path, root / "b" / f"moved_{path.name}")
    assert words not in notes(root)


def test_twelve_bits_in_sixteen(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 20, "b": 20})
    (root / "a" / "microscope.png").write_bytes(deep_png(deep_picture(np.random.default_rng(0), 1, 4_000), 0))
    assert "1 photo stored with 16 bits stays at or below 4095, as 12-bit data do" in notes(root)


def with_near(root: Path, *groups: tuple[str, ...]) -> Inspection:
    return inspect_manifest(replace(manifest_of(root), near_duplicates=groups))


def test_photos_that_look_the_same(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"train/a": 25, "train/b": 25, "test/a": 20, "test/b": 20})
    leak = ("test/a/photo_001.png", "train/a/photo_001.png")
    conflict = ("test/a/photo_002.png", "test/b/photo_002.png")
    harmless = ("test/a/photo_003.png", "test/a/photo_004.png", "test/a/photo_005.png")
    found = with_near(root, leak, conflict, harmless)
    assert [group.paths for group in found.near_duplicates] == [leak, conflict, harmless]
    assert {group.kind for group in found.duplicates} == {"near"}
    assert found.exact_duplicates == ()
    assert [group.paths for group in found.leaks] == [leak]
    assert [group.paths for group in found.conflicts] == [conflict]
    assert [concern.kind for concern in found.concerns if concern.first] == ["split_leak", "label_conflict"]
    assert found.notes[0].startswith("Photos that look the same are in two splits once (split_leak)")
    assert all(path in found.notes[0] for path in leak)
    assert "one of the labels may be wrong" in found.notes[1]
    assert "2 photos are nearly the same as another of its class; copies stay in the same split." in found.notes


def test_copies_found_as_near_are_told_once(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 25, "b": 25})
    shutil.copy(root / "a/photo_001.png", root / "a/copy.png")
    found = with_near(root, ("a/copy.png", "a/photo_001.png"), ("a/photo_002.png", "gone.png"))
    assert len(found.exact_duplicates) == 1
    assert found.near_duplicates == ()


def concerns(root: Path, **counts: int) -> dict[str, str]:
    """Sentences by code of a manifest in which each class keeps so many good photos."""
    made = manifest_of(make_folder(root, dict.fromkeys(("a", "b", "c"), 25)))
    kept = []
    for photo in made.photos:
        name = made.classes[photo.label]
        if counts.get(name, 25) > sum(other.label == photo.label for other in kept):
            kept.append(photo)
    found = inspect_manifest(replace(made, photos=tuple(kept)))
    assert from_json(Inspection, to_json(found), source="inspection.json") == found
    return {concern.kind: concern.sentence for concern in found.concerns if concern.first}


def test_classes_without_photos_are_told(tmp_path: Path) -> None:
    assert concerns(tmp_path, b=0, c=1) == {
        "class_empty": "A class needs 2 good photos at least, but 'b' has none, 'c' has 1."
    }


def test_no_photos_at_all_are_told(tmp_path: Path) -> None:
    assert concerns(tmp_path, a=0, b=0, c=0) == {"no_photos": "No file could be used as a photo."}


def test_one_class_and_one_that_is_never_learned_are_told(tmp_path: Path) -> None:
    made = manifest_of(make_folder(tmp_path, {"a": 25, "b": 25}))
    tested = tuple(replace(photo, split="test") if photo.label else photo for photo in made.photos)
    given = inspect_manifest(replace(made, photos=tested, split_origin="given"))
    assert "No photo to learn from is given of 'b'." in given.notes
    alone = replace(made, classes=("a",), photos=tuple(photo for photo in made.photos if not photo.label))
    assert inspect_manifest(alone).notes[0].startswith("There is only one class, 'a'")


def test_too_many_bad_files_come_first(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 25, "b": 25})
    for number, first in ((0, False), (1, False), (2, True)):
        (root / "a" / f"bad_{number}.jpg").write_bytes(b"")
        (concern,) = (
            each for each in inspect_manifest(manifest_of(root, most_bad=1.0)).concerns if "left" in each.kind
        )
        assert concern.first == first
    assert "A training refuses more than 5% bad files" in concern.remedy
    assert concern.paths == ("a/bad_0.jpg", "a/bad_1.jpg")
