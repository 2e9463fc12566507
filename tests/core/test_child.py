"""Work in another process: answers, refusals, crashes."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from graft.core.child import run_child
from graft.core.errors import BadInput, GraftError, ImageRefused, IntegrityProblem, ResourceProblem

SCRIPT = """
import os, sys, time
import graft.core.errors as errors
from graft.core.child import serve_child

def work(job):
    if "noise" in job:
        print("a library prints")
        os.system("echo a program prints")
    if "raise" in job:
        raise getattr(errors, job["raise"])("X must be 1, got 2.", hint="Say 1.", code=job["code"])
    if "defect" in job:
        raise ValueError("the last line")
    if "exit" in job:
        os._exit(job["exit"])
    if "kill" in job:
        os.kill(os.getpid(), job["kill"])
    if "sleep" in job:
        print("still at it", file=sys.stderr, flush=True)
        time.sleep(job["sleep"])
    return {"job": job, "variable": os.environ.get("CHILD_VARIABLE", ""), "path": sys.path}

serve_child(work)
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("modules")
    (folder / "child_of_test.py").write_text(SCRIPT)
    (folder / "child_that_talks.py").write_text("print('no answer')\n")
    (folder / "child_that_lies.py").write_text("print('[1, 2]')\n")
    return folder


def ask(modules: Path, job: dict[str, Any], *, module: str = "child_of_test", timeout_seconds: float = 60.0) -> Any:
    paths = os.pathsep.join([str(modules), os.environ.get("PYTHONPATH", "")])
    environment = {"PYTHONPATH": paths, "CHILD_VARIABLE": "Grüße"}
    return run_child(module, job, environment=environment, timeout_seconds=timeout_seconds, task="Testing")


def test_answer_and_environment(modules: Path) -> None:
    job = {"text": "ß 写真 \n", "numbers": [1, 2.5, None], "noise": True}
    answer = ask(modules, job)
    assert answer["job"] == job
    assert answer["variable"] == "Grüße"


def test_the_users_folder_is_no_place_for_modules(
    modules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('taken over')")
    monkeypatch.chdir(tmp_path)
    assert str(tmp_path) not in ask(modules, {})["path"]


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (BadInput, "weights_refused"),
        (ImageRefused, "corrupt"),
        (ResourceProblem, "disk_full"),
        (IntegrityProblem, "hash_mismatch"),
        (GraftError, "internal"),
    ],
)
def test_refusals_arrive_as_they_were(kind: type[GraftError], code: str, modules: Path) -> None:
    with pytest.raises(GraftError) as caught:
        ask(modules, {"raise": kind.__name__, "code": code})
    assert type(caught.value) is kind
    assert (caught.value.code, caught.value.message, caught.value.hint) == (code, "X must be 1, got 2.", "Say 1.")


@pytest.mark.parametrize(
    ("job", "module", "says"),
    [
        ({"defect": 1}, "child_of_test", "ended with status 1 and no answer. It said: ValueError: the last line"),
        ({"exit": 3}, "child_of_test", "ended with status 3"),
        ({"exit": 0}, "child_of_test", "ended with status 0 and no answer"),
        ({}, "child_that_talks", "no answer"),
        ({}, "child_that_lies", "no answer"),
        ({}, "child_that_is_missing", "No module named child_that_is_missing"),
    ],
)
def test_crashes_are_a_resource_problem(job: dict[str, Any], module: str, says: str, modules: Path) -> None:
    with pytest.raises(ResourceProblem) as caught:
        ask(modules, job, module=module)
    assert caught.value.code == "cannot_compile"
    assert caught.value.message.startswith("Testing failed")
    assert says in caught.value.message


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals")
def test_a_killed_child_hints_at_memory(modules: Path) -> None:
    with pytest.raises(ResourceProblem, match="signal 9") as caught:
        ask(modules, {"kill": 9})
    assert "memory" in caught.value.hint


def test_a_hanging_child_is_ended(modules: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ResourceProblem, match=r"within 2 seconds, got no answer. It said: still at it") as caught:
        ask(modules, {"sleep": 60}, timeout_seconds=2.0)
    assert caught.value.code == "cannot_compile"
    assert time.monotonic() - began < 30


def test_no_process_at_all(modules: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "no-python"))
    with pytest.raises(ResourceProblem, match="needs a second process"):
        ask(modules, {})


def test_jobs_are_plain_json(modules: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        ask(modules, {"number": float("nan")})
    assert json.loads(json.dumps(ask(modules, {"number": 1})))["job"] == {"number": 1}
