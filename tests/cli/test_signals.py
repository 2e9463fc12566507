"""Ctrl-C and SIGTERM: the command tidies up, says so by its exit status, and can be given again."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from graft.cli.signals import stoppable
from graft.core.files import STRAY_PATTERN
from tests.pipeline.conftest import write_photos

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without sending it a signal")
SECONDS_TO_END = 10.0  # what is promised
SECONDS_TO_BEGIN = 120.0


FIRST = """
import os, signal, sys, time
from graft.cli.signals import stoppable
from graft.core.interrupts import Stopped
number = int(sys.argv[1])
before = signal.getsignal(number)
try:
    with stoppable():
        os.kill(os.getpid(), number)
        time.sleep(20)
except Stopped as stopped:
    print(stopped.status, signal.getsignal(number) is before)
"""
SECOND = """
import os, signal, time
from graft.cli.signals import stoppable
from graft.core.interrupts import Stopped
with stoppable():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(20)
    except Stopped:
        print("stopped", flush=True)
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(20)
"""
COMMAND = """
import os, sys, time
from graft.cli import main as entry
def dispatch(words, console):
    os.kill(os.getpid(), int(sys.argv[1]))
    time.sleep(20)
    return 0
entry.dispatch = dispatch
sys.exit(entry.main(["train", "photos"]))
"""


def in_a_process(script: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Signals are for processes: one that went astray here would end the whole suite."""
    return subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60)


@posix_only
@pytest.mark.parametrize("number", [int(signal.SIGINT), int(signal.SIGTERM)])
def test_the_first_signal_is_an_exception_and_handlers_come_back(number: int) -> None:
    assert in_a_process(FIRST, str(number)).stdout == f"{128 + number} True\n"


@posix_only
def test_the_second_signal_ends_the_process() -> None:
    ended = in_a_process(SECOND)
    assert (ended.stdout, ended.returncode) == ("stopped\n", 130)


def test_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with stoppable():
            seen.append(signal.getsignal(signal.SIGINT))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


@posix_only
@pytest.mark.parametrize(("number", "status"), [(int(signal.SIGINT), 130), (int(signal.SIGTERM), 143)])
def test_the_exit_status_says_which(number: int, status: int) -> None:
    ended = in_a_process(COMMAND, str(number))
    assert ended.returncode == status
    assert ended.stderr.startswith("Interrupted. The same command goes on")


def begin(photos: Path, run: Path, cache: Path) -> "subprocess.Popen[str]":
    words = ["train", str(photos), "-o", str(run), "--backbone", "sprout", "--image-size", "64"]
    return subprocess.Popen(
        [sys.executable, "-m", "graft", *words, "--precision", "float32"],
        env=os.environ | {"GRAFT_CACHE": str(cache)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@posix_only
@pytest.mark.parametrize(
    ("number", "status"), [pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow), (signal.SIGTERM, 143)]
)
def test_a_training_is_stopped_and_continued(number: int, status: int, tmp_path: Path) -> None:
    """Stopped while it compiles the network, the longest wait there is; then the same command goes to its end."""
    photos, run, cache = write_photos(tmp_path / "photos", per_class=8), tmp_path / "run", tmp_path / "cache"
    process = begin(photos, run, cache)
    give_up = time.monotonic() + SECONDS_TO_BEGIN
    while not list(cache.glob(f"compiled/*/{STRAY_PATTERN}")) and time.monotonic() < give_up:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    assert run.joinpath("plan.json").is_file()
    process.send_signal(number)
    _, told = process.communicate(timeout=SECONDS_TO_END * 6)  # a busy machine; what is promised is less
    assert (process.returncode, told) == (
        status,
        "Interrupted. The same command goes on from here: what was computed is kept.\n",
    )
    assert not list(run.glob(STRAY_PATTERN)) and not list(cache.glob("scratch/*"))
    again = begin(photos, run, cache)
    _, told = again.communicate(timeout=SECONDS_TO_BEGIN)
    assert again.returncode == 0, told
    assert not list(run.glob(STRAY_PATTERN))
