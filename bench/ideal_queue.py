"""What this machine makes of a queue that loses nothing: processes that take one request at a time and count."""

import os
import random
import select
import statistics
import struct
import time

STEP = 20_000  # counted to in one go
TRIES = 50
PAIR = struct.Struct("dd")
TIME = struct.Struct("d")


def answer_seconds(rate: float, seconds: float, processor_seconds: float) -> list[float]:
    """Seconds from each request to its answer: random times at this rate, each so much work for one processor.

    Whatever else this machine does, and how its speed varies, is in them, as it is in a service's.
    """
    count = round(STEP * processor_seconds / _step_seconds())
    taking, giving = os.pipe()
    hearing, telling = os.pipe()
    workers = [_worker(taking, telling, giving, count) for _ in range(os.cpu_count() or 1)]
    draw, answers, n_given = random.Random(0), [], 0
    due = time.perf_counter()
    end = due + seconds
    while due < end:
        while (wait := due - time.perf_counter()) > 0:
            if select.select([hearing], [], [], wait)[0]:
                answers.append(_heard(hearing))
        os.write(giving, TIME.pack(due))
        n_given += 1
        due += draw.expovariate(rate)
    while len(answers) < n_given:
        answers.append(_heard(hearing))
    for descriptor in (giving, taking, telling, hearing):
        os.close(descriptor)
    for worker in workers:
        os.waitpid(worker, 0)
    return answers


def _worker(taking: int, telling: int, giving: int, count: int) -> int:
    worker = os.fork()
    if not worker:
        os.close(giving)
        while due := os.read(taking, TIME.size):
            _count(count)
            os.write(telling, due + TIME.pack(time.perf_counter()))
        os._exit(0)
    return worker


def _heard(hearing: int) -> float:
    due, answered = PAIR.unpack(os.read(hearing, PAIR.size))
    return answered - due


def _step_seconds() -> float:
    seconds = []
    for _ in range(TRIES):
        began = time.process_time()
        _count(STEP)
        seconds.append(time.process_time() - began)
    return statistics.median(seconds)


def _count(steps: int) -> None:
    for _ in range(steps):
        pass
