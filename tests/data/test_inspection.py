"""Findings about the data, each made by a small folder that has the fault."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.core.records import from_json, to_json
from graft.data.inspection import ClassCount, Inspection, inspect_manifest
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
    assert "1 file was left out: 1 not_an_image." in found.notes


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
    assert "1 photo is stored with 16 bits but only up to 4095 used" in notes(root)


def test_the_leak_in_real_photos(shared: Path) -> None:
    text = notes(shared / "data" / "santa")
    assert "All 22 photos turned by their EXIF orientation are in 'not_santa'" in text
