"""The engine on each of Keras' backends. The checks themselves are in `engine_child.py` and `head_checks.py`."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.training.tuning import engine_child, head_checks

ROOT = Path(__file__).resolve().parents[3]
EACH_STEP = "check_resuming_at_each_step_changes_nothing"  # one network built for each step
CHECKS = [name for name in (*dir(engine_child), *dir(head_checks)) if name.startswith("check_") and name != EACH_STEP]
CORE = [  # each time; `make test-wide` runs them on the other backends that are installed, `make test-slow` runs all
    "check_a_loss_that_is_no_number_stops_at_once",
    "check_a_head_with_statistics_trains_as_in_keras",
    "check_equal_tasks_give_equal_bytes",
    "check_one_sigmoid_unit_trains_as_in_keras",
    "check_resuming_again_and_again_changes_nothing",
    "check_sabotage_a_changed_frozen_tensor_is_found",
    "check_stored_activations_train_as_end_to_end",
    "check_the_best_epochs_weights_are_given_back",
    "check_the_head_phase_leaves_the_backbone_alone",
    "check_the_loss_is_the_formula",
    "check_training_changes_what_is_trained_and_nothing_else",
]
INSTALLED = [name for name in ("tensorflow", "jax", "torch") if importlib.util.find_spec(name) is not None]
BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(name not in INSTALLED, reason=f"{name} is not installed"))
    for name in ("tensorflow", "jax", "torch")
]
EACH_TIME = [
    *BACKENDS[:1],
    *(pytest.param(*each.values, marks=[*each.marks, pytest.mark.wide]) for each in BACKENDS[1:]),
]


def run_checks(backend: str, names: list[str]) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    paths = [str(ROOT / "src"), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    words = [sys.executable, "-m", engine_child.__name__, backend, *names]
    ended = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr[-4000:]
    return json.loads(ended.stdout.splitlines()[-1])


@pytest.fixture(scope="module", params=EACH_TIME)
def core(request: pytest.FixtureRequest) -> dict[str, str]:
    """What the core checks gave, in one process: loading a backend takes longer than most of them."""
    return run_checks(request.param, CORE)


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest) -> dict[str, str]:
    """What all checks of one backend gave."""
    return run_checks(request.param, CHECKS)


@pytest.mark.parametrize("check", CORE)
def test_core(core: dict[str, str], check: str):
    assert not core[check], core[check]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("results", BACKENDS, indirect=True)
@pytest.mark.parametrize("check", CHECKS)
def test_engine(results: dict[str, str], check: str):
    assert not results[check], results[check]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("backend", BACKENDS)
def test_resuming_at_each_step(backend: str):
    (problem,) = run_checks(backend, [EACH_STEP]).values()
    assert not problem, problem


@pytest.mark.slow
def test_sabotage_a_check_that_fails_is_told():
    assert set(CORE) <= set(CHECKS)
    assert "KeyError" in run_checks(INSTALLED[0], ["no_such_check"])["no_such_check"]
