"""Images a second and latency of `graft serve` against the bundle's own `predict` on the same files, in one run.

The load comes from this process by one image a request, over connections that stay open; it shares the machine's
cores with the service, which costs the service what a client elsewhere would not. Answers are checked against the
bundle's own while they are timed.

    python bench/bench_serving.py [BACKBONE [SIDE [SECONDS]]]
"""

import io
import json
import random
import re
import selectors
import socket
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
from ideal_queue import answer_seconds
from PIL import Image
from sides import SHARED, random_weights, table, train

SATURATING_CLIENTS = 20  # fewer than half of the queue's places: nothing is refused
LONE_RATE = 5.0  # requests a second, so few that hardly one meets another
WARM_SECONDS = 1.0  # of each load, not counted
WRONG = -1  # the status of an answer with another label than the bundle's
LENGTH = re.compile(rb"content-length: (\d+)")
PHOTOS, PHOTO_SIDE = 64, 320
ROUNDS = 6
IDLE_SECONDS = 2.0  # the service closes connections that were not used for five
HEAD = b"POST /predict?top=1 HTTP/1.1\r\nhost: x\r\ncontent-type: image/jpeg\r\ncontent-length: %d\r\n\r\n"


@dataclass
class Load:
    """What clients saw: seconds of those that were answered with 200, and how many had which status."""

    seconds: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    wall: float = 0.0

    def add(self, seconds: float, status: int, body: bytes, expected: str) -> None:
        self.statuses[status] += 1
        if status == 200:
            self.seconds.append(seconds)
            if json.loads(body)["label"] != expected:
                self.statuses[WRONG] += 1

    def merge(self, other: "Load") -> None:
        self.seconds += other.seconds
        self.statuses += other.statuses
        self.wall += other.wall

    @property
    def n_asked(self) -> float:
        """How many were answered, those of the time before counting among them."""
        return len(self.seconds) * (self.wall + WARM_SECONDS) / self.wall

    def percentile(self, share: float) -> float:
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]

    def interval(self, share: float) -> tuple[float, float]:
        """95 % of a percentile, without assumptions: order statistics."""
        n, ordered = len(self.seconds), sorted(self.seconds)
        spread = 1.96 * (n * share * (1 - share)) ** 0.5
        low, high = max(0, int(n * share - spread)), min(n - 1, int(n * share + spread) + 1)
        return ordered[low], ordered[high]


class Client:
    """One connection that stays open, and what was asked on it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.socket: socket.socket | None = None
        self.began = 0.0
        self.expected = ""
        self._received = b""

    def ask(self, data: bytes, expected: str) -> None:
        now = time.perf_counter()
        if self.socket is not None and now - self.began > IDLE_SECONDS:
            self.socket.close()
            self.socket = None
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self._port))
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began, self.expected, self._received = now, expected, b""
        self.socket.sendall(HEAD % len(data) + data)

    def read(self) -> tuple[int, bytes] | None:
        """Status and body, once they are there; status 0 where the other side closed."""
        more = self.socket.recv(65536)
        if not more:
            self.socket.close()
            self.socket = None
            return 0, b""
        self._received += more
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = LENGTH.search(head)
        if not end or len(body) < int(length[1]):
            return None
        return int(head[9:12]), body


def drive(
    port: int, files: Sequence[bytes], labels: Sequence[str], seconds: float, *, clients: int = 0, rate: float = 0.0
) -> Load:
    """Ask for `seconds`: so many clients, each again as soon as it was answered, or at random times at this rate.

    One thread without a framework: what it costs, the service lacks.
    """
    load, draw, selector = Load(), random.Random(0), selectors.DefaultSelector()
    free = [Client(port) for _ in range(clients)]
    busy = 0
    began = due = time.perf_counter()
    warm = began + WARM_SECONDS
    end = warm + seconds
    while busy or time.perf_counter() < end:
        now = time.perf_counter()
        while now < end and (due <= now if rate else free):
            client, place = free.pop() if free else Client(port), draw.randrange(len(files))
            client.ask(files[place], labels[place])
            selector.register(client.socket, selectors.EVENT_READ, client)
            busy += 1
            due += draw.expovariate(rate) if rate else 0.0
        for key, _ in selector.select(max(0.0, min(due, end) - now) if rate else 1.0):
            client, asked = key.data, key.fileobj
            answer = client.read()
            if answer is not None:
                selector.unregister(asked)
                free.append(client)
                busy -= 1
                if client.began >= warm:
                    load.add(time.perf_counter() - client.began, *answer, client.expected)
    load.wall = time.perf_counter() - warm
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

    backbone, side, seconds = [*sys.argv[1:], *("mobilenet_1.0", "224", "60")[len(sys.argv) - 1 :]]
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


@dataclass
class Rounds:
    """What was measured at one load, in turns with everything else: this machine's speed varies."""

    load: Load = field(default_factory=Load)
    capacity: float = 0.0  # images that could have been answered in that time
    work: list[float] = field(default_factory=list)  # processor seconds an image
    ideal: list[float] = field(default_factory=list)  # seconds to each answer of an ideal queue
    tails: list[float] = field(default_factory=list)  # 99th percentile by unloaded median, each of one round

    def row(self, share: float, median: float) -> dict[str, object]:
        """`median` in seconds: of answers to those that had the service for themselves."""
        load, (low, high) = self.load, self.load.interval(0.99)
        ideal = sorted(self.ideal)
        return {
            "load": f"{share:.0%}",
            "requests": sum(load.statuses.values()),
            "answered / capacity": f"{len(load.seconds) / self.capacity:.2f}",
            "median ms": f"{1000 * load.percentile(0.5):.1f}",
            "p99 ms (95 %)": f"{1000 * load.percentile(0.99):.1f} ({1000 * low:.1f} to {1000 * high:.1f})",
            "p99 / alone": f"{load.percentile(0.99) / median:.1f}",
            "by rounds": f"{min(self.tails):.1f} to {max(self.tails):.1f}, median {statistics.median(self.tails):.1f}",
            "processor ms an image": f"{1000 * statistics.median(self.work):.1f}",
            "ideal queue here": f"{ideal[int(0.99 * len(ideal))] / median:.1f}" if ideal else "",
            "statuses": " ".join(f"{status}: {count}" for status, count in sorted(load.statuses.items())),
        }


def measure(bundle, files: Sequence[bytes], labels: Sequence[str], pid: int, port: int, seconds: float) -> None:
    drive(port, files, labels, 1, clients=1)
    service = psutil.Process(pid)
    own, full, alone = [], [], []
    own_processor, full_processor = [], []
    loads = {share: Rounds() for share in (0.7, 2.0)}
    for _ in range(ROUNDS):
        began = time.process_time()
        own.append(own_rate(bundle, files, seconds / 4 / ROUNDS))
        own_processor.append((time.process_time() - began) / (own[-1] * seconds / 4 / ROUNDS))
        began = processor_seconds(service)
        load = drive(port, files, labels, seconds / 4 / ROUNDS, clients=SATURATING_CLIENTS)
        full.append(len(load.seconds) / load.wall)
        full_processor.append((processor_seconds(service) - began) / load.n_asked)
        lone = drive(port, files, labels, seconds / 4 / ROUNDS, rate=LONE_RATE).seconds
        alone += lone
        for share, seen in loads.items():
            began, rate = processor_seconds(service), share * full[-1]
            load = drive(port, files, labels, seconds / ROUNDS, rate=rate)
            seen.work.append((processor_seconds(service) - began) / load.n_asked)
            seen.ideal += answer_seconds(rate, seconds / ROUNDS, seen.work[-1]) if share < 1 else []
            seen.capacity += full[-1] * load.wall
            seen.tails.append(load.percentile(0.99) / statistics.median(lone))
            seen.load.merge(load)
    rate, capacity, median = statistics.median(own), statistics.median(full), statistics.median(alone)
    table(
        [
            {
                "images/s, bundle": f"{rate:.0f}",
                "images/s, service": f"{capacity:.0f}",
                "ratio": f"{capacity / rate:.2f}",
                "processor ms an image, bundle": f"{1000 * statistics.median(own_processor):.1f}",
                "processor ms an image, service": f"{1000 * statistics.median(full_processor):.1f}",
                "median, unloaded": f"{1000 * median:.1f} ms",
            }
        ]
    )
    print()
    table([seen.row(share, median) for share, seen in loads.items()])


if __name__ == "__main__":
    main()
