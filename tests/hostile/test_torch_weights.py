"""Torch files that lie or would run something: each refused in one sentence, nothing run, little read."""

import io
import struct
import tarfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest

from graft.backbones.catalogue import find
from graft.backbones.layouts import layout
from graft.backbones.reading.conversion import convert
from graft.backbones.reading.torch_files import MAX_PICKLE_BYTES, open_torch
from graft.backbones.reading.torch_pickles import MAX_STEPS
from graft.backbones.reading.translation import TRANSLATIONS
from graft.backbones.weights import import_weights
from graft.core.errors import BadInput, GraftError
from tests.backbones.reading.torch_writing import (
    CALL,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    MARK,
    NONE,
    PERSISTENT,
    REBUILD,
    STOP,
    group,
    mapping,
    named,
    number,
    numbers,
    storage,
    tensor,
    text,
    write_members,
    write_torch,
)

GOOD = tensor(storage("0", 4), (2, 2))
ARRAYS = {"0": np.ones(4, np.float32).tobytes(), "1": np.ones(4, np.float32).tobytes()}


def _shell(name: str) -> bytes:
    return named(name) + group(text("touch RUN")) + CALL


def _one(value: bytes) -> bytes:
    return mapping({"w": value})


def _described(*fields: bytes) -> bytes:
    """A tensor of the right name with any arguments."""
    return _one(named(REBUILD) + group(*fields) + CALL)


def _reference(*fields: bytes) -> bytes:
    return _one(tensor(group(*fields) + PERSISTENT, (2, 2)))


FLOATS = named("torch FloatStorage")
FALSE_AND_HOOKS = (b"\x89", EMPTY_DICT)
# Pickle -> what the refusal says.
PROGRAMS: dict[str, tuple[bytes, str]] = {
    "os.system": (_shell("os system"), "got the name 'os.system' in its pickle"),
    "posix.system": (_shell("posix system"), "got the name 'posix.system'"),
    "eval": (_shell("builtins eval"), "got the name 'builtins.eval'"),
    "getattr": (named("builtins getattr") + group(text("a"), text("b")) + CALL, "got the name 'builtins.getattr'"),
    "torch.load": (_shell("torch load"), "got the name 'torch.load'"),
    "within a known module": (_shell("torch._utils _import_dotted_name"), "got the name 'torch._utils._import"),
    "a name with dots": (_shell("collections OrderedDict.fromkeys"), "OrderedDict.fromkeys"),
    "old steps": (b"(S'touch RUN'\nios\nsystem\n", "got the step STRING"),
    "INST": (b"(ios\nsystem\n", "got the step INST"),
    "OBJ": (MARK + b"o", "got the step OBJ"),
    "NEWOBJ": (named("torch FloatStorage") + EMPTY_TUPLE + b"\x81", "got the step NEWOBJ"),
    "STACK_GLOBAL": (text("os") + text("system") + b"\x93", "got the step STACK_GLOBAL"),
    "extension": (b"\x82\x01", "got the step EXT1"),
    "a call of a storage": (FLOATS + group(number(9)) + CALL, r"got a call of torch\.FloatStorage"),
    "a call of a text": (text("a") + EMPTY_TUPLE + CALL, "got a call of a value of type str"),
    "a dict from arguments": (named("collections OrderedDict") + group(EMPTY_LIST) + CALL, "got a call of collections"),
    "another reference": (group(text("module"), FLOATS) + PERSISTENT, "reference to something that is no array"),
    "a reference as text": (b"Pmodule\n", "got the step PERSID"),
    "a name for a storage": (
        _reference(text("storage"), named("collections OrderedDict"), text("0"), text("cpu"), number(4)),
        "something that is no array",
    ),
    "a key that is a tuple": (EMPTY_DICT + numbers([1]) + number(1) + b"s", "got a key that is a value of type tuple"),
    "a key of deep tuples": (EMPTY_DICT + numbers([1]) + b"2\x86" * 60 + number(1) + b"s", "got the step DUP"),
    "a key of kept tuples": (
        EMPTY_TUPLE + b"q\0" + b"h\0h\0\x86q\0" * 80 + EMPTY_DICT + b"h\0" + number(1) + b"s",
        "got a key that is a value of type tuple",
    ),
}
LIES: dict[str, tuple[bytes, str]] = {
    "nothing": (NONE, "must hold a state dict"),
    "an empty dict": (EMPTY_DICT, "must hold a state dict"),
    "a list": (EMPTY_LIST + GOOD + b"a", "must hold a state dict"),
    "a tensor alone": (GOOD, "must hold a state dict"),
    "a number among tensors": (mapping({"w": GOOD, "x": number(3)}), "must hold tensors only"),
    "a numbered tensor": (EMPTY_DICT + number(1) + GOOD + b"s", "must hold tensors only"),
    "a name twice": (EMPTY_DICT + MARK + text("w") + GOOD + text("w") + GOOD + b"u", "name each tensor once, got 'w'"),
    "no name": (mapping({"": GOOD}), "names of 1 to 300"),
    "an endless name": (mapping({"w" * 400: GOOD}), "names of 1 to 300"),
    "a missing array": (_one(tensor(storage("7", 4), (2, 2))), "16 bytes in the member data/7, got none"),
    "a path for an array": (_one(tensor(storage("../version", 1, "Half"), (1,))), "got none"),
    "too large an array": (_one(tensor(storage("0", 5), (2, 2))), "20 bytes in the member data/0, got 16"),
    "too small an array": (_one(tensor(storage("0", 3), (2,))), "12 bytes in the member data/0, got 16"),
    "an array of 2^40": (_one(tensor(storage("0", 1 << 40), (1 << 20, 1 << 20))), "got 16"),
    "two kinds of one array": (
        mapping({"a": tensor(storage("0", 4), (2,)), "b": tensor(storage("0", 2, "Long"), (1,), offset=1)}),
        "must describe each array in one way",
    ),
    "two counts of one array": (
        mapping({"a": tensor(storage("0", 4), (2,)), "b": tensor(storage("0", 8, "Half"), (2,), offset=4)}),
        "must describe each array in one way",
    ),
    "a tensor past the end": (_one(tensor(storage("0", 4), (2, 3))), "must hold the numbers of 'w', got fewer"),
    "an offset past the end": (_one(tensor(storage("0", 4), (2,), offset=3)), "must hold the numbers of 'w'"),
    "an offset before the start": (_one(tensor(storage("0", 4), (2,), offset=-1)), "whole numbers from 0"),
    "a negative side": (_one(tensor(storage("0", 4), (-2, -2))), "whole numbers from 0"),
    "a negative stride": (_one(tensor(storage("0", 4), (4,), (-1,), offset=3)), "whole numbers from 0"),
    "a negative count": (_one(tensor(storage("0", -4), (1,))), "something that is no array"),
    "true for a side": (
        _described(storage("0", 4), number(0), group(b"\x88"), numbers([1]), *FALSE_AND_HOOKS),
        "whole",
    ),
    "a text for a shape": (_described(storage("0", 4), number(0), text("22"), numbers([1]), *FALSE_AND_HOOKS), "whole"),
    "no array": (_described(text("0"), number(0), numbers([2]), numbers([1]), *FALSE_AND_HOOKS), "whole numbers"),
    "too few arguments": (_described(storage("0", 4), number(0)), r"got a call of torch\._utils\._rebuild_tensor_v2"),
    "repeated numbers": (_one(tensor(storage("0", 4), (1 << 40,), (0,))), "side by side, got strides"),
    "every second number": (_one(tensor(storage("0", 4), (2,), (2,))), "side by side, got strides"),
    "overlapping rows": (_one(tensor(storage("0", 4), (2, 2), (1, 1))), "side by side, got strides"),
    "fewer strides": (_one(tensor(storage("0", 4), (2, 2), (1,))), "at most 8 dimensions"),
    "nine dimensions": (_one(tensor(storage("0", 4), (1,) * 9)), "at most 8 dimensions"),
    "a shape of 2^63": (_one(tensor(storage("0", 4), (1 << 31, 1 << 32), (1, 1))), "at most 281474976710656 numbers"),
    "a huge shape of nothing": (_one(tensor(storage("0", 4), (0, 1 << 62), (1, 1))), "at most 281474976710656 numbers"),
    "numbers used twice": (mapping({"a": GOOD, "b": GOOD}), "store each number once, got 'a' and 'b' in one place"),
    "numbers used partly twice": (
        mapping({"a": tensor(storage("0", 4), (3,)), "b": tensor(storage("0", 4), (2,), offset=2)}),
        "store each number once",
    ),
    "a recall of nothing": (b"h\5", "recalls what it never kept"),
    "a group without a start": (b"t", "ends a group it never began"),
    "an empty stack": (CALL, "takes more than it has"),
    "an item of no dict": (number(1) + text("a") + GOOD + b"s", "fills what is no dict"),
    "a key without value": (EMPTY_DICT + MARK + text("a") + b"u", "a key that has no value"),
    "an endless text": (b"X\xff\xff\xff\xff", "must be sound, got"),
    "an endless number": (b"\x8a\xff\1", "must be sound, got"),
    "an unknown step": (b"\xfe", "must be sound, got"),
    "half a text": (b"X\2\0\0\0\xff\xff", "must be sound, got"),
    "too many steps": (NONE * MAX_STEPS, f"at most {MAX_STEPS} steps"),
    "too many dicts": (EMPTY_DICT * (MAX_PICKLE_BYTES - 10), f"at most {MAX_STEPS} steps"),
    "too long": (NONE * MAX_PICKLE_BYTES, f"at most {MAX_PICKLE_BYTES} bytes in data.pkl"),
}


def _refused(path: Path) -> BadInput:
    with pytest.raises(BadInput) as caught, open_torch(path) as tensors:
        for each in tensors.values():
            _ = each[()]
    assert caught.value.message.count("\n") == 0
    assert len(caught.value.message) < 500
    return caught.value


def test_the_file_that_is_attacked_is_good(tmp_path: Path) -> None:
    with open_torch(write_members(tmp_path / "good.pth", _one(GOOD), ARRAYS)) as tensors:
        assert np.array_equal(tensors["w"][()], np.ones((2, 2)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_would_run_something_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    program, words = PROGRAMS[name]
    for pickle in (program, mapping({"w": GOOD, "x": program})):
        error = _refused(write_members(tmp_path / "bad.pth", pickle, ARRAYS))
        assert error.code == "format_not_allowed"
        assert "Nothing of it was run" in error.hint
        with pytest.raises(BadInput, match=words):
            raise error
    assert [each.name for each in tmp_path.iterdir()] == ["bad.pth"]


@pytest.mark.parametrize("name", LIES)
def test_what_lies_is_refused(name: str, tmp_path: Path) -> None:
    pickle, words = LIES[name]
    path = write_members(tmp_path / "bad.pth", pickle, ARRAYS)
    before = psutil.Process().memory_info().rss
    error = _refused(path)
    assert psutil.Process().memory_info().rss - before < 100 << 20
    assert error.code in {"weights_refused", "format_not_allowed"}
    with pytest.raises(BadInput, match=words):
        raise error


def test_a_pickle_without_an_end_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as archive:
        archive.writestr("weights/data.pkl", _one(GOOD))
    assert "must be sound" in _refused(tmp_path / "bad.pth").message


def _archive(path: Path, members: list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")  # of two members with one name
        for name, content in members:
            archive.writestr(name, content)
    return path


PICKLE = ("weights/data.pkl", b"\x80\x02" + _one(GOOD) + STOP)
DATA = ("weights/data/0", ARRAYS["0"])
ARCHIVES: dict[str, tuple[list[tuple[str, bytes]], str]] = {
    "no pickle": ([DATA], "must have one data.pkl, got 0"),
    "two pickles": ([PICKLE, ("other/data.pkl", PICKLE[1]), DATA], "must have one data.pkl, got 2"),
    "the same member twice": ([PICKLE, DATA, DATA], "must have each member once"),
    "a model of TorchScript": (
        [PICKLE, ("weights/code/__torch__.py", b"import os"), DATA],
        "got a model of TorchScript",
    ),
    "constants": ([PICKLE, ("weights/constants.pkl", b"\x80\x02)."), DATA], "got a model of TorchScript"),
    "big-endian": ([PICKLE, ("weights/byteorder", b"big"), DATA], "little-endian"),
    "a folder": ([PICKLE, ("weights/data/0/", b"")], "plain files"),
    "an empty pickle": ([("weights/data.pkl", b""), DATA], "must be sound"),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_archives_that_are_no_weights_are_refused(name: str, tmp_path: Path) -> None:
    members, words = ARCHIVES[name]
    assert words in _refused(_archive(tmp_path / "bad.pth", members)).message


def test_compressed_members_are_refused(tmp_path: Path) -> None:
    """A megabyte of zeros is a kilobyte compressed: a bomb. Torch compresses nothing."""
    pickle = b"\x80\x02" + _one(tensor(storage("0", 1 << 20), (1 << 20,))) + STOP
    members = [("weights/data.pkl", pickle), ("weights/data/0", bytes(4 << 20))]
    path = _archive(tmp_path / "bomb.pth", members, zipfile.ZIP_DEFLATED)
    assert "not compressed" in _refused(path).message


def test_headers_that_disagree_are_refused(tmp_path: Path) -> None:
    content = bytearray(write_members(tmp_path / "bad.pth", _one(GOOD), ARRAYS).read_bytes())
    place = content.index(b"weights/data/0") - 30  # the member's own header
    content[place + 18 : place + 26] = struct.pack("<2I", 1 << 30, 1 << 30)
    (tmp_path / "bad.pth").write_bytes(content)
    error = _refused(tmp_path / "bad.pth")
    assert error.code == "weights_refused"
    assert "is described differently by its two headers" in error.message


def test_too_many_members_are_refused(tmp_path: Path) -> None:
    members = [PICKLE, DATA, *((f"weights/data/{place}", b"") for place in range(2, 10_001))]
    assert "at most 10000 members" in _refused(_archive(tmp_path / "bad.pth", members)).message


def test_damaged_files_are_refused_or_read_whole(tmp_path: Path) -> None:
    """Truncated and bit-flipped files and pickles: a refusal, or tensors; never another exception."""
    pickle = mapping({"a": GOOD, "b": tensor(storage("1", 4), (4,))})
    good = write_members(tmp_path / "good.pth", pickle, ARRAYS).read_bytes()
    rng = np.random.default_rng(2)
    path = tmp_path / "bad.pth"
    refused = 0
    for trial in range(600):
        if trial % 3 == 0:
            path.write_bytes(good[: int(rng.integers(len(good)))])
        else:
            content = bytearray(good if trial % 3 == 1 else pickle)
            for position in rng.integers(0, len(content), 3):
                content[position] = int(rng.integers(256))
            if trial % 3 == 1:
                path.write_bytes(content)
            else:  # the checksums are right: the pickle itself is met
                write_members(path, bytes(content), ARRAYS)
        try:
            with open_torch(path) as tensors:
                assert all(each[()].shape == each.shape for each in tensors.values())
        except GraftError as error:
            assert error.code in {"weights_refused", "format_not_allowed"}, error
            refused += 1
    assert refused > 450


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_none_are_refused(value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [piece for layer in layout(find("alexnet")).layers for piece in TRANSLATIONS["alexnet"].pieces(layer)]
    tensors = {piece.name: np.ones(piece.shape, np.float32) for piece in pieces}
    tensors["features.3.bias"][5] = value
    monkeypatch.setattr("graft.backbones.weights.run_child", lambda _, job, **__: convert(job))
    with pytest.raises(GraftError) as caught:
        import_weights(write_torch(tmp_path / "nan.pth", tensors), ("alexnet",), tmp_path / "cache")
    assert caught.value.code == "weights_not_finite"
    assert "conv2/bias" in caught.value.message
    assert list((tmp_path / "cache" / "weights").iterdir()) == []


def test_a_tar_archive_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "old.pth", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.addfile(tarfile.TarInfo("sys_info"), io.BytesIO(b""))
    with pytest.raises(BadInput, match="torch's oldest form") as caught:
        import_weights(tmp_path / "old.pth", ("alexnet",), tmp_path / "cache")
    assert caught.value.code == "format_not_allowed"
    assert "weights only" in caught.value.hint
    assert not (tmp_path / "cache").exists()
