"""Torch's weights files, written without torch: pickles put together step by step, in a zip file or before arrays."""

import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

MARK, STOP, CALL, PERSISTENT = b"(", b".", b"R", b"Q"
EMPTY_DICT, EMPTY_LIST, EMPTY_TUPLE = b"}", b"]", b")"
NONE, TRUE, FALSE = b"N", b"\x88", b"\x89"
PROTOCOL = b"\x80\x02"
REBUILD = "torch._utils _rebuild_tensor_v2"
STORAGES = {"float64": "Double", "float32": "Float", "float16": "Half", "int64": "Long", "uint8": "Byte"}


def named(name: str) -> bytes:
    """A name of Python's, `module name`."""
    module, _, attribute = name.partition(" ")
    return f"c{module}\n{attribute}\n".encode()


def text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def number(value: int) -> bytes:
    if -(1 << 31) <= value < 1 << 31:
        return b"J" + struct.pack("<i", value)
    content = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(content)]) + content


def numbers(values: Sequence[int]) -> bytes:
    return group(*(number(value) for value in values))


def group(*values: bytes) -> bytes:
    """A tuple."""
    return MARK + b"".join(values) + b"t"


def mapping(items: Mapping[str, bytes], *, ordered: bool = True) -> bytes:
    empty = named("collections OrderedDict") + EMPTY_TUPLE + CALL if ordered else EMPTY_DICT
    return empty + MARK + b"".join(text(key) + value for key, value in items.items()) + b"u"


def storage(key: str, count: int, kind: str = "Float", *more: bytes) -> bytes:
    """A reference to the numbers in the member `data/<key>`; `more`: what the old form says besides."""
    names = (text("storage"), named(f"torch {kind}Storage"), text(key), text("cpu"), number(count))
    return group(*names, *more) + PERSISTENT


def tensor(array: bytes, shape: Sequence[int], strides: Sequence[int] | None = None, offset: int = 0) -> bytes:
    """The call that makes a tensor; `array` is a `storage`."""
    strides = strides_of(shape) if strides is None else strides
    hooks = named("collections OrderedDict") + EMPTY_TUPLE + CALL
    return named(REBUILD) + group(array, number(offset), numbers(shape), numbers(strides), FALSE, hooks) + CALL


def strides_of(shape: Sequence[int]) -> tuple[int, ...]:
    """Of numbers stored row by row."""
    return tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))


def write_members(path: Path, pickle: bytes, arrays: Mapping[str, bytes], **others: bytes) -> Path:
    """The zip file, as torch orders it. `others` are members beside the pickle."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/data.pkl", PROTOCOL + pickle + STOP)
        for name, content in others.items():
            archive.writestr(f"weights/{name}", content)
        for key, content in arrays.items():
            archive.writestr(f"weights/data/{key}", content)
        archive.writestr("weights/version", b"3\n")
    return path


def write_torch(path: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """A state dict of these tensors, each in a member of its own."""
    described = {
        name: tensor(storage(str(place), values.size, STORAGES[values.dtype.name]), values.shape)
        for place, (name, values) in enumerate(tensors.items())
    }
    arrays = {str(place): np.ascontiguousarray(values).tobytes() for place, values in enumerate(tensors.values())}
    return write_members(path, mapping(described), arrays, byteorder=b"little")


MAGIC, FORM = number(0x1950A86A20F9469CFC6C), number(1001)
FACTS = EMPTY_DICT + MARK + text("protocol_version") + FORM + text("little_endian") + TRUE + b"u"


def write_sequence(
    path: Path,
    pickle: bytes,
    arrays: Mapping[str, np.ndarray],
    *,
    before: Sequence[bytes] = (MAGIC, FORM, FACTS),
    keys: bytes | None = None,
    after: bytes = b"",
) -> Path:
    """A file of the form before torch 1.6. `before` are the pickles before the state dict, `keys` the one after it."""
    listed = EMPTY_LIST + MARK + b"".join(text(key) for key in arrays) + b"e" if keys is None else keys
    pickles = b"".join(PROTOCOL + each + STOP for each in (*before, pickle, listed))
    numbers_of = (struct.pack("<q", each.size) + each.tobytes() for each in arrays.values())
    path.write_bytes(pickles + b"".join(numbers_of) + after)
    return path


def write_torch_before_zip(path: Path, tensors: Mapping[str, np.ndarray]) -> Path:
    """A state dict of these tensors in the old form, each an array of its own."""
    described = {
        name: tensor(storage(f"9{place}", values.size, STORAGES[values.dtype.name], NONE), values.shape)
        for place, (name, values) in enumerate(tensors.items())
    }
    arrays = {f"9{place}": np.ascontiguousarray(values) for place, values in enumerate(tensors.values())}
    return write_sequence(path, mapping(described), dict(sorted(arrays.items())))
