"""How fast backbones read photos here: side by side in one run, decoding left out."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from graft.core import machine
from graft.core.errors import GraftError
from graft.core.progress import Progress
from graft.core.randomness import stream
from graft.data.records import ImageRules, Photo
from graft.data.stream import stream_pixels
from graft.features.engines import open_engine, run_pixels
from graft.features.records import BATCH_IMAGES, Program
from graft.pipeline.planning import Resolved, program_of

BATCHES_PER_THREAD = 4  # enough that a thread's last batch does not wait long for the others
PASS_SECONDS = 0.25  # of timed passes at least, for each backbone and round
ROUNDS = 4  # there and back, twice: what disturbs the machine for some seconds hits no backbone each time


@dataclass(frozen=True)
class TimedPhotos:
    """Some of the user's photos as pixels in memory, decoded once for each size."""

    root: Path
    photos: Sequence[Photo]
    rules: ImageRules
    seed: int
    _decoded: dict[tuple[int, str], np.ndarray] = field(default_factory=dict)

    @staticmethod
    def count(threads: int) -> int:
        """How many photos one timed pass reads."""
        return BATCHES_PER_THREAD * BATCH_IMAGES * threads

    def pixels(self, program: Program, threads: int) -> np.ndarray:
        """`(photo, side, side, 3)` uint8; where there are too few photos, they are repeated."""
        side, geometry = program.side_pixels, program.preprocessing.geometry
        if (side, geometry) not in self._decoded:
            order = stream(self.seed, "timing").permutation(len(self.photos))
            picked = [self.photos[place] for place in order[: self.count(threads)]]
            blocks = stream_pixels(
                self.root,
                picked,
                side_pixels=side,
                geometry=geometry,
                rules=self.rules,
                batch_images=BATCH_IMAGES,
                workers=threads,
            )
            pixels = np.concatenate([block for _, block in blocks])
            self._decoded[side, geometry] = np.resize(pixels, (self.count(threads), *pixels.shape[1:]))
        return self._decoded[side, geometry]


def rates(networks: Sequence[Resolved], photos: TimedPhotos, progress: Progress) -> list[float | GraftError]:
    """Photos per second of each network: the best pass of all rounds, or the error that kept it from being timed."""
    found: list[float | GraftError] = [0.0] * len(networks)
    forward = list(range(len(networks)))
    with progress.stage("Timing backbones", ROUNDS * len(networks), "rounds") as stage:
        for number in range(ROUNDS):
            for place in forward if number % 2 == 0 else reversed(forward):
                earlier = found[place]
                if isinstance(earlier, float):
                    try:
                        found[place] = max(earlier, _rate(networks[place], photos))
                    except GraftError as error:
                        found[place] = error
                stage.advance()
    return found


def _rate(network: Resolved, photos: TimedPhotos) -> float:
    program, threads = program_of(network.plan), network.plan.threads
    pixels = photos.pixels(program, threads)
    best, spent = 0.0, 0.0
    with open_engine(
        program, network.weights, kind=network.plan.engine, threads=threads, cache=machine.cache_directory()
    ) as engine:
        run_pixels(engine, pixels[: 2 * BATCH_IMAGES * threads])  # the first run makes requests and fills caches
        while spent < PASS_SECONDS:
            began = time.perf_counter()
            run_pixels(engine, pixels)
            seconds = time.perf_counter() - began
            best, spent = max(best, len(pixels) / seconds), spent + seconds
    return best
