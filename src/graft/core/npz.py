"""Arrays in one .npz file, the large ones filled row by row in any order, so that nothing is held or written twice.

The layout is NumPy's own (`numpy.savez`): a zip file whose members are .npy files, with 64-bit sizes throughout
(https://pkware.cachefly.net/webdocs/casestudies/APPNOTE.TXT, sections 4.3 to 4.5). Large arrays come first and as they
are: their places are known before their values. The others follow compressed. No times: equal content, equal bytes.
"""

import io
import math
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graft.core.files import PIECE_BYTES, Assembly

Array = np.ndarray[Any, np.dtype[Any]]

LOCAL = struct.Struct("<4s5H3I2H")
LOCAL_EXTRA = struct.Struct("<2H2Q")
CENTRAL = struct.Struct("<4s6H3I5H2I")
CENTRAL_EXTRA = struct.Struct("<2H3Q")
END_64 = struct.Struct("<4sQ2H2I4Q")
LOCATOR = struct.Struct("<4sIQI")
END = struct.Struct("<4s4H2IH")
VERSION = 45  # of the format: the one that knows 64-bit sizes
UTF8_NAMES = 0x800
STORED, DEFLATED = 0, 8
FIRST_OF_1980 = 0x21  # the earliest date a zip file knows
READABLE = 0o100644 << 16  # a regular file that all may read, where the system asks
IN_EXTRA, IN_EXTRA_16 = 0xFFFFFFFF, 0xFFFF  # "see the 64-bit number"


@dataclass(frozen=True)
class Member:
    """One array of the file. `data` is the place of its values, behind the headers of zip and .npy."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    begin: int
    data: int

    @property
    def size(self) -> int:
        """Bytes of the values."""
        return int(self.dtype.itemsize * math.prod(self.shape))


class NpzRows:
    """A file under way: first `rows` in any order, then `finish` once, with everything else."""

    def __init__(
        self, file: Assembly, fields: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], n_rows: int
    ) -> None:
        """Lay out one array `(n_rows, *shape)` for each of `fields`, and take the space from the disk."""
        self._file = file
        self._members: dict[str, Member] = {}
        place = 0
        for name, (dtype, shape) in fields.items():
            data = place + len(_local_header(name, 0, 0, 0, STORED)) + len(_npy_header(dtype, (n_rows, *shape)))
            member = self._members[name] = Member(name, dtype, (n_rows, *shape), place, data)
            place = data + member.size
        self._end = place
        file.allocate(place)

    def rows(self, name: str, positions: Array, values: Array) -> None:
        """Put `values[i]` into row `positions[i]` of the array `name`."""
        member = self._members[name]
        row_bytes = member.size // member.shape[0]
        order = np.argsort(positions, kind="stable")
        positions, values = positions[order], np.ascontiguousarray(values[order], member.dtype)
        breaks = np.flatnonzero(np.diff(positions) != 1) + 1
        for run in np.split(np.arange(len(positions)), breaks):
            self._file.seek(member.data + int(positions[run[0]]) * row_bytes)
            self._file.write(values[run[0] : run[-1] + 1].reshape(-1).view(np.uint8).data)

    def finish(self, others: Mapping[str, Array]) -> None:
        """Complete the headers, and add the arrays that are no rows, and the directory."""
        entries = [self._complete(member) for member in self._members.values()]
        self._file.seek(self._end)
        for name, array in others.items():
            entries.append(self._append(name, array))
        directory = self._file.tell()
        self._file.write(b"".join(entries))
        self._file.write(_end(len(entries), directory, self._file.tell()))

    def _complete(self, member: Member) -> bytes:
        """Write what stands before the values, now that their sum can be known; returns the directory's entry."""
        npy = _npy_header(member.dtype, member.shape)
        total = zlib.crc32(npy)
        for piece in self._pieces(member):
            total = zlib.crc32(piece, total)
        size = len(npy) + member.size
        self._file.seek(member.begin)
        self._file.write(_local_header(member.name, total, size, size, STORED) + npy)
        return _entry(member.name, total, size, size, STORED, member.begin)

    def _pieces(self, member: Member) -> Iterator[memoryview]:
        self._file.seek(member.data)
        buffer = memoryview(bytearray(min(PIECE_BYTES, max(member.size, 1))))
        left = member.size
        while left:
            got = self._file.readinto(buffer[: min(left, len(buffer))])
            if not got:
                raise EOFError(f"{member.name} ended {left} bytes before it should")
            yield buffer[:got]
            left -= got

    def _append(self, name: str, array: Array) -> bytes:
        text = io.BytesIO()
        np.lib.format.write_array(text, array, allow_pickle=False)
        plain = text.getvalue()
        packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        packed = packer.compress(plain) + packer.flush()
        place, total = self._file.tell(), zlib.crc32(plain)
        self._file.write(_local_header(name, total, len(packed), len(plain), DEFLATED))
        self._file.write(packed)
        return _entry(name, total, len(packed), len(plain), DEFLATED, place)


def _npy_header(dtype: np.dtype[Any], shape: tuple[int, ...]) -> bytes:
    text = io.BytesIO()
    described = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(text, described)
    return text.getvalue()


def _local_header(name: str, total: int, packed: int, plain: int, method: int) -> bytes:
    member = f"{name}.npy".encode()
    extra = LOCAL_EXTRA.pack(1, LOCAL_EXTRA.size - 4, plain, packed)
    times = (0, FIRST_OF_1980)
    sizes = (IN_EXTRA, IN_EXTRA)
    head = LOCAL.pack(b"PK\3\4", VERSION, UTF8_NAMES, method, *times, total, *sizes, len(member), len(extra))
    return head + member + extra


def _entry(name: str, total: int, packed: int, plain: int, method: int, place: int) -> bytes:
    """One line of the directory at the end of the file."""
    member = f"{name}.npy".encode()
    extra = CENTRAL_EXTRA.pack(1, CENTRAL_EXTRA.size - 4, plain, packed, place)
    made = (3 << 8) | VERSION  # the attributes are those of Unix
    head = CENTRAL.pack(
        *(b"PK\1\2", made, VERSION, UTF8_NAMES, method, 0, FIRST_OF_1980, total, IN_EXTRA, IN_EXTRA),
        *(len(member), len(extra), 0, 0, 0, READABLE, IN_EXTRA),
    )
    return head + member + extra


def _end(count: int, directory: int, end: int) -> bytes:
    """What closes the file: where the directory begins, in 64 bits, then the old form that refers to it."""
    size = end - directory
    long = END_64.pack(b"PK\6\6", END_64.size - 12, VERSION, VERSION, 0, 0, count, count, size, directory)
    locator = LOCATOR.pack(b"PK\6\7", 0, end, 1)
    return long + locator + END.pack(b"PK\5\6", 0, 0, IN_EXTRA_16, IN_EXTRA_16, IN_EXTRA, IN_EXTRA, 0)
