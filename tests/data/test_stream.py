"""Batches come in order, are what was scanned, and are never more than a few ahead."""

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import IntegrityProblem
from graft.data import images, stream
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
