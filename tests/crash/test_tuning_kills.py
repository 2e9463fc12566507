"""A fine-tuning that is killed, stopped, or finds its checkpoints damaged goes on, and ends as if nothing had been."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from graft.core.files import STRAY_PATTERN
from graft.core.hashing import sha256_file
from graft.core.randomness import stream
from graft.pipeline.train import TrainResult
from tests.crash.faults import let_leases_pass
from tests.crash.tuning import SECONDS_TO_END, Training
from tests.pipeline.conftest import finished, photos, write_photos  # noqa: F401 - fixtures

TRIALS = 20
MOST_KILLS = 3
SECONDS_TO_STOP = 10.0  # what is promised

# Looked for, not imported: that takes seconds, and the tests' own process computes nothing.
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs the extra finetune"),
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to kill, and sends no signals"),
]
slow = pytest.mark.slow


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The run nobody disturbed."""
    place = tmp_path_factory.mktemp("tuning")
    training = Training(write_photos(place / "photos", per_class=20), place / "reference")
    training.place.mkdir()
    training.finish()
    return training


def another(reference: Training, place: Path) -> Training:
    """The same training elsewhere, with the same network compiled already and nothing else computed."""
    training = replace(reference, place=place)
    shutil.copytree(reference.cache / "compiled", training.cache / "compiled")
    return training


def assert_same(training: Training, reference: Training) -> None:
    found, wanted = training.results(), reference.results()
    assert [name for name in wanted if found[name] != wanted[name]] == []
    assert not (training.run / "checkpoints").exists(), "checkpoints of a finished training must go"
    assert not list(training.run.rglob(STRAY_PATTERN))


def test_sigterm_leaves_a_checkpoint_and_a_classifier(finished: TrainResult, tmp_path: Path) -> None:  # noqa: F811
    """What was trained is kept, the probe's classifier can be used meanwhile, and the user is told how to go on."""
    training = Training(write_photos(tmp_path / "photos", per_class=8), tmp_path)
    shutil.copytree(Path(os.environ["GRAFT_CACHE"]) / "compiled", training.cache / "compiled")
    process = training.begin()
    assert training.wait_for_commit(process)
    process.send_signal(signal.SIGTERM)
    _, told = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode == 143, told
    assert "Interrupted. The same command goes on" in told
    assert training.commits()
    assert (training.run / "classifier.graft").is_file()
    assert not list(training.run.rglob(STRAY_PATTERN))


@slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_end_and_begun_again(number: int, status: int, reference: Training, tmp_path: Path) -> None:
    training = another(reference, tmp_path)
    process = training.begin()
    assert training.wait_for_commit(process)
    process.send_signal(number)
    _, told = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode == status, told
    assert "Interrupted. The same command goes on" in told
    assert training.commits()
    if number == signal.SIGINT:  # the report speaks of the classifier that is there
        report = json.loads((training.run / "report.json").read_text())
        assert report["fine_tuning"]["finished"] is False
        assert report["evaluation"]["bundle_hash"] == sha256_file(training.run / "classifier.graft")
    training.finish()
    assert_same(training, reference)


@slow
def test_a_checkpoint_is_there_within_the_time_promised(reference: Training, tmp_path: Path) -> None:
    training = another(reference, tmp_path)
    process = training.begin()
    assert training.wait_for_commit(process)
    before, began = training.commits(), time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=SECONDS_TO_END)
    assert time.monotonic() - began < 3 * SECONDS_TO_STOP  # a busy machine; what is promised is less
    assert training.commits() >= before


@slow
def test_asked_twice_it_ends_at_once_and_the_last_commit_stands(reference: Training, tmp_path: Path) -> None:
    training = another(reference, tmp_path)
    process = training.begin()
    assert training.wait_for_commit(process)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode == 130
    let_leases_pass(training.place)
    training.finish()
    assert_same(training, reference)


@slow
def test_a_damaged_newest_checkpoint_is_told_and_passed_over(reference: Training, tmp_path: Path) -> None:
    training = another(reference, tmp_path)
    kill_late(training)
    newest, before = training.commits()[-1], training.commits()[-2]
    content = bytearray(newest.read_bytes())
    content[-1] ^= 1
    newest.write_bytes(content)
    training.finish()
    found, wanted = training.results(), reference.results()
    assert found["classifier.graft"] == wanted["classifier.graft"]
    (event,) = [text for text in json.loads(found["tuning.json"])["events"] if "checkpoint_corrupt" in text]
    assert newest.name in event and before.name in event
    assert newest.name in (training.run / "report.html").read_text(encoding="utf-8")


@slow
def test_no_good_checkpoint_is_an_error_and_never_a_restart(reference: Training, tmp_path: Path) -> None:
    training = another(reference, tmp_path)
    kill_late(training)
    for path in training.commits():
        path.write_bytes(path.read_bytes()[:-1])
    process = training.begin()
    _, told = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode == 4, told
    assert str(training.run / "checkpoints") in told
    shutil.rmtree(training.run / "checkpoints")  # as the hint says
    training.finish()
    assert_same(training, reference)


def kill_late(training: Training) -> None:
    """Kill the training when it has two checkpoints."""
    process = training.begin()
    assert training.wait_for_commit(process, 2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    let_leases_pass(training.place)
    assert len(training.commits()) >= 2


# What Python asks first for the version of a library; here another Keras seems to be installed.
OTHER_KERAS = """
import importlib.metadata as metadata
real = metadata.version
metadata.version = lambda name: "3.99.0" if name == "keras" else real(name)
from graft.cli.main import main
raise SystemExit(main())
"""


@slow
@pytest.mark.parametrize(
    ("words", "program", "field"),
    [
        ((), ("-c", OTHER_KERAS), "keras (3."),
        (("--backend", "jax"), ("-m", "graft"), "backend"),
        (("--epochs", "13"), ("-m", "graft"), "epochs (12 there, 13 now)"),
        (("--augment", "strong"), ("-m", "graft"), "augmentation"),
        (("--seed", "1"), ("-m", "graft"), "seed (0 there, 1 now)"),
    ],
    ids=["Keras", "backend", "epochs", "augmentation", "seed"],
)
def test_going_on_under_changed_conditions_is_refused(
    words: tuple[str, ...], program: tuple[str, ...], field: str, halfway: Training
) -> None:
    before = contents(halfway.run)
    process = halfway.begin("--json", *words, program=program)
    _, told = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode == 2, told
    assert field in told
    assert contents(halfway.run) == before


def contents(folder: Path) -> dict[Path, bytes]:
    """All there is, but for locks and what killed processes left."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name[0] != "."}


@pytest.fixture(scope="module")
def halfway(reference: Training, tmp_path_factory: pytest.TempPathFactory) -> Training:
    """A training that was stopped with its work half done."""
    training = another(reference, tmp_path_factory.mktemp("halfway"))
    kill_late(training)
    return training


@slow
def test_other_photos_are_refused(halfway: Training, tmp_path: Path) -> None:
    moved = Training(tmp_path / "photos", halfway.place)
    shutil.copytree(halfway.photos, moved.photos)
    next(moved.photos.rglob("*.png")).unlink()
    _, told = (process := moved.begin()).communicate(timeout=SECONDS_TO_END)
    assert process.returncode == 2, told
    assert "manifest_hash" in told


# Kills at random times


@pytest.fixture(scope="module")
def landings() -> Iterator[Counter[str]]:
    """Where the kills of all trials fell; shown at the end."""
    counts: Counter[str] = Counter()
    yield counts
    print("\nkills landed in:", ", ".join(f"{stage} {n}" for stage, n in counts.most_common()))


def stage(training: Training) -> str:
    """What the killed attempts have reached together."""
    if (training.run / "tuning.json").exists():
        return "end"
    if training.commits():
        return f"after {training.commits()[-1].stem}"
    return "before the first checkpoint"


@slow
@pytest.mark.parametrize("number", range(TRIALS))
def test_killed_and_begun_again(number: int, reference: Training, tmp_path: Path, landings: Counter[str]) -> None:
    """Every other kill waits for checkpoints first: loading the libraries takes longer than the training itself."""
    training = another(reference, tmp_path)
    draw = stream(0, "tuning kills", str(number))
    for kill in range(int(draw.integers(1, MOST_KILLS + 1))):
        process = training.begin()
        if (kill + number) % 2:
            training.wait_for_commit(process, int(draw.integers(1, 6)))
            pause = float(draw.uniform(0, 0.3))
        else:
            pause = float(draw.uniform(0, 20))
        try:
            process.wait(timeout=pause)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        landings[stage(training)] += 1
        let_leases_pass(training.place)
        if (training.run / "tuning.json").exists():
            break
    training.finish()
    assert_same(training, reference)
    shutil.rmtree(training.cache)


@slow
def test_sabotage_another_result_is_noticed(reference: Training, tmp_path: Path) -> None:
    shutil.copytree(reference.run, tmp_path / "run")
    training = Training(reference.photos, tmp_path)
    assert_same(training, reference)
    history = tmp_path / "run" / "history.csv"
    history.write_bytes(history.read_bytes().replace(b"0.", b"1.", 1))
    with pytest.raises(AssertionError):
        assert_same(training, reference)
