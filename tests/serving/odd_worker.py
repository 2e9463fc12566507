"""A worker that runs the tiny network of `tests.bundle.making`, and fails where the size of an image tells it to.

Starts in a fraction of the real one's time, and computes nothing worth waiting for.
"""

import os
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

from graft.bundle.bundle import Bundle
from graft.serving.worker import Answers, answer_group, work
from tests.bundle.making import install_tiny

# The first bytes of a "file" that is no image and tells the worker what to do.
EXIT, RAISE, HANG, SLOW, BROKEN = b"odd:exit", b"odd:raise", b"odd:hang", b"odd:slow", b"odd:broken"
SLOW_SECONDS = 0.2


def answer_oddly(
    bundle: Bundle, pool: ThreadPoolExecutor, kinds: Sequence[str], parts: Sequence[bytes]
) -> Iterator[Answers]:
    if EXIT in parts:
        os._exit(1)
    if RAISE in parts:
        raise RuntimeError("as asked")
    if HANG in parts:
        time.sleep(600)
    if SLOW in parts:
        time.sleep(SLOW_SECONDS)
    for answers in answer_group(bundle, pool, kinds, parts):
        yield answers[:-1] if BROKEN in parts else answers


def main() -> None:
    install_tiny(setattr)
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    work(sys.stdin.buffer, outgoing, answer_oddly)


if __name__ == "__main__":
    main()
