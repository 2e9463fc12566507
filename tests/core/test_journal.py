import os

import pytest

from graft.core.errors import ResourceProblem
from graft.core.files import Journal


def test_what_was_added_is_there_at_once_and_stays(tmp_path):
    journal = Journal(tmp_path / "log")
    journal.write(b"one ")
    with (tmp_path / "log").open("rb") as reader:
        assert reader.read() == b"one "
        journal.write(memoryview(b"two"))
        assert reader.read() == b"two"
    journal.close()
    journal.close()
    assert (tmp_path / "log").read_bytes() == b"one two"


def test_a_file_that_is_there_is_left_alone(tmp_path):
    (tmp_path / "log").write_bytes(b"mine")
    with pytest.raises(ResourceProblem) as told:
        Journal(tmp_path / "log")
    assert told.value.code == "cannot_write"
    assert (tmp_path / "log").read_bytes() == b"mine"


def test_a_folder_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ResourceProblem, match="folder that exists"):
        Journal(tmp_path / "no" / "log")


def test_a_full_disk_is_told(tmp_path, monkeypatch):
    journal = Journal(tmp_path / "log")

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(ResourceProblem) as told:
        journal.write(b"x")
    assert told.value.code == "disk_full"
