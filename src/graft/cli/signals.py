"""Ending on request: Ctrl-C and SIGTERM let a command tidy up, a second one ends it at once."""

from contextlib import AbstractContextManager
from typing import NoReturn

from graft.core.interrupts import Stopped, on_first_signal


def stoppable() -> AbstractContextManager[None]:
    """Raise `Stopped` in the main thread at the first SIGINT or SIGTERM; end the process at the second.

    What was running is left by its own `finally` clauses, which give locks back and remove unfinished files. Nothing
    happens outside the main thread.
    """
    return on_first_signal(_stop)


def _stop(number: int) -> NoReturn:
    raise Stopped(number)
