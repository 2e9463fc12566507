"""Work that must happen in another process: one job in, one answer out, both JSON."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from graft.core.errors import CODES, BadInput, GraftError, ImageRefused, IntegrityProblem, ResourceProblem

KINDS: Mapping[str, type[GraftError]] = {
    kind.__name__: kind for kind in (GraftError, BadInput, ImageRefused, ResourceProblem, IntegrityProblem)
}
SOURCE_ROOT = Path(__file__).parents[2]
LAST_LINE_CHARACTERS = 300

Answer = dict[str, Any]


def run_child(
    module: str,
    job: Mapping[str, Any],
    *,
    environment: Mapping[str, str],
    timeout_seconds: float,
    task: str,
    code: str = "cannot_compile",
) -> Answer:
    """Run `python -m module` with `job` on its standard input and return its answer.

    `environment` is added to this process's own. `task` says in the user's words what is being done, to begin an
    error with. A GraftError of the child is raised here again; a child that crashes, hangs or answers nonsense is a
    ResourceProblem with `code` and the last line the child wrote to standard error.
    """
    try:
        # -P: `-m` would otherwise let a file named numpy.py in the user's folder take numpy's place.
        ended = subprocess.run(
            [sys.executable, "-P", "-m", module],
            input=json.dumps(job, allow_nan=False).encode(),
            capture_output=True,
            env=_environment(environment),
            timeout=timeout_seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ResourceProblem(
            f"{task} must end within {timeout_seconds:g} seconds, got no answer.{_last_line(error.stderr)}",
            hint="Close other programs and try again.",
            code=code,
        ) from None
    except OSError as error:
        raise ResourceProblem(f"{task} needs a second process, got: {error}.", code=code) from error
    answer = _answer(ended.stdout)
    if "error" in answer:
        raise _rebuilt(answer["error"])
    if ended.returncode != 0 or not isinstance(answer.get("ok"), dict):
        raise _crash(task, ended.returncode, ended.stderr, code)
    return dict(answer["ok"])


def serve_child(function: Callable[[Answer], Answer]) -> None:
    """Answer one job: what the child's `__main__` calls.

    While `function` runs, standard output goes to standard error, so that what a library prints, even from C, is
    never taken for the answer. A GraftError becomes an answer; any other exception ends the process with a traceback.
    """
    sys.stdout.flush()
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    try:
        answer: Answer = {"ok": function(json.loads(sys.stdin.buffer.read()))}
    except GraftError as error:
        kind = next(each.__name__ for each in type(error).__mro__ if each.__name__ in KINDS)
        answer = {"error": {"kind": kind, "code": error.code, "message": error.message, "hint": error.hint}}
    sys.stdout.flush()
    with answers:
        answers.write("\n" + json.dumps(answer, allow_nan=False) + "\n")


def _environment(extra: Mapping[str, str]) -> dict[str, str]:
    """This process's environment with `extra`; the package is found wherever this process found it."""
    merged = {**os.environ, **extra}
    paths = (str(SOURCE_ROOT), merged.get("PYTHONPATH", ""))
    return {**merged, "PYTHONPATH": os.pathsep.join(path for path in paths if path), "PYTHONIOENCODING": "utf-8"}


def _answer(output: bytes) -> Answer:
    """The last line of `output` as an answer; an empty one where it is none."""
    lines = output.strip().splitlines()
    try:
        answer = json.loads(lines[-1]) if lines else {}
    except ValueError:
        return {}  # told as a crash, together with the exit status
    return answer if isinstance(answer, dict) else {}


def _rebuilt(error: Mapping[str, str]) -> GraftError:
    code = error["code"] if error["code"] in CODES else "internal"
    return KINDS[error.get("kind", "GraftError")](error["message"], hint=error["hint"], code=code)


def _crash(task: str, status: int, stderr: bytes, code: str) -> ResourceProblem:
    ended = f"was stopped by signal {-status}" if status < 0 else f"ended with status {status} and no answer"
    killed = status in {-9, 137}
    return ResourceProblem(
        f"{task} failed: its process {ended}.{_last_line(stderr)}",
        hint="The machine probably ran out of memory: close other programs and try again." if killed else "",
        code=code,
    )


def _last_line(stderr: bytes | None) -> str:
    lines = (stderr or b"").decode("utf-8", errors="replace").strip().splitlines()
    return f" It said: {lines[-1].strip()[:LAST_LINE_CHARACTERS]}" if lines else ""
