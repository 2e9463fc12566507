"""Near duplicates: which copies of photos are found, how many pairs are false, and what finding them takes.

Copies are planted of real photos where the folder `shared` is there, else of generated ones; the time is that of 20,000
generated photos of 200 pixels, by step.

    python bench/bench_duplicates.py [NUMBER]
"""

import io
import os
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from sides import POLL_SECONDS, SHARED, anonymous_bytes, table

from graft.core import machine
from graft.core.progress import SilentProgress, Stage
from graft.data.duplicates.search import Groups, find_near
from graft.data.images import decode
from graft.data.records import ImageRules
from graft.data.scan import Scan, scan
from graft.data.sources import read_source

NUMBER = 20_000
SIDE_PIXELS = 200
PLANTED = 200
SETS = ("cats_and_dogs_small", "santa", "sign_digits", "cifar10_small")
LARGEST = (1600, 1600)
FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)
Draw = np.random.Generator


def stored(image: Image.Image, kind: str = "PNG", quality: int = 92) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    return file.getvalue()


def resized(image: Image.Image, factor: float, draw: Draw) -> Image.Image:
    """Another size, by one of three filters."""
    size = (max(8, round(image.width * factor)), max(8, round(image.height * factor)))
    return image.resize(size, FILTERS[draw.integers(3)])


def cropped(image: Image.Image, draw: Draw) -> Image.Image:
    """Up to 5 % less on each side."""
    left, top, right, bottom = draw.uniform(0, 0.05, 4) * [*image.size, *image.size]
    return image.crop((round(left), round(top), round(image.width - right), round(image.height - bottom)))


def narrowed(image: Image.Image, draw: Draw) -> Image.Image:
    """5 % less on each side."""
    left, top = round(0.05 * image.width), round(0.05 * image.height)
    return image.crop((left, top, image.width - left, image.height - top))


COPIES: Mapping[str, Callable[[Image.Image, Draw], bytes]] = {
    "half the size": lambda image, draw: stored(resized(image, 0.5, draw), "JPEG"),
    "three quarters": lambda image, draw: stored(resized(image, 0.75, draw), "JPEG"),
    "twice the size": lambda image, draw: stored(resized(image, 2, draw), "JPEG"),
    "JPEG 30": lambda image, draw: stored(image, "JPEG", 30),
    "JPEG 60": lambda image, draw: stored(image, "JPEG", 60),
    "JPEG 95": lambda image, draw: stored(image, "JPEG", 95),
    "PNG": lambda image, draw: stored(image),
    "WebP 50-95": lambda image, draw: stored(image, "WEBP", int(draw.integers(50, 96))),
    "cropped 0-5 % a side": lambda image, draw: stored(cropped(image, draw)),
    "cropped 5 % a side": lambda image, draw: stored(narrowed(image, draw)),
    "cropped, 50-200 %, JPEG 30-95": lambda image, draw: stored(
        resized(cropped(image, draw), draw.uniform(0.5, 2), draw), "JPEG", int(draw.integers(30, 96))
    ),
}


def generated(number: int, side: int) -> Image.Image:
    """Clouds of four sizes."""
    draw = np.random.default_rng(number)
    pixels = np.zeros((side, side, 3))
    for cells, strength in ((3, 40), (7, 25), (19, 15), (50, 8)):
        small = Image.fromarray(draw.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        pixels += (np.asarray(small.resize((side, side), Image.Resampling.BICUBIC)) - 127.5) * (strength / 74)
    return Image.fromarray(np.clip(128 + 1.3 * pixels, 0, 255).astype(np.uint8))


def scanned(folder: Path, *, fingerprints: bool = True) -> Scan:
    """A scan that remembers nothing."""
    return scan(
        read_source(folder),
        rules=ImageRules(),
        on_bad="quarantine",
        progress=SilentProgress(),
        workers=machine.threads(),
        cache=None,
        fingerprints=fingerprints,
    )


def originals(name: str) -> list[Image.Image]:
    """Photos of a real set spread over its classes, at most 1,600 pixels; of none, generated ones."""
    if not name:
        return [generated(number, SIDE_PIXELS) for number in range(PLANTED)]
    paths = sorted(path for path in (SHARED / "data" / name).rglob("*.*") if path.stat().st_size < 4_000_000)
    images = [
        Image.fromarray(decode(path.read_bytes(), rules=ImageRules()))
        for path in paths[:: max(1, len(paths) // PLANTED)][:PLANTED]
    ]
    for image in images:
        image.thumbnail(LARGEST)
    return images


def recall(name: str) -> dict[str, object]:
    """The share of copies found, by kind; and of all photos together, pairs of different ones."""
    images = originals(name)
    with tempfile.TemporaryDirectory() as folder:
        for kind, copy in {"original": lambda image, _: stored(image), **COPIES}.items():
            place = Path(folder) / kind
            place.mkdir()
            for number, image in enumerate(images):
                (place / f"{number:04}.png").write_bytes(copy(image, np.random.default_rng(number)))
        found = scanned(Path(folder))
    row: dict[str, object] = {"copies of": name or "generated photos"}
    row |= {kind: f"{100 * share_found(only(found, kind), kind):.1f} %" for kind in COPIES}
    path = {item.sha256: Path(item.entry.path) for item in found.good}
    pairs = find_near(found, workers=machine.threads(), progress=SilentProgress())
    return row | {"pairs of different photos": sum(path[pair.first].name != path[pair.second].name for pair in pairs)}


def only(found: Scan, kind: str) -> Scan:
    """The originals and one kind of copies: else other copies would lead from one to the other."""
    rows = [row for row, item in enumerate(found.good) if item.entry.label in ("original", kind)]
    return replace(found, good=tuple(found.good[row] for row in rows), fingerprints=found.fingerprints[rows])


def share_found(found: Scan, kind: str) -> float:
    """The share of originals in one group with their copy, an equal one included."""
    content = {item.entry.path: item.sha256 for item in found.good}
    groups = Groups({})
    for pair in find_near(found, workers=machine.threads(), progress=SilentProgress()):
        groups.join(pair.first, pair.second)
    names = [Path(path).name for path in content if path.startswith("original/")]
    return float(
        np.mean([groups.root(content[f"{kind}/{name}"]) == groups.root(content[f"original/{name}"]) for name in names])
    )


class Clock(SilentProgress):
    """Times the stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator[Stage]:
        """Time one."""
        began = time.perf_counter()
        with super().stage(name, total, unit) as stage:
            yield stage
        self.seconds[name] = time.perf_counter() - began


def measure(label: str, folder: Path) -> dict[str, object]:
    """Seconds by step, and the memory that they add to that of a scan without fingerprints."""
    peaks = []
    began = time.perf_counter()
    plain = scanned(folder, fingerprints=False)
    without = time.perf_counter() - began
    before, ended = anonymous_bytes(os.getpid()), threading.Event()

    def watch() -> None:
        while not ended.wait(POLL_SECONDS):
            peaks.append(anonymous_bytes(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    began = time.perf_counter()
    found = scanned(folder)
    scanning = time.perf_counter() - began
    clock = Clock()
    pairs = find_near(found, workers=machine.threads(), progress=clock)
    ended.set()
    watcher.join()
    n = len(plain.good)
    return {
        "photos": f"{n:,} {label}",
        "scan without, s": f"{without:.1f}",
        "fingerprints on top, s": f"{max(0.0, scanning - without):.1f}",
        "naming, s": f"{clock.seconds['Naming similar photos']:.1f}",
        "pixel check, s": f"{clock.seconds['Comparing similar photos']:.1f}",
        "all, s": f"{scanning + sum(clock.seconds.values()):.1f}",
        "memory on top": f"{(max(peaks, default=before) - before) / 2**20:.0f} MiB",
        "pairs found": len(pairs),
        "share of all pairs": f"{100 * len(pairs) / (n * (n - 1) / 2):.4f} %",
    }


def main() -> None:
    """Plant, count, time."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else NUMBER
    real = (SHARED / "data").is_dir()
    table([recall(name) for name in (SETS if real else ("",))])
    print()
    with tempfile.TemporaryDirectory() as folder:
        for index in range(number):
            place = Path(folder) / f"class-{index % 10}"
            place.mkdir(exist_ok=True)
            (place / f"{index:06}.jpg").write_bytes(stored(generated(index, SIDE_PIXELS), "JPEG", 85))
        rows = [measure("generated", Path(folder))]
    if real:
        rows += [measure(name, SHARED / "data" / name) for name in SETS]
    table(rows)


if __name__ == "__main__":
    main()
