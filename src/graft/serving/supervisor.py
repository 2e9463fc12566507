"""Keeps one worker running and feeds it: it always has as many images as keep it busy."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from graft.core.errors import GraftError
from graft.serving.errors import not_ready
from graft.serving.metrics import Metrics
from graft.serving.process import COMMAND, Worker, WorkerHung, WorkerLost, lost
from graft.serving.records import Settings
from graft.serving.waiting import ImageRefusal, Queue

LOG = logging.getLogger(__name__)
# In full batches of all threads: with the worker are those that are worked on, and so many that it sees when many wait.
OUT_BATCHES, QUEUE_BATCHES = 4, 8
LEAST_QUEUE_IMAGES = 64
BACK_OFF_SECONDS = (0.0, 0.1, 0.5, 2.0, 5.0)  # before the first, second … start in a row; the last one from then on
QUICK_STARTS = 3  # so many failures in a row are bridged by letting requests wait
LOOKS = 10  # for a worker that hangs, in the time that it may take


class Supervisor:
    """`about` is what the worker said of its classifier: None until it was loaded for the first time."""

    def __init__(self, settings: Settings, metrics: Metrics, command: Sequence[str] = COMMAND) -> None:
        self.about: Mapping[str, Any] | None = None
        self.ready = False
        self.queue = Queue()
        self._settings = settings
        self._metrics = metrics
        self._command = command
        self._failures = 0  # starts in a row after which no image was answered
        self._moved = 0.0  # when the worker last gave an answer, or was given something while it had nothing

    def check_open(self) -> Mapping[str, Any]:
        """What is served; raises `Refusal` (503) where requests had better not wait for it."""
        if self.about is None:
            raise not_ready("it is still being loaded")
        if self._failures >= QUICK_STARTS:
            raise not_ready("its process ends again and again")
        return self.about

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Work until cancelled. Raises what keeps the classifier from being loaded the first time."""
        while True:
            try:
                await self._one_life(on_ready)
            except WorkerLost as error:
                if self.about is None and self._failures >= QUICK_STARTS:
                    raise _never_loaded() from error
                how = error.how
            except GraftError as error:
                if self.about is None:
                    raise
                how = f"it refused the classifier: {error.code}"
            self._failures += 1
            self._metrics.restarts.inc()
            self._log(how)
            if self._failures >= QUICK_STARTS:
                self.queue.fail(not_ready("its process ends again and again"))
            await asyncio.sleep(BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS)) - 1])

    async def _one_life(self, on_ready: Callable[[], None]) -> None:
        worker = await Worker.start(self._settings, self._command)
        try:
            self._adopt(await worker.load(self._settings))
            self._failures = min(self._failures, QUICK_STARTS - 1)  # it loads: requests may try it
            self.ready = True
            on_ready()
            await _until_one_fails(self._feed(worker), self._settle(worker), self._watch(), worker.ended())
        except (WorkerLost, asyncio.CancelledError) as error:
            self.ready = False  # before anybody is told, so that who asks then finds it so
            if isinstance(error, WorkerLost):
                self.queue.fail_out(lost(error))
                error.how = "it hung" if isinstance(error, WorkerHung) else await worker.fate()
            else:
                self.queue.fail(not_ready("the service is ending"))
                await worker.end()
            raise
        finally:
            self.ready = False
            await worker.kill()

    def _log(self, how: str) -> None:
        """One line for each end; after the one that says that there will be more, none until it answered."""
        if self._failures < QUICK_STARTS:
            LOG.error("The classifier's process ended (%s) and is started again.", how)
        elif self._failures == QUICK_STARTS:
            LOG.error("The classifier's process ends again and again (%s): requests are refused until it loads.", how)

    def _adopt(self, about: Mapping[str, Any]) -> None:
        """Serve what was loaded; what waits for another classifier, whose file was replaced, is not answered by it."""
        if self.about is not None and self.about["bundle_sha256"] != about["bundle_sha256"]:
            self.queue.fail(not_ready("its file was replaced"))
        self.queue.most_out = OUT_BATCHES * about["full_batch_images"]
        default = max(LEAST_QUEUE_IMAGES, QUEUE_BATCHES * about["full_batch_images"])
        self.queue.most_images = self._settings.limits.queue_images or default
        self.about = about

    async def _feed(self, worker: Worker) -> None:
        while True:
            images, left = await self.queue.take()
            if self.queue.n_out == len(images):
                self._moved = time.monotonic()
            await worker.send(images, left)

    async def _settle(self, worker: Worker) -> None:
        while True:
            answers = await worker.receive()
            self._moved = time.monotonic()
            self._failures = 0
            self._metrics.groups.observe(len(answers))
            for number, answer in answers.items():
                if self.queue.settle(number, answer):
                    self._metrics.images.labels("refused" if isinstance(answer, ImageRefusal) else "answered").inc()

    async def _watch(self) -> None:
        """Raise `WorkerHung` where the worker has something to do, and nothing comes of it."""
        most = self._settings.limits.worker_seconds
        while True:
            await asyncio.sleep(most / LOOKS)
            if self.queue.n_out and time.monotonic() - self._moved >= most:
                raise WorkerHung


async def _until_one_fails(*endless: Coroutine[Any, Any, None]) -> None:
    """Run all until one of them raises, and raise that; the others are cancelled."""
    tasks = [asyncio.ensure_future(each) for each in endless]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    raise next(each for each in ended if isinstance(each, Exception))


def _never_loaded() -> GraftError:
    return GraftError(
        "The process that loads the classifier ended without an answer.", hint="Run again with --debug to see why."
    )
