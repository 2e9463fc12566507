"""Zip archives, read with suspicion: both headers of each member must agree, and no two members may share bytes.

Layout: PKWARE's APPNOTE 6.3.10. The standard library's reader trusts the central directory and keeps all of it before
a caller can object; here nothing is believed that the file's own size or its other header contradicts.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO

from graft.core.errors import BadInput
from graft.data.archives.members import Found, Member, damaged, kind_of_mode, text_of, unsafe
from graft.data.archives.streams import DAMAGE, Inflate, expanded, pieces_of

ZIP_MAGIC = (b"PK\x03\x04", b"PK\x05\x06")
MAX_DIRECTORY_BYTES = 64 << 20  # 100,000 members with long names and macOS' twins need half of it
STORED, DEFLATED = 0, 8
METHODS: Mapping[int, str] = MappingProxyType(
    {1: "Shrink", 6: "Implode", 9: "Deflate64", 12: "bzip2", 14: "LZMA", 93: "Zstandard", 95: "XZ", 98: "PPMd"}
)

_END = struct.Struct("<4s4H2LH")
_LOCATOR = struct.Struct("<4sLQL")
_END64 = struct.Struct("<4sQ2H2L4Q")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_FULL16, _FULL32 = 0xFFFF, 0xFFFFFFFF
_ENCRYPTED, _SIZES_FOLLOW, _STRONG, _UTF8, _MASKED = 1, 1 << 3, 1 << 6, 1 << 11, 1 << 13
_SAME_FLAGS = _ENCRYPTED | _STRONG | _UTF8 | _MASKED
_ZIP64_EXTRA = 1


@dataclass(frozen=True)
class _Entry:
    """One line of the central directory."""

    raw_name: bytes
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int

    @property
    def name(self) -> str:
        return text_of(self.raw_name, "cp437")

    def member(self) -> Member:
        """What the directory says of it."""
        is_folder = self.raw_name.endswith(b"/")
        kind = "is encrypted" if self.flags & (_ENCRYPTED | _STRONG | _MASKED) else kind_of_mode(self.mode)
        return Member(self.name, self.size, self.packed, is_folder, kind, self.mode)


def walk_zip(file: BinaryIO, archive: str) -> Iterator[Found]:
    """All members in the directory's order. Raises BadInput `archive_unsafe` or `archive_damaged`."""
    start, entries = _directory(file, archive)
    places = _content_places(file, entries, start, archive)
    for entry, place in zip(entries, places, strict=True):
        yield Found(entry.member(), _content(file, entry, place, archive))


def _directory(file: BinaryIO, archive: str) -> tuple[int, list[_Entry]]:
    """Where the central directory starts, and what it lists."""
    n_bytes = file.seek(0, 2)
    tail_bytes = min(n_bytes, _END.size + _FULL16)
    file.seek(n_bytes - tail_bytes)
    tail = file.read(tail_bytes)
    place = tail.rfind(b"PK\x05\x06")
    if place < 0 or place + _END.size > len(tail):
        damaged(archive, "it ends before its list of members")
    _, disk, first_disk, _, count, size, offset, comment = _END.unpack_from(tail, place)
    end = n_bytes - tail_bytes + place
    if end + _END.size + comment > n_bytes:
        damaged(archive, "it ends before it should")
    if (disk, first_disk) not in ((0, 0), (_FULL16, _FULL16)):
        damaged(archive, "it is one part of several")
    wide = _wide_end(file, end, archive)
    if wide is not None:
        narrow, end = (count, size, offset), wide[3]
        count, size, offset = wide[:3]
        for short, long, full in zip(narrow, (count, size, offset), (_FULL16, _FULL32, _FULL32), strict=True):
            if short not in (full, long):
                unsafe(archive, "(its list of members)", f"is described twice, as {short} and as {long}")
    if offset + size != end:
        damaged(archive, "its list of members is not where it should be")
    if size > MAX_DIRECTORY_BYTES:
        unsafe(archive, "(its list of members)", f"has {size} bytes, more than {MAX_DIRECTORY_BYTES}")
    file.seek(offset)
    entries = list(_entries(file.read(size), archive))
    if len(entries) & _FULL16 != count & _FULL16:  # old programs count modulo 65,536
        damaged(archive, f"its list of members must have {count} of them, got {len(entries)}")
    return offset, entries


def _wide_end(file: BinaryIO, end: int, archive: str) -> tuple[int, int, int, int] | None:
    """Count, size and offset of the directory from the 64-bit end record, and where that record is."""
    if end < _LOCATOR.size:
        return None
    file.seek(end - _LOCATOR.size)
    magic, _, place, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
    if magic != b"PK\x06\x07":
        return None
    if place + _END64.size > end - _LOCATOR.size:
        damaged(archive, "its 64-bit end record is not where it should be")
    file.seek(place)
    magic, _, _, _, _, _, _, count, size, offset = _END64.unpack(file.read(_END64.size))
    if magic != b"PK\x06\x06":
        damaged(archive, "its 64-bit end record is not where it should be")
    return count, size, offset, place


def _entries(directory: bytes, archive: str) -> Iterator[_Entry]:
    place = 0
    while place < len(directory):
        if place + _CENTRAL.size > len(directory):
            damaged(archive, "its list of members is cut off")
        fields = _CENTRAL.unpack_from(directory, place)
        magic, _, _, flags, method, _, _, crc, packed, size, n_name, n_extra, n_comment, *_, mode, offset = fields
        after = place + _CENTRAL.size + n_name + n_extra + n_comment
        if magic != b"PK\x01\x02" or after > len(directory):
            damaged(archive, "its list of members is damaged")
        name_end = place + _CENTRAL.size + n_name
        raw_name, extra = directory[place + _CENTRAL.size : name_end], directory[name_end : name_end + n_extra]
        size, packed, offset = _widened((size, packed, offset), extra, text_of(raw_name, "cp437"), archive)
        yield _Entry(raw_name, flags, method, crc, packed, size, offset, mode >> 16)
        place = after


def _widened(fields: tuple[int, int, int], extra: bytes, name: str, archive: str) -> tuple[int, int, int]:
    """Size, packed size and offset, each that is full taken from the 64-bit extra field, in order."""
    numbers = _wide_numbers(extra)
    wide = []
    for field in fields:
        if field == _FULL32 and not numbers:
            unsafe(archive, name, "says that its size is in a 64-bit field, which is not there")
        wide.append(numbers.pop(0) if field == _FULL32 else field)
    if len(numbers) >= 2 and fields[0] != _FULL32 and (numbers[0], numbers[1]) != (fields[0], fields[1]):
        unsafe(archive, name, "has two different sizes in one header")
    return wide[0], wide[1], wide[2]


def _wide_numbers(extra: bytes) -> list[int]:
    """The 64-bit numbers of the extra field that holds sizes; padding and unknown fields are passed over."""
    place = 0
    while place + 4 <= len(extra):
        tag, size = struct.unpack_from("<2H", extra, place)
        if tag == _ZIP64_EXTRA:
            data = extra[place + 4 : place + 4 + size]
            return [number for (number,) in struct.iter_unpack("<Q", data[: len(data) // 8 * 8])]
        place += 4 + size
    return []


def _content_places(file: BinaryIO, entries: Sequence[_Entry], directory_start: int, archive: str) -> list[int]:
    """Where each member's content begins. Local headers must agree with the directory; nothing may overlap."""
    places = [0] * len(entries)
    ends, last = 0, ""
    for number in sorted(range(len(entries)), key=lambda number: entries[number].offset):
        entry = entries[number]
        if entry.offset < ends:
            unsafe(archive, entry.name, f"shares its bytes with {last!r:.120}")
        places[number] = _local(file, entry, directory_start, archive)
        ends, last = places[number] + entry.packed, entry.name
        if ends > directory_start:
            unsafe(archive, entry.name, "says to have more bytes than the archive holds")
    return places


def _local(file: BinaryIO, entry: _Entry, directory_start: int, archive: str) -> int:
    """Compare a member's own header with the directory; returns where its content begins."""
    if entry.offset + _LOCAL.size > directory_start:
        unsafe(archive, entry.name, "is said to begin where the archive has no member")
    file.seek(entry.offset)
    fields = _LOCAL.unpack(file.read(_LOCAL.size))
    magic, _, flags, method, _, _, crc, packed, size, n_name, n_extra = fields
    raw_name = file.read(n_name)
    numbers = _wide_numbers(file.read(n_extra))
    if magic != b"PK\x03\x04":
        unsafe(archive, entry.name, "is said to begin where the archive has no member")
    size = numbers[0] if size == _FULL32 and numbers else size
    packed = numbers[1] if packed == _FULL32 and len(numbers) > 1 else packed
    expected = (entry.crc, entry.packed, entry.size)
    found = (crc, packed, size)
    if flags & _SIZES_FOLLOW:  # written before they were known: zero, or left full, or right
        known = (want if got in (0, _FULL32) else got for got, want in zip(found, expected, strict=True))
        found = (next(known), next(known), next(known))
    same = (raw_name, method, flags & _SAME_FLAGS) == (entry.raw_name, entry.method, entry.flags & _SAME_FLAGS)
    if not same or found != expected:
        unsafe(archive, entry.name, "is described differently by its two headers")
    if entry.method == STORED and entry.size != entry.packed and not entry.flags & _ENCRYPTED:
        unsafe(archive, entry.name, f"is stored as it is, but says to grow from {entry.packed} to {entry.size} bytes")
    return entry.offset + _LOCAL.size + int(n_name) + int(n_extra)


def _content(file: BinaryIO, entry: _Entry, place: int, archive: str) -> Iterator[bytes]:
    """The member's bytes, counted and with their checksum compared; what its header promised is no more than that."""
    if entry.method not in (STORED, DEFLATED):
        name = METHODS.get(entry.method, f"method {entry.method}")
        raise BadInput(
            f"The archive {archive} must be packed with ordinary zip compression, got {name} for {entry.name!r:.120}.",
            hint="Pack it again with ordinary zip compression (Deflate), or give the folder of its photos.",
            code="archive_unsupported",
        )
    file.seek(place)
    packed = pieces_of(file, entry.packed)
    pieces = packed if entry.method == STORED else expanded(packed, lambda: Inflate(-15))
    n_bytes = crc = 0
    try:
        for piece in pieces:
            n_bytes += len(piece)
            crc = zlib.crc32(piece, crc)
            if n_bytes > entry.size:
                unsafe(archive, entry.name, f"unpacks to more than the {entry.size} bytes that its header says")
            yield piece
    except DAMAGE as error:
        damaged(archive, f"{entry.name!r:.120} cannot be unpacked ({error})")
    if (n_bytes, crc) != (entry.size, entry.crc):
        damaged(archive, f"{entry.name!r:.120} does not have the content that its checksum tells")
