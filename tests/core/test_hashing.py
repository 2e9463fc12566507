"""Hashes are those of the standard, and JSON has one text."""

import hashlib
from pathlib import Path

import pytest

from graft.core.hashing import canonical_json, sha256_bytes, sha256_file, sha256_json


def test_known_values(tmp_path: Path) -> None:
    assert sha256_bytes(b"abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert sha256_bytes(memoryview(b"abc")) == sha256_bytes(b"abc")
    content = bytes(range(256)) * 10_000
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()
    assert sha256_json([]) == sha256_bytes(b"[]")


def test_json_has_one_text() -> None:
    assert canonical_json({"b": [1, 2.5, None], "a": "ä"}) == '{"a":"ä","b":[1,2.5,null]}'.encode()
    assert sha256_json({"a": 1, "b": 2}) == sha256_json({"b": 2, "a": 1})
    assert sha256_json({"a": 1}) != sha256_json({"a": 1.0})
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))
