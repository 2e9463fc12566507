"""The walk over a file's outside: kinds, sizes, frames, ends, and what it leaves to the decoder."""

import numpy as np
import pytest

from graft.core.errors import ImageRefused
from graft.data.containers import MAX_CHUNKS, MAX_FRAMES, forbidden_kind, kind_of, read_container
from graft.data.tiff import MAX_ENTRIES, read_tiff
from tests.hostile.image_kinds import (
    GOOD,
    HEIGHT,
    WIDTH,
    animation,
    chunk,
    film_gif,
    jpeg,
    picture,
    png,
    raw_png,
    saved,
    tiff,
)


@pytest.fixture
def random() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.mark.parametrize("kind", GOOD, ids=lambda kind: kind.name)
def test_size_without_decoding(kind, random: np.random.Generator) -> None:
    found = read_container(kind.make(random))
    assert (found.width, found.height, found.truncated) == (WIDTH, HEIGHT, False)
    assert (found.frames > 1) == ("frames_ignored" in kind.flags)
    assert (found.trailing_bytes > 0) == ("trailing_bytes" in kind.flags)
    assert found.sixteen_bit == ("sixteen_bit" in kind.flags)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"])
def test_every_cut_is_seen_or_left_to_the_decoder(kind: str, random: np.random.Generator) -> None:
    data = saved(picture(random), kind)
    for length in range(0, len(data) - 2, 7):
        try:
            found = read_container(data[:length])
        except ImageRefused as refusal:
            assert refusal.code in ("not_an_image", "truncated")
        else:
            assert found.truncated or kind == "GIF"  # a GIF whose first frame is whole is good


@pytest.mark.parametrize(("extra", "counted"), [(b"\x00" * 9, 0), (b"\r\n", 0), (b"\x00PK\x03\x04\x00", 4), (b"x", 1)])
def test_padding_is_not_trailing(extra: bytes, counted: int, random: np.random.Generator) -> None:
    for data in (jpeg(random), png(random), saved(picture(random), "GIF")):
        assert read_container(data + extra).trailing_bytes == counted


def test_a_marker_within_a_segment_is_no_end(random: np.random.Generator) -> None:
    data = jpeg(random)
    comment = b"\xff\xfe\x00\x0a" + b"\xff\xd9\xff\xd8\xff\xda\x00\x00"
    assert not read_container(data[:2] + comment + data[2:]).truncated
    assert not read_container(data[:2] + b"\xff\xff\xff" + data[2:]).truncated


@pytest.mark.timeout(30)  # a search that looks back from each byte of the run would take days
def test_a_long_run_of_fill_bytes_is_passed_in_one_go(random: np.random.Generator) -> None:
    data = jpeg(random)
    scan = data.index(b"\xff\xda") + 20
    for end in (b"\x00", b"\xd0"):
        found = read_container(data[:scan] + b"\xff" * 5_000_000 + end + data[scan:])
        assert not found.truncated and not found.trailing_bytes


def test_frames_of_an_mpo_and_what_follows(random: np.random.Generator) -> None:
    data = animation("MPO")(random)
    assert read_container(data).frames == 3
    assert read_container(data + b"PK\x03\x04").trailing_bytes == 4


def test_frame_limit() -> None:
    assert read_container(film_gif(MAX_FRAMES - 1)).frames == MAX_FRAMES
    with pytest.raises(ImageRefused) as caught:
        read_container(film_gif(MAX_FRAMES))
    assert caught.value.code == "too_many_pixels"


def test_chunk_limit() -> None:
    data = raw_png(9, 9, 8, 0, bytes(81), extra=(chunk(b"tIME", b""),) * MAX_CHUNKS)
    with pytest.raises(ImageRefused) as caught:
        read_container(data)
    assert caught.value.code == "corrupt"


def test_kinds_by_their_first_bytes() -> None:
    assert kind_of(b"RIFF\x00\x00\x00\x00WEBPVP8 ") == "WEBP"
    assert kind_of(b"RIFF\x00\x00\x00\x00WAVE") is None
    assert forbidden_kind(b"P6\n9 9") == "a Netpbm image"
    assert forbidden_kind(b"Private words") is None
    assert forbidden_kind(b"\x00\x00\x00\x18ftypisom") == "a film"
    for kind in ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP"):
        assert kind_of(saved(np.zeros((9, 9), np.uint8), kind)[:64]) == kind


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"bits": (16,)}, ""),
        ({"bits": (32,)}, "format_not_allowed"),
        ({"bits": (12,)}, "format_not_allowed"),
        ({"bits": (8, 16, 8), "photometric": 2}, "format_not_allowed"),
        ({"bits": (8,) * 5}, "format_not_allowed"),
        ({"sample_format": 3}, "format_not_allowed"),
        ({"sample_format": 2}, "format_not_allowed"),
        ({"compression": 50_000}, "format_not_allowed"),
        ({"photometric": 32_803}, "format_not_allowed"),
        ({"bits": (16, 16, 16), "photometric": 2, "planes": 2}, "format_not_allowed"),
        ({"bits": (16,) * 4, "photometric": 5}, "format_not_allowed"),
        ({"tile_width": 1 << 16, "tile_height": 1 << 16}, "too_many_pixels"),
    ],
)
@pytest.mark.parametrize("order", ["<", ">"])
def test_what_a_tiff_may_hold(options: dict, code: str, order: str) -> None:
    data = tiff(bytes(WIDTH * HEIGHT * 10), order=order, **options)
    try:
        assert read_tiff(data).width == WIDTH
        assert code == ""
    except ImageRefused as refusal:
        assert refusal.code == code


def test_a_strip_beyond_the_end_is_a_cut() -> None:
    assert not read_tiff(tiff(bytes(99))).truncated
    assert read_tiff(tiff(bytes(99), offset=1_000)).truncated


def test_a_small_version_may_follow_the_page() -> None:
    data = tiff(bytes(99), following=0)
    at = len(data)
    page = b"\x01\x00" + b"\xfe\x00\x04\x00\x01\x00\x00\x00%c\x00\x00\x00" + bytes(4)
    joined = data[:-4] + at.to_bytes(4, "little")
    read_tiff(joined + page % 1)
    with pytest.raises(ImageRefused, match="got several"):
        read_tiff(joined + page % 0)


def test_a_directory_of_too_many_entries() -> None:
    with pytest.raises(ImageRefused) as caught:
        read_tiff(b"II\x2a\x00\x08\x00\x00\x00" + (MAX_ENTRIES + 1).to_bytes(2, "little") + bytes(20_000))
    assert caught.value.code == "corrupt"
