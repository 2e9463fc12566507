"""A thousand files: forty kinds of what people and attackers hand in, each in 25 seeded variants, with its outcome.

Sizes, contents, qualities, layouts and the places of cuts and damage are drawn; the outcome is promised for all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from graft.data.records import ImageRules
from tests.hostile.image_kinds import (
    box,
    flipped,
    huge_jpeg,
    linear_profile,
    picture,
    raw_png,
    saved,
    tiff,
    webp_canvas,
)

VARIANTS = 25
RULES = ImageRules(max_bytes=150_000)  # the usual 25 MB would make a corpus of gigabytes


@dataclass(frozen=True)
class Variant:
    """What is drawn for one file."""

    random: np.random.Generator
    width: int
    height: int

    def below(self, end: int, start: int = 0) -> int:
        return int(self.random.integers(start, end))

    def one_of(self, *choices: Any) -> Any:
        return choices[self.below(len(choices))]

    def pixels(self, channels: int = 3) -> np.ndarray:
        return picture(self.random, channels, self.width, self.height)

    def deep(self, channels: int, top: int = 65_535) -> np.ndarray:
        values = self.random.integers(0, top + 1, (self.height, self.width, channels), dtype=np.uint16)
        values[0, 0] = top
        return values

    def jpeg(self, **options: object) -> bytes:
        drawn = {"quality": self.below(98, 20), "subsampling": self.below(3), "progressive": self.below(2) == 1}
        return saved(self.pixels(), "JPEG", **{**drawn, **options})

    def png(self, channels: int = 3) -> bytes:
        return saved(self.pixels(channels), "PNG", compress_level=self.below(10))


@dataclass(frozen=True)
class Row:
    """One kind: how to make a variant, and what must come of every one ("" means accepted)."""

    name: str
    suffix: str
    make: Callable[[Variant], bytes]
    code: str = ""
    flags: tuple[str, ...] = ()


def files() -> Iterator[tuple[str, Row, bytes]]:
    """Name, row and content of every file."""
    for number, row in enumerate(TABLE):
        for variant in range(VARIANTS):
            random = np.random.default_rng([17, number, variant])
            width, height = (int(side) for side in random.integers(16, 81, 2))
            yield f"{number:02}_{variant:02}{row.suffix}", row, row.make(Variant(random, width, height))


def _jpeg_head(v: Variant) -> bytes:
    data = v.jpeg(progressive=False)
    return data[: v.below(data.index(b"\xff\xc0"), 3)]


def _header_only(v: Variant) -> bytes:
    gif = saved(v.pixels(1), "GIF")[:13]
    return v.one_of(_jpeg_head(v), v.png()[: v.below(34, 8)], gif, tiff(v.pixels(1).tobytes())[: v.below(9, 4)])


def _jpeg_cut(v: Variant) -> bytes:
    data = v.jpeg()
    return data[: v.below(len(data) - 2, data.rindex(b"\xff\xda") + 14)]


def _png_cut(v: Variant) -> bytes:
    data = v.png()
    return data[: v.below(len(data) - 12, data.index(b"IDAT") + 4)]


def _png_flip(v: Variant) -> bytes:
    data = v.png()
    return flipped(data, v.below(len(data) - 16, data.index(b"IDAT") + 4))


def _zeroed(v: Variant) -> bytes:
    data = v.jpeg(quality=95, progressive=False)
    scan = data.index(b"\xff\xda") + 20
    start = v.below((scan + len(data)) // 2, scan)
    length = v.below((len(data) - start) // 2, 4)
    return data[:start] + bytes(length) + data[start + length :]


def _ycck(v: Variant) -> bytes:
    data = saved(Image.fromarray(v.pixels(4), "CMYK"), "JPEG", quality=v.below(98, 40))
    place = data.index(b"Adobe") + 11
    return data[:place] + b"\x02" + data[place + 1 :]


def _palette(v: Variant) -> bytes:
    clear: object = v.one_of(v.below(200), bytes(v.random.integers(0, 256, 200, dtype=np.uint8)))
    return saved(v.pixels(), "PNG", "P", transparency=clear)


def _one_bit(v: Variant) -> bytes:
    kind, options = v.one_of(("PNG", {}), ("BMP", {}), ("TIFF", {"compression": "group4"}), ("GIF", {}))
    return saved(v.pixels(1), kind, "1", **options)


def _deep_gray(v: Variant, top: int = 65_535) -> bytes:
    values = v.deep(1, top)
    order = v.one_of("<", ">")
    packed = tiff(values.astype(f"{order}u2").tobytes(), v.width, v.height, bits=(16,), order=order)
    return v.one_of(raw_png(v.width, v.height, 16, 0, values.astype(">u2").tobytes()), packed)


def _deep_colour(v: Variant) -> bytes:
    channels, colour = v.one_of((3, 2), (4, 6), (2, 4))
    values = v.deep(channels)
    if channels == 3 and v.below(2):
        order = v.one_of("<", ">")
        samples = values.astype(f"{order}u2").tobytes()
        return tiff(samples, v.width, v.height, bits=(16, 16, 16), photometric=2, order=order)
    return raw_png(v.width, v.height, 16, colour, values.astype(">u2").tobytes())


def _oriented(v: Variant) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = v.below(9, 1)
    kind = v.one_of("JPEG", "PNG", "WEBP", "TIFF")
    return saved(v.pixels(), kind, exif=exif.tobytes())


def _frames(kind: str) -> Callable[[Variant], bytes]:
    def make(v: Variant) -> bytes:
        frames = [Image.fromarray(v.pixels()) for _ in range(v.below(6, 2))]
        return saved(frames[0], kind, save_all=True, append_images=frames[1:])

    return make


def _tiff(v: Variant) -> bytes:
    packing = v.one_of(None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")
    return saved(v.pixels(v.one_of(1, 3)), "TIFF", compression=packing)


def _numbers_tiff(v: Variant) -> bytes:
    values = v.random.normal(size=(v.height, v.width)).astype(np.float32)
    whole = (values * 1000).astype(np.int32)
    values[0, 0] = v.one_of(np.nan, np.inf, 0)
    return saved(v.one_of(values, whole), "TIFF")


def _document(v: Variant) -> bytes:
    noise = v.random.bytes(v.below(400, 150))
    icon = saved(v.pixels(), "ICO", sizes=[(16, 16)])
    return v.one_of(b"%!PS-Adobe-3.0 EPSF-3.0\n" + noise, b"8BPS\x00\x01" + noise, icon, b"%PDF-1.7\n" + noise)


def _newer(v: Variant) -> bytes:
    noise = v.random.bytes(v.below(400, 150))
    jpeg_2000 = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
    return v.one_of(box(b"heic"), box(b"mif1"), box(b"avif"), jpeg_2000, b"\x00\x00\x00\x0cJXL ") + noise


def _bomb(v: Variant) -> bytes:
    width, height = v.below(16_000, 9_000), v.below(16_000, 9_000)
    return v.one_of(
        raw_png(width, height, v.one_of(1, 8), 0, bytes(40)),
        webp_canvas(width, height),
        tiff(bytes(99), width, height),
        huge_jpeg(v.random),
    )


def _thin(v: Variant) -> bytes:
    short, long = v.below(8, 1), v.below(300, 1)
    width, height = v.one_of((short, long), (long, short))
    return saved(picture(v.random, 3, width, height), v.one_of("PNG", "JPEG", "BMP"))


def _page(v: Variant) -> bytes:
    return b"<!DOCTYPE html><html><body>" + v.random.bytes(v.below(500)).hex().encode() + b"</body></html>"


def _svg(v: Variant) -> bytes:
    return f'<svg xmlns="http://www.w3.org/2000/svg" width="{v.width}" height="{v.height}"/>'.encode()


TABLE = (
    Row("jpeg", ".jpg", lambda v: v.jpeg(restart_marker_blocks=v.below(5))),
    Row("png", ".png", lambda v: v.png()),
    Row("png named jpg", ".jpg", lambda v: v.png(), flags=("extension_mismatch",)),
    Row("webp", ".webp", lambda v: saved(v.pixels(), "WEBP", quality=v.below(100))),
    Row("webp lossless", ".webp", lambda v: saved(v.pixels(v.one_of(3, 4)), "WEBP", lossless=True)),
    Row("bmp", ".bmp", lambda v: saved(v.pixels(v.one_of(1, 3)), "BMP")),
    Row("tiff", ".tif", _tiff),
    Row("jpeg zeroed middle", ".jpg", _zeroed),
    Row(
        "jpeg with a zip",
        ".jpg",
        lambda v: v.jpeg() + b"PK\x03\x04" + v.random.bytes(90) + b"!",
        "",
        ("trailing_bytes",),
    ),
    Row("cmyk", ".jpg", lambda v: saved(Image.fromarray(v.pixels(4), "CMYK"), "JPEG", quality=v.below(98, 30))),
    Row("ycck", ".jpg", _ycck),
    Row("gray", ".png", lambda v: saved(v.pixels(1), "PNG")),
    Row("gray with alpha", ".png", lambda v: saved(Image.fromarray(v.pixels(2), "LA"), "PNG")),
    Row("palette with transparency", ".png", _palette),
    Row("1-bit", "", _one_bit),
    Row("rgba", ".png", lambda v: v.png(4)),
    Row("16-bit gray", "", _deep_gray, flags=("sixteen_bit",)),
    Row("16-bit colour", "", _deep_colour, flags=("sixteen_bit",)),
    Row("12 bits in 16", "", lambda v: _deep_gray(v, 4_095), flags=("low_range", "sixteen_bit")),
    Row("exif orientation", "", _oriented),
    Row("profile", ".jpg", lambda v: v.jpeg(icc_profile=linear_profile()), flags=("icc_profile",)),
    Row("animated gif", ".gif", _frames("GIF"), flags=("frames_ignored",)),
    Row("animated webp", ".webp", _frames("WEBP"), flags=("frames_ignored",)),
    Row("mpo", ".jpg", _frames("MPO"), flags=("frames_ignored",)),
    Row("empty", ".jpg", lambda v: b" \n" * v.one_of(0, v.below(40)), "not_an_image"),
    Row("web page", ".jpg", _page, "not_an_image"),
    Row("header only", ".jpg", _header_only, "not_an_image"),
    Row("no pixels", ".png", lambda v: raw_png(v.one_of(0, v.width), 0, 8, 2, None), "not_an_image"),
    Row("svg", ".svg", _svg, "not_an_image"),
    Row("jpeg cut", ".jpg", _jpeg_cut, "truncated"),
    Row("jpeg without end", ".jpg", lambda v: v.jpeg()[:-2], "truncated"),
    Row("png cut", ".png", _png_cut, "truncated"),
    Row("png without IEND", ".png", lambda v: v.png()[:-12], "truncated"),
    Row("png bit flip", ".png", _png_flip, "corrupt"),
    Row("numbers", ".tif", _numbers_tiff, "format_not_allowed"),
    Row("documents", ".jpg", _document, "format_not_allowed"),
    Row("newer formats", ".heic", _newer, "format_not_allowed"),
    Row("bombs", ".png", _bomb, "too_many_pixels"),
    Row("thin", "", _thin, "too_small"),
    Row(
        "too many bytes",
        ".png",
        lambda v: v.png() + v.random.bytes(v.below(99_999) + RULES.max_bytes),
        "too_many_bytes",
    ),
)
