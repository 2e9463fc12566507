"""What an image file says about itself, read from its bytes without a decoder: kind, size, frames, where it ends.

A decoder sees a file only after it passed here: bombs, cut files and kinds that are never opened are refused by a few
hundred bytes of arithmetic. Only what is needed for that is read; everything else is left to the decoder's judgement.
"""

import re
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePath
from types import MappingProxyType

from graft.core.errors import ImageRefused
from graft.data.jpeg import check_scans, walk_jpeg
from graft.data.tiff import read_tiff

MAX_FRAMES = 1_000  # a longer animation is a film: walking it costs more than its one photo is worth
MAX_CHUNKS = 100_000
MAX_TEXT_BYTES = 1 << 20  # what one compressed text of a PNG may unpack to
ARCHIVE_HEAD_BYTES = 262
HEAD_BYTES = 64  # enough for `kind_of`

_HEIF_BRANDS = frozenset((b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevx", b"mif1", b"msf1"))
_BMP_COMPRESSIONS = frozenset((0, 3, 6))  # plain pixels; run lengths would be unpacked by slow Python code


@dataclass(frozen=True)
class Container:
    """The outside of an image file. `width` and `height` are pixels as stored, before EXIF orientation."""

    format: str
    width: int
    height: int
    frames: int = 1
    truncated: bool = False
    trailing_bytes: int = 0  # after the image's own end; padding does not count
    sixteen_bit: bool = False  # samples of 16 bits each
    inverted: bool = False  # a 16-bit gray TIFF in which zero is white


_SUFFIXES: Mapping[str, str] = MappingProxyType(
    {".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".jfif": "JPEG", ".mpo": "JPEG", ".png": "PNG", ".apng": "PNG"}
    | {".webp": "WEBP", ".bmp": "BMP", ".dib": "BMP", ".gif": "GIF", ".tif": "TIFF", ".tiff": "TIFF"}
)
_FORBIDDEN: tuple[tuple[int, bytes, str], ...] = (
    (0, b"%!PS", "an EPS or PostScript file"),
    (0, b"\xc5\xd0\xd3\xc6", "an EPS file"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x00\x00\x01\x00", "an icon file"),
    (0, b"\x00\x00\x02\x00", "a cursor file"),
    (0, b"%PDF", "a PDF document"),
    (0, b"icns", "an icon file"),
    (0, b"\x00\x00\x00\x0cjP  ", "a JPEG 2000 file"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 file"),
    (0, b"\xff\x0a", "a JPEG XL file"),
    (0, b"\x00\x00\x00\x0cJXL ", "a JPEG XL file"),
    (0, b"v/1\x01", "an OpenEXR file"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (0, b"qoif", "a QOI file"),
    (0, b"DDS ", "a DDS texture"),
    (0, b"FORM", "an IFF file"),
    (0, b"\x01\xda", "an SGI image"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"II\x2b\x00", "a BigTIFF file"),
    (0, b"MM\x00\x2b", "a BigTIFF file"),
    (0, b"\xd7\xcd\xc6\x9a", "a Windows metafile"),
    (128, b"DICM", "a DICOM file"),
)
_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"II\x2a\x00", "TIFF"),
    (b"MM\x00\x2a", "TIFF"),
)
_NETPBM = re.compile(rb"P[1-7]\s")
_ARCHIVE = re.compile(rb"PK\x03\x04|PK\x05\x06|\x1f\x8b|BZh|\xfd7zXZ|7z\xbc\xaf|Rar!|.{257}ustar", re.DOTALL)
_SUGGESTION = "Convert it to JPEG, PNG, WebP, BMP, GIF or TIFF."


def kind_of(head: bytes) -> str | None:
    """The accepted format of a file that begins with `head`, or None."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    return "WEBP" if head[:4] == b"RIFF" and head[8:12] == b"WEBP" else None


def forbidden_kind(head: bytes) -> str | None:
    """What `head` begins, where it is a kind of image or document that is never opened; else None."""
    for offset, magic, name in _FORBIDDEN:
        if head[offset : offset + len(magic)] == magic:
            return name
    if head[4:8] == b"ftyp":
        if head[8:12] in _HEIF_BRANDS:
            return "a HEIC photo"
        return "an AVIF image" if head[8:12] in (b"avif", b"avis") else "a film"
    return "a Netpbm image" if _NETPBM.match(head) else None


def mismatch_flags(name: str, kind: str) -> tuple[str, ...]:
    """`extension_mismatch` where a file's name claims another format than its content has."""
    return ("extension_mismatch",) if _SUFFIXES.get(PurePath(name).suffix.lower(), kind) != kind else ()


def read_container(data: bytes) -> Container:
    """Read the outside of an image file.

    Raises `ImageRefused`: `not_an_image`, `format_not_allowed`, `too_many_pixels` (text that unpacks to too much, too
    many frames) or `corrupt`. A file that ends early is returned with `truncated` set.
    """
    if not data:
        raise ImageRefused("The file must hold an image, got an empty file.", code="not_an_image")
    kind = kind_of(data[:HEAD_BYTES])
    if kind is None:
        _refuse_other(data)
    try:
        found = _READERS[kind or ""](data)
    except (IndexError, struct.error):
        raise ImageRefused(f"The file must hold a whole image, got the beginning of a {kind} header.") from None
    if found.width < 1 or found.height < 1:
        raise ImageRefused(f"The image must have pixels, got {found.width}×{found.height}.")
    if found.frames > MAX_FRAMES:
        raise ImageRefused(f"The image must have at most {MAX_FRAMES} frames, got more.", code="too_many_pixels")
    return found


def refuse_archive(head: bytes) -> None:
    """Refuse a file that begins as zips, tars, and compressed files do."""
    if _ARCHIVE.match(head):
        raise ImageRefused("The file must hold an image, got an archive.", hint="Unpack it and give the folder.")


def _refuse_other(data: bytes) -> None:
    name = forbidden_kind(data[:256])
    if name == "a HEIC photo":
        hint = "Export it as JPEG (on an iPhone: Settings, Camera, Formats, Most Compatible)."
        raise ImageRefused(f"The file must be of an accepted format, got {name}.", hint=hint, code="format_not_allowed")
    if name:
        raise ImageRefused(
            f"The file must be of an accepted format, got {name}.", hint=_SUGGESTION, code="format_not_allowed"
        )
    refuse_archive(data)
    raise ImageRefused("The file must hold an image, got something else.", hint=_SUGGESTION)


def _rest(data: bytes, end: int) -> int:
    """How many bytes after `end` are more than padding."""
    return len(data[end:].strip(b"\x00\r\n \x1a\xff"))


# JPEG


def _jpeg(data: bytes) -> Container:
    size, end = walk_jpeg(data, 0)
    if size is None:
        raise ImageRefused("The file must hold a whole image, got the beginning of a JPEG header.")
    found = Container(format="JPEG", width=size[0], height=size[1], truncated=end > len(data))
    if end < 0 or end > len(data):
        return found
    frames = 1
    # the second picture of an MPO file (3D cameras, gain maps) is no foreign matter
    while frames <= MAX_FRAMES and (start := data.find(b"\xff\xd8\xff", end, end + 65_536)) >= 0:
        if data[end:start].strip(b"\x00"):
            break
        further, next_end = walk_jpeg(data, start)
        if further is None or next_end < 0 or next_end > len(data):
            break
        frames, end = frames + 1, next_end
    return replace(found, frames=frames, trailing_bytes=_rest(data, end))


# PNG


def _png(data: bytes) -> Container:
    length, name, width, height, depth = struct.unpack_from(">I4sIIB", data, 8)
    if name != b"IHDR" or length != 13:
        raise ImageRefused("The file must hold an image, got a PNG without its header chunk.")
    found = Container(format="PNG", width=width, height=height, sixteen_bit=depth == 16)
    position, frames, pixels = 8, 1, False
    for _ in range(MAX_CHUNKS):
        if position + 8 > len(data):
            break
        length, name = struct.unpack_from(">I4s", data, position)
        body, position = position + 8, position + 12 + length
        pixels = pixels or name == b"IDAT"
        if position > len(data):
            break
        if name == b"IEND":
            return replace(found, frames=frames, trailing_bytes=_rest(data, position))
        if name == b"acTL" and length >= 4:
            frames = int.from_bytes(data[body : body + 4], "big")
        elif name in (b"zTXt", b"iTXt", b"iCCP"):
            _check_packed_text(data[body : body + length], name)
    else:
        raise ImageRefused(f"The PNG must have at most {MAX_CHUNKS} chunks, got more.", code="corrupt")
    if not pixels:
        raise ImageRefused("The file must hold a whole image, got a PNG header without pixels.")
    return replace(found, truncated=True)


def _check_packed_text(body: bytes, name: bytes) -> None:
    """Refuse text that unpacks to more than `MAX_TEXT_BYTES`; text that does not unpack is the decoder's affair."""
    _, _, rest = body.partition(b"\x00")
    if name == b"iTXt":
        if rest[:1] != b"\x01":
            return
        rest = rest[2:].partition(b"\x00")[2].partition(b"\x00")[2]
    else:
        rest = rest[1:]
    limit = MAX_TEXT_BYTES * (4 if name == b"iCCP" else 1)
    try:
        unpacked = zlib.decompressobj().decompress(rest, limit + 1)
    except zlib.error:
        return
    if len(unpacked) > limit:
        raise ImageRefused(
            f"The PNG's hidden text must unpack to at most {limit} bytes, got more.", code="too_many_pixels"
        )


# WebP


def _webp(data: bytes) -> Container:
    declared = struct.unpack_from("<I", data, 4)[0] + 8
    width = height = frames = 0
    position = 12
    while position + 8 <= min(declared, len(data)) and frames <= MAX_FRAMES:
        name, length = struct.unpack_from("<4sI", data, position)
        body = position + 8
        size = (0, 0)
        if name == b"VP8X":
            size = _int24(data, body + 4) + 1, _int24(data, body + 7) + 1
        elif name == b"VP8 ":
            found = struct.unpack_from("<HH", data, body + 6)
            size = found[0] & 0x3FFF, found[1] & 0x3FFF
        elif name == b"VP8L":
            bits = struct.unpack_from("<I", data, body + 1)[0]
            size = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
        elif name == b"ANMF":
            frames += 1
        width, height = max(width, size[0]), max(height, size[1])
        position = body + length + length % 2
    return Container(
        format="WEBP",
        width=width,
        height=height,
        frames=max(frames, 1),
        truncated=declared > len(data) + 1,  # some writers leave out the last padding byte
        trailing_bytes=_rest(data, declared + declared % 2) if declared < len(data) else 0,
    )


def _int24(data: bytes, position: int) -> int:
    low, high = struct.unpack_from("<HB", data, position)
    return int(low) | int(high) << 16


# BMP


def _bmp(data: bytes) -> Container:
    declared, offset, header = struct.unpack_from("<I4xII", data, 2)
    if header == 12:
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
        compression = 0
    elif 40 <= header <= 256:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    else:
        raise ImageRefused("The file must hold an image, got a damaged BMP header.")
    width, height = abs(width), abs(height)
    if compression not in _BMP_COMPRESSIONS:
        raise ImageRefused(
            "A BMP must hold plain pixels, got a packed one.", hint=_SUGGESTION, code="format_not_allowed"
        )
    if len(data) <= offset:
        raise ImageRefused("The file must hold a whole image, got a BMP header without pixels.")
    end = offset + (width * bits + 31) // 32 * 4 * height
    return Container(
        format="BMP",
        width=width,
        height=height,
        truncated=end > len(data),
        trailing_bytes=_rest(data, max(end, declared)) if end <= len(data) else 0,
    )


# GIF


def _gif(data: bytes) -> Container:
    width, height, packed = struct.unpack_from("<HHB", data, 6)
    position = 13 + (3 << (packed & 7) + 1 if packed & 0x80 else 0)
    frames, started = 0, False
    while position < len(data) and frames <= MAX_FRAMES:
        kind = data[position]
        if kind == 0x3B and started:
            return Container("GIF", width, height, frames, frames == 0, trailing_bytes=_rest(data, position + 1))
        if kind == 0x2C:
            left, top, frame_width, frame_height, packed = struct.unpack_from("<HHHHB", data, position + 1)
            started = True
            if frames == 0:  # a first frame may be larger than the screen it is shown on
                width, height = max(width, left + frame_width), max(height, top + frame_height)
            position = _skip_blocks(data, position + 11 + (3 << (packed & 7) + 1 if packed & 0x80 else 0))
            frames += position <= len(data)
        elif kind == 0x21:
            position = _skip_blocks(data, position + 2)
        else:
            position += 1
    if not started:
        raise ImageRefused("The file must hold a whole image, got a GIF header without pixels.")
    # a missing last byte does no harm to a first frame that is whole
    return Container(format="GIF", width=width, height=height, frames=max(frames, 1), truncated=frames == 0)


def _skip_blocks(data: bytes, position: int) -> int:
    """Where a chain of data blocks ends; beyond the data where it is cut."""
    while position < len(data):
        length = data[position]
        position += 1 + length
        if length == 0:
            return position
    return len(data) + 1


# TIFF


def _tiff(data: bytes) -> Container:
    facts = read_tiff(data)
    if facts.jpeg_parts:
        check_scans(data.count(b"\xff\xda") // facts.jpeg_parts)
    return Container(
        format="TIFF",
        width=facts.width,
        height=facts.height,
        truncated=facts.truncated,
        sixteen_bit=facts.bits == 16,
        inverted=facts.bits == 16 and facts.samples == 1 and facts.photometric == 0,
    )


_READERS: Mapping[str, Callable[[bytes], Container]] = MappingProxyType(
    {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "BMP": _bmp, "GIF": _gif, "TIFF": _tiff}
)
