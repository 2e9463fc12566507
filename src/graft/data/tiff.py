"""The directory of a TIFF file, read strictly: laboratories use the format, and it can hold nearly anything.

Accepted: one page, 1 to 4 samples of 1, 2, 4, 8 or 16 bits, unsigned, packed in one of the usual ways.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from graft.core.errors import ImageRefused

MAX_PAGES_WALKED = 64
MAX_ENTRIES = 1_000
MAX_TILE_PIXELS = 1 << 26

_TYPE_BYTES: Mapping[int, int] = MappingProxyType({1: 1, 3: 2, 4: 4})  # byte, short, long: all that the tags here use
_CODES: Mapping[int, str] = MappingProxyType({1: "B", 3: "H", 4: "I"})
_JPEG = 7
_COMPRESSIONS = frozenset((1, 2, 3, 4, 5, 7, 8, 32773, 32946))  # none, fax, LZW, JPEG, deflate, PackBits
_PLAIN_PHOTOMETRICS = frozenset((0, 1, 2, 3, 5, 6))  # gray (two ways), RGB, palette, CMYK, YCbCr
_HINT = "Save one page as an 8- or 16-bit TIFF or PNG."
_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 254, 256, 257, 258, 259, 262
_STRIP_OFFSETS, _SAMPLES, _STRIP_BYTES, _TILE_WIDTH, _TILE_HEIGHT = 273, 277, 279, 322, 323
_PLANES, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT = 284, 324, 325, 339
_WANTED = frozenset(
    (
        *(_SUBFILE, _WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _SAMPLES, _STRIP_BYTES),
        *(_PLANES, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES, _SAMPLE_FORMAT),
    )
)


@dataclass(frozen=True)
class TiffFacts:
    """What the first page's directory says."""

    width: int
    height: int
    bits: int
    samples: int
    photometric: int
    truncated: bool
    jpeg_parts: int = 0  # strips or tiles packed as JPEG


def read_tiff(data: bytes) -> TiffFacts:
    """Read the first directory and see that no other page follows.

    Raises `ImageRefused` (`format_not_allowed`, `not_an_image`, `too_many_pixels`), and IndexError or struct.error
    where the header itself is cut.
    """
    order = "<" if data[:2] == b"II" else ">"
    position = struct.unpack_from(order + "I", data, 4)[0]
    if len(data) <= 8:
        raise ImageRefused("The file must hold a whole image, got a TIFF header without pixels.")
    if position + 2 > len(data):
        # writers put the directory last: a file that lost its end lost it
        raise ImageRefused("The image must be whole, got a TIFF cut before its directory.", code="truncated")
    tags, following = _read_directory(data, order, position)
    _refuse_pages(data, order, position, following)
    bits = tags.get(_BITS, (1,))
    samples = tags.get(_SAMPLES, (len(bits),))[0]
    photometric = tags.get(_PHOTOMETRIC, (1,))[0]
    _refuse_contents(tags, bits, samples, photometric)
    compression = tags.get(_COMPRESSION, (1,))[0]
    tile = tags.get(_TILE_WIDTH, (0,))[0] * tags.get(_TILE_HEIGHT, (0,))[0]
    if tile > MAX_TILE_PIXELS:
        raise ImageRefused(f"A tile must have at most {MAX_TILE_PIXELS} pixels, got {tile}.", code="too_many_pixels")
    return TiffFacts(
        width=tags.get(_WIDTH, (0,))[0],
        height=tags.get(_HEIGHT, (0,))[0],
        bits=bits[0],
        samples=samples,
        photometric=photometric,
        truncated=_is_cut(tags, len(data)),
        jpeg_parts=len(tags.get(_STRIP_OFFSETS, tags.get(_TILE_OFFSETS, (0,)))) if compression == _JPEG else 0,
    )


def _read_directory(data: bytes, order: str, position: int) -> tuple[dict[int, tuple[int, ...]], int]:
    """The wanted whole-number tags of one directory, and where the next directory is (0: there is none)."""
    count = struct.unpack_from(order + "H", data, position)[0]
    if count > MAX_ENTRIES:
        raise ImageRefused(f"A TIFF directory must have at most {MAX_ENTRIES} entries, got {count}.", code="corrupt")
    tags: dict[int, tuple[int, ...]] = {}
    for index in range(count):
        entry = position + 2 + 12 * index
        tag, kind, length = struct.unpack_from(order + "HHI", data, entry)
        if tag not in _WANTED or kind not in _TYPE_BYTES or length == 0:
            continue
        size = _TYPE_BYTES[kind] * length
        start = entry + 8 if size <= 4 else struct.unpack_from(order + "I", data, entry + 8)[0]
        if start + size > len(data):
            raise ImageRefused("The image must be whole, got a TIFF that ends within its directory.", code="truncated")
        tags[tag] = struct.unpack_from(f"{order}{length}{_CODES[kind]}", data, start)
    end = position + 2 + 12 * count
    return tags, struct.unpack_from(order + "I", data, end)[0] if end + 4 <= len(data) else 0


def _refuse_pages(data: bytes, order: str, first: int, following: int) -> None:
    """Further directories may only be small versions or masks of the first page."""
    seen = {first}
    while following and following + 2 <= len(data):
        if following in seen or len(seen) >= MAX_PAGES_WALKED:
            raise ImageRefused(
                "A TIFF must have one page, got a chain without end.", hint=_HINT, code="format_not_allowed"
            )
        seen.add(following)
        tags, following = _read_directory(data, order, following)
        if not tags.get(_SUBFILE, (0,))[0] & 0b101:
            raise ImageRefused("A TIFF must have one page, got several.", hint=_HINT, code="format_not_allowed")


def _refuse_contents(
    tags: Mapping[int, tuple[int, ...]], bits: tuple[int, ...], samples: int, photometric: int
) -> None:
    kinds = tags.get(_SAMPLE_FORMAT, (1,))
    compression = tags.get(_COMPRESSION, (1,))[0]
    problem = ""
    if any(kind != 1 for kind in kinds):
        problem = "floating-point or signed samples"
    elif not 1 <= samples <= 4:
        problem = f"{samples} samples a pixel"
    elif len(set(bits)) != 1 or bits[0] not in (1, 2, 4, 8, 16):
        problem = f"samples of {'/'.join(str(depth) for depth in bits[:4])} bits"
    elif compression not in _COMPRESSIONS:
        problem = f"packing number {compression}"
    elif photometric not in _PLAIN_PHOTOMETRICS:
        problem = f"colour space number {photometric}"
    elif bits[0] == 16 and photometric == 5:
        problem = "16-bit ink values"
    elif bits[0] == 16 and samples > 1 and tags.get(_PLANES, (1,))[0] != 1:
        problem = "16-bit colours in separate planes"
    if problem:
        raise ImageRefused(
            f"A TIFF must hold plain 8- or 16-bit pixels, got {problem}.", hint=_HINT, code="format_not_allowed"
        )


def _is_cut(tags: Mapping[int, tuple[int, ...]], length: int) -> bool:
    """Whether a strip or tile lies beyond the end of the file."""
    for offsets, sizes in ((_STRIP_OFFSETS, _STRIP_BYTES), (_TILE_OFFSETS, _TILE_BYTES)):
        pairs = zip(tags.get(offsets, ()), tags.get(sizes, ()), strict=False)
        if any(offset + size > length for offset, size in pairs):
            return True
    return False
