"""Golden examples: what must pass passes, and each kind of skew is caught."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import graft.bundle.golden
from graft.bundle.golden import (
    LEAST_LOGIT_TOLERANCE,
    LEAST_TOLERANCE,
    PHOTO,
    _margin,
    check_answers,
    check_photo,
    differences,
    make_golden,
)
from graft.bundle.records import Golden
from graft.core.errors import BadInput, IntegrityProblem
from graft.data.images import load_pixels
from graft.data.records import ImageRules
from tests.bundle.making import SIDE, colour_classifier, install_tiny, tiny_program, tiny_weights

GOLDEN = Golden(
    count=2,
    tolerance={"float32": 1e-3, "bfloat16": 2e-2},
    logit_tolerance={"float32": 1e-2, "bfloat16": 0.2},
)
SURE = np.array([[0.9999, 0.0001], [0.5, 0.5]], np.float32)
SIDES = (32, 96, 128, 224)


def opened(
    bilinear: Image.Resampling = Image.Resampling.BILINEAR, *, exif: bool = True, bgr: bool = False
) -> np.ndarray:
    image: Image.Image = Image.open(PHOTO)
    image = (ImageOps.exif_transpose(image) if exif else image).convert("RGB")
    pixels = np.asarray(image.resize((96, 96), bilinear))
    return pixels[..., ::-1] if bgr else pixels


def without_antialiasing() -> np.ndarray:
    """Plain bilinear interpolation between the four nearest pixels, as some frameworks resize."""
    rgb = np.asarray(ImageOps.exif_transpose(Image.open(PHOTO)).convert("RGB"), np.float32)
    height, width = rgb.shape[:2]
    y, x = ((np.arange(96) + 0.5) * size / 96 - 0.5 for size in (height, width))
    y0, x0 = y.astype(int), x.astype(int)
    fy, fx = (y - y0)[:, None, None], (x - x0)[None, :, None]
    top = rgb[y0][:, x0] * (1 - fx) + rgb[y0][:, x0 + 1] * fx
    below = rgb[y0 + 1][:, x0] * (1 - fx) + rgb[y0 + 1][:, x0 + 1] * fx
    return (top * (1 - fy) + below * fy).round().astype(np.uint8)


SKEWS: dict[str, Callable[[], np.ndarray]] = {
    "no EXIF orientation": lambda: opened(exif=False),
    "swapped channels": lambda: opened(bgr=True),
    "nearest": lambda: opened(Image.Resampling.NEAREST),
    "bicubic": lambda: opened(Image.Resampling.BICUBIC),
    "box": lambda: opened(Image.Resampling.BOX),
    "no antialiasing": without_antialiasing,
}


@pytest.mark.parametrize("geometry", ["squash", "crop"])
@pytest.mark.parametrize("side", SIDES)
def test_the_own_photo_passes(side: int, geometry: str) -> None:
    pixels = load_pixels(PHOTO.read_bytes(), side_pixels=side, geometry=geometry, rules=ImageRules())
    check_photo(PHOTO.read_bytes(), pixels, geometry)


@pytest.mark.parametrize("skew", SKEWS)
def test_another_way_of_decoding_or_resizing_is_caught(skew: str) -> None:
    with pytest.raises(IntegrityProblem, match="golden photo must decode") as caught:
        check_photo(PHOTO.read_bytes(), SKEWS[skew](), "squash")
    assert caught.value.code == "golden_mismatch"


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("made", "used"), [("squash", "crop"), ("crop", "squash")])
def test_another_geometry_is_caught(side: int, made: str, used: str) -> None:
    pixels = load_pixels(PHOTO.read_bytes(), side_pixels=side, geometry=made, rules=ImageRules())
    with pytest.raises(IntegrityProblem):
        check_photo(PHOTO.read_bytes(), pixels, used)


def test_a_level_here_and_there_passes() -> None:
    """Versions of one decoder differ so."""
    pixels = load_pixels(PHOTO.read_bytes(), side_pixels=96, geometry="squash", rules=ImageRules()).copy()
    pixels[::4, ::3] = np.clip(pixels[::4, ::3].astype(int) + 2, 0, 255)
    check_photo(PHOTO.read_bytes(), pixels, "squash")


def test_a_photo_that_does_not_decode_is_a_mismatch() -> None:
    with pytest.raises(IntegrityProblem, match="golden photo must decode") as caught:
        check_photo(b"no photo", np.zeros((32, 32, 3), np.uint8), "squash")
    assert caught.value.code == "golden_mismatch"


def test_equal_answers_pass() -> None:
    check_answers(GOLDEN, SURE, SURE.copy(), "float32")
    check_answers(GOLDEN, SURE, SURE + np.array([[0, 0], [5e-4, -5e-4]], np.float32), "float32")


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_answers_beyond_the_tolerance_fail(precision: str) -> None:
    moved = SURE.copy()
    moved[1] = (0.53, 0.47)
    with pytest.raises(IntegrityProblem, match="golden examples") as caught:
        check_answers(GOLDEN, SURE, moved, precision)
    assert caught.value.code == "golden_mismatch"


def test_a_change_that_only_logits_show_fails() -> None:
    """Ten times less doubt: the probability moves by 1e-4 only, but the input was another."""
    moved = SURE.copy()
    moved[0] = (0.99999, 0.00001)
    assert differences(SURE, moved)[0] < GOLDEN.tolerance["float32"]
    with pytest.raises(IntegrityProblem):
        check_answers(GOLDEN, SURE, moved, "float32")


def test_nan_answers_fail() -> None:
    with pytest.raises(IntegrityProblem):
        check_answers(GOLDEN, SURE, np.full_like(SURE, np.nan), "float32")


def test_zero_probabilities_are_compared_without_infinity() -> None:
    zeros = np.array([[1, 0], [0, 1]], np.float32)
    assert differences(zeros, zeros) == (0, 0)
    check_answers(GOLDEN, zeros, zeros, "float32")


@pytest.mark.parametrize(
    ("seen", "allowed"), [(0.0, 0.0), (0.001, 0.004), (0.0123456, 0.05), (1.234, 5.0), (2.6e-7, 1.1e-6)]
)
def test_margins_are_rounded_up_to_two_digits(seen: float, allowed: float) -> None:
    assert _margin(seen) == pytest.approx(allowed, rel=1e-9)


def test_golden_examples_begin_with_the_own_photo(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    install_tiny(monkeypatch.setattr)
    weights = tiny_weights(tmp_path)
    none = np.zeros((0, SIDE, SIDE, 3), np.uint8)
    made = make_golden(tiny_program(weights), weights, colour_classifier(), none, threads=1, cache=tmp_path)
    assert made.pixels.shape == (1, SIDE, SIDE, 3)
    assert made.golden.tolerance == {"float32": LEAST_TOLERANCE["float32"]}
    check_photo(made.photo, made.pixels[0], "squash")


def test_tolerances_grow_with_what_is_seen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An engine that errs by a known amount at the lower precision."""
    install_tiny(monkeypatch.setattr)
    weights = tiny_weights(tmp_path)
    program = replace(tiny_program(weights), precision="bfloat16")
    good = graft.bundle.golden.classify
    calls = []

    def erring(*arguments: object) -> np.ndarray:
        chances = good(*arguments)
        calls.append(len(chances))
        if len(calls) == 2:  # reference, bfloat16, float32
            chances[:, 0] += 0.05
        return chances

    monkeypatch.setattr(graft.bundle.golden, "classify", erring)
    photos = np.full((2, SIDE, SIDE, 3), 90, np.uint8)
    made = make_golden(program, weights, colour_classifier(), photos, threads=1, cache=tmp_path)
    assert made.golden.tolerance["bfloat16"] == pytest.approx(0.2, abs=0.011)
    assert made.golden.tolerance["float32"] == LEAST_TOLERANCE["float32"]
    assert made.golden.logit_tolerance["bfloat16"] >= LEAST_LOGIT_TOLERANCE["bfloat16"]
    assert not np.shares_memory(made.probabilities, photos)


def test_too_many_golden_photos_are_refused(tmp_path: Path) -> None:
    weights = tiny_weights(tmp_path)
    with pytest.raises(BadInput, match="at most 63"):
        make_golden(
            tiny_program(weights),
            weights,
            colour_classifier(),
            np.zeros((64, SIDE, SIDE, 3), np.uint8),
            threads=1,
            cache=tmp_path,
        )
