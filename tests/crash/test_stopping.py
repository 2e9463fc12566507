"""A training that is killed or asked to end at any moment ends, begun again, with the bytes of one nobody touched."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from graft.core.files import STRAY_PATTERN
from graft.core.randomness import stream
from graft.training.checkpoints import Checkpoints
from tests.crash import mini_training
from tests.crash.faults import let_leases_pass

ROOT = Path(__file__).resolve().parents[2]
STEPS = 60
MOST_KILLS = 4
TWICE = -int(signal.SIGINT)

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without sending it a signal")


def begin(folder: Path, steps: int, number: int = 0) -> "subprocess.Popen[str]":
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.crash.mini_training", str(folder), str(steps), str(number)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        stdout=subprocess.PIPE,
        text=True,
    )


def finish(folder: Path, steps: int = STEPS) -> bytes:
    """Train to the end; the result."""
    process = begin(folder, steps)
    told, _ = process.communicate(timeout=120)
    assert (process.returncode, told) == (0, "ready\n")
    return (folder / "result").read_bytes()


def steps_done(folder: Path) -> list[int]:
    return sorted(int(path.stem.removeprefix("step-")) for path in (folder / "checkpoints").glob("step-*"))


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, float]:
    """The result of a training nobody touched, and how many seconds its steps take."""
    folder = tmp_path_factory.mktemp("reference")
    process = begin(folder, STEPS)
    assert process.stdout and process.stdout.readline() == "ready\n"
    began = time.monotonic()
    process.communicate(timeout=120)
    return (folder / "result").read_bytes(), time.monotonic() - began


@pytest.mark.parametrize("number", [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 100))])
def test_killed_at_any_moment(number: int, reference: tuple[bytes, float], tmp_path: Path) -> None:
    result, seconds = reference
    draw = stream(0, "kills", str(number))
    reached = 0
    for _ in range(int(draw.integers(1, MOST_KILLS + 1))):
        process = begin(tmp_path, STEPS)
        assert process.stdout and process.stdout.readline() == "ready\n"
        time.sleep(float(draw.uniform(0, seconds / 2)))
        process.kill()
        process.communicate()
        done = steps_done(tmp_path) or [0]
        assert done[-1] >= reached, "what was committed is gone"
        reached = done[-1]
    let_leases_pass(tmp_path)
    assert finish(tmp_path) == result
    assert not list((tmp_path / "checkpoints").glob(STRAY_PATTERN))  # nobody sweeps what writing the result left
    assert steps_done(tmp_path)[-2:] == [STEPS - 1, STEPS]  # one killed while it removed the third leaves it


@pytest.mark.parametrize("number", [int(signal.SIGINT), int(signal.SIGTERM)])
def test_asked_to_end_it_finishes_its_step_and_commits(
    number: int, reference: tuple[bytes, float], tmp_path: Path
) -> None:
    process = begin(tmp_path, STEPS, number)
    told, _ = process.communicate(timeout=120)
    assert (process.returncode, told) == (128 + number, "ready\nstopped\n")
    assert steps_done(tmp_path) == [2, 3], "the step in which the signal came is whole"
    assert finish(tmp_path) == reference[0]


def test_asked_twice_it_ends_at_once_and_the_last_commit_stands(reference: tuple[bytes, float], tmp_path: Path) -> None:
    """Both signals come within the third step, which is not committed any more."""
    process = begin(tmp_path, STEPS, TWICE)
    told, _ = process.communicate(timeout=120)
    assert (process.returncode, told) == (130, "ready\n")
    assert steps_done(tmp_path) == [1, 2]
    assert finish(tmp_path) == reference[0]


def test_asked_to_end_in_the_last_step(reference: tuple[bytes, float], tmp_path: Path) -> None:
    """The work is done, and yet the user asked to end: told so, and nothing is lost."""
    process = begin(tmp_path, 3, int(signal.SIGINT))
    process.communicate(timeout=120)
    assert process.returncode == 130
    assert not (tmp_path / "result").exists()
    assert finish(tmp_path) == reference[0]


def test_sabotage_a_state_that_is_not_whole_is_noticed(reference: tuple[bytes, float], tmp_path: Path) -> None:
    begin(tmp_path, STEPS, int(signal.SIGTERM)).communicate(timeout=120)
    checkpoints = Checkpoints(tmp_path / "checkpoints", mini_training.IDENTITY, print)
    saved = checkpoints.load()
    assert saved is not None
    checkpoints.save(saved.step, {**saved.tensors, "momentum": 0 * saved.tensors["momentum"]}, saved.state)
    assert finish(tmp_path) != reference[0]
