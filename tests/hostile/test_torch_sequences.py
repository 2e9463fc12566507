"""Torch files of the form before 1.6 that lie or would run something: refused as those of today's form are."""

import struct
from pathlib import Path

import numpy as np
import psutil
import pytest

from graft.backbones.reading.torch_files import open_torch
from graft.backbones.reading.torch_pickles import MAX_PICKLE_BYTES
from graft.core.errors import BadInput, GraftError
from tests.backbones.reading.torch_writing import (
    CALL,
    EMPTY_DICT,
    EMPTY_LIST,
    EMPTY_TUPLE,
    FACTS,
    FALSE,
    FORM,
    MAGIC,
    MARK,
    NONE,
    TRUE,
    group,
    mapping,
    named,
    number,
    storage,
    tensor,
    text,
    write_sequence,
)
from tests.hostile.test_torch_weights import LIES, PROGRAMS

FOUR = np.ones(4, np.float32)
GOOD = mapping({"w": tensor(storage("0", 4, "Float", NONE), (2, 2))})
SHELL = named("os system") + group(text("touch RUN")) + CALL
# What the old form says in its own words: its arrays come by count and key, not as members.
OTHER_WORDS = {
    "a missing array": "must list each of its 1 arrays once",
    "a path for an array": "must list each of its 1 arrays once",
    "too large an array": "must have 5 numbers in the array '0', got 4",
    "too small an array": "must have 3 numbers in the array '0', got 4",
    "an array of 2^40": "must have 1099511627776 numbers in the array '0', got 4",
    "too long": "at most 400000 steps",
}


def _refused(path: Path) -> BadInput:
    before = psutil.Process().memory_info().rss
    with pytest.raises(BadInput) as caught, open_torch(path) as tensors:
        for each in tensors.values():
            _ = each[()]
    assert psutil.Process().memory_info().rss - before < 100 << 20
    assert caught.value.message.count("\n") == 0
    assert len(caught.value.message) < 500
    return caught.value


def test_the_file_that_is_attacked_is_good(tmp_path: Path) -> None:
    with open_torch(write_sequence(tmp_path / "good.pth", GOOD, {"0": FOUR})) as tensors:
        assert np.array_equal(tensors["w"][()], np.ones((2, 2)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_what_would_run_something_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stands: in place of the state dict, or of a number or list that comes before or after it."""
    monkeypatch.chdir(tmp_path)
    program, words = PROGRAMS[name]
    path = tmp_path / "bad.pth"
    files = (
        lambda: write_sequence(path, program, {"0": FOUR}),
        lambda: write_sequence(path, GOOD, {"0": FOUR}, before=(MAGIC, program, FACTS)),
        lambda: write_sequence(path, GOOD, {"0": FOUR}, before=(MAGIC, FORM, program)),
        lambda: write_sequence(path, GOOD, {"0": FOUR}, keys=program),
    )
    for write in files:
        error = _refused(write())
        assert error.code == "format_not_allowed"
        with pytest.raises(BadInput, match=words):
            raise error
    assert [each.name for each in tmp_path.iterdir()] == ["bad.pth"]


@pytest.mark.parametrize("name", LIES)
def test_what_lies_is_refused(name: str, tmp_path: Path) -> None:
    pickle, words = LIES[name]
    error = _refused(write_sequence(tmp_path / "bad.pth", pickle, {"0": FOUR}))
    assert error.code in {"weights_refused", "format_not_allowed"}
    with pytest.raises(BadInput, match=OTHER_WORDS.get(name, words)):
        raise error


def _listed(*values: bytes) -> bytes:
    return EMPTY_LIST + MARK + b"".join(values) + b"e"


BIG_ENDIAN = EMPTY_DICT + text("little_endian") + FALSE + b"s"
WINDOW = group(text("1"), number(0), number(2))
# What comes before the state dict, it, and the keys after it -> what the refusal says.
FRAMES: dict[str, tuple[tuple[bytes, ...], bytes, bytes | None, str]] = {
    "another form": ((MAGIC, number(1002), FACTS), GOOD, None, "must be of torch's form 1001"),
    "true for a form": ((MAGIC, TRUE, FACTS), GOOD, None, "must be of torch's form 1001"),
    "a text for a form": ((MAGIC, text("1001"), FACTS), GOOD, None, "must be of torch's form 1001"),
    "no form": ((MAGIC, FACTS, FORM), GOOD, None, "must be of torch's form 1001"),
    "deep tuples for a form": (
        (MAGIC, EMPTY_TUPLE + b"q\0" + b"h\0h\0\x86q\0" * 80, FACTS),
        GOOD,
        None,
        "must be of torch's form 1001",
    ),
    "big-endian": ((MAGIC, FORM, BIG_ENDIAN), GOOD, None, "little-endian"),
    "one for true": ((MAGIC, FORM, BIG_ENDIAN.replace(FALSE, number(1))), GOOD, None, "little-endian"),
    "no facts": ((MAGIC, FORM, NONE), GOOD, None, "little-endian"),
    "a pickle too few": ((MAGIC, FORM), GOOD, None, "little-endian"),
    "a pickle too many": ((MAGIC, FORM, FACTS, GOOD), GOOD, None, "must list its arrays by their keys"),
    "no keys": ((MAGIC, FORM, FACTS), GOOD, _listed(), "must list each of its 1 arrays once, got 0 keys"),
    "a key twice": ((MAGIC, FORM, FACTS), GOOD, _listed(text("0"), text("0")), "once, got 2 keys"),
    "another key": ((MAGIC, FORM, FACTS), GOOD, _listed(text("1")), "must list each of its 1 arrays once"),
    "a number for a key": ((MAGIC, FORM, FACTS), GOOD, _listed(number(0)), "must list its arrays by their keys"),
    "a text for keys": ((MAGIC, FORM, FACTS), GOOD, text("0"), "must list its arrays by their keys"),
    "an array that is a window": (
        (MAGIC, FORM, FACTS),
        mapping({"w": tensor(storage("0", 4, "Float", WINDOW), (2,))}),
        None,
        "a reference to something that is no array",
    ),
    "more than a reference has": (
        (MAGIC, FORM, FACTS),
        mapping({"w": tensor(storage("0", 4, "Float", NONE, NONE), (2,))}),
        None,
        "a reference to something that is no array",
    ),
}


@pytest.mark.parametrize("name", FRAMES)
def test_what_is_around_the_state_dict_is_judged_too(name: str, tmp_path: Path) -> None:
    before, pickle, keys, words = FRAMES[name]
    error = _refused(write_sequence(tmp_path / "bad.pth", pickle, {"0": FOUR}, before=before, keys=keys))
    assert words in error.message


@pytest.mark.parametrize("count", [-4, -1, 0, 3, 5, 1 << 40, (1 << 63) - 1])
def test_counts_that_lie_are_refused(count: int, tmp_path: Path) -> None:
    path = write_sequence(tmp_path / "bad.pth", GOOD, {})
    content = write_sequence(tmp_path / "bad.pth", GOOD, {"0": FOUR}).read_bytes()
    path.write_bytes(content[: -FOUR.nbytes - 8] + struct.pack("<q", count) + FOUR.tobytes())
    assert f"must have 4 numbers in the array '0', got {count}" in _refused(path).message


@pytest.mark.parametrize("count", [5, 1 << 40, (1 << 63) - 1])
def test_arrays_that_the_file_is_too_short_for_take_no_memory(count: int, tmp_path: Path) -> None:
    pickle = mapping({"w": tensor(storage("0", count), (2, 2))})
    content = write_sequence(tmp_path / "bad.pth", pickle, {"0": FOUR}).read_bytes()
    (tmp_path / "bad.pth").write_bytes(content[: -FOUR.nbytes - 8] + struct.pack("<q", count) + FOUR.tobytes())
    assert "must be whole, got" in _refused(tmp_path / "bad.pth").message


@pytest.mark.parametrize("after", [b"\0", bytes(8), PROGRAMS["os.system"][0]])
def test_bytes_after_the_last_array_are_refused(after: bytes, tmp_path: Path) -> None:
    error = _refused(write_sequence(tmp_path / "bad.pth", GOOD, {"0": FOUR}, after=after))
    assert f"must end with its last array, got {len(after)} bytes more" in error.message


def test_every_cut_is_refused(tmp_path: Path) -> None:
    content = write_sequence(tmp_path / "good.pth", GOOD, {"0": FOUR}).read_bytes()
    for length in range(len(content)):
        (tmp_path / "bad.pth").write_bytes(content[:length])
        assert _refused(tmp_path / "bad.pth").code == "weights_refused"


def test_a_file_that_is_cut_while_it_is_open_is_refused(tmp_path: Path) -> None:
    many = np.ones(1 << 18, np.float32)  # more than any buffer takes ahead
    path = write_sequence(
        tmp_path / "bad.pth", mapping({"w": tensor(storage("0", many.size), many.shape)}), {"0": many}
    )
    content = path.read_bytes()
    with pytest.raises(BadInput, match="must be whole, got fewer bytes"), open_torch(path) as tensors:
        path.write_bytes(content[:-1])
        _ = tensors["w"][()]


def test_pickles_have_an_end(tmp_path: Path) -> None:
    path = tmp_path / "bad.pth"
    endless = struct.pack("<cI", b"X", MAX_PICKLE_BYTES) + bytes(MAX_PICKLE_BYTES) + b"0" + GOOD
    assert "must be sound, got" in _refused(write_sequence(path, endless, {"0": FOUR})).message


def test_damaged_files_are_refused_or_read_whole(tmp_path: Path) -> None:
    """Bit-flipped files: a refusal, or tensors (the form has no checksum); never another exception."""
    pickle = mapping({"a": tensor(storage("0", 4, "Float", NONE), (2, 2)), "b": tensor(storage("1", 4), (4,))})
    good = write_sequence(tmp_path / "good.pth", pickle, {"0": FOUR, "1": FOUR}).read_bytes()
    rng = np.random.default_rng(3)
    path = tmp_path / "bad.pth"
    refused = 0
    for _ in range(600):
        content = bytearray(good)
        for position in rng.integers(0, len(content), 3):
            content[position] = int(rng.integers(256))
        path.write_bytes(content)
        try:
            with open_torch(path) as tensors:
                assert all(each[()].shape == each.shape for each in tensors.values())
        except GraftError as error:
            assert error.code in {"weights_refused", "format_not_allowed"}, error
            refused += 1
    assert refused > 450


def test_sabotage_a_machine_that_imports_would_have_run_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attack is a real one: Python's own reader runs it."""
    import pickle

    monkeypatch.chdir(tmp_path)
    program = b"\x80\x02" + SHELL.replace(b"os\nsystem", b"os\nmkdir") + b"."
    pickle.loads(program)
    assert (tmp_path / "touch RUN").is_dir()
