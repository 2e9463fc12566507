"""What all routes of one service share: its classifier, queue, limits, figures."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any

from fastapi import Request

from graft.core.errors import GraftError
from graft.serving.bodies import Body, Memory
from graft.serving.errors import ClientLeft, Refusal, not_ready
from graft.serving.metrics import Metrics
from graft.serving.process import COMMAND
from graft.serving.records import Settings
from graft.serving.succession import Succession
from graft.serving.supervisor import Supervisor
from graft.serving.waiting import Answer, Image

LOG = logging.getLogger(__name__)


class Service:
    """One service. `draining` is set when it is asked to end; `problem` when its classifier cannot be loaded."""

    def __init__(self, settings: Settings, command: Sequence[str] = COMMAND) -> None:
        self.settings = settings
        self.limits = settings.limits
        self.metrics = Metrics()
        self.memory = Memory(settings.limits.memory_bytes, self.metrics)
        self.draining = False
        self.problem: GraftError | None = None
        self._succession = Succession(settings, self.metrics, command)
        self._running: asyncio.Task[None] | None = None
        self.metrics.ready.set_function(lambda: self.ready)
        self.metrics.waiting.set_function(lambda: len(self.classifier.queue))

    @property
    def classifier(self) -> Supervisor:
        """What answers now. It may be another one after each `await`."""
        return self._succession.current

    @property
    def ready(self) -> bool:
        """Whether a request would be answered now."""
        return self.classifier.ready and not self.draining

    def start(self, on_ready: Callable[[], None], on_problem: Callable[[], None]) -> None:
        """Load the classifier and answer from then on; called in the event loop."""

        async def run() -> None:
            try:
                await self._succession.run(on_ready)
            except GraftError as error:
                self.problem = error
            except Exception as error:
                LOG.error("A defect: %s", type(error).__name__, exc_info=self.settings.debug)
                self.problem = GraftError("Something unexpected happened in Graft.", hint="Run again with --debug.")
            on_problem()

        self._running = asyncio.create_task(run())

    async def stop(self) -> None:
        """End the worker."""
        if self._running is not None:
            self._running.cancel()
            with suppress(asyncio.CancelledError):
                await self._running

    def about(self) -> Mapping[str, Any]:
        """What is served; raises `Refusal` (503)."""
        return self.classifier.check_open()

    def check_ready(self) -> None:
        """Raise `Refusal` (503) while the service is not ready."""
        if self.draining:
            raise not_ready("the service is ending")
        self.about()
        if not self.ready:
            raise not_ready("its process is being started again")

    def body(self, request: Request, take: Callable[[int], None], most_bytes: int | None = None) -> Body:
        """The body of a request that may be answered: what its head and the queue show is checked first."""
        body = Body(request, most_bytes or self.limits.body_bytes, take)
        body.check_head()
        self.about()
        self.classifier.queue.check_room()
        return body

    async def answers(self, request: Request, images: Sequence[Image]) -> list[Answer]:
        """The answers for `images`, in order, by the classifier that `about` told of just now.

        Raises `Refusal`, and `ClientLeft` where the client does.
        """
        self.about()
        futures = self.classifier.queue.put(images)
        leaving = asyncio.ensure_future(_gone(request))
        settled = asyncio.ensure_future(asyncio.wait(futures))
        try:
            await asyncio.wait((leaving, settled), return_when=asyncio.FIRST_COMPLETED)
            if not settled.done():
                raise ClientLeft
            for problem in [future.exception() for future in futures]:  # each is asked, or asyncio would complain
                if problem is not None:
                    raise problem
            return [future.result() for future in futures]
        finally:
            leaving.cancel()
            settled.cancel()
            for future in futures:
                future.cancel()


async def _gone(request: Request) -> None:
    """Return when the client has left. The body was read: nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def timed_out(seconds: float) -> Refusal:
    """The refusal of a request that took too long as a whole."""
    return Refusal(f"A request must be answered within {seconds:g} seconds.", status=504, code="timed_out")
