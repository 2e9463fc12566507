"""A recipe of two phases, killed or stopped in either, ends as if nothing had been; the first one's bundle too."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from graft.bundle.bundle import Bundle
from graft.core.hashing import sha256_file
from graft.core.randomness import stream
from tests.crash.faults import let_leases_pass
from tests.crash.test_tuning_kills import another, assert_same
from tests.crash.tuning import PHASES, RECIPE_WORDS, SAME_OF_RECIPE, SECONDS_TO_END, Training
from tests.pipeline.conftest import write_photos

TRIALS = 6
FIRST = "phase-1.graft"

# Looked for, not imported: that takes seconds, and the tests' own process computes nothing.
pytestmark = [
    pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="needs the extra finetune"),
    pytest.mark.timeout(3600),
    pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to kill, and sends no signals"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Training:
    """The run nobody disturbed."""
    place = tmp_path_factory.mktemp("phases")
    photos = write_photos(place / "photos", per_class=12)
    training = Training(photos, place / "reference", RECIPE_WORDS, SAME_OF_RECIPE)
    training.place.mkdir()
    training.finish()
    return training


def kill(training: Training, process: "subprocess.Popen[str]", after_seconds: float = 0.0) -> None:
    """With all that it started, unless it has ended by then."""
    try:
        process.wait(timeout=after_seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    let_leases_pass(training.place)


def test_the_undisturbed_run_holds_both_phases(reference: Training) -> None:
    told = json.loads((reference.run / "tuning.json").read_text())
    assert [each["bundle"] for each in told["phases"]] == [FIRST, ""]
    assert len(told["epochs"]) == sum(PHASES)
    results = reference.results()
    assert results[FIRST] != results["classifier.graft"]


def test_killed_in_the_first_phase(reference: Training, tmp_path: Path) -> None:
    training = another(reference, tmp_path)
    process = training.begin()
    assert training.wait_for_commit(process)
    kill(training, process)
    assert training.commits(1) and not training.commits(2)
    assert not (training.run / FIRST).exists()
    training.finish()
    assert_same(training, reference)


def test_killed_when_the_first_phase_has_just_ended(reference: Training, tmp_path: Path) -> None:
    """Its last checkpoint holds all of it: its bundle is made of that, whether it had been written or not."""
    training = another(reference, tmp_path)
    process = training.begin()
    assert training.wait_for_commit(process, PHASES[0])
    kill(training, process)
    assert not training.commits(2)
    training.finish()
    assert_same(training, reference)


def test_killed_in_the_second_phase_the_first_one_s_bundle_stays(reference: Training, tmp_path: Path) -> None:
    training = another(reference, tmp_path)
    process = training.begin()
    assert training.wait_for_commit(process, phase=2)
    kill(training, process)
    wanted = sha256_file(reference.run / FIRST)
    assert sha256_file(training.run / FIRST) == wanted
    with Bundle.load(training.run / FIRST, cache=training.cache) as bundle:  # with its golden check
        assert bundle.classes == ("checks", "plain", "stripes")
    process = training.begin()  # killed again, while the finished phase is only looked up
    assert training.wait_for_commit(process, phase=2)
    kill(training, process)
    assert sha256_file(training.run / FIRST) == wanted
    training.finish()
    assert_same(training, reference)


def test_a_bundle_of_the_first_phase_that_is_lost_comes_back(reference: Training, tmp_path: Path) -> None:
    training = another(reference, tmp_path)
    process = training.begin()
    assert training.wait_for_commit(process, phase=2)
    kill(training, process)
    (training.run / FIRST).unlink()
    training.finish()
    assert_same(training, reference)


def test_ctrl_c_in_the_second_phase_leaves_the_better_classifier_and_a_report(
    reference: Training, tmp_path: Path
) -> None:
    training = another(reference, tmp_path)
    process = training.begin()
    assert training.wait_for_commit(process, phase=2)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=SECONDS_TO_END)
    assert process.returncode == 130, told
    assert "Interrupted. The same command goes on" in told
    summary = json.loads((training.run / "tuning.json").read_text())
    assert summary["finished"] is False and training.commits(2)
    assert [each["name"] for each in summary["phases"]] == ["head", "block 5"]
    # The better one: by the validation photos, on which the run says how many each was right.
    report = json.loads((training.run / "report.json").read_text())
    assert report["fine_tuning"]["finished"] is False
    assert report["evaluation"]["bundle_hash"] == sha256_file(training.run / "classifier.graft")
    with Bundle.load(training.run / "classifier.graft", cache=training.cache) as bundle:
        kept = {"probe": "probe", "finetune": "finetune-vgg16-block5"}[summary["kept"]]
        assert bundle.manifest.provenance.recipe == kept
    compared = summary["comparison"]
    if compared["accuracy_second"] < compared["accuracy_first"]:
        assert summary["kept"] == "probe"
    assert sha256_file(training.run / FIRST) == sha256_file(reference.run / FIRST)
    training.finish()
    assert_same(training, reference)


@pytest.mark.parametrize("number", range(TRIALS))
def test_killed_at_any_time_and_begun_again(number: int, reference: Training, tmp_path: Path) -> None:
    """One kill in each phase, and one anywhere."""
    training = another(reference, tmp_path)
    draw = stream(0, "phase kills", str(number))
    for phase in (1, 2):
        process = training.begin()
        training.wait_for_commit(process, int(draw.integers(1, PHASES[phase - 1])), phase)
        kill(training, process, float(draw.uniform(0, 3)))
    if not (training.run / "tuning.json").exists():
        kill(training, training.begin(), float(draw.uniform(0, 15)))
    training.finish()
    assert_same(training, reference)
    shutil.rmtree(training.cache)


def test_sabotage_another_first_bundle_is_noticed(reference: Training, tmp_path: Path) -> None:
    shutil.copytree(reference.run, tmp_path / "run")
    training = Training(reference.photos, tmp_path, RECIPE_WORDS, SAME_OF_RECIPE)
    assert_same(training, reference)
    (tmp_path / "run" / FIRST).write_bytes(reference.results()["classifier.graft"])
    with pytest.raises(AssertionError):
        assert_same(training, reference)
