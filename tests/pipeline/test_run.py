"""Where a run is written: free places, places of the same plan, and what killed writers left."""

import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from graft.core.errors import BadInput
from graft.core.files import temporary_path
from graft.pipeline.run import Run, place_run
from graft.training.records import Plan

DATA = Path("photos")


@pytest.fixture
def plan(finished) -> Plan:
    return Run.open(finished.run).read(Plan)


@pytest.fixture
def here(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def leave_strays(folder: Path) -> list[Path]:
    """What a training leaves that is killed at its first record."""
    folder.mkdir()
    paths = [folder / ".lock", temporary_path(folder), temporary_path(folder)]
    for path in paths:
        path.write_bytes(b"half")
    return paths


@pytest.mark.parametrize("output", [None, "photos-run"])
def test_what_a_killed_first_write_left_does_not_block_the_same_command(here, plan, output):
    leave_strays(here / "photos-run")
    assert place_run(output, DATA, plan).path == Path("photos-run")


def test_old_strays_are_swept_and_young_ones_stay(here):
    lock, old, young = leave_strays(here / "photos-run")
    long_ago = time.time() - 3600
    for path in (lock, old):
        os.utime(path, (long_ago, long_ago))
    assert Run(here / "photos-run").sweep() == 1
    assert lock.exists() and young.exists() and not old.exists()


def test_a_damaged_plan_is_something_else(here, plan):
    (here / "photos-run").mkdir()
    (here / "photos-run" / "plan.json").write_text("{")
    assert place_run(None, DATA, plan).path == Path("photos-run-2")
    with pytest.raises(BadInput, match="output must be") as caught:
        place_run("photos-run", DATA, plan)
    assert caught.value.code == "already_exists"


def test_the_same_plan_is_written_again_and_another_one_beside_it(here, plan):
    place_run(None, DATA, plan).write(plan)
    assert place_run(None, DATA, plan).path == Path("photos-run")
    assert place_run(None, DATA, replace(plan, seed=plan.seed + 1)).path == Path("photos-run-2")


def test_training_again_is_advised_only_where_a_training_began(here, finished):
    (here / "holiday").mkdir()
    with pytest.raises(BadInput, match="a folder that graft train wrote") as caught:
        Run.open(here / "holiday")
    assert "again" not in caught.value.hint
    shutil.copy(finished.run / "plan.json", here / "holiday")
    with pytest.raises(BadInput, match="must hold a finished training") as caught:
        Run.open(here / "holiday")
    assert "Run graft train again" in caught.value.hint
