"""Compressed bytes as pieces of bounded size, whatever a file's header promises."""

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import BinaryIO, Protocol

PIECE_BYTES = 1 << 20
FIRST_PIECE_BYTES = 1024  # enough to see what a member is; the rest is not unpacked to know that
XZ_MEMORY_BYTES = 256 << 20  # the largest preset needs 65 MiB; a header may ask for 4 GiB

# What the three libraries raise for bytes that are not theirs.
DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError)


class Engine(Protocol):
    """What bz2 and lzma decompressors have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was met."""

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out without more input."""

    @property
    def unused_data(self) -> bytes:
        """What followed the end of the stream."""

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Up to `max_length` bytes of content."""


class Inflate:
    """zlib with the interface of the others. `wbits`: -15 as in a zip, 31 with gzip's header and checksum."""

    def __init__(self, wbits: int) -> None:
        self._engine = zlib.decompressobj(wbits)

    @property
    def eof(self) -> bool:
        """Whether the end of the stream was met."""
        return self._engine.eof

    @property
    def needs_input(self) -> bool:
        """Whether nothing more comes out without more input."""
        return not self._engine.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        """What followed the end of the stream."""
        return self._engine.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        """Up to `max_length` bytes of content."""
        return self._engine.decompress(self._engine.unconsumed_tail + data, max(max_length, 0))


ENGINES: Mapping[str, Callable[[], Engine]] = MappingProxyType(
    {
        "gzip": lambda: Inflate(31),
        "bzip2": bz2.BZ2Decompressor,
        "xz": lambda: lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES),
    }
)


def expanded(pieces: Iterable[bytes], new: Callable[[], Engine]) -> Iterator[bytes]:
    """The content of one or more streams, one after the other, in pieces of at most PIECE_BYTES.

    Zero bytes after a stream are padding. Raises one of DAMAGE; EOFError where the last stream has no end.
    """
    source = iter(pieces)
    engine, most = new(), FIRST_PIECE_BYTES
    while True:
        data = b""
        if engine.eof:
            data = engine.unused_data.lstrip(b"\0")
            while not data:
                following = next(source, None)
                if following is None:
                    return
                data = following.lstrip(b"\0")
            engine = new()
        elif engine.needs_input:
            following = next(source, None)
            if following is None:
                raise EOFError("the compressed data end before they should")
            data = following
        if piece := engine.decompress(data, most):
            most = PIECE_BYTES
            yield piece


def pieces_of(file: BinaryIO, n_bytes: int | None = None) -> Iterator[bytes]:
    """The next `n_bytes` of a file, or all of them; fewer where it ends."""
    most = FIRST_PIECE_BYTES
    while n_bytes is None or n_bytes > 0:
        piece = file.read(most if n_bytes is None else min(most, n_bytes))
        if not piece:
            return
        n_bytes = None if n_bytes is None else n_bytes - len(piece)
        most = PIECE_BYTES
        yield piece
