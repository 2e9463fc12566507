"""Which classifier answers: the one that was loaded first, until its file is replaced and the new one is ready."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from graft.core.errors import GraftError
from graft.serving.metrics import Metrics
from graft.serving.process import COMMAND
from graft.serving.records import Settings
from graft.serving.supervisor import Supervisor

LOG = logging.getLogger(__name__)
DRAIN_LOOK_SECONDS = 0.02
Mark = tuple[int, int, int]


class Succession:
    """`current` answers. Who has put images into its queue gets their answers from it, whatever comes after it."""

    def __init__(self, settings: Settings, metrics: Metrics, command: Sequence[str] = COMMAND) -> None:
        self._settings = settings
        self._metrics = metrics
        self._command = command
        self._tasks: set[asyncio.Task[None]] = set()
        self.current = self._supervisor()

    async def run(self, on_ready: Callable[[], None]) -> None:
        """Answer until cancelled. Raises what keeps the first classifier from being loaded.

        With `settings.reload` the file is looked at now and then, and loaded again when it is another one.
        """
        watch = FileWatch(Path(self._settings.bundle))
        running = self._begin(self.current, on_ready)
        try:
            while True:
                await asyncio.wait((running,), timeout=self._settings.limits.look_seconds)
                if running.done():
                    return running.result()
                if self._settings.reload and self.current.about is not None and watch.is_new():
                    running = await self._replaced(running)
        finally:
            await _end(self._tasks)

    async def _replaced(self, running: "asyncio.Task[None]") -> "asyncio.Task[None]":
        """Load the file beside the classifier that answers, and let it answer then; that one stays where it fails."""
        successor, loaded = self._supervisor(), asyncio.Event()
        starting = self._begin(successor, loaded.set)
        ready = asyncio.ensure_future(loaded.wait())
        await asyncio.wait((starting, ready), return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            ready.cancel()
            LOG.error("The new file was refused (%s): the classifier stays as it was.", _code(starting))
            self._metrics.reloads.labels("refused").inc()
            return running
        before, self.current = self.current, successor
        while len(before.queue):  # nobody can put anything into it any more, and each request has its time limit
            await asyncio.sleep(DRAIN_LOOK_SECONDS)
        await _end({running})
        LOG.info("The classifier was replaced by that of the new file.")
        self._metrics.reloads.labels("loaded").inc()
        return starting

    def _supervisor(self) -> Supervisor:
        return Supervisor(self._settings, self._metrics, self._command)

    def _begin(self, supervisor: Supervisor, on_ready: Callable[[], None]) -> "asyncio.Task[None]":
        task = asyncio.create_task(supervisor.run(on_ready))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


class FileWatch:
    """Tells when a file is another one than before, and nobody is writing it any more."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._known = self._seen = self._mark()

    def is_new(self) -> bool:
        """Whether it is another one than when this was last true, and was so at the last look already."""
        before, self._seen = self._seen, self._mark()
        if self._seen is None or self._seen == self._known or self._seen != before:
            return False
        self._known = self._seen
        return True

    def _mark(self) -> Mark | None:
        try:
            facts = self._path.stat()
        except OSError:  # being replaced
            return None
        return facts.st_ino, facts.st_size, facts.st_mtime_ns


async def _end(tasks: "set[asyncio.Task[None]]") -> None:
    ending = set(tasks)
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _code(failed: "asyncio.Task[None]") -> str:
    error = failed.exception()
    return error.code if isinstance(error, GraftError) else type(error).__name__
