"""Exact pixels for every colour mode, orientation and geometry: the one preprocessing path has one meaning."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from graft.core.errors import ImageRefused
from graft.data import images
from graft.data.records import ImageRules
from tests.hostile.image_kinds import (
    HEIGHT,
    WIDTH,
    chunk,
    deep_picture,
    deep_png,
    jpeg,
    linear_profile,
    picture,
    raw_png,
    saved,
    tiff,
    ycck,
)

RULES = ImageRules()


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(7)


def decoded(data: bytes) -> np.ndarray:
    return images.decode(data, rules=RULES)


def over_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    colour, alpha = colour.astype(float), alpha.astype(float)[..., None] / 255
    return np.floor(colour * alpha + 255 * (1 - alpha) + 0.5)


def repeated(gray: np.ndarray) -> np.ndarray:
    return np.repeat(gray[..., None], 3, axis=2)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "WEBP"])
def test_rgb_comes_back_unchanged(random: np.random.Generator, kind: str) -> None:
    pixels = picture(random)
    np.testing.assert_array_equal(decoded(saved(pixels, kind, lossless=True)), pixels)


def test_gray_is_repeated(random: np.random.Generator) -> None:
    pixels = picture(random, 1)
    np.testing.assert_array_equal(decoded(saved(pixels, "PNG")), repeated(pixels))


def test_one_bit_is_black_and_white(random: np.random.Generator) -> None:
    bits = picture(random, 1) > 128
    np.testing.assert_array_equal(decoded(saved(Image.fromarray(bits), "PNG")), repeated(bits * np.uint8(255)))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_laid_over_white(random: np.random.Generator, kind: str) -> None:
    pixels = picture(random, 4)
    got = decoded(saved(pixels, kind, lossless=True, exact=True))
    np.testing.assert_allclose(got, over_white(pixels[..., :3], pixels[..., 3]), atol=0.51)


def test_gray_with_alpha(random: np.random.Generator) -> None:
    pixels = picture(random, 2)
    got = decoded(saved(Image.fromarray(pixels, "LA"), "PNG"))
    np.testing.assert_allclose(got, over_white(repeated(pixels[..., 0]), pixels[..., 1]), atol=0.51)


def test_transparent_palette_entry_becomes_white() -> None:
    indices = np.arange(64, dtype=np.uint8).reshape(8, 8) % 4
    image = Image.fromarray(indices)
    image.putpalette([10, 20, 30, 200, 0, 0, 0, 200, 0, 0, 0, 200])
    got = decoded(saved(image, "PNG", transparency=bytes((255, 0, 128, 255))))
    expected = np.array([[10, 20, 30], [255, 255, 255], [127, 227, 127], [0, 0, 200]])[indices]
    np.testing.assert_allclose(got, expected, atol=1)


def test_transparent_colour_of_an_rgb_png_becomes_white() -> None:
    pixels = np.zeros((8, 8, 3), np.uint8)
    pixels[:4] = (9, 8, 7)
    got = decoded(saved(pixels, "PNG", transparency=(9, 8, 7)))
    assert (got[:4] == 255).all()
    assert (got[4:] == 0).all()


def test_cmyk_agrees_with_the_inks(random: np.random.Generator) -> None:
    inks = picture(random, 4)
    data = saved(Image.fromarray(inks, "CMYK"), "JPEG", quality=100)
    stored = np.asarray(Image.open(io.BytesIO(data))).astype(float)
    expected = (255 - stored[..., :3]) * (255 - stored[..., 3:]) / 255
    np.testing.assert_allclose(decoded(data), expected, atol=1)
    assert images.check(data, rules=RULES).mode == "CMYK"


def test_ycck_agrees_with_the_inks(random: np.random.Generator) -> None:
    data = ycck(random)
    marker = data.index(b"Adobe") + 11
    plain = data[:marker] + b"\x00" + data[marker + 1 :]
    luma, blue, red, black = np.moveaxis(255 - np.asarray(Image.open(io.BytesIO(plain))).astype(float), -1, 0)
    channels = (
        luma + 1.402 * (red - 128),
        luma - 0.344136 * (blue - 128) - 0.714136 * (red - 128),
        luma + 1.772 * (blue - 128),
    )
    inks = np.clip(np.stack(channels, axis=-1), 0, 255)  # inverted, as Adobe stores them
    np.testing.assert_allclose(decoded(data), (255 - inks) * black[..., None] / 255, atol=2)


def test_sixteen_bit_gray_is_scaled_not_clipped() -> None:
    values = np.array([0, 128, 129, 255, 256, 257, 32_768, 65_406, 65_407, 65_535] * 8, np.uint16).reshape(8, 10, 1)
    expected = repeated(np.floor(values[..., 0] / 257 + 0.5))
    np.testing.assert_array_equal(decoded(deep_png(values, 0)), expected)
    little = tiff(values.astype("<u2").tobytes(), 10, 8, bits=(16,))
    big = tiff(values.astype(">u2").tobytes(), 10, 8, bits=(16,), order=">")
    np.testing.assert_array_equal(decoded(little), expected)
    np.testing.assert_array_equal(decoded(big), expected)
    inverted = tiff((65_535 - values).astype("<u2").tobytes(), 10, 8, bits=(16,), photometric=0)
    np.testing.assert_array_equal(decoded(inverted), expected)


@pytest.mark.parametrize(("channels", "colour"), [(3, 2), (4, 6), (2, 4)])
def test_sixteen_bit_colour_is_scaled_exactly(random: np.random.Generator, channels: int, colour: int) -> None:
    values = deep_picture(random, channels)
    eight = np.floor(values / 257 + 0.5)
    rgb = eight[..., :3] if channels > 2 else repeated(eight[..., 0])
    expected = over_white(rgb, eight[..., -1]) if channels in (2, 4) else rgb
    np.testing.assert_allclose(decoded(deep_png(values, colour)), expected, atol=0.51 if channels in (2, 4) else 0)


@pytest.mark.parametrize("order", ["<", ">"])
def test_sixteen_bit_rgb_tiff_is_scaled_exactly(random: np.random.Generator, order: str) -> None:
    values = deep_picture(random, 3)
    data = tiff(values.astype(f"{order}u2").tobytes(), bits=(16, 16, 16), photometric=2, order=order)
    np.testing.assert_array_equal(decoded(data), np.floor(values / 257 + 0.5))


def test_packed_sixteen_bit_rgb_tiff(random: np.random.Generator) -> None:
    from zlib import compress

    values = deep_picture(random, 3)
    packed = compress(values.astype("<u2").tobytes())
    data = tiff(packed, bits=(16, 16, 16), photometric=2, compression=8)
    np.testing.assert_array_equal(decoded(data), np.floor(values / 257 + 0.5))


def test_data_of_twelve_bits_is_noticed(random: np.random.Generator) -> None:
    assert "low_range" in images.check(deep_png(deep_picture(random, 3, 4_095), 2), rules=RULES).flags
    assert "low_range" not in images.check(deep_png(deep_picture(random, 3), 2), rules=RULES).flags


def exif_of(orientation: object) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


_STORED_AS = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, 1),
    7: lambda a: np.rot90(a, 2).transpose(1, 0, 2),
    8: lambda a: np.rot90(a, -1),
}


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_orientations_give_the_same_array(random: np.random.Generator, kind: str, orientation: int) -> None:
    upright = picture(random)
    stored = np.ascontiguousarray(_STORED_AS[orientation](upright))
    data = saved(stored, kind, lossless=True, exif=exif_of(orientation))
    np.testing.assert_array_equal(decoded(data), upright)
    facts = images.check(data, rules=RULES)
    assert (facts.width, facts.height, facts.orientation) == (WIDTH, HEIGHT, orientation)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_jpeg_scaled_or_not(random: np.random.Generator, orientation: int) -> None:
    upright = picture(random, width=640, height=320)
    stored = np.ascontiguousarray(_STORED_AS[orientation](upright))
    data = saved(stored, "JPEG", quality=100, subsampling=0, exif=exif_of(orientation))
    assert np.abs(decoded(data).astype(int) - upright).mean() < 2
    small = images.load_pixels(data, side_pixels=32, geometry="squash", rules=RULES)
    assert np.abs(small.astype(int) - images.resize(upright, 32, "squash")).mean() < 2


def test_orientation_after_the_pixels_of_a_png() -> None:
    pixels = np.arange(8 * 16, dtype=np.uint8).reshape(8, 16)
    plain = raw_png(16, 8, 8, 0, pixels.tobytes())
    end = len(plain) - 12
    data = plain[:end] + chunk(b"eXIf", exif_of(6).removeprefix(b"Exif\x00\x00")) + plain[end:]
    np.testing.assert_array_equal(decoded(data), repeated(np.rot90(pixels, -1)))
    assert images.check(data, rules=RULES).orientation == 6


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_a_senseless_orientation_is_none(random: np.random.Generator, orientation: int) -> None:
    facts = images.check(jpeg(random, exif=exif_of(orientation)), rules=RULES)
    assert (facts.orientation, facts.width) == (1, WIDTH)


def test_a_profile_is_converted_to_srgb() -> None:
    levels = np.arange(256, dtype=np.uint8)
    pixels = repeated(np.tile(levels, (8, 1)))
    linear = levels / 255
    expected = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055) * 255
    got = decoded(saved(pixels, "PNG", icc_profile=linear_profile()))
    np.testing.assert_allclose(got, repeated(np.tile(expected, (8, 1))), atol=2)


def test_an_srgb_profile_changes_nothing(random: np.random.Generator) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    pixels = picture(random)
    data = saved(pixels, "PNG", icc_profile=profile)
    np.testing.assert_array_equal(decoded(data), pixels)
    assert images.check(data, rules=RULES).flags == ()


@pytest.mark.parametrize("space", [b"GRAY", b"CMYK", b"Lab "])
def test_a_profile_of_another_space_is_left_aside(random: np.random.Generator, space: bytes) -> None:
    profile = linear_profile().replace(b"RGB XYZ ", space + b"XYZ ")
    data = saved(picture(random), "PNG", icc_profile=profile)
    np.testing.assert_array_equal(decoded(data), picture(np.random.default_rng(7)))
    assert images.check(data, rules=RULES).flags == ("icc_profile_ignored",)


def test_limits_hold_exactly(random: np.random.Generator) -> None:
    data = jpeg(random)
    images.check(data, rules=ImageRules(max_pixels=WIDTH * HEIGHT, min_side_pixels=HEIGHT))
    for rules, code in [
        (ImageRules(max_pixels=WIDTH * HEIGHT - 1), "too_many_pixels"),
        (ImageRules(min_side_pixels=HEIGHT + 1), "too_small"),
        (ImageRules(max_bytes=len(data) - 1), "too_many_bytes"),
    ]:
        for open_it in (images.check, images.decode):
            with pytest.raises(ImageRefused) as caught:
                open_it(data, rules=rules)
            assert caught.value.code == code


def test_squash_takes_the_whole_picture() -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :40] = 200
    small = images.resize(pixels, 16, "squash")
    assert small.shape == (16, 16, 3)
    assert (small[:, :7] == 200).all()
    assert (small[:, 9:] == 0).all()


def test_crop_takes_the_central_square() -> None:
    pixels = np.zeros((256, 512, 3), np.uint8)
    pixels[16:240, 144:368] = repeated(np.arange(224 * 224).reshape(224, 224) % 251).astype(np.uint8)
    np.testing.assert_array_equal(images.resize(pixels, 224, "crop"), pixels[16:240, 144:368])


@pytest.mark.parametrize("geometry", ["squash", "crop"])
def test_a_sliver_takes_little_memory(geometry: str) -> None:
    data = saved(np.zeros((8, 60_000, 3), np.uint8), "JPEG")
    assert images.load_pixels(data, side_pixels=224, geometry=geometry, rules=RULES).shape == (224, 224, 3)


@pytest.mark.parametrize("geometry", ["squash", "crop"])
def test_load_pixels_is_decode_then_resize(random: np.random.Generator, geometry: str) -> None:
    for data in (jpeg(random), saved(picture(random, 4), "PNG"), deep_png(deep_picture(random, 3), 2)):
        got = images.load_pixels(data, side_pixels=24, geometry=geometry, rules=RULES)
        np.testing.assert_array_equal(got, images.resize(decoded(data), 24, geometry))


@pytest.mark.parametrize("swap", ["channels", "no antialiasing", "other geometry", "no orientation"])
def test_a_wrong_preprocessing_would_be_seen(random: np.random.Generator, swap: str) -> None:
    """Sabotage: each of the classic mistakes moves pixels by more than any tolerance in use."""
    stored = picture(random, width=90)
    data = saved(stored, "PNG", exif=exif_of(6))
    right = images.load_pixels(data, side_pixels=24, geometry="squash", rules=RULES).astype(int)
    upright = Image.fromarray(decoded(data))
    wrong = {
        "channels": lambda: right[..., ::-1],
        "no antialiasing": lambda: np.asarray(upright.resize((24, 24), Image.Resampling.NEAREST)),
        "other geometry": lambda: images.resize(np.asarray(upright), 24, "crop"),
        "no orientation": lambda: images.resize(stored, 24, "squash"),
    }[swap]()
    assert np.abs(right - wrong).max() > 10


@given(side=st.integers(8, 300), shrink=st.integers(0, 5))
@settings(max_examples=25, deadline=None)
def test_scaled_decoding_keeps_both_sides_long_enough(side: int, shrink: int) -> None:
    width, height = side * (1 + shrink), side * (2 + shrink)
    data = saved(np.zeros((height, width, 3), np.uint8), "JPEG")
    scaled = images.decode(data, rules=RULES, at_least_pixels=side)
    assert min(scaled.shape[:2]) >= min(side, width, height)
    assert images.decode(data, rules=RULES).shape == (height, width, 3)


def test_scaled_decoding_changes_little(random: np.random.Generator) -> None:
    pixels = picture(random, width=1_600, height=1_200)
    data = saved(pixels, "JPEG", quality=95, subsampling=0)
    fast = images.load_pixels(data, side_pixels=128, geometry="squash", rules=RULES).astype(int)
    exact = images.resize(decoded(data), 128, "squash")
    assert images.decode(data, rules=RULES, at_least_pixels=256).shape == (300, 400, 3)
    assert np.abs(fast - exact).mean() < 1.5


def test_thumbnail_is_a_small_clean_jpeg(random: np.random.Generator) -> None:
    data = saved(picture(random, 4, width=300, height=150), "PNG", exif=exif_of(6), icc_profile=linear_profile())
    with Image.open(io.BytesIO(images.thumbnail(data, 64, rules=RULES))) as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (32, 64))
        assert not {"exif", "icc_profile"} & set(image.info)


def test_encode_png_round_trip(random: np.random.Generator) -> None:
    pixels = picture(random)
    np.testing.assert_array_equal(decoded(images.encode_png(pixels)), pixels)


def test_decoder_identity_names_what_alters_pixels() -> None:
    assert images.DECODER_VERSION in images.decoder_identity(RULES)
    assert "pillow" in images.decoder_identity(RULES)


def test_a_message_tells_no_memory_address() -> None:
    data = bytearray(saved(np.zeros((9, 9), np.uint8), "PNG"))
    data[29] ^= 1
    with pytest.raises(ImageRefused) as caught:
        images.check(bytes(data), rules=RULES)
    assert caught.value.code == "corrupt"
    assert "0x" not in str(caught.value)
