"""Files of tensors: what is written comes back, equal content gives equal bytes, other programs read it and we theirs.

What is hostile is in tests/hostile/test_tensors.py.
"""

import json
import math
import os
import sys
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from graft.core import tensors
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.tensors import encode_header, read_tensors, tensors_sha256, write_tensors

safetensors_numpy = pytest.importorskip("safetensors.numpy")
NAMES = [name for name in tensors.TAGS if name != "bfloat16"]
DTYPES = [*(np.dtype(name) for name in NAMES), np.dtype(ml_dtypes.bfloat16)]


def examples() -> dict[str, np.ndarray]:
    """One tensor of each dtype, and odd shapes."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(3, 5)) * 50
    made = {f"of/{dtype.name}": numbers.astype(dtype) for dtype in DTYPES if dtype.kind != "b"}
    made["of/bool"] = random.normal(size=(3, 5)) > 0
    made["empty"] = np.empty((0, 7), np.float32)
    made["scalar"] = np.array(2.5)
    made["ß/写真"] = np.arange(3, dtype=np.int8)
    return made


def same(one: np.ndarray, other: np.ndarray) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()


def test_everything_comes_back(tmp_path: Path) -> None:
    path, metadata = tmp_path / "file", {"graft": '{"a": "ä"}', "": ""}
    write_tensors(path, examples(), metadata=metadata, writer="test")
    with read_tensors(path) as file:
        assert dict(file.metadata) == metadata
        assert file.tensors.keys() == examples().keys()
        for name, value in examples().items():
            assert same(file.tensors[name], value), name
    assert not file.tensors


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_tensors_come_back(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    arrays = hnp.arrays(
        st.sampled_from([np.dtype(name) for name in NAMES]),
        hnp.array_shapes(min_dims=0, max_dims=tensors.MAX_DIMENSIONS, min_side=0, max_side=3),
    )
    names = st.text(min_size=1, max_size=20).filter(lambda name: name != tensors.METADATA and name.isprintable())
    values: dict[str, np.ndarray] = data.draw(st.dictionaries(names, arrays, max_size=4))
    path = tmp_path_factory.mktemp("any") / "file"
    write_tensors(path, values, metadata={}, writer="test")
    with read_tensors(path) as file:
        assert file.tensors.keys() == values.keys()
        assert all(same(file.tensors[name], value) for name, value in values.items())
        assert tensors_sha256(file.tensors) == tensors_sha256(values)


def test_equal_content_gives_equal_bytes(tmp_path: Path) -> None:
    values, metadata = examples(), {"b": "2", "a": "1"}
    backwards = dict(reversed([(name, np.array(value, order="F")) for name, value in values.items()]))
    write_tensors(tmp_path / "one", values, metadata=metadata, writer="test")
    write_tensors(tmp_path / "two", backwards, metadata=dict(reversed(metadata.items())), writer="test")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    write_tensors(tmp_path / "two", backwards, metadata={"a": "1"}, writer="test")
    assert (tmp_path / "one").read_bytes() != (tmp_path / "two").read_bytes()


def test_bytes_are_those_of_the_format() -> None:
    header = encode_header({"b": (np.dtype("float32"), (2, 3)), "a": (np.dtype("uint8"), ())}, {"k": "ü"})
    text = (
        b'{"__metadata__":{"k":"\\u00fc"},"b":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},'
        b'"a":{"dtype":"U8","shape":[],"data_offsets":[24,25]}}'
    )
    assert header[8:].rstrip(b" ") == text
    assert int.from_bytes(header[:8], "little") == len(header) - 8
    assert len(header) % tensors.ALIGNMENT_BYTES == 0


def test_each_tensor_is_aligned(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", examples(), metadata={"odd": "x" * 3}, writer="test")
    with read_tensors(tmp_path / "file") as file:
        assert all(value.flags.aligned for value in file.tensors.values())


def test_memory_order_byte_order_and_steps_do_not_matter(tmp_path: Path) -> None:
    plain = np.arange(24, dtype=np.int32).reshape(4, 6)
    strided = np.repeat(np.repeat(plain, 2, axis=0), 3, axis=1)[::2, ::3]
    for odd in (np.asfortranarray(plain), plain.astype(">i4"), strided, plain.T.copy().T):
        write_tensors(tmp_path / "file", {"x": odd}, metadata={}, writer="test")
        with read_tensors(tmp_path / "file") as file:
            assert same(file.tensors["x"], plain)
        assert tensors_sha256({"x": odd}) == tensors_sha256({"x": plain})


def test_large_arrays_go_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    value = np.arange(1000, dtype=np.float64)
    write_tensors(tmp_path / "whole", {"x": value}, metadata={}, writer="test")
    whole = tensors_sha256({"x": value})
    monkeypatch.setattr(tensors, "PIECE_BYTES", 7)
    write_tensors(tmp_path / "pieces", {"x": value}, metadata={}, writer="test")
    assert (tmp_path / "whole").read_bytes() == (tmp_path / "pieces").read_bytes()
    assert tensors_sha256({"x": value}) == whole


def test_views_are_read_only_and_outlive_the_file(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", examples(), metadata={}, writer="test")
    file = read_tensors(tmp_path / "file")
    for value in file.tensors.values():
        with pytest.raises(ValueError, match="read-only"):
            value[...] = 0
    kept = file.tensors["of/float32"]
    file.close()
    file.close()
    assert same(kept, examples()["of/float32"])


def test_other_programs_read_what_we_write(tmp_path: Path) -> None:
    values = {name: value for name, value in examples().items() if value.dtype != ml_dtypes.bfloat16}
    write_tensors(tmp_path / "file", values, metadata={"k": "ü"}, writer="test")
    read = safetensors_numpy.load_file(tmp_path / "file")
    assert read.keys() == values.keys()
    assert all(same(read[name], value) for name, value in values.items())
    with __import__("safetensors").safe_open(tmp_path / "file", framework="numpy") as file:
        assert file.metadata() == {"k": "ü"}


def test_we_read_what_other_programs_write(tmp_path: Path) -> None:
    values = {name: value for name, value in examples().items() if value.dtype != ml_dtypes.bfloat16}
    safetensors_numpy.save_file(values, tmp_path / "file", metadata={"k": "ü"})
    with read_tensors(tmp_path / "file") as file:
        assert file.metadata == {"k": "ü"}
        assert all(same(file.tensors[name], value) for name, value in values.items())


def test_content_identity() -> None:
    base = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.zeros(2, np.int8)}
    known = tensors_sha256(base)
    assert known == tensors_sha256(dict(reversed(base.items())))
    assert tensors_sha256({}) != known
    flipped = base["a"].copy()
    flipped.view(np.uint8).reshape(-1)[0] ^= 1
    changed: list[dict[str, Any]] = [
        {**base, "a": flipped},
        {**base, "a": base["a"].reshape(3, 2)},
        {**base, "a": base["a"].view(np.int32)},
        {"A": base["a"], "b": base["b"]},
        {"a": base["a"]},
        {**base, "c": np.empty(0)},
    ]
    assert len({known, *map(tensors_sha256, changed)}) == len(changed) + 1


@pytest.mark.parametrize("value", [np.array(["text"]), np.array([1j]), np.array([None]), np.array([0], "M8[s]")])
def test_other_dtypes_are_a_type_error(value: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="must have one of the dtypes"):
        write_tensors(tmp_path / "file", {"x": value}, metadata={}, writer="test")
    with pytest.raises(TypeError, match="must have one of the dtypes"):
        tensors_sha256({"x": value})
    assert list(tmp_path.iterdir()) == []


def test_names_and_metadata_are_checked_before_writing(tmp_path: Path) -> None:
    for name in ("", tensors.METADATA):
        with pytest.raises(ValueError, match="name must be"):
            write_tensors(tmp_path / "file", {name: np.zeros(1)}, metadata={}, writer="test")
    with pytest.raises(TypeError, match="metadata"):
        write_tensors(tmp_path / "file", {}, metadata={"n": 1}, writer="test")  # type: ignore[dict-item]
    for values, metadata, says in (
        ({"x": np.zeros((1,) * 9)}, {}, "whole numbers"),
        ({}, {str(number): "" for number in range(110_000)}, "commas"),
        ({}, {"rows": "x" * (16 << 20)}, "bytes"),
    ):
        with pytest.raises(IntegrityProblem, match=says) as caught:
            write_tensors(tmp_path / "file", values, metadata=metadata, writer="test")
        assert caught.value.code == "internal"
    assert list(tmp_path.iterdir()) == []


def test_commas_within_texts_are_free(tmp_path: Path) -> None:
    rows = json.dumps([f'"{number}\\' for number in range(200_000)])
    write_tensors(tmp_path / "file", {"x": np.zeros(1)}, metadata={"rows": rows}, writer="test")
    with read_tensors(tmp_path / "file") as file:
        assert file.metadata["rows"] == rows


def test_a_missing_or_unreadable_file_is_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadInput, match="nothing of that name") as caught:
        read_tensors(tmp_path / "missing")
    assert caught.value.code == "not_found"
    write_tensors(tmp_path / "file", {}, metadata={}, writer="test")

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(BadInput) as caught:
        read_tensors(tmp_path / "file")
    assert caught.value.code == "unreadable"


@pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")
def test_links_are_followed_only_when_allowed(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {"x": np.zeros(1)}, metadata={}, writer="test")
    (tmp_path / "link").symlink_to("file")
    with pytest.raises(IntegrityProblem, match="symbolic link"):
        read_tensors(tmp_path / "link")
    with read_tensors(tmp_path / "link", follow_links=True) as file:
        assert math.prod(file.tensors["x"].shape) == 1


def test_source_and_code_are_the_callers(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"junk")
    with pytest.raises(IntegrityProblem, match=r"^the shard: ") as caught:
        read_tensors(tmp_path / "file", source="the shard", code="hash_mismatch")
    assert caught.value.code == "hash_mismatch"
    with pytest.raises(IntegrityProblem) as caught:
        read_tensors(tmp_path / "file")
    assert caught.value.code == "bundle_invalid"


@pytest.mark.skipif(sys.platform != "linux", reason="reads what Linux tells of a process")
def test_reading_maps_the_file_and_does_not_load_it(tmp_path: Path) -> None:
    from tests.memory import peak_memory_bytes

    with (tmp_path / "file").open("wb") as sparse:
        sparse.write(encode_header({"x": (np.dtype("float32"), (1 << 28,))}, {}))
        sparse.truncate(sparse.tell() + (1 << 30))
    before = peak_memory_bytes()
    with read_tensors(tmp_path / "file") as file:
        assert file.tensors["x"].shape == (1 << 28,)
        assert file.tensors["x"][-1] == 0
    assert peak_memory_bytes() - before < 50 << 20
