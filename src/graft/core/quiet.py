"""Libraries that talk from C while they are loaded are loaded without a word of theirs on the terminal."""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from typing import TextIO

STANDARD_ERROR = 2


@contextlib.contextmanager
def without_native_remarks() -> Iterator[None]:
    """While it lasts, what is written to the descriptor of standard error goes nowhere; Python's own writes are shown.

    For imports only: TensorFlow writes remarks on the processor before any of its settings for them can be heard. What
    goes wrong is told by exceptions, which pass.
    """
    shown = sys.stderr
    if shown is None:
        yield
        return
    try:
        shown.flush()
        kept = os.dup(STANDARD_ERROR)
    except (OSError, ValueError):  # it was closed
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, STANDARD_ERROR)
    os.close(nowhere)
    try:
        if _writes_to_descriptor(shown):
            sys.stderr = io.TextIOWrapper(
                os.fdopen(os.dup(kept), "wb", buffering=0), encoding=shown.encoding, errors="backslashreplace"
            )
            sys.stderr.reconfigure(write_through=True)
        yield
    finally:
        sys.stderr = shown
        os.dup2(kept, STANDARD_ERROR)
        os.close(kept)


def _writes_to_descriptor(stream: TextIO) -> bool:
    """Whether a stream ends in the descriptor itself, not in a test's buffer or a notebook's cell."""
    try:
        return stream.fileno() == STANDARD_ERROR
    except (OSError, AttributeError):
        return False
