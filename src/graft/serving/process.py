"""One worker process as the front sees it: started, asked, ended."""

import asyncio
import os
import signal
import subprocess
import sys
from asyncio.subprocess import Process
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from graft.core.child import KINDS, SOURCE_ROOT
from graft.core.errors import CODES, GraftError, IntegrityProblem, ResourceProblem
from graft.serving.errors import Refusal
from graft.serving.frames import Message, encode, receive_message
from graft.serving.records import Settings
from graft.serving.waiting import Answer, Image, ImageRefusal

COMMAND = (sys.executable, "-P", "-m", "graft.serving.worker")  # -P: see graft.core.child
END_SECONDS = 5.0
FATE_SECONDS = 0.2  # from the end of what it writes to its own
EXIT_STATUSES = {3: ResourceProblem, 4: IntegrityProblem}


class WorkerLost(Exception):
    """The worker ended, or broke its protocol; `how` is for the log."""

    how = "it could not be started"


class WorkerHung(WorkerLost):
    """The worker did not answer in time."""


class Worker:
    """A running worker process."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, settings: Settings, command: Sequence[str]) -> "Worker":
        """Start the process; `load` tells when it can be asked. Raises `WorkerLost`."""
        paths = (str(SOURCE_ROOT), os.environ.get("PYTHONPATH", ""))
        # In a group of its own: Ctrl-C in a terminal must not end it before the requests it holds are answered.
        own_group: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            own_group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=None if settings.debug else subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
                **own_group,
            )
        except OSError as error:  # no memory or no process left
            raise WorkerLost from error
        return cls(process)

    async def load(self, settings: Settings) -> Mapping[str, Any]:
        """Let it load the classifier and return what it says of it; raises what kept it from loading."""
        job = Message({"bundle": settings.bundle, "threads": settings.threads})
        try:
            async with asyncio.timeout(settings.limits.load_seconds):
                await self._send(job)
                header = (await self._receive()).header
        except TimeoutError:
            raise WorkerHung from None
        if "fatal" in header:
            raise _rebuilt(header["fatal"])
        return dict(header["about"])

    async def send(self, images: Mapping[int, Image], left: Sequence[int]) -> None:
        """Give it images by their numbers, and the numbers of earlier ones that need no answer any more.

        Raises `WorkerLost`.
        """
        header = {"numbers": list(images), "kinds": [image.kind for image in images.values()], "left": left}
        await self._send(Message(header, [image.data for image in images.values()]))

    async def receive(self) -> dict[int, Answer]:
        """The next answers, by the numbers of their images. Raises `WorkerLost`."""
        message = await self._receive()
        try:
            numbers, refusals = message.header["numbers"], message.header["refused"]
            parts = iter(message.parts)
            return {
                int(number): _refusal(why) if why else memoryview(next(parts)).cast("f")
                for number, why in zip(numbers, refusals, strict=True)
            }
        except (KeyError, TypeError, ValueError, StopIteration) as error:  # StopIteration: fewer parts than answers
            raise WorkerLost from error

    async def ended(self) -> None:
        """Wait for the process to end, then raise `WorkerLost`."""
        await self._process.wait()
        raise WorkerLost

    async def fate(self) -> str:
        """How it was lost, where it did not hang: the signal or the exit status that ended it, if it has ended."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), FATE_SECONDS)
        status = self._process.returncode
        if status is None:
            return "what it wrote could not be read"
        if status < 0:
            return "signal " + next((each.name for each in signal.Signals if each == -status), str(-status))
        return f"exit status {status}"

    async def end(self) -> None:
        """End the process: it leaves by itself when its input ends, and is killed where it does not."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), END_SECONDS)
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End the process at once."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()

    async def _send(self, message: Message) -> None:
        if self._process.stdin is None:
            raise WorkerLost
        try:
            self._process.stdin.writelines(encode(message))
            await self._process.stdin.drain()
        except OSError as error:
            raise WorkerLost from error

    async def _receive(self) -> Message:
        if self._process.stdout is None:
            raise WorkerLost
        try:
            return await receive_message(self._process.stdout)
        except (OSError, EOFError, ValueError) as error:  # EOFError: asyncio.IncompleteReadError
            raise WorkerLost from error


def lost(error: WorkerLost) -> Refusal:
    """What the requests are told that a worker took with it."""
    if isinstance(error, WorkerHung):
        return Refusal("The answer must come in time, but the worker hung.", status=504, code="timed_out")
    return Refusal(
        "The classifier's process ended before it answered.", hint="Try again soon.", status=503, code="worker_lost"
    )


def _refusal(value: Mapping[str, str]) -> ImageRefusal:
    return ImageRefusal(value["code"], value["message"])


def _rebuilt(fatal: Mapping[str, Any]) -> GraftError:
    code = fatal["code"] if fatal["code"] in CODES else "internal"
    kind = EXIT_STATUSES.get(fatal["status"], KINDS["BadInput"])
    return kind(fatal["message"], hint=fatal["hint"], code=code)
