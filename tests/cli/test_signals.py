"""Ctrl-C and SIGTERM: the command tidies up, says so by its exit status, and can be given again."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from graft.cli import main as entry
from graft.cli import signals
from graft.cli.main import main
from graft.cli.signals import Stopped, stoppable
from graft.core.files import STRAY_PATTERN
from tests.pipeline.conftest import write_photos

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without sending it a signal")
SECONDS_TO_END = 10.0  # what is promised
SECONDS_TO_BEGIN = 120.0


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_an_exception_and_handlers_come_back(number: int) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as caught, stoppable():
        os.kill(os.getpid(), number)
        time.sleep(5)
    assert caught.value.status == 128 + number
    assert signal.getsignal(number) is before


@posix_only
def test_the_second_signal_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(status: int) -> None:
        raise SystemExit(status)  # the genuine one does not come back either

    monkeypatch.setattr(signals.os, "_exit", leave)
    with stoppable():
        with pytest.raises(Stopped):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(5)
        with pytest.raises(SystemExit) as caught:
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
    assert caught.value.code == 130


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
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_exit_status_says_which(
    number: int, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def dispatch(words: object, console: object) -> int:
        os.kill(os.getpid(), number)
        time.sleep(5)
        return 0

    monkeypatch.setattr(entry, "dispatch", dispatch)
    assert main(["train", "photos"]) == status
    assert capsys.readouterr().err.startswith("Interrupted. Run the same command again")


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
        "Interrupted. Run the same command again: photos already read are kept.\n",
    )
    assert not list(run.glob(STRAY_PATTERN)) and not list(cache.glob("scratch/*"))
    again = begin(photos, run, cache)
    _, told = again.communicate(timeout=SECONDS_TO_BEGIN)
    assert again.returncode == 0, told
    assert not list(run.glob(STRAY_PATTERN))
