"""Fingerprints are made while a photo is decoded, remembered by its content, and the same for the same photos."""

from pathlib import Path

import numpy as np
import pytest

from graft.data import scan as scan_module
from graft.data.fingerprints import (
    BYTES,
    SIDE,
    as_array,
    brightness,
    colours,
    fingerprint,
    read_fingerprints,
    write_fingerprints,
)
from graft.data.images import check, check_and_shrink
from tests.data.folders import RULES, make_folder, photo_bytes, scanned
from tests.data.look_alikes import natural, stored


def test_what_a_fingerprint_holds() -> None:
    facts, small = check_and_shrink(stored(natural(0), "JPEG"), rules=RULES, side_pixels=SIDE)
    assert facts == check(stored(natural(0), "JPEG"), rules=RULES)
    rows = as_array([fingerprint(small)] * 3)
    assert rows.shape == (3, BYTES) and rows.dtype == np.uint8
    assert np.array_equal(brightness(rows)[1], small[..., 0])
    means = small[:2, 2:4, 1:].reshape(4, 2).mean(axis=0)
    assert np.abs(colours(rows)[2, :, 0, 1] - means).max() <= 0.5


def test_a_turned_photo_has_the_fingerprint_of_what_it_shows(tmp_path: Path) -> None:
    image = natural(1)
    exif = image.getexif()
    exif[0x0112] = 6
    image.transpose(2).save(tmp_path / "turned.png", exif=exif)  # stored turned to the left, shown turned to the right
    upright, turned = (
        check_and_shrink(data, rules=RULES, side_pixels=SIDE)[1]
        for data in (stored(image), (tmp_path / "turned.png").read_bytes())
    )
    assert np.array_equal(upright, turned)


def test_they_are_of_the_good_photos_and_only_on_request(tmp_path: Path) -> None:
    root = make_folder(tmp_path, {"a": 30, "b": 30})
    (root / "a" / "broken.png").write_bytes(photo_bytes(1)[:-20])
    found = scanned(root, fingerprints=True)
    assert found.fingerprints.shape == (60, BYTES)
    for item, row in zip(found.good, found.fingerprints, strict=True):
        data = (root / item.entry.path).read_bytes()
        assert fingerprint(check_and_shrink(data, rules=RULES, side_pixels=SIDE)[1]) == row.tobytes()
    assert scanned(root).fingerprints.shape == (0, BYTES)


def test_they_are_remembered_and_made_where_only_the_verdict_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache = make_folder(tmp_path / "data", {"a": 5, "b": 5}), tmp_path / "cache"
    plain = scanned(root, fingerprints=True)
    scanned(root, cache=cache)  # verdicts alone
    assert not list((cache / "scans").glob("*.safetensors"))
    decoded: list[bytes] = []

    def counted(data: bytes, **options: object):
        decoded.append(data)
        return check_and_shrink(data, **options)

    monkeypatch.setattr(scan_module, "check_and_shrink", counted)
    monkeypatch.setattr(scan_module, "check", None)  # nothing is decoded without its fingerprint
    for _ in range(2):
        assert np.array_equal(scanned(root, cache=cache, fingerprints=True).fingerprints, plain.fingerprints)
        assert len(decoded) == 10
    make_folder(root, {"b/new": 1}, first=500)
    assert len(scanned(root, cache=cache, fingerprints=True).fingerprints) == len(decoded) == 11


@pytest.mark.parametrize("damage", ["nothing", "cut", "other", "flipped"])
def test_a_damaged_memory_of_them_is_made_anew(tmp_path: Path, damage: str) -> None:
    root, cache = make_folder(tmp_path / "data", {"a": 5, "b": 5}), tmp_path / "cache"
    plain = scanned(root, fingerprints=True, cache=cache)
    (path,) = (cache / "scans").glob("*.safetensors")
    whole = path.read_bytes()
    if damage == "other":
        write_fingerprints(path, {"00" * 32: bytes(BYTES)})
    elif damage == "flipped":
        path.write_bytes(whole[:-700] + bytes([whole[-700] ^ 1]) + whole[-699:])
    else:
        path.write_bytes(b"" if damage == "nothing" else whole[:-1])
    again = scanned(root, fingerprints=True, cache=cache)
    assert np.array_equal(again.fingerprints, plain.fingerprints)
    assert path.read_bytes() == whole


def test_they_are_stored_by_content_whatever_their_order(tmp_path: Path) -> None:
    stored_ones = {f"{number:064x}": bytes([number % 256]) * BYTES for number in range(300)}
    write_fingerprints(tmp_path / "one.safetensors", stored_ones)
    write_fingerprints(tmp_path / "two.safetensors", dict(reversed(stored_ones.items())))
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()
    assert read_fingerprints(tmp_path / "one.safetensors") == stored_ones
    assert read_fingerprints(tmp_path / "none.safetensors") == {} == read_fingerprints(None)
    write_fingerprints(tmp_path / "two.safetensors", {})
    assert read_fingerprints(tmp_path / "two.safetensors") == {}
