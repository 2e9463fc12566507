"""Torch's weights files as they were before torch 1.6, and still are where `torch.save` is told so.

Five pickles one after another: a number by which such files are known, the number of the form, facts on the machine,
the state dict, and the keys of its arrays. Then the arrays in the order of these keys, each a count (8 bytes,
little-endian) and its numbers, to the file's last byte. No checksum is kept: what a changed bit makes of a number
cannot be seen.
"""

import io
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from graft.backbones.reading.hdf5 import refusal
from graft.backbones.reading.torch_pickles import MAX_PICKLE_BYTES, StoredArray, plain_value, state_dict
from graft.core.tensors import dtype_of

SEQUENCE_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the first number, pickled as torch does unless told
FORM = 1001
COUNT_BYTES = 8
Array = np.ndarray[Any, np.dtype[Any]]


class Sequence:
    """An open file of the old form: its state dict, and its arrays, each read when it is first asked for, and kept.

    Raises:
        BadInput: as `state_dict`; `weights_refused` where counts, sizes and keys do not account for the whole file.
    """

    def __init__(self, file: BinaryIO, source: str) -> None:
        self._file, self._source = file, source
        self._kept: dict[str, Array] = {}
        file.seek(len(SEQUENCE_MAGIC))
        pickles = io.BytesIO(file.read(MAX_PICKLE_BYTES))  # damaged ones may run on into the numbers, but no further
        if plain_value(pickles, source) != FORM:
            raise refusal(source, f"must be of torch's form {FORM}, got another")
        facts = plain_value(pickles, source)
        if not isinstance(facts, dict) or facts.get("little_endian") is not True:
            raise refusal(source, "must be written on a little-endian machine, got another order of bytes")
        self.described = state_dict(pickles, source)
        keys = self._checked_keys(plain_value(pickles, source))
        self._places = self._walk(keys, len(SEQUENCE_MAGIC) + pickles.tell())

    def array(self, stored: StoredArray) -> Array:
        """All numbers of one array, in one dimension."""
        if stored.key not in self._kept:
            self._file.seek(self._places[stored.key])
            self._kept[stored.key] = np.frombuffer(self._taken(_bytes_of(stored)), dtype_of(stored.tag))
        return self._kept[stored.key]

    def _checked_keys(self, keys: Any) -> list[str]:
        """The listed keys: of each array that the state dict refers to, once, and of no other."""
        arrays = self.described.arrays
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise refusal(self._source, "must list its arrays by their keys, got something else")
        if len(keys) != len(arrays) or set(keys) != set(arrays):
            raise refusal(self._source, f"must list each of its {len(arrays)} arrays once, got {len(keys)} keys")
        return keys

    def _walk(self, keys: list[str], place: int) -> Mapping[str, int]:
        """Where the numbers of each array begin; counts and the file's own size must agree with what is described."""
        places: dict[str, int] = {}
        end = self._file.seek(0, io.SEEK_END)
        for key in keys:
            array = self.described.arrays[key]
            self._file.seek(place)
            count = int.from_bytes(self._taken(COUNT_BYTES), "little", signed=True)
            if count != array.count:
                raise refusal(self._source, f"must have {array.count} numbers in the array {key[:40]!r}, got {count}")
            places[key] = place + COUNT_BYTES
            place = places[key] + _bytes_of(array)
            if place > end:
                raise refusal(self._source, f"must be whole, got {end} bytes of at least {place}")
        if place != end:
            raise refusal(self._source, f"must end with its last array, got {end - place} bytes more")
        return places

    def _taken(self, count: int) -> bytes:
        content = self._file.read(count)
        if len(content) != count:
            raise refusal(self._source, "must be whole, got fewer bytes than it says to have")
        return content


def _bytes_of(array: StoredArray) -> int:
    return array.count * dtype_of(array.tag).itemsize
