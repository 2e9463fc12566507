"""Keeps one worker running and feeds it: groups of what waits, without delay while it is free."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from graft.core.errors import GraftError
from graft.serving.errors import not_ready
from graft.serving.metrics import Metrics
from graft.serving.process import COMMAND, Worker, WorkerLost, lost
from graft.serving.records import Settings
from graft.serving.waiting import ImageRefusal, Queue, Waiter, settle

GROUP_IMAGES = 32
BACK_OFF_SECONDS = (0.0, 0.1, 0.5, 2.0, 5.0)  # before the first, second … start in a row; the last one from then on
QUICK_STARTS = 3  # so many failures in a row are bridged by letting requests wait


class Supervisor:
    """`about` is what the worker said of its classifier: None until it was loaded for the first time."""

    def __init__(self, settings: Settings, metrics: Metrics, command: Sequence[str] = COMMAND) -> None:
        self.about: Mapping[str, Any] | None = None
        self.ready = False
        self.queue = Queue(settings.limits.queue_images, metrics)
        self._settings = settings
        self._metrics = metrics
        self._command = command
        self._failures = 0  # starts in a row after which no group was answered

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
            except GraftError:
                if self.about is None:
                    raise
            self._failures += 1
            self._metrics.restarts.inc()
            if self._failures >= QUICK_STARTS:
                self.queue.fail(not_ready("its process ends again and again"))
            await asyncio.sleep(BACK_OFF_SECONDS[min(self._failures, len(BACK_OFF_SECONDS)) - 1])

    async def _one_life(self, on_ready: Callable[[], None]) -> None:
        worker = await Worker.start(self._settings, self._command)
        ending = asyncio.ensure_future(worker.wait())  # once: asyncio keeps each waiter until the process ends
        try:
            self.about = await worker.load(self._settings)
            self._failures = min(self._failures, QUICK_STARTS - 1)  # it loads: requests may try it
            self._set_ready(True)
            on_ready()
            while True:
                await self._answer(worker, await self._next_group(ending))
                self._failures = 0
        except asyncio.CancelledError:
            self._set_ready(False)
            await worker.end()
            raise
        finally:
            ending.cancel()
            self._set_ready(False)
            await worker.kill()

    async def _next_group(self, ending: asyncio.Future[None]) -> list[Waiter]:
        """What waits, as soon as something does; raises `WorkerLost` where the process is `ending` meanwhile."""
        taking = asyncio.ensure_future(self.queue.take(GROUP_IMAGES))
        try:
            await asyncio.wait((taking, ending), return_when=asyncio.FIRST_COMPLETED)
            if ending.done() and not taking.done():
                raise WorkerLost
            return await taking
        finally:
            taking.cancel()

    async def _answer(self, worker: Worker, group: Sequence[Waiter]) -> None:
        began = time.monotonic()
        waiters = iter(group)
        try:
            images = [image for image, _ in group]
            async for answers in worker.ask(images, self._settings.limits.worker_seconds):
                for answer in answers:
                    settle(next(waiters)[1], answer)
                    self._metrics.images.labels("refused" if isinstance(answer, ImageRefusal) else "answered").inc()
        except (WorkerLost, asyncio.CancelledError) as error:
            self._set_ready(False)  # before anybody is told, so that who asks then finds it so
            why = lost(error) if isinstance(error, WorkerLost) else not_ready("the service is ending")
            for _, future in waiters:
                settle(future, why)
            raise
        self._metrics.groups.observe(len(group))
        self._metrics.group_seconds.observe(time.monotonic() - began)

    def _set_ready(self, ready: bool) -> None:
        self.ready = ready
        self._metrics.ready.set(ready)


def _never_loaded() -> GraftError:
    return GraftError(
        "The process that loads the classifier ended without an answer.", hint="Run again with --debug to see why."
    )
