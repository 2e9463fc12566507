"""The queue: images wait here for the worker, each with the future of its answer."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

from graft.serving.errors import Refusal
from graft.serving.metrics import Metrics


@dataclass(frozen=True)
class Image:
    """One image as it goes to the worker: what `data` is stands in `kind` (see `graft.serving.worker`)."""

    kind: str
    data: bytes = field(repr=False)


@dataclass(frozen=True)
class ImageRefusal:
    """Why one image has no answer."""

    code: str
    message: str


Answer = Sequence[float] | ImageRefusal  # probabilities in the order of the classes
Waiter = tuple[Image, "asyncio.Future[Answer]"]


class Queue:
    """At most `most_images` wait. An image whose future is cancelled gives its place back at once."""

    def __init__(self, most_images: int, metrics: Metrics) -> None:
        self._most = most_images
        self._metrics = metrics
        self._numbers = itertools.count()
        self._waiting: dict[int, Waiter] = {}
        self._filled = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    def check_room(self, n_images: int = 1) -> None:
        """Raise `Refusal` (429) where `n_images` more have no place. Into an empty queue any request may come."""
        if self._waiting and len(self._waiting) + n_images > self._most:
            raise Refusal(
                f"At most {self._most} images may wait, and the queue is full.",
                hint="Try again soon, or send fewer at once.",
                status=429,
                code="queue_full",
            )

    def put(self, images: Sequence[Image]) -> list["asyncio.Future[Answer]"]:
        """Let `images` wait, all or none; raises as `check_room` does."""
        self.check_room(len(images))
        loop = asyncio.get_running_loop()
        futures = []
        for image in images:
            future: asyncio.Future[Answer] = loop.create_future()
            number = next(self._numbers)
            self._waiting[number] = (image, future)
            future.add_done_callback(lambda _, number=number: self._forget(number))  # type: ignore[misc]
            futures.append(future)
        self._tell()
        return futures

    async def take(self, most_images: int) -> list[Waiter]:
        """Wait until there is an image, then take those that are there, oldest first."""
        await self._filled.wait()
        numbers = list(itertools.islice(self._waiting, most_images))
        taken = [self._waiting.pop(number) for number in numbers]
        self._tell()
        return taken

    def fail(self, why: Refusal) -> None:
        """Answer all that wait with `why`."""
        for _, future in list(self._waiting.values()):
            settle(future, why)

    def _forget(self, number: int) -> None:
        if self._waiting.pop(number, None) is not None:
            self._tell()

    def _tell(self) -> None:
        self._metrics.waiting.set(len(self._waiting))
        if self._waiting:
            self._filled.set()
        else:
            self._filled.clear()


def settle(future: "asyncio.Future[Answer]", result: Answer | Refusal) -> None:
    """Give a future its result, unless its client has left."""
    if future.done():
        return
    if isinstance(result, Refusal):
        future.set_exception(result)
    else:
        future.set_result(result)
