"""Reads every file of a folder with the decoder and says, a line each, what came of it and what it cost."""

import io
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from graft.core.errors import ImageRefused
from graft.data import images
from graft.data.records import ImageRules
from tests.hostile.image_kinds import GOOD
from tests.memory import peak_memory_bytes

RULES = ImageRules()
REPETITIONS = 3
CLEAR_REFS = Path("/proc/self/clear_refs")


def forget_peak() -> bool:
    """Begin a new high-water mark of this process' memory at what it holds now; False where the system cannot."""
    try:
        CLEAR_REFS.write_text("5", "ascii")
    except OSError:
        return False
    return True


def check(data: bytes) -> tuple[str, ...]:
    """The reader that is watched: what it notes of an image."""
    return images.check(data, rules=RULES).flags


def decode_whatever_it_is(data: bytes) -> tuple[str, ...]:
    """A careless reader, which looks at nothing before it decodes."""
    PIL.Image.open(io.BytesIO(data)).load()
    return ()


def cost(read: Callable[[bytes], tuple[str, ...]], data: bytes) -> dict[str, Any]:
    """What comes of one file, seconds of the processor and bytes of memory beyond those held before.

    The most memory and the least time of a few readings: a busy machine makes caches cold, but no reader faster.
    """
    code, flags = "", ()
    seconds, growth = [], []
    for _ in range(REPETITIONS):
        forget_peak()
        before, began = peak_memory_bytes(), time.process_time()
        try:
            flags = read(data)
        except ImageRefused as refusal:
            code = refusal.code
        seconds.append(time.process_time() - began)
        growth.append(peak_memory_bytes() - before)
    return {"code": code, "flags": flags, "seconds": min(seconds), "growth_bytes": max(growth)}


def main(folder: Path, read: Callable[[bytes], tuple[str, ...]]) -> None:
    """Warm up with every good kind, so that only what the file itself costs is counted."""
    for kind in GOOD:
        images.check(kind.make(np.random.default_rng(0)), rules=RULES)
    for path in sorted(folder.iterdir()):
        print(json.dumps(cost(read, path.read_bytes())))


if __name__ == "__main__":
    if "--loud" in sys.argv:  # as if nothing silenced the decoders
        images.silence_pillow = lambda: None
        images.silence_libtiff = lambda path: None
    main(Path(sys.argv[1]), decode_whatever_it_is if "--careless" in sys.argv else check)
