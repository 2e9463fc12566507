"""Named random streams: one seed, one independent generator for each purpose."""

import hashlib

import numpy as np


def stream(seed: int, *names: str) -> np.random.Generator:
    """A generator that depends on nothing but `seed` and `names`.

    Streams of different names are independent, so drawing more numbers for one purpose never changes another.
    """
    text = "\x00".join((str(seed), *names))
    key = int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little")
    return np.random.Generator(np.random.Philox(key=key))
