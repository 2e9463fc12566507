"""Samples of 8 and 16 bits come back exactly, whatever the layout; the white level is the user's to state."""

from fractions import Fraction
from itertools import product
from math import floor
from pathlib import Path

import numpy as np
import pytest

from graft.data import images
from graft.data.depth import depth_note, meant, to_eight_bits
from graft.data.records import ImageRules, Manifest
from tests.data.folders import RULES, make_folder, manifest_of
from tests.data.tiffs import PACKINGS, make_tiff
from tests.hostile.image_kinds import deep_png, picture, saved

WHITES = (255, 256, 1_000, 1_023, 4_095, 16_383, 40_000, 65_535)
HEIGHT, WIDTH = 19, 37


def exact(sample: int, white: int) -> int:
    """min(sample, white) * 255 / white, to the nearest whole number, halves up; in fractions, without rounding."""
    return floor(Fraction(min(sample, white) * 255, white) + Fraction(1, 2))


@pytest.mark.parametrize("white", WHITES)
def test_every_sample_has_its_exact_value(white: int) -> None:
    samples = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    rules = ImageRules(sixteen_bit_white=white)
    got = to_eight_bits(samples, rules=rules).reshape(-1)
    chosen = {*range(0, 65_536, 97), *(white + step for step in range(-3, 4) if 0 <= white + step <= 65_535)}
    assert [int(got[sample]) for sample in sorted(chosen)] == [exact(sample, white) for sample in sorted(chosen)]
    inverted = to_eight_bits(samples, rules=rules, inverted=True).reshape(-1)
    assert (inverted[0], inverted[white], got[0], got[white]) == (255, 0, 0, 255)
    assert (np.diff(got.astype(int)) >= 0).all()
    assert (np.diff(inverted.astype(int)) <= 0).all()


def test_the_usual_white_is_the_division_by_257() -> None:
    samples = np.arange(65_536, dtype=np.uint16).reshape(256, 256)
    np.testing.assert_array_equal(to_eight_bits(samples, rules=RULES), (samples.astype(int) + 128) // 257)


def test_blocks_do_not_show(monkeypatch: pytest.MonkeyPatch) -> None:
    samples = np.random.default_rng(0).integers(0, 65_536, (50, 30, 4), dtype=np.uint16)
    whole = to_eight_bits(samples, rules=RULES, colours=3)
    monkeypatch.setattr("graft.data.depth.BLOCK_SAMPLES", 100)
    np.testing.assert_array_equal(to_eight_bits(samples, rules=RULES, colours=3), whole)


@pytest.mark.parametrize(
    ("bits", "channels", "tiles", "order", "packing"),
    list(product((8, 16), (1, 3), (False, True), "<>", PACKINGS)),
)
def test_a_tiff_of_any_layout_gives_its_exact_pixels(
    bits: int, channels: int, tiles: bool, order: str, packing: str
) -> None:
    top = 256 if bits == 8 else 65_536
    kind = np.uint8 if bits == 8 else np.uint16
    values = np.random.default_rng(3).integers(0, top, (HEIGHT, WIDTH, channels)).astype(kind)
    values[3:6, 2:20] = top // 3  # something to repeat
    got = images.decode(make_tiff(values, order=order, packing=packing, tiles=tiles), rules=RULES)
    eight = values if bits == 8 else (values.astype(int) + 128) // 257
    np.testing.assert_array_equal(got, np.broadcast_to(eight, (HEIGHT, WIDTH, 3)))


@pytest.mark.parametrize("kind", ["tiff", "inverted tiff", "rgb tiff", "png", "rgb png"])
@pytest.mark.parametrize("white", [1_023, 4_095])
def test_a_stated_white_level_scales_exactly_and_cuts_above(kind: str, white: int) -> None:
    channels = 3 if "rgb" in kind else 1
    values = np.random.default_rng(1).integers(0, white + 200, (HEIGHT, WIDTH, channels), dtype=np.uint16)
    if "png" in kind:
        data = deep_png(values, 2 if channels == 3 else 0)
    else:
        data = make_tiff(values, white=kind == "inverted tiff")
    rules = ImageRules(sixteen_bit_white=white)
    expected = np.vectorize(lambda sample: exact(int(sample), white))(values)
    if kind == "inverted tiff":
        expected = np.vectorize(lambda sample: exact(white - min(int(sample), white), white))(values)
    np.testing.assert_array_equal(images.decode(data, rules=rules), np.broadcast_to(expected, (HEIGHT, WIDTH, 3)))
    facts = images.check(data, rules=rules)
    assert facts.highest_sample == values.max()
    assert "over_white" in facts.flags


@pytest.mark.parametrize(("channels", "colour"), [(4, 6), (2, 4)])
def test_opacity_is_never_scaled_by_the_white_level(channels: int, colour: int) -> None:
    """65,535 is opaque in every PNG; a half-transparent sample stays so."""
    values = np.full((8, 8, channels), 2_000, np.uint16)
    values[..., -1] = 65_535
    values[4:, :, -1] = 0
    got = images.decode(deep_png(values, colour), rules=ImageRules(sixteen_bit_white=4_095))
    assert (got[:4] == exact(2_000, 4_095)).all()
    assert (got[4:] == 255).all()


def test_pictures_of_eight_bits_do_not_change() -> None:
    data = saved(picture(np.random.default_rng(0)), "PNG")
    other = ImageRules(sixteen_bit_white=4_095)
    np.testing.assert_array_equal(images.decode(data, rules=other), images.decode(data, rules=RULES))
    assert images.check(data, rules=other) == images.check(data, rules=RULES)


def test_the_decoder_is_another_with_another_white_but_not_with_other_limits() -> None:
    limits = ImageRules(max_bytes=1_000, max_pixels=100, min_side_pixels=1)
    assert images.decoder_identity(limits) == images.decoder_identity(RULES)
    assert images.decoder_identity(ImageRules(sixteen_bit_white=4_095)) != images.decoder_identity(RULES)


def deep_manifest(folder: Path, tops: list[int], white: int = 65_535) -> Manifest:
    make_folder(folder, {"a": 10, "b": 10})
    for number, top in enumerate(tops):
        values = np.random.default_rng(number).integers(0, top + 1, (12, 12, 1), dtype=np.uint16)
        values[0, 0] = top
        (folder / "ab"[number % 2] / f"deep_{number}.png").write_bytes(deep_png(values, 0))
    return manifest_of(folder, rules=ImageRules(sixteen_bit_white=white))


@pytest.mark.parametrize(
    ("tops", "option"),
    [
        ([200, 255], "--white 255"),
        ([1_023, 300], "--white 1023"),
        ([4_095, 90, 3_000], "--white 4095"),
        ([4_096, 90, 3_000], "--white 16383"),
        ([16_383], "--white 16383"),
    ],
)
def test_photos_that_leave_bits_unused_are_noticed_with_the_option_to_type(
    tmp_path: Path, tops: list[int], option: str
) -> None:
    manifest = deep_manifest(tmp_path, tops)
    note = depth_note(manifest)
    assert note is not None
    assert option in note.remedy
    assert note.grave
    assert len(meant(note, manifest.photos)) == len(tops)
    assert f"{max(tops).bit_length() if max(tops) not in (4_096,) else 14}-bit" in note.sentence


def test_what_fits_needs_no_note(tmp_path: Path) -> None:
    assert depth_note(deep_manifest(tmp_path / "full", [65_535, 20_000])) is None
    assert depth_note(deep_manifest(tmp_path / "stated", [3_000, 900], white=4_095)) is None
    assert depth_note(deep_manifest(tmp_path / "none", [])) is None


def test_a_few_dark_ones_among_others_are_told_apart(tmp_path: Path) -> None:
    manifest = deep_manifest(tmp_path, [65_535, 4_000, 30_000])
    note = depth_note(manifest)
    assert note is not None
    assert ([photo.path for photo in meant(note, manifest.photos)], note.grave) == (["b/deep_1.png"], False)
    assert "Of 3 photos stored with 16 bits, 1 stays" in str(note)


def test_a_white_level_that_cuts_is_told(tmp_path: Path) -> None:
    manifest = deep_manifest(tmp_path, [4_095, 1_000], white=1_023)
    note = depth_note(manifest)
    assert note is not None
    assert [photo.path for photo in meant(note, manifest.photos)] == ["a/deep_0.png"]
    assert "use --white 4095 instead of --white 1023" in note.remedy
    assert not note.grave
