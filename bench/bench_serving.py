"""Images a second and latency of `graft serve` against the bundle's own `predict` on the same files, in one run.

The load comes from this process by one image a request, over connections that stay open; it shares the machine's
cores with the service, which costs the service what a client elsewhere would not. Answers are checked against the
bundle's own while they are timed.

    python bench/bench_serving.py [BACKBONE [SIDE [SECONDS]]]
"""

import asyncio
import io
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from PIL import Image
from sides import SHARED, random_weights, table, train

SATURATING_CLIENTS = 48  # below the queue's 64 places: nothing is refused
PHOTOS, PHOTO_SIDE = 64, 320
ROUNDS = 3
IDLE_SECONDS = 2.0  # the service closes connections that were not used for five
HEAD = b"POST /predict?top=1 HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: %d\r\n\r\n"


@dataclass
class Load:
    """What clients saw: seconds of those that were answered with 200, and how many had which status."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wall: float = 0.0

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]

    def interval(self, share: float) -> tuple[float, float]:
        """95 % of a percentile, without assumptions: order statistics."""
        n, ordered = len(self.seconds), sorted(self.seconds)
        spread = 1.96 * (n * share * (1 - share)) ** 0.5
        low, high = max(0, int(n * share - spread)), min(n - 1, int(n * share + spread) + 1)
        return ordered[low], ordered[high]


class Client:
    """One connection that stays open."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._used = 0.0

    async def ask(self, data: bytes) -> tuple[int, str]:
        """Status and label."""
        if self._streams is None or time.monotonic() - self._used > IDLE_SECONDS:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        self._used = time.monotonic()
        writer.write(HEAD % len(data) + data)
        answer = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line.split(":")[1]) for line in answer.split("\r\n") if line.startswith("content-length"))
        body = json.loads(await reader.readexactly(length))
        return int(answer.split()[1]), body.get("label", "")


async def timed(client: Client, data: bytes, expected: str, load: Load) -> None:
    began = time.perf_counter()
    status, label = await client.ask(data)
    load.statuses[status] += 1
    if status == 200:
        load.seconds.append(time.perf_counter() - began)
        if label != expected:
            load.statuses[-1] += 1


async def saturate(port: int, photos: Sequence[bytes], labels: Sequence[str], seconds: float, clients: int) -> Load:
    """Each client asks again as soon as it was answered."""
    load, began = Load(), time.perf_counter()

    async def one(number: int) -> None:
        client, place = Client(port), number
        while time.perf_counter() - began < seconds:
            await timed(client, photos[place % len(photos)], labels[place % len(photos)], load)
            place += clients

    await asyncio.gather(*(one(number) for number in range(clients)))
    load.wall = time.perf_counter() - began
    return load


async def poisson(port: int, photos: Sequence[bytes], labels: Sequence[str], seconds: float, rate: float) -> Load:
    """Requests at random times, whether or not earlier ones were answered."""
    load, draw, began = Load(), random.Random(0), time.perf_counter()
    free: list[Client] = []
    running = set()

    async def one(place: int) -> None:
        client = free.pop() if free else Client(port)
        await timed(client, photos[place], labels[place], load)
        free.append(client)

    due = began
    while due - began < seconds:
        due += draw.expovariate(rate)
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(draw.randrange(len(photos))))
        running.add(task)
        task.add_done_callback(running.discard)
    await asyncio.gather(*running)
    load.wall = time.perf_counter() - began
    return load


def photo_files() -> list[bytes]:
    """JPEGs of noise over a colour, of two kinds."""
    draw = np.random.default_rng(0)
    files = []
    for number in range(PHOTOS):
        base = (200, 60, 60) if number % 2 else (60, 60, 200)
        small = np.clip(draw.normal(base, 40, (PHOTO_SIDE // 8, PHOTO_SIDE // 8, 3)), 0, 255).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(small).resize((PHOTO_SIDE, PHOTO_SIDE)).save(file, "JPEG", quality=85)
        files.append(file.getvalue())
    return files


def make_bundle(backbone: str, side: int, files: Sequence[bytes], folder: Path) -> Path:
    for number, data in enumerate(files):
        place = folder / "photos" / ("red" if number % 2 else "blue")
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.jpg").write_bytes(data)
    words = [str(folder / "photos"), "--backbone", backbone, "--image-size", str(side), "--recipe", "probe"]
    if backbone != "sprout":
        known = SHARED / "weights" / f"{backbone}_224_notop.weights.h5"
        words += ["--weights", str(known if known.is_file() else random_weights(backbone, side, folder))]
    train(words, cache=folder / "cache", run=folder / "run")
    return folder / "run" / "classifier.graft"


def own_rate(bundle, files: Sequence[bytes], seconds: float) -> float:
    """Images a second of the bundle's own `predict`, from files' bytes to labels."""
    done, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        bundle.predict(files * 4)
        done += len(files) * 4
    return done / (time.perf_counter() - began)


def main() -> None:
    from graft.bundle.bundle import Bundle

    backbone, side, seconds = [*sys.argv[1:], *("mobilenet_1.0", "224", "20")[len(sys.argv) - 1 :]]
    files = photo_files()
    with tempfile.TemporaryDirectory() as folder:
        path = make_bundle(backbone, int(side), files, Path(folder))
        bundle = Bundle.load(path)
        bundle.warm_up()
        labels = [answer.label for answer in bundle.predict(files)]
        words = [sys.executable, "-m", "graft", "serve", str(path), "--port", "0", "--json", "--quiet"]
        service = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        try:
            port = int(json.loads(service.stdout.readline())["address"].rstrip("/").rpartition(":")[2])
            measure(bundle, files, labels, service.pid, port, float(seconds))
        finally:
            service.terminate()
            service.wait()


def processor_seconds(process: psutil.Process) -> float:
    """Processor time of a process and its children so far."""
    return sum(sum(each.cpu_times()[:2]) for each in (process, *process.children()))


def measure(bundle, files: Sequence[bytes], labels: Sequence[str], pid: int, port: int, seconds: float) -> None:
    asyncio.run(saturate(port, files, labels, 2, 1))
    service = psutil.Process(pid)
    own, full, alone = [], [], []
    own_processor, full_processor = [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        own.append(own_rate(bundle, files, seconds / 4))
        own_processor.append((time.process_time() - began) / (own[-1] * seconds / 4))
        began = processor_seconds(service)
        load = asyncio.run(saturate(port, files, labels, seconds / 4, SATURATING_CLIENTS))
        full.append(len(load.seconds) / load.wall)
        full_processor.append((processor_seconds(service) - began) / len(load.seconds))
        alone += asyncio.run(saturate(port, files, labels, seconds / 8, 1)).seconds
    rate, capacity, median = statistics.median(own), statistics.median(full), statistics.median(alone)
    table(
        [
            {
                "images/s, bundle": f"{rate:.0f}",
                "images/s, service": f"{capacity:.0f}",
                "ratio": f"{capacity / rate:.2f}",
                "processor ms an image, bundle": f"{1000 * statistics.median(own_processor):.1f}",
                "processor ms an image, service": f"{1000 * statistics.median(full_processor):.1f}",
                "median of one client alone": f"{1000 * median:.1f} ms",
            }
        ]
    )
    print()
    rows = []
    for share in (0.7, 2.0):
        load = asyncio.run(poisson(port, files, labels, seconds, share * capacity))
        low, high = load.interval(0.99)
        rows.append(
            {
                "load": f"{share:.0%}",
                "requests": sum(load.statuses.values()),
                "answered / capacity": f"{len(load.seconds) / load.wall / capacity:.2f}",
                "median ms": f"{1000 * load.percentile(0.5):.1f}",
                "p99 ms (95 %)": f"{1000 * load.percentile(0.99):.1f} ({1000 * low:.1f} to {1000 * high:.1f})",
                "p99 / alone": f"{load.percentile(0.99) / median:.1f}",
                "statuses": " ".join(f"{status}: {count}" for status, count in sorted(load.statuses.items())),
            }
        )
    table(rows)


if __name__ == "__main__":
    main()
