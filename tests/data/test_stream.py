"""Batches come in order, are what was scanned, and are never more than a few ahead."""

import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import IntegrityProblem
from graft.data import images, stream
from graft.data.augmentation.presets import PRESETS
from graft.data.augmentation.views import make_view
from graft.data.records import Manifest, Photo
from tests.data.folders import RULES, make_folder, manifest_of


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_folder(tmp_path, {"a": 13, "b": 10})


@pytest.fixture
def manifest(root: Path) -> Manifest:
    return manifest_of(root)


def batches(root: Path, photos: Sequence[Photo], *, workers: int = 3, batch_images: int = 4, side_pixels: int = 10):
    return stream.stream_pixels(
        root,
        photos,
        side_pixels=side_pixels,
        geometry="squash",
        rules=RULES,
        batch_images=batch_images,
        workers=workers,
    )


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("batch_images", [1, 4, 23, 50])
def test_all_photos_in_order(root: Path, manifest: Manifest, workers: int, batch_images: int) -> None:
    photos = manifest.photos[::-1]
    found = list(batches(root, photos, workers=workers, batch_images=batch_images))
    assert [row for rows, _ in found for row in rows] == list(range(23))
    assert all(len(rows) == len(pixels) == batch_images for rows, pixels in found[:-1])
    for rows, pixels in found:
        assert pixels.dtype == np.uint8
        for row, got in zip(rows, pixels, strict=True):
            data = (root / photos[row].path).read_bytes()
            expected = images.load_pixels(data, side_pixels=10, geometry="squash", rules=RULES)
            np.testing.assert_array_equal(got, expected)


def test_no_photos(root: Path) -> None:
    assert list(batches(root, ())) == []


@pytest.mark.parametrize("change", ["another photo", "gone", "one byte", "folder"])
def test_a_photo_that_changed_after_the_scan_is_named(root: Path, manifest: Manifest, change: str) -> None:
    path = root / manifest.photos[9].path
    if change == "another photo":
        path.write_bytes((root / manifest.photos[0].path).read_bytes())
    elif change == "one byte":
        path.write_bytes(path.read_bytes() + b"\x00")
    else:
        path.unlink()
        if change == "folder":
            path.mkdir()
    with pytest.raises(IntegrityProblem, match=manifest.photos[9].path) as caught:
        list(batches(root, manifest.photos))
    assert caught.value.code == "changed_since_scan"
    assert caught.value.exit_status == 4


def test_a_touched_photo_is_the_same(root: Path, manifest: Manifest) -> None:
    import os

    os.utime(root / manifest.photos[0].path, (1, 1))
    assert len(list(batches(root, manifest.photos))) == 6


def test_reading_ahead_is_bounded(root: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    real, read = stream.read_photo, []
    monkeypatch.setattr(stream, "read_photo", lambda *args, **options: read.append(1) or real(*args, **options))
    photos = manifest.photos * 20
    flow = batches(root, photos, workers=2, batch_images=2)
    next(flow)
    for thread in threading.enumerate():
        if thread.name.startswith("graft-decode"):
            thread.join(0.2)
    assert len(read) <= 2 * (stream.READ_AHEAD_BATCHES + 2)
    flow.close()
    assert len(read) <= 2 * (stream.READ_AHEAD_BATCHES + 2)


def test_no_thread_is_left_behind(root: Path, manifest: Manifest) -> None:
    flow = batches(root, manifest.photos)
    next(flow)
    flow.close()
    (root / manifest.photos[0].path).unlink()
    with pytest.raises(IntegrityProblem):
        list(batches(root, manifest.photos))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("graft-decode")]


def reader(root: Path, side_pixels: int = 10) -> stream.PhotoReader:
    return stream.PhotoReader(
        root, side_pixels=side_pixels, geometry="squash", rules=RULES, augmentation=PRESETS["classic"], seed=3
    )


def training(manifest: Manifest) -> list[Photo]:
    return [replace(photo, split="train") for photo in manifest.photos]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_images", [1, 4, 7, 200])
def test_views_come_photo_after_photo(root: Path, manifest: Manifest, workers: int, batch_images: int) -> None:
    choices = [(0, 1, 2), (5,), (), (2, 0), (9, 8, 7, 6, 5, 4, 3, 2, 1)]
    wanted = [(photo, choices[number % 5]) for number, photo in enumerate(training(manifest))]
    found = list(stream.stream_views(reader(root), wanted, batch_images=batch_images, workers=workers))
    pixels = np.concatenate([batch for _, batch in found])
    expected = [(photo, view) for photo, views in wanted for view in views]
    assert [row for rows, _ in found for row in rows] == list(range(len(expected)))
    assert all(len(batch) == batch_images for _, batch in found[:-1])
    for got, (photo, view) in zip(pixels, expected, strict=True):
        data = (root / photo.path).read_bytes()
        plain = images.load_pixels(data, side_pixels=10, geometry="squash", rules=RULES)
        view_pixels = make_view(plain, PRESETS["classic"], sha256=photo.sha256, view=view, seed=3)
        np.testing.assert_array_equal(got, view_pixels)


def test_a_photo_of_many_views_is_read_once(root: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch) -> None:
    real, read = stream.read_photo, []
    monkeypatch.setattr(stream, "read_photo", lambda *args, **options: read.append(args[1]) or real(*args, **options))
    wanted = [(photo, range(9)) for photo in training(manifest)]
    flow = stream.stream_views(reader(root), wanted, batch_images=4, workers=2)
    next(flow)
    for thread in threading.enumerate():
        if thread.name.startswith("graft-decode"):
            thread.join(0.2)
    assert len(read) <= 4  # enough views for the batches ahead, and a photo for each thread
    assert sum(len(rows) for rows, _ in flow) == 23 * 9 - 4
    assert sorted(photo.path for photo in read) == sorted(photo.path for photo in manifest.photos)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_views_of_photos_that_measure_are_never_made(root: Path, manifest: Manifest, split: str) -> None:
    photo = replace(manifest.photos[0], split=split)
    flow = stream.stream_views(reader(root), [(photo, (0, 1))], batch_images=1, workers=1)
    with pytest.raises(IntegrityProblem, match=f"{photo.path}' of the {split} split") as caught:
        list(flow)
    assert caught.value.code == "split_leak"
    assert len(list(stream.stream_views(reader(root), [(photo, (0, 0))], batch_images=1, workers=1))) == 2


class TestJudgedAugmented:
    """Some published systems augment the photos that measure too: allowed where it is said, and only there."""

    @pytest.mark.parametrize("split", ["validation", "test", "train"])
    def test_where_it_is_said_every_photo_has_the_views_of_a_training_photo(
        self, root: Path, manifest: Manifest, split: str
    ) -> None:
        allowing = replace(reader(root), judged_augmented=True)
        photo = replace(manifest.photos[0], split=split)
        found = allowing.views(photo, (0, 1, 2))
        expected = reader(root).views(replace(photo, split="train"), (0, 1, 2))
        for view in range(3):
            np.testing.assert_array_equal(found[view], expected[view])
        assert not np.array_equal(found[0], found[1])

    def test_it_is_not_the_default(self, root: Path) -> None:
        assert reader(root).judged_augmented is False

    @pytest.mark.parametrize("view", [1, 2, 1000])
    def test_otherwise_each_is_refused_when_it_is_made(self, root: Path, manifest: Manifest, view: int) -> None:
        photo = replace(manifest.photos[0], split="test")
        pixels = reader(root).pixels(photo)
        assert reader(root).view(photo, pixels, 0) is pixels
        with pytest.raises(IntegrityProblem) as caught:
            reader(root).view(photo, pixels, view)
        assert caught.value.code == "split_leak"

    def test_sabotage_without_the_guard_nothing_refuses(
        self, root: Path, manifest: Manifest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(stream, "require_training", lambda photos: None)
        photo = replace(manifest.photos[0], split="test")
        assert len(reader(root).views(photo, (0, 1))) == 2
