"""A worker that runs the tiny network of `tests.bundle.making`, and fails where an image tells it to.

Starts in a fraction of the real one's time, and computes nothing worth waiting for.
"""

import os
import sys
import time

import numpy as np

from graft.bundle.bundle import Bundle
from graft.serving.worker import Refused, decoded, work
from tests.bundle.making import install_tiny

# A "file" that is no image and tells the worker what to do.
EXIT, RAISE, HANG, SLOW, BROKEN = b"odd:exit", b"odd:raise", b"odd:hang", b"odd:slow", b"odd:broken"
SLOW_SECONDS = 0.2


def main() -> None:
    install_tiny(setattr)
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def decode_oddly(bundle: Bundle, kind: str, data: bytes) -> np.ndarray | Refused:
        if data == EXIT:
            os._exit(1)
        if data == RAISE:
            raise RuntimeError("as asked")
        if data == HANG:
            time.sleep(600)
        if data == SLOW:
            time.sleep(SLOW_SECONDS)
        if data == BROKEN:
            outgoing.write(b"\0\0\0\x0c" + b'{"parts":[]}')
            outgoing.flush()
        return decoded(bundle, kind, data)

    work(sys.stdin.buffer, outgoing, decode_oddly)


if __name__ == "__main__":
    main()
