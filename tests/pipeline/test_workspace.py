"""Folders for the time of one run."""

import os

from graft.core import machine
from graft.pipeline.workspace import LEFT_SECONDS, scratch_folder


def test_a_scratch_folder_goes_with_its_context_and_old_ones_are_swept():
    with scratch_folder() as current:
        old, young = current.parent / "old", current.parent / "young"
        for folder in (old, young):
            folder.mkdir()
            (folder / "table.bin").write_bytes(b"rows")
        before = old.stat().st_mtime - LEFT_SECONDS - 60
        os.utime(old, (before, before))
        with scratch_folder() as other:
            assert other != current and current.is_dir()
            assert young.is_dir() and not old.exists()
    assert not current.exists()
    assert (machine.cache_directory() / "scratch").is_dir()
