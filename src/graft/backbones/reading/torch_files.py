"""A strict reader for torch's weights files: `torch.save` of a state dict.

The form of torch 1.6 and later is a zip file, read here; the one before it is read by `torch_sequences`. The pickle
within is interpreted by `torch_pickles`; the numbers lie beside it, as they are. Sizes and places of all tensors are
compared with the file before one number is read; what no tensor asks for is never read.
"""

import io
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from graft.backbones.reading.hdf5 import MAX_DIMENSIONS, MAX_NAME_CHARACTERS, refusal
from graft.backbones.reading.torch_pickles import MAX_PICKLE_BYTES, StateDict, StoredArray, StoredTensor, state_dict
from graft.backbones.reading.torch_sequences import SEQUENCE_MAGIC, Sequence
from graft.core.errors import BadInput
from graft.core.tensors import dtype_of
from graft.data.archives.members import Found
from graft.data.archives.zips import ZIP_MAGIC, walk_zip

PICKLE = "/data.pkl"
MAX_MEMBERS = 10_000
MAX_ELEMENTS = 1 << 48
NAME_PLACE, NAME_LENGTH_PLACE = 30, 26  # in the header of a zip's first member
Array = np.ndarray[Any, np.dtype[Any]]


def looks_like_torch(head: bytes) -> bool:
    """Whether a file's first bytes are torch's: the old form's, or those of a zip file with its pickle first."""
    if head.startswith(SEQUENCE_MAGIC):
        return True
    length = int.from_bytes(head[NAME_LENGTH_PLACE : NAME_LENGTH_PLACE + 2], "little")
    name = head[NAME_PLACE : NAME_PLACE + length]
    return head.startswith(ZIP_MAGIC[0]) and len(name) == length and name.endswith(PICKLE.encode())


class Numbers(Protocol):
    """The arrays of an open file, whichever its form."""

    def array(self, stored: StoredArray) -> Array:
        """All numbers of one array, in one dimension."""


@dataclass(frozen=True, eq=False)
class TorchTensor:
    """A checked tensor of an open file; `tensor[()]` reads it, as it does for arrays and data sets of HDF5."""

    shape: tuple[int, ...]
    _stored: StoredTensor
    _numbers: Numbers

    def __getitem__(self, everything: tuple[()]) -> Array:
        """The numbers, as a view of the array that they are stored in."""
        stored = self._stored
        flat = self._numbers.array(stored.array)[stored.offset : stored.offset + math.prod(self.shape)]
        order = _outermost_first(stored)
        dense = flat.reshape([self.shape[axis] for axis in order])
        return dense.transpose(np.argsort(order)) if self.shape else dense


@contextmanager
def open_torch(path: Path) -> Iterator[Mapping[str, TorchTensor]]:
    """The tensors by name that a torch file holds; they can be read inside the `with`.

    Raises:
        BadInput: `weights_refused`, with one sentence on what the file must not hold; `format_not_allowed`, a model or
            a pickle that would run something.
    """
    source = path.name
    try:
        with path.open("rb") as file:
            if file.read(len(SEQUENCE_MAGIC)) == SEQUENCE_MAGIC:
                sequence = Sequence(file, source)
                yield _checked(sequence.described, sequence, source)
            else:
                members = _Members(dict(_members(walk_zip(file, source), source)), source)
                yield _checked(members.described, members, source)
    except BadInput as error:
        if not error.code.startswith("archive"):
            raise
        message = error.message.replace("The archive", "The weights file", 1)
        raise BadInput(message, hint="Take the file from its publisher again.", code="weights_refused") from None


class _Members:
    """The members of an open file. An array is read when it is first asked for, and kept."""

    def __init__(self, found: Mapping[str, Found], source: str) -> None:
        roots = [name.removesuffix(PICKLE) for name in found if name.endswith(PICKLE)]
        if len(roots) != 1 or not roots[0]:
            raise refusal(source, f"must have one {PICKLE.removeprefix('/')}, got {len(roots)}")
        self._root, self._found, self._source = roots[0], found, source
        self._arrays: dict[str, Array] = {}
        if any(name.startswith(f"{self._root}/code/") or name.endswith("/constants.pkl") for name in found):
            raise BadInput(
                f"The weights file {source} must hold tensors alone, got a model of TorchScript.",
                hint="In torch: torch.save(model.state_dict(), 'weights.pth').",
                code="format_not_allowed",
            )
        if self._small("/byteorder") not in (b"", b"little"):
            raise refusal(source, "must be written on a little-endian machine, got another order of bytes")
        self.described = state_dict(io.BytesIO(self._small(PICKLE)), source)
        for tensor in self.described.tensors.values():
            self._check(tensor.array)

    def _small(self, name: str) -> bytes:
        """The content of a member of bounded size; none where it is missing."""
        found = self._found.get(f"{self._root}{name}")
        if found is not None and found.member.size > MAX_PICKLE_BYTES:
            raise refusal(self._source, f"must have at most {MAX_PICKLE_BYTES} bytes in {name.removeprefix('/')}")
        return b"" if found is None else b"".join(found.pieces)

    def _check(self, array: StoredArray) -> None:
        """Refuse an array whose member is missing or of another size than the pickle says."""
        found = self._found.get(f"{self._root}/data/{array.key}")
        expected = array.count * dtype_of(array.tag).itemsize
        if found is None or found.member.size != expected:
            got = "none" if found is None else found.member.size
            raise refusal(self._source, f"must have {expected} bytes in the member data/{array.key[:40]}, got {got}")

    def array(self, stored: StoredArray) -> Array:
        """All numbers of one member, in one dimension; its checksum is compared on the way."""
        if stored.key not in self._arrays:
            pieces = self._found[f"{self._root}/data/{stored.key}"].pieces
            self._arrays[stored.key] = np.frombuffer(b"".join(pieces), dtype_of(stored.tag))
        return self._arrays[stored.key]


def _members(walked: Iterator[Found], source: str) -> Iterator[tuple[str, Found]]:
    """Members by name: each once and stored as it is."""
    seen: set[str] = set()
    for number, found in enumerate(walked):
        member = found.member
        if number == MAX_MEMBERS:
            raise refusal(source, f"must have at most {MAX_MEMBERS} members")
        if member.name in seen:
            raise refusal(source, f"must have each member once, got {member.name[:80]!r} twice")
        if member.kind or member.is_folder or member.size != member.packed:
            raise refusal(source, f"must hold plain files, not compressed, got the member {member.name[:80]!r}")
        seen.add(member.name)
        yield member.name, found


def _checked(described: StateDict, numbers: Numbers, source: str) -> dict[str, TorchTensor]:
    """The tensors, each within its array, no two of them on the same numbers."""
    windows: dict[str, list[tuple[int, int, str]]] = {}
    for name, tensor in described.tensors.items():
        if not 0 < len(name) <= MAX_NAME_CHARACTERS:
            raise refusal(source, f"must have names of 1 to {MAX_NAME_CHARACTERS} characters")
        _check_window(name, tensor, source)
        window = (tensor.offset, tensor.offset + math.prod(tensor.shape), name)
        windows.setdefault(tensor.array.key, []).append(window)
    for each in windows.values():
        each.sort()
        for (_, end, one), (begin, _, other) in pairwise(each):
            if begin < end:
                raise refusal(source, f"must store each number once, got {one[:80]!r} and {other[:80]!r} in one place")
    return {name: TorchTensor(tensor.shape, tensor, numbers) for name, tensor in described.tensors.items()}


def _check_window(name: str, tensor: StoredTensor, source: str) -> None:
    """Refuse what lies outside of its array, repeats numbers or leaves some out; transposed tensors are sound."""
    shape, strides = tensor.shape, tensor.strides
    if len(shape) > MAX_DIMENSIONS or len(strides) != len(shape):
        raise refusal(source, f"must hold arrays of at most {MAX_DIMENSIONS} dimensions, got {name[:80]!r}")
    if math.prod(max(side, 1) for side in shape) > MAX_ELEMENTS:
        raise refusal(source, f"must hold at most {MAX_ELEMENTS} numbers in {name[:80]!r}")
    step = 1
    for axis in reversed(_outermost_first(tensor)):
        if shape[axis] > 1 and strides[axis] != step:
            raise refusal(
                source, f"must store the numbers of {name[:80]!r} side by side, got strides {_short(strides)}"
            )
        step *= shape[axis]
    if tensor.offset + math.prod(shape) > tensor.array.count:
        raise refusal(source, f"must hold the numbers of {name[:80]!r}, got fewer")


def _outermost_first(tensor: StoredTensor) -> list[int]:
    """The axes in the order in which they are stored. An axis of one element has no place of its own: it keeps its."""
    axes = range(len(tensor.shape))
    return sorted(axes, key=lambda axis: (-tensor.strides[axis] if tensor.shape[axis] > 1 else 0, axis))


def _short(strides: tuple[int, ...]) -> str:
    return str(strides)[:60]
