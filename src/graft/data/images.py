"""The one decoder: image bytes to RGB pixels or a coded refusal. Nothing else in Graft opens an image.

The rules, for every format and for training, evaluation, prediction and serving alike:

* A file is accepted by its content, never by its name, and only JPEG, PNG, WebP, BMP, GIF and one-page TIFF reach a
  decoder. Of several frames the first is taken.
* EXIF orientation is applied. Transparency is laid over white. Gray, palette and CMYK become RGB by Pillow's rules.
* 16-bit samples become `round(value / 257)`, or with another white level `round(min(value, white) * 255 / white)`; a
  transparent colour of a 16-bit PNG is not looked at.
* A colour profile that is not sRGB is converted to sRGB (perceptual intent, as browsers do). One that cannot be used,
  or belongs to another kind of pixels, is left aside and the photo gets a flag.
* What Pillow warns of never reaches the user: the verdict and the flags say what there is to say.
* Resizing is Pillow's antialiased bilinear; a large JPEG is first decoded at 1/2, 1/4 or 1/8, never below twice the
  side asked for.
"""

import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from threading import Lock
from types import MappingProxyType
from typing import Literal

import numpy as np
from PIL import (  # the plug-ins by name: otherwise the first odd file makes Pillow import all forty
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageChops,
    ImageCms,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    UnidentifiedImageError,
    WebPImagePlugin,
    _imaging,
    features,
)

from graft.core.errors import ImageRefused, ResourceProblem
from graft.data.containers import Container, mismatch_flags, read_container
from graft.data.depth import depth_flags, to_eight_bits
from graft.data.limits import check_bytes, check_size
from graft.data.quiet import silence_libtiff, silence_pillow
from graft.data.reading import read_bytes
from graft.data.records import ImageFacts, ImageRules

__all__ = [
    "DECODER_VERSION",
    "check",
    "check_and_load",
    "check_and_shrink",
    "decode",
    "decoder_identity",
    "encode_png",
    "load_pixels",
    "read_bytes",
    "resize",
    "thumbnail",
]

DECODER_VERSION = "2"  # raise it with every change that may alter a pixel or a verdict
Geometry = Literal["squash", "crop"]
CROP_SHARE = 224 / 256  # of the short side: what the classic networks were evaluated with
SCALED_DECODING_MARGIN = 2  # a JPEG is decoded small only where both sides stay this many times the target
MAX_PROFILE_BYTES = 4 << 20
THUMBNAIL_QUALITY = 80
LARGE_PIXELS = 20_000_000  # more are decoded by one thread at a time: up to 12 bytes a pixel are needed meanwhile
_ONE_LARGE = Lock()

_PLUGINS = (
    BmpImagePlugin.BmpImageFile,
    GifImagePlugin.GifImageFile,
    JpegImagePlugin.JpegImageFile,
    MpoImagePlugin.MpoImageFile,
    PngImagePlugin.PngImageFile,
    TiffImagePlugin.TiffImageFile,
    WebPImagePlugin.WebPImageFile,
)
_TURNS: Mapping[int, Image.Transpose] = MappingProxyType(
    {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
)
_ORIENTATION_TAG = 0x0112
_PLAIN_MODES = frozenset(("1", "L", "P", "RGB", "CMYK", "YCbCr"))
_ALPHA_MODES = frozenset(("LA", "La", "PA", "RGBA", "RGBa"))
# The same samples read in the other byte order give the low bytes that Pillow drops from 16-bit colour.
_NATIVE, _FOREIGN = ("L", "B") if sys.byteorder == "little" else ("B", "L")
_LOW_BYTES: Mapping[str, str] = MappingProxyType(
    {
        f"{mode};16{order}": f"{mode};16{other}"
        for mode in ("RGB", "RGBA", "RGBX")
        for order, other in (("B", "L"), ("L", "B"), ("N", _FOREIGN))
    }
)


@dataclass(frozen=True)
class _Loaded:
    """An image in RGB and upright, with what was seen on the way."""

    image: Image.Image
    container: Container
    mode: str
    orientation: int
    highest_sample: int
    flags: tuple[str, ...]


def decoder_identity(rules: ImageRules) -> str:
    """What may alter a pixel besides the file: part of every cache key. The limits of `rules` alter none."""
    parts = [f"graft {DECODER_VERSION}", f"white {rules.sixteen_bit_white}", f"pillow {features.version('pil')}"]
    parts += [f"{name} {features.version(name)}" for name in ("libjpeg_turbo", "webp", "libtiff", "littlecms2")]
    return ", ".join(parts)


def check(data: bytes, *, rules: ImageRules, name: str = "") -> ImageFacts:
    """Decode the whole of an image and say what it is; raises `ImageRefused`. `name` is only compared with the kind."""
    return _facts(_load(data, rules, at_least_pixels=1), len(data), name)


def check_and_shrink(data: bytes, *, rules: ImageRules, side_pixels: int) -> tuple[ImageFacts, np.ndarray]:
    """As `check`; with it, from the same decoding, the whole picture squashed to (side, side, 3) uint8 YCbCr."""
    loaded = _load(data, rules, at_least_pixels=SCALED_DECODING_MARGIN * side_pixels)
    small = _resized(loaded.image, side_pixels, "squash").convert("YCbCr")
    return _facts(loaded, len(data), ""), np.array(small)


def _facts(loaded: _Loaded, n_bytes: int, name: str) -> ImageFacts:
    width, height = loaded.container.width, loaded.container.height
    if loaded.orientation >= 5:
        width, height = height, width
    flags = {*loaded.flags, *mismatch_flags(name, loaded.container.format)}
    return ImageFacts(
        format=loaded.container.format,
        width=width,
        height=height,
        mode=loaded.mode,
        orientation=loaded.orientation,
        bytes=n_bytes,
        highest_sample=loaded.highest_sample,
        flags=tuple(sorted(flags)),
    )


def decode(data: bytes, *, rules: ImageRules, at_least_pixels: int | None = None) -> np.ndarray:
    """The pixels of an image: (height, width, 3) uint8 RGB, upright; raises `ImageRefused`.

    With `at_least_pixels` a large JPEG may come back at 1/2, 1/4 or 1/8 of its size, both sides at least that long.
    """
    return np.array(_load(data, rules, at_least_pixels=at_least_pixels).image)


def resize(rgb: np.ndarray, side_pixels: int, geometry: Geometry) -> np.ndarray:
    """Resize (height, width, 3) uint8 to (side, side, 3) uint8.

    `squash` takes the whole picture and gives up its proportions; `crop` takes the central square of 224/256 of the
    short side, which is the classic "short side to 256, central 224" at any size.
    """
    return np.array(_resized(Image.fromarray(np.ascontiguousarray(rgb)), side_pixels, geometry))


def load_pixels(data: bytes, *, side_pixels: int, geometry: Geometry, rules: ImageRules) -> np.ndarray:
    """Decode and resize: (side, side, 3) uint8 RGB. The one path from a file to what a network sees."""
    return check_and_load(data, side_pixels=side_pixels, geometry=geometry, rules=rules)[1]


def check_and_load(
    data: bytes, *, side_pixels: int, geometry: Geometry, rules: ImageRules
) -> tuple[ImageFacts, np.ndarray]:
    """As `load_pixels`; with it, from the same decoding, what `check` says."""
    at_least = SCALED_DECODING_MARGIN * side_pixels
    if geometry == "crop":
        at_least = round(at_least / CROP_SHARE)
    loaded = _load(data, rules, at_least_pixels=at_least)
    return _facts(loaded, len(data), ""), np.array(_resized(loaded.image, side_pixels, geometry))


def thumbnail(data: bytes, side_pixels: int, *, rules: ImageRules) -> bytes:
    """A small JPEG of the whole picture, its longer side at most `side_pixels`, without any metadata."""
    image = _load(data, rules, at_least_pixels=SCALED_DECODING_MARGIN * side_pixels).image
    image.thumbnail((side_pixels, side_pixels), Image.Resampling.BICUBIC, reducing_gap=None)
    image.info.clear()
    file = io.BytesIO()
    image.save(file, "JPEG", quality=THUMBNAIL_QUALITY, optimize=True)
    return file.getvalue()


def encode_png(pixels: np.ndarray) -> bytes:
    """PNG bytes of a (height, width) or (height, width, 3) uint8 array."""
    file = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, "PNG")
    return file.getvalue()


def _load(data: bytes, rules: ImageRules, *, at_least_pixels: int | None) -> _Loaded:
    """The whole way from bytes to upright RGB; every refusal of an image is raised here or in `read_container`."""
    check_bytes(len(data), rules)
    container = read_container(data)
    check_size(container.width, container.height, rules)
    if container.truncated:
        raise ImageRefused("The image must be whole, got one that ends too early.", code="truncated")
    silence_pillow()
    if container.format == "TIFF":
        silence_libtiff(_imaging.__file__)
    with _coded_refusals():
        if container.format == "PNG":
            # Neither step finds all damage alone: verify() reads checksums, load() unpacks what they cover. The other
            # formats have no checksums, and Pillow's verify() does nothing for them.
            with _open(data, container) as image:
                image.verify()
        with _open(data, container) as image:
            check_size(image.width, image.height, rules)  # should a decoder read another size than we did
            if at_least_pixels is not None and isinstance(image, JpegImagePlugin.JpegImageFile):
                image.draft(None, (at_least_pixels, at_least_pixels))
            with _ONE_LARGE if image.width * image.height > LARGE_PIXELS else nullcontext():
                return _convert(image, data, container, rules)


def _open(data: bytes, container: Container) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=(container.format,))


@contextmanager
def _coded_refusals() -> Iterator[None]:
    """Whatever a decoder raises on damaged bytes becomes one coded refusal."""
    try:
        yield
    except (ImageRefused, ResourceProblem):
        raise
    except MemoryError:
        raise ResourceProblem("Decoding an image needs more memory than is free.", hint="Close programs.") from None
    except Image.DecompressionBombError as error:  # where a host program lowered Pillow's own limit
        raise ImageRefused(f"The image is too large: {error}", code="too_many_pixels") from error
    except UnidentifiedImageError as error:  # its message holds a memory address: no two runs would tell the same
        raise ImageRefused("The image's header must be sound, got damage.", code="corrupt") from error
    except Exception as error:
        cut = "truncated" in str(error).lower()
        raise ImageRefused(
            "The image must be whole, got one that ends too early."
            if cut
            else f"The image's content must be sound, got damage ({str(error)[:100] or type(error).__name__}).",
            code="truncated" if cut else "corrupt",
        ) from error


def _convert(image: ImageFile.ImageFile, data: bytes, container: Container, rules: ImageRules) -> _Loaded:
    flags: list[str] = []
    mode, highest = image.mode, 0
    # a TIFF is turned while it loads and no longer tells; asking a PNG loads it, for it may tell after the pixels
    orientation, unreadable = _orientation(image) if container.format == "TIFF" else (1, False)
    if container.sixteen_bit:
        upright, highest = _from_sixteen_bits(image, data, container, rules)
        flags += depth_flags(highest, rules)
    else:
        image.load()
        upright = image
    remaining, unreadable_now = _orientation(image)
    upright, profile = _to_rgb(upright, image.info.get("icc_profile"))
    flags += ["exif_unreadable"] * (unreadable or unreadable_now) + ([profile] if profile else [])
    if remaining in _TURNS:
        upright = upright.transpose(_TURNS[remaining])
    if container.frames > 1:
        flags.append("frames_ignored")
    if container.trailing_bytes:
        flags.append("trailing_bytes")
    return _Loaded(upright, container, mode, max(orientation, remaining), highest, tuple(flags))


def _orientation(image: Image.Image) -> tuple[int, bool]:
    """The EXIF orientation, 1 where none is told, and whether the EXIF part could not be read."""
    try:
        value = image.getexif().get(_ORIENTATION_TAG, 1)
    except Exception:  # noqa: BLE001 (damaged EXIF raises nearly anything; the photo is good without it and gets a flag)
        return 1, True
    return (value, False) if isinstance(value, int) and value in _TURNS else (1, False)


def _to_rgb(image: Image.Image, profile: bytes | None) -> tuple[Image.Image, str]:
    """Any accepted mode to RGB over white, and the flag that the colour profile earned ("" for none)."""
    if image.mode not in _PLAIN_MODES | _ALPHA_MODES:
        raise ImageRefused(
            f"The image must hold 8- or 16-bit gray or colour, got mode {image.mode}.", code="format_not_allowed"
        )
    alpha = None
    if image.mode in _ALPHA_MODES or "transparency" in image.info:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        alpha = image.getchannel("A")
        image = image.convert("RGB")
    flag = ""
    if profile:
        image, flag = _to_srgb(image, profile)
    image = image if image.mode == "RGB" else image.convert("RGB")
    if alpha is not None:
        # in place: a second canvas would cost 200 MB at the limit
        image.paste((255, 255, 255), mask=ImageChops.invert(alpha))
    return image, flag


def _to_srgb(image: Image.Image, profile: bytes) -> tuple[Image.Image, str]:
    if _is_srgb(profile):
        return image, ""
    space = profile[16:20]
    if space == b"RGB " and image.mode != "CMYK":
        image = image if image.mode == "RGB" else image.convert("RGB")
    elif (space, image.mode) not in ((b"GRAY", "L"), (b"CMYK", "CMYK")):
        return image, "icc_profile_ignored"
    if len(profile) > MAX_PROFILE_BYTES:
        return image, "icc_profile_ignored"
    try:
        converted = ImageCms.applyTransform(image, _transform(profile, image.mode))
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image, "icc_profile_ignored"
    return (converted, "icc_profile") if converted is not None else (image, "icc_profile_ignored")


@lru_cache(maxsize=16)  # building one takes 2 ms, more than decoding a small photo, and a camera's photos share it
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform:
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    target = ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(source, target, mode, "RGB", ImageCms.Intent.PERCEPTUAL)


def _is_srgb(profile: bytes) -> bool:
    """Whether the profile's own description calls it sRGB: converting it would only add rounding."""
    count = int.from_bytes(profile[128:132], "big")
    for index in range(min(count, 100)):
        entry = profile[132 + 12 * index : 144 + 12 * index]
        if entry[:4] == b"desc":
            start, size = int.from_bytes(entry[4:8], "big"), int.from_bytes(entry[8:12], "big")
            text = profile[start : start + size].replace(b"\x00", b"")
            return b"sRGB" in text
    return False


def _from_sixteen_bits(
    image: ImageFile.ImageFile, data: bytes, container: Container, rules: ImageRules
) -> tuple[Image.Image, int]:
    """Samples of 16 bits as 8 bits, and the largest colour sample."""
    if image.mode.startswith("I;16"):
        image.load()
        gray = np.asarray(image)
        return Image.fromarray(to_eight_bits(gray, rules=rules, inverted=container.inverted)), int(gray.max())
    first = image.tile[0].args
    raw_mode = first if isinstance(first, str) else str(first[0] if first else "")
    if raw_mode == "LA;16B":  # no mode holds it: its four bytes a pixel are read as if they were RGBA
        image._mode = "RGBA"
        _reread(image, raw_mode, "RGBA")
        parts = np.asarray(image).astype(np.uint16)
        samples = parts[..., 0::2] << 8 | parts[..., 1::2]
        return Image.fromarray(to_eight_bits(samples, rules=rules, colours=1), "LA"), int(samples[..., 0].max())
    if raw_mode not in _LOW_BYTES:
        raise ImageRefused(f"The image must hold plain pixels, got {raw_mode}.", code="format_not_allowed")
    with _open(data, container) as second:
        _reread(second, raw_mode, _LOW_BYTES[raw_mode])
        low = np.asarray(second)
    image.load()
    samples = np.asarray(image).astype(np.uint16) << 8
    samples |= low
    return Image.fromarray(to_eight_bits(samples, rules=rules, colours=3)), int(samples[..., :3].max())


def _reread(image: ImageFile.ImageFile, raw_mode: str, other: str) -> None:
    """Load `image` with its samples laid out as `other` instead of `raw_mode`."""
    tiles = []
    for tile in image.tile:
        args = other if isinstance(tile.args, str) else (other, *tuple(tile.args or ())[1:])
        tiles.append(tile._replace(args=args))
    image.tile = tiles
    image.load()


def _resized(image: Image.Image, side_pixels: int, geometry: Geometry) -> Image.Image:
    size = (side_pixels, side_pixels)
    if geometry == "squash":
        return image.resize(size, Image.Resampling.BILINEAR)
    side = min(image.size) * CROP_SHARE
    # At whole pixels: half a pixel's shift would blur a photo that needs no resizing (85 % right became 88 %).
    left, top = (image.width - side) // 2, (image.height - side) // 2
    # cut and resize in one step: resizing a sliver first would need memory without bound
    return image.resize(size, Image.Resampling.BILINEAR, box=(left, top, left + side, top + side))
