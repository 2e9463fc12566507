"""Ending on request: what Ctrl-C and SIGTERM do. The one place that installs handlers of signals."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STATUS_OF_SIGNAL = 128  # what shells add to a signal's number
ASKING = (signal.SIGINT, signal.SIGTERM)  # Windows ends a process without SIGTERM reaching it: only Ctrl-C is told


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end. As KeyboardInterrupt, no handler of errors takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = STATUS_OF_SIGNAL + number


class Stop:
    """Whether the user asked to end: `stop()`; and by which signal, once `stop.signal` is not None."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def __call__(self) -> bool:
        """True from the first signal on."""
        return self.signal is not None

    def check(self) -> None:
        """Raise `Stopped` where the user asked to end: what the work does when it has put everything away."""
        if self.signal is not None:
            raise Stopped(self.signal)


@contextlib.contextmanager
def cooperative() -> Iterator[Stop]:
    """While it lasts, the first SIGINT or SIGTERM only makes `stop()` true; the second ends the process at once.

    For work that looks at `stop()` often and can be gone on with later. It ends by itself, writes what it has, and
    calls `stop.check()` after the context, for a signal may also have come when the work was done. Outside the main
    thread nothing happens, and `stop()` stays false.
    """
    stop = Stop()

    def remember(number: int) -> None:
        stop.signal = number

    with on_first_signal(remember):
        yield stop


@contextlib.contextmanager
def on_first_signal(act: Callable[[int], None]) -> Iterator[None]:
    """Call `act` with the number of the first SIGINT or SIGTERM, in the main thread; a second one ends the process.

    The second finds everything as a crash would: whole files, and strays that are swept later. Handlers that were
    there before come back; one of ours counts what came meanwhile as its own first signal. Nothing happens outside
    the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handler = _Handler(act)
    before = {number: signal.signal(number, handler) for number in ASKING}
    try:
        yield
    finally:
        for number, earlier in before.items():
            if isinstance(earlier, _Handler) and earlier.seen is None:
                earlier.seen = handler.seen
            signal.signal(number, signal.SIG_DFL if earlier is None else earlier)  # None: not installed by Python


class _Handler:
    """What a signal calls."""

    def __init__(self, act: Callable[[int], None]) -> None:
        self.seen: int | None = None
        self._act = act

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if self.seen is not None:
            os._exit(STATUS_OF_SIGNAL + number)
        self.seen = number
        self._act(number)
