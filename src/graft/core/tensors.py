"""Named arrays in one file, in the safetensors layout: a strict reader and a deterministic writer.

The layout: 8 bytes with the header's length (little-endian), a JSON header that maps each name to dtype, shape and
the range of its bytes, then the bytes of all tensors without a hole (https://github.com/huggingface/safetensors).
"""

import contextlib
import hashlib
import json
import math
import mmap
import os
import re
import stat
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, NoReturn, Self

import numpy as np

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.files import PIECE_BYTES, write_atomic
from graft.core.hashing import canonical_json
from graft.core.records import strict_json

METADATA = "__metadata__"
LENGTH_BYTES = 8
ALIGNMENT_BYTES = 8
MAX_HEADER_BYTES = 16 << 20
MAX_DIMENSIONS = 8
MAX_COMMAS = 40_000  # outside of texts: bounds what a hostile header can make the JSON parser allocate
TEXT = re.compile(rb'"(?:[^"\\]++|\\.)*+"?')  # always matches at a quote, so a search takes linear time
MAX_ELEMENTS = 1 << 48
DTYPES: Mapping[str, str] = MappingProxyType(
    {
        "BOOL": "bool",
        "U8": "uint8",
        "I8": "int8",
        "U16": "uint16",
        "I16": "int16",
        "F16": "float16",
        "BF16": "bfloat16",
        "U32": "uint32",
        "I32": "int32",
        "F32": "float32",
        "U64": "uint64",
        "I64": "int64",
        "F64": "float64",
    }
)
TAGS: Mapping[str, str] = MappingProxyType({name: tag for tag, name in DTYPES.items()})

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, eq=False)
class TensorFile:
    """An open file of tensors; `tensors` are read-only views of a memory map, read when they are touched.

    While views are alive the file stays mapped (and on Windows cannot be replaced): close it, or use it in a `with`.
    """

    path: Path
    metadata: Mapping[str, str]
    tensors: Mapping[str, Array]
    _views: dict[str, Array] = field(repr=False)
    _map: mmap.mmap | None = field(repr=False)

    def close(self) -> None:
        """Forget the tensors and unmap the file; views held elsewhere stay valid and keep the map until they go."""
        self._views.clear()
        if self._map is not None:
            with contextlib.suppress(BufferError):  # a view lives on elsewhere
                self._map.close()

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


@dataclass(frozen=True)
class _Entry:
    """One tensor of a header, checked: bytes `begin` to `end` counted from the end of the header."""

    name: str
    tag: str
    shape: tuple[int, ...]
    begin: int
    end: int


def write_tensors(path: Path, tensors: Mapping[str, Array], *, metadata: Mapping[str, str], writer: str) -> None:
    """Write tensors atomically; the same tensors and metadata give the same bytes, whatever their order.

    Arrays are read one piece at a time, so they may be memory maps larger than the memory. Raises ResourceProblem as
    `core.files.write_atomic`; what `read_tensors` would refuse is the caller's mistake: TypeError for a dtype outside
    `DTYPES`, ValueError for a name, IntegrityProblem (`internal`) for what is too much of something.
    """
    header = encode_header({name: (array.dtype, array.shape) for name, array in tensors.items()}, metadata)
    total = len(header) + sum(array.nbytes for array in tensors.values())
    write_atomic(path, _pieces(header, tensors), writer=writer, needed_bytes=total)


def encode_header(layout: Mapping[str, tuple[np.dtype[Any], tuple[int, ...]]], metadata: Mapping[str, str]) -> bytes:
    """The bytes before the tensors: length and JSON, padded with spaces so that the tensors begin at a multiple of 8.

    `layout` gives dtype and shape by name. Tensors lie in the order of `_order`, so each is aligned to its own items.
    """
    header: dict[str, Any] = {}
    if metadata:
        if not all(isinstance(text, str) for pair in metadata.items() for text in pair):
            raise TypeError("metadata must map text to text")
        header[METADATA] = dict(sorted(metadata.items()))
    begin = 0
    for name in _order({name: dtype for name, (dtype, _) in layout.items()}):
        dtype, shape = layout[name]
        end = begin + dtype.itemsize * math.prod(shape)
        header[name] = {"dtype": TAGS[dtype.name], "shape": list(shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":")).encode("ascii")
    # What reading would refuse (too many dimensions, tensors or bytes of metadata) must not get as far as a file.
    if len(text) + ALIGNMENT_BYTES > MAX_HEADER_BYTES:
        _refuse("the header to write", f"must have at most {MAX_HEADER_BYTES} bytes, got {len(text)}", "internal")
    _parse_header(text, begin, "the header to write", "internal")
    text += b" " * (-(LENGTH_BYTES + len(text)) % ALIGNMENT_BYTES)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text


def read_tensors(
    path: Path,
    *,
    source: str = "",
    max_header_bytes: int = MAX_HEADER_BYTES,
    follow_links: bool = False,
    code: str = "bundle_invalid",
) -> TensorFile:
    """Open a file of tensors. Nothing is allocated for the tensors: they are views of the mapped file.

    `source` names the file in messages. Anything the layout does not allow raises IntegrityProblem with `code`; a
    missing or unreadable file raises BadInput.
    """
    source = source or str(path)
    descriptor = _open(path, source, follow_links=follow_links, code=code)
    try:
        size = os.fstat(descriptor).st_size
        header = _read_header(descriptor, size, source, max_header_bytes, code)
        start = LENGTH_BYTES + len(header)
        metadata, entries = _parse_header(header, size - start, source, code)
        mapped = mmap.mmap(descriptor, size, access=mmap.ACCESS_READ) if size > start else None
    except OSError as error:
        raise BadInput(f"{source} must be readable, got: {error.strerror or error}.", code="unreadable") from error
    finally:
        os.close(descriptor)
    views = {entry.name: _view(entry, mapped, start) for entry in entries}
    file = TensorFile(path, MappingProxyType(metadata), MappingProxyType(views), views, mapped)
    for entry in entries:
        if entry.tag == "BOOL" and views[entry.name].view(np.uint8).max(initial=0) > 1:
            file.close()
            _refuse(source, f"tensor {_short(entry.name)} must hold true and false only, got other bytes", code)
    return file


def tensors_sha256(tensors: Mapping[str, Array]) -> str:
    """Identity of the content alone: SHA-256 over name, dtype, shape and bytes, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = tensors[name]
        digest.update(canonical_json([name, _tag(name, array.dtype), list(array.shape)]) + b"\n")
        for piece in _array_pieces(array):
            digest.update(piece)
    return digest.hexdigest()


def _tag(name: str, dtype: np.dtype[Any]) -> str:
    if dtype.name not in TAGS:
        raise TypeError(f"tensor {_short(name)} must have one of the dtypes {', '.join(TAGS)}, got {dtype}")
    return TAGS[dtype.name]


def _order(dtypes: Mapping[str, np.dtype[Any]]) -> list[str]:
    """Names in file order: large items first, so that no tensor needs padding to be aligned; then by name."""
    for name, dtype in dtypes.items():
        _tag(name, dtype)
        if not name or name == METADATA:
            raise ValueError(f"a tensor's name must be text other than {METADATA}, got {name!r}")
    return sorted(dtypes, key=lambda name: (-dtypes[name].itemsize, name))


def _pieces(header: bytes, tensors: Mapping[str, Array]) -> Iterator[bytes | memoryview]:
    yield header
    for name in _order({name: array.dtype for name, array in tensors.items()}):
        yield from _array_pieces(tensors[name])


def _array_pieces(array: Array) -> Iterator[memoryview]:
    """The array's bytes, little-endian in C order, in pieces of bounded size."""
    if array.dtype.byteorder == ">" or (array.dtype.byteorder == "=" and sys.byteorder == "big"):
        array = array.astype(array.dtype.newbyteorder("<"))
    flat = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    for begin in range(0, flat.size, PIECE_BYTES):
        yield flat[begin : begin + PIECE_BYTES].data


def _open(path: Path, source: str, *, follow_links: bool, code: str) -> int:
    """Open a regular file for reading, never a pipe or device (which could hang), nor a link unless allowed."""
    flags = os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        kind = (path.stat() if follow_links else path.lstat()).st_mode
        if stat.S_ISLNK(kind):
            _refuse(source, "must be a file, got a symbolic link", code)
        if not stat.S_ISREG(kind):
            _refuse(source, "must be a file, got a folder, pipe or device", code)
        return os.open(path, flags if follow_links else flags | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        raise BadInput(f"{source} must be a file, got nothing of that name.", code="not_found") from None
    except OSError as error:
        raise BadInput(f"{source} must be readable, got: {error.strerror}.", code="unreadable") from error


def _read_header(descriptor: int, size: int, source: str, max_header_bytes: int, code: str) -> bytes:
    prefix = os.read(descriptor, LENGTH_BYTES)
    if len(prefix) < LENGTH_BYTES:
        _refuse(source, f"must begin with {LENGTH_BYTES} bytes of length, got a file of {size} bytes", code)
    length = int.from_bytes(prefix, "little")
    if length > max_header_bytes:
        _refuse(source, f"header must have at most {max_header_bytes} bytes, got a length of {length}", code)
    if length > size - LENGTH_BYTES:
        _refuse(source, f"header must lie within the file of {size} bytes, got a length of {length}", code)
    header = b""
    while len(header) < length:
        piece = os.read(descriptor, length - len(header))
        if not piece:
            _refuse(source, f"header must have {length} bytes, got {len(header)}", code)
        header += piece
    return header


def _parse_header(header: bytes, data_bytes: int, source: str, code: str) -> tuple[dict[str, str], list[_Entry]]:
    """Metadata and checked entries, in the order of their bytes."""
    if not header.startswith(b"{"):
        _refuse(source, "header must begin with '{'", code)
    if header.count(b",") > MAX_COMMAS and _has_too_many_commas(header):
        _refuse(source, f"header must have at most {MAX_COMMAS} commas outside of texts", code)
    try:
        value = strict_json(header, source=source)
    except IntegrityProblem as error:
        raise IntegrityProblem(error.message, hint=error.hint, code=code) from None
    metadata = value.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        _refuse(source, f"{METADATA} must map text to text", code)
    entries = [_entry(name, fields, source, code) for name, fields in value.items()]
    entries.sort(key=lambda entry: (entry.begin, entry.end))
    cursor = 0
    for entry in entries:
        if entry.begin != cursor:
            kind = "it overlaps the one before" if entry.begin < cursor else "it leaves a hole"
            _refuse(source, f"{_short(entry.name)} must begin at byte {cursor}, got {entry.begin}: {kind}", code)
        cursor = entry.end
    if cursor != data_bytes:
        _refuse(source, f"tensors must fill the {data_bytes} bytes after the header, got {cursor}", code)
    return metadata, entries


def _has_too_many_commas(header: bytes) -> bool:
    """Whether the JSON text has more than MAX_COMMAS commas outside of texts; gives up on absurdly many texts."""
    commas, end = 0, 0
    for number, text in enumerate(TEXT.finditer(header)):
        commas += header.count(b",", end, text.start())
        end = text.end()
        if commas > MAX_COMMAS or number > 2 * MAX_COMMAS:  # each pair of texts has a comma, or it is no header
            return True
    return commas + header.count(b",", end) > MAX_COMMAS


def _entry(name: str, fields: Any, source: str, code: str) -> _Entry:
    """Check one entry of the header by itself."""
    short = _short(name)
    if not name or not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        _refuse(source, f"tensor {short} must have exactly dtype, shape and data_offsets", code)
    tag, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not isinstance(tag, str) or tag not in DTYPES:
        _refuse(source, f"dtype of {short} must be one of {', '.join(DTYPES)}, got {str(tag)[:20]!r}", code)
    if not _counts(shape) or len(shape) > MAX_DIMENSIONS:
        _refuse(source, f"shape of {short} must be at most {MAX_DIMENSIONS} whole numbers from 0", code)
    if math.prod(max(side, 1) for side in shape) > MAX_ELEMENTS:
        _refuse(source, f"shape of {short} must have at most {MAX_ELEMENTS} elements", code)
    if not _counts(offsets) or len(offsets) != 2 or offsets[0] > offsets[1]:
        _refuse(source, f"data_offsets of {short} must be begin and end, two whole numbers from 0", code)
    needed = math.prod(shape) * dtype_of(tag).itemsize
    if offsets[1] - offsets[0] != needed:
        _refuse(source, f"tensor {short} must have {needed} bytes, got {str(offsets[1] - offsets[0])[:40]}", code)
    return _Entry(name, tag, tuple(shape), offsets[0], offsets[1])


def _counts(value: Any) -> bool:
    """Whether `value` is a list of whole numbers from 0; True and 1.0 are no numbers here."""
    return isinstance(value, list) and all(type(item) is int and item >= 0 for item in value)


def dtype_of(tag: str) -> np.dtype[Any]:
    """The little-endian dtype of one of the tags in DTYPES."""
    if tag != "BF16":
        return np.dtype(DTYPES[tag]).newbyteorder("<")
    import ml_dtypes

    bfloat16: np.dtype[Any] = np.dtype(ml_dtypes.bfloat16)
    return bfloat16


def _view(entry: _Entry, mapped: mmap.mmap | None, start: int) -> Array:
    dtype = dtype_of(entry.tag)
    if mapped is None or entry.begin == entry.end:
        array: Array = np.empty(entry.shape, dtype)
        array.flags.writeable = False
        return array
    count = (entry.end - entry.begin) // dtype.itemsize
    return np.frombuffer(mapped, dtype, count, start + entry.begin).reshape(entry.shape)


def _short(name: str) -> str:
    return repr(name if len(name) <= 80 else name[:77] + "...")


def _refuse(source: str, problem: str, code: str) -> NoReturn:
    raise IntegrityProblem(f"{source}: {problem}.", code=code)
