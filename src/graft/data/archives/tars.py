"""Tar archives, plain or compressed, read once from front to end in bounded memory.

Header blocks are taken apart by the standard library; what it would do silently (stop at a damaged header, hold a long
name of any size, follow sparse maps) is decided here.
"""

import tarfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

from graft.data.archives.members import Found, Member, damaged, text_of, unsafe
from graft.data.archives.streams import DAMAGE, ENGINES, FIRST_PIECE_BYTES, PIECE_BYTES, expanded, pieces_of

BLOCK_BYTES = 512
MAX_EXTENSION_BYTES = 1 << 20  # of a block of long names and attributes
MAX_TRAILING_BYTES = 64 << 20  # of padding behind the end

_KINDS = {
    tarfile.SYMTYPE: "is a link",
    tarfile.LNKTYPE: "is a hard link",
    tarfile.CHRTYPE: "is a device",
    tarfile.BLKTYPE: "is a device",
    tarfile.FIFOTYPE: "is a pipe",
    tarfile.GNUTYPE_SPARSE: "is a sparse file",
}
_FILES = (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.CONTTYPE)
_LONG = (tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK)
_ATTRIBUTES = (tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE)


class Stream:
    """Forward reading from pieces of any size; damage in them is told as the archive's."""

    def __init__(self, pieces: Iterable[bytes], archive: str) -> None:
        self._pieces = iter(pieces)
        self._archive = archive
        self._rest = b""

    def read(self, n_bytes: int) -> bytes:
        """The next `n_bytes`, fewer only at the end."""
        parts = []
        while n_bytes > 0:
            try:
                piece = self._rest or next(self._pieces, b"")
            except DAMAGE as error:
                damaged(self._archive, f"it cannot be unpacked ({error})")
            if not piece:
                break
            parts.append(piece[:n_bytes])
            self._rest = piece[n_bytes:]
            n_bytes -= len(parts[-1])
        return b"".join(parts)


@dataclass
class _Extension:
    """What blocks before a header say about the member after it."""

    name: bytes | None = None
    size: int | None = None
    sparse: bool = False


def walk_tar(file: BinaryIO, archive: str, compression: str) -> Iterator[Found]:
    """All members in order; `compression` is "" or a key of `ENGINES`. Raises BadInput as for a zip."""
    file.seek(0)
    pieces = pieces_of(file)
    stream = Stream(expanded(pieces, ENGINES[compression]) if compression else pieces, archive)
    yield from _members(stream, archive, compression)
    _drain(stream, archive)


def is_tar_header(block: bytes) -> bool:
    """Whether these 512 bytes begin a tar: its checksum fits, or it holds nothing at all."""
    if len(block) == BLOCK_BYTES and not block.strip(b"\0"):
        return True
    return _parsed(block) is not None


def _members(stream: Stream, archive: str, compression: str) -> Iterator[Found]:
    said, first = _Extension(), True
    while True:
        block = stream.read(BLOCK_BYTES)
        if len(block) == BLOCK_BYTES and not block.strip(b"\0"):
            return
        header = _parsed(block)
        if header is None and first:
            damaged(archive, f"it must hold a tar, got other {compression} data" if compression else "it is no tar")
        if header is None:
            damaged(archive, "a header in it is cut off or damaged")
        first = False
        if header.type in _LONG or header.type in _ATTRIBUTES:
            _extend(said, header, _extension(stream, header, archive), archive)
            continue
        member = _member(header, said)
        left = _Left(stream, member.size if header.type in _FILES else 0, archive, member.name)
        yield Found(member, left.pieces())
        left.skip()
        said = _Extension()


def _parsed(block: bytes) -> tarfile.TarInfo | None:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError):
        return None


def _member(header: tarfile.TarInfo, said: _Extension) -> Member:
    raw = said.name if said.name is not None else header.name.encode("utf-8", "surrogateescape")
    is_folder = header.type == tarfile.DIRTYPE
    kind = "" if is_folder or header.type in _FILES else _KINDS.get(header.type, "is of an unknown kind")
    size = header.size if said.size is None else said.size
    return Member(
        name=text_of(raw, "latin-1"),
        size=0 if is_folder else size,
        is_folder=is_folder,
        kind="is a sparse file" if said.sparse else kind,
        mode=header.mode,
    )


def _extension(stream: Stream, header: tarfile.TarInfo, archive: str) -> bytes:
    if not 0 <= header.size <= MAX_EXTENSION_BYTES:
        unsafe(archive, header.name, f"has a long name or attributes of {header.size} bytes")
    data = stream.read(header.size)
    stream.read(-header.size % BLOCK_BYTES)
    if len(data) < header.size:
        damaged(archive, "it ends before it should")
    return data


def _extend(said: _Extension, header: tarfile.TarInfo, data: bytes, archive: str) -> None:
    """Take in a long name of GNU's or attributes of POSIX's. Long targets of links do not matter: links are refused."""
    if header.type == tarfile.GNUTYPE_LONGNAME:
        said.name = data.rstrip(b"\0")
    if header.type not in _ATTRIBUTES:
        return
    for key, value in _records(data, archive):
        if key in (b"path", b"size") and header.type == tarfile.XGLTYPE:
            unsafe(archive, header.name, f"gives all members one {key.decode()}")
        if key == b"path":
            said.name = value
        elif key == b"size":
            if not value.isdigit() or len(value) > 18:
                damaged(archive, "an attribute in it is damaged")
            said.size = int(value)
        elif key.startswith(b"GNU.sparse."):
            said.sparse = True


def _records(data: bytes, archive: str) -> Iterator[tuple[bytes, bytes]]:
    """POSIX' attributes: `LENGTH KEY=VALUE` and a line end, LENGTH counting all of it."""
    data = data.rstrip(b"\0")
    while data:
        length, space, _ = data[:24].partition(b" ")
        if not space or not length.isdigit():
            damaged(archive, "an attribute in it is damaged")
        record, data = data[: int(length)], data[int(length) :]
        key, equals, value = record[len(length) + 1 :].partition(b"=")
        if not equals or not value.endswith(b"\n") or len(record) != int(length):
            damaged(archive, "an attribute in it is damaged")
        yield key, value[:-1]


class _Left:
    """A member's content that has not been read yet."""

    def __init__(self, stream: Stream, size: int, archive: str, name: str) -> None:
        self._stream, self._left, self._archive, self._name = stream, size, archive, name
        self._padding = -size % BLOCK_BYTES

    def pieces(self) -> Iterator[bytes]:
        most = FIRST_PIECE_BYTES
        while self._left > 0:
            piece = self._stream.read(min(self._left, most))
            if not piece:
                damaged(self._archive, f"it ends within {self._name!r:.120}")
            self._left -= len(piece)
            most = PIECE_BYTES
            yield piece

    def skip(self) -> None:
        for _ in self.pieces():
            pass  # a compressed stream has no way to jump
        self._stream.read(self._padding)


def _drain(stream: Stream, archive: str) -> None:
    """Read the padding behind the end, so that the compressed data's own checksum is compared."""
    left = MAX_TRAILING_BYTES
    while piece := stream.read(PIECE_BYTES):
        left -= len(piece)
        if left < 0:
            unsafe(archive, "(its padding)", f"goes on for more than {MAX_TRAILING_BYTES} bytes")
