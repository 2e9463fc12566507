"""Mutates good images, reads each with the decoder and says what came of it; run as a child, for it may die."""

import json
import os
import signal
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np

from tests.hostile.image_kinds import GOOD
from tests.hostile.test_images import outcome, pixels_code
from tests.memory import peak_memory_bytes

SEEDS = ("jpeg", "jpeg progressive", "png", "webp", "webp lossless", "bmp", "gif", "tiff lzw", "16-bit rgb png")
SEEDS += ("animated gif", "mpo", "1-bit fax tiff")


def mutate(data: bytes, other: bytes, random: np.random.Generator) -> bytes:
    """One of: bytes replaced, cut, spliced with another file, header edited, a part left out or repeated."""
    changed = bytearray(data)
    way = random.integers(5)
    if way in (0, 3):
        reach = len(changed) if way == 0 else min(len(changed), 120)
        for _ in range(random.integers(1, 8)):
            changed[random.integers(reach)] = random.integers(256)
    elif way == 1:
        changed = changed[: random.integers(len(changed))]
    elif way == 2:
        changed = changed[: random.integers(len(changed))] + other[random.integers(len(other)) :]
    else:
        start, length = random.integers(len(changed)), random.integers(1, 60)
        part = changed[start : start + length] * int(random.integers(0, 4))
        changed = changed[:start] + part + changed[start + length :]
    return with_sums(bytes(changed)) if changed[:4] == b"\x89PNG" and random.random() < 0.6 else bytes(changed)


def with_sums(data: bytes) -> bytes:
    """A damaged PNG whose checksums agree with the damage, so that decoders meet it."""
    result, position = data[:8], 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        if end + 4 > len(data):
            break
        result += data[position:end] + zlib.crc32(data[position + 4 : end]).to_bytes(4, "big")
        position = end + 4
    return result + data[position:]


def main(folder: Path, first: int, last: int) -> None:
    """Mutation number n depends on n alone; each is in the file `current` while it is read."""
    named = {kind.name: kind for kind in GOOD}
    seeds = [named[name].make(np.random.default_rng(5)) for name in SEEDS]
    codes: Counter[str] = Counter()
    disagreements: list[int] = []
    most_seconds, slowest = 0.0, -1
    for number in range(first, last):
        random = np.random.default_rng([2, number & 0xFFFF_FFFF])
        data = mutate(seeds[number % len(seeds)], seeds[random.integers(len(seeds))], random)
        (folder / "current").write_bytes(data)
        if number < 0:
            os.kill(os.getpid(), signal.SIGABRT)
        began = time.process_time()
        code = outcome(data)[0]
        if code != pixels_code(data):
            disagreements.append(number)
            (folder / f"disagreement_{number}").write_bytes(data)
        codes[code] += 1
        seconds = time.process_time() - began
        if seconds > most_seconds:
            most_seconds, slowest = seconds, number
    found = {"codes": codes, "disagreements": disagreements, "most_seconds": most_seconds, "slowest": slowest}
    print(json.dumps(found | {"peak_bytes": peak_memory_bytes()}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
