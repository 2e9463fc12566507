"""Work that ends itself when asked: the first signal is a question, the second an order."""

import os
import signal
import subprocess
import sys
import threading

import pytest

from graft.core.interrupts import ASKING, STATUS_OF_SIGNAL, Stop, Stopped, cooperative

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows ends a process without sending it a signal")

FIRST = """
import os, signal, sys
from graft.core.interrupts import Stopped, cooperative
number = int(sys.argv[1])
before = signal.getsignal(number)
steps = 0
with cooperative() as stop:
    while not stop() and steps < 5:
        steps += 1
        if steps == 3:
            os.kill(os.getpid(), number)
print(steps, stop.signal, signal.getsignal(number) is before)
try:
    stop.check()
except Stopped as stopped:
    sys.exit(stopped.status)
"""
SECOND = """
import os, signal, time
from graft.core.interrupts import cooperative
with cooperative() as stop:
    os.kill(os.getpid(), signal.SIGINT)
    print(stop(), flush=True)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(20)
    print("not reached")
"""
# Within a command, whose own handler raises: it must not while the work is cooperative, must count what came there
# as its first signal, and be as before where nothing came.
NESTED = """
import os, signal, sys, time
from graft.cli.signals import stoppable
from graft.core.interrupts import Stopped, cooperative
with stoppable():
    with cooperative() as stop:
        if sys.argv[1] == "asked":
            os.kill(os.getpid(), signal.SIGTERM)
        print("whole", stop.signal, flush=True)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(20)
    except Stopped as stopped:
        print("raised", stopped.status, flush=True)
"""
FAILS = """
import signal
from graft.core.interrupts import cooperative
before = signal.getsignal(signal.SIGINT)
try:
    with cooperative():
        raise ValueError("inside")
except ValueError as error:
    print(error, signal.getsignal(signal.SIGINT) is before)
"""


def in_a_process(script: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Signals are for processes: one that went astray here would end the whole suite."""
    return subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, timeout=60)


@posix_only
@pytest.mark.parametrize("number", [int(each) for each in ASKING])
def test_the_first_signal_is_a_question_and_handlers_come_back(number: int) -> None:
    ended = in_a_process(FIRST, str(number))
    assert (ended.stdout, ended.returncode) == (f"3 {number} True\n", 128 + number), ended.stderr


@posix_only
def test_the_second_signal_ends_the_process_at_once() -> None:
    ended = in_a_process(SECOND)
    assert (ended.stdout, ended.returncode) == ("True\n", 128 + signal.SIGTERM)


@posix_only
def test_within_a_command_what_came_counts_as_the_commands_first() -> None:
    ended = in_a_process(NESTED, "asked")
    assert (ended.stdout, ended.returncode) == ("whole 15\n", 130), ended.stderr


@posix_only
def test_within_a_command_that_nobody_asked_to_end() -> None:
    ended = in_a_process(NESTED, "not asked")
    assert (ended.stdout, ended.returncode) == ("whole None\nraised 130\n", 0), ended.stderr


def test_an_error_passes_and_handlers_come_back() -> None:
    assert in_a_process(FAILS).stdout == "inside True\n"


def test_nothing_asked_is_nothing_raised() -> None:
    with cooperative() as stop:
        assert not stop()
    stop.check()
    assert stop.signal is None


def test_check_raises_what_ends_a_command() -> None:
    stop = Stop()
    stop.signal = int(signal.SIGINT)
    with pytest.raises(Stopped) as caught:
        stop.check()
    assert caught.value.status == STATUS_OF_SIGNAL + signal.SIGINT
    assert isinstance(caught.value, KeyboardInterrupt)


def test_other_threads_are_left_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with cooperative() as stop:
            seen.extend([signal.getsignal(signal.SIGINT), stop()])

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]
