"""Reads every file of a folder with the decoder and says, a line each, what came of it and what it cost."""

import json
import sys
import time
from pathlib import Path

import numpy as np

from graft.core.errors import ImageRefused
from graft.core.machine import peak_memory_bytes
from graft.data import images
from graft.data.records import ImageRules
from tests.hostile.image_kinds import GOOD

RULES = ImageRules()


def main(folder: Path) -> None:
    """Warm up with every good kind, so that only what the file itself costs is counted."""
    for kind in GOOD:
        images.check(kind.make(np.random.default_rng(0)), rules=RULES)
    for path in sorted(folder.iterdir()):
        data = path.read_bytes()
        before, began = peak_memory_bytes(), time.perf_counter()
        code, flags = "", ()
        try:
            flags = images.check(data, rules=RULES).flags
        except ImageRefused as refusal:
            code = refusal.code
        seconds, growth = time.perf_counter() - began, peak_memory_bytes() - before
        print(json.dumps({"code": code, "flags": flags, "seconds": seconds, "growth_bytes": growth}))


if __name__ == "__main__":
    if "--loud" in sys.argv:  # as if nothing silenced the decoders
        images.silence_pillow = lambda: None
        images.silence_libtiff = lambda path: None
    main(Path(sys.argv[1]))
