"""Ending on request: Ctrl-C and SIGTERM let a command tidy up, a second one ends it at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

STATUS_OF_SIGNAL = 128  # what shells add to a signal's number


class Stopped(KeyboardInterrupt):
    """A signal asked the command to end. As KeyboardInterrupt, no handler of errors takes it for one."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = STATUS_OF_SIGNAL + number


@contextlib.contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` in the main thread at the first SIGINT or SIGTERM; end the process at the second.

    What was running is left by its own `finally` clauses, which give locks back and remove unfinished files. A second
    signal finds everything as a crash would: whole files and strays that are swept later. Windows ends a process
    without SIGTERM reaching it; there only Ctrl-C is told. Nothing happens outside the main thread.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    stop = _handler()
    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handler() -> Callable[[int, FrameType | None], None]:
    seen: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        if seen:
            os._exit(STATUS_OF_SIGNAL + number)
        seen.append(number)
        raise Stopped(number)

    return stop
