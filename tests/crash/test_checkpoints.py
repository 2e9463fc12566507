"""A training that dies while it commits goes on from the commit before, or from the new one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import ResourceProblem
from graft.core.files import CRASH_EXIT_STATUS, CRASH_POINTS, STRAY_PATTERN
from graft.core.hashing import sha256_file
from graft.training.checkpoints import WRITER, Checkpoints
from tests.crash import faults

ROOT = Path(__file__).resolve().parents[2]
DURABLE = {"after_rename", "before_directory_fsync", "before_old_removed"}
COMMIT = "from tests.crash.test_checkpoints import commit; import sys; commit(sys.argv[1], int(sys.argv[2]))"


def commit(folder: str | Path, step: int) -> Path:
    weights = np.random.default_rng(step).normal(size=(1000, 100))
    Checkpoints(Path(folder), {"plan": "p"}, print).save(step, {"kernel": weights}, {"step": step})
    return Path(folder) / f"step-{step:08d}.safetensors"


def latest(folder: Path) -> int:
    """The step that a new process goes on from, nothing being damaged."""
    told: list[str] = []
    saved = Checkpoints(folder, {"plan": "p"}, told.append).load()
    assert saved is not None and saved.state == {"step": saved.step} and told == []
    return saved.step


def commits(folder: Path) -> dict[str, str]:
    return {path.name: sha256_file(path) for path in folder.glob("step-*")}


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_crash_between_two_steps_commits(point: str, tmp_path: Path) -> None:
    for step in (1, 2):
        commit(tmp_path, step)
    before = commits(tmp_path)
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "GRAFT_CRASH_AT": f"{WRITER}:{point}"}
    ended = subprocess.run(
        [sys.executable, "-c", COMMIT, str(tmp_path), "3"], env=os.environ | environment, timeout=120, check=False
    )
    assert ended.returncode == CRASH_EXIT_STATUS, f"the writer never passed {point}"
    after = commits(tmp_path)
    assert before.items() <= after.items(), "an earlier commit went before the new one was durable"
    assert latest(tmp_path) == (3 if point in DURABLE else 2)
    faults.let_leases_pass(tmp_path)
    assert latest(tmp_path) in (2, 3)
    assert not list(tmp_path.glob(STRAY_PATTERN))
    commit(tmp_path, 3)
    assert sorted(commits(tmp_path)) == ["step-00000002.safetensors", "step-00000003.safetensors"]


@pytest.mark.parametrize("fault", faults.DISK_FAULTS, ids=lambda fault: fault[0])
def test_a_failing_disk_between_two_steps_commits(fault: tuple[str, str, int, int, str], tmp_path: Path) -> None:
    """Whatever fails, the earlier commits are as they were; the same step committed later is as if nothing had been."""
    _, call, number, after, code = fault
    for step in (1, 2):
        commit(tmp_path, step)
    before = commits(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        faults.install(patch, tmp_path).fail(call, number, after=after)
        with pytest.raises(ResourceProblem) as caught:
            commit(tmp_path, 3)
    assert caught.value.code == code
    assert commits(tmp_path) == before
    assert not list(tmp_path.glob(STRAY_PATTERN))
    assert latest(tmp_path) == 2
    again = commit(tmp_path, 3)
    assert again.read_bytes() == commit(make_folder(tmp_path / "reference"), 3).read_bytes()


def make_folder(path: Path) -> Path:
    path.mkdir()
    return path
