"""The queue: images that were accepted and have no answer yet, each with the future of its answer."""

import asyncio
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from graft.serving.errors import Refusal

# A queue that empties now and then holds a burst, and may be long. One that never does makes everybody wait, and nobody
# is answered sooner: where it was not empty for so many times its length, only half of it is used.
STANDING_LENGTHS = 5
STANDING_SHARE = 1 / 2


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
    """At most `most_images` are in it, waiting or with the worker; `most_out` of them with the worker.

    An image whose future is cancelled gives its place back at once.
    """

    def __init__(self, most_images: int = 0, most_out: int = 0) -> None:
        self.most_images = most_images
        self.most_out = most_out
        self._numbers = itertools.count()
        self._waiting: dict[int, Waiter] = {}
        self._out: dict[int, asyncio.Future[Answer]] = {}
        self._left: list[int] = []  # with the worker, and nobody waits for them any more
        self._something = asyncio.Event()
        self._n_settled = 0  # since it was empty

    def __len__(self) -> int:
        return len(self._waiting) + len(self._out)

    @property
    def n_out(self) -> int:
        """Images that are with the worker."""
        return len(self._out)

    def check_room(self, n_images: int = 1) -> None:
        """Raise `Refusal` (429) where `n_images` more have no place. Into an empty queue any request may come."""
        if not len(self):
            return
        standing = self._n_settled >= STANDING_LENGTHS * self.most_images
        if len(self) + n_images > self.most_images or (standing and len(self) >= STANDING_SHARE * self.most_images):
            raise Refusal(
                "No more images may wait than do already.",
                hint="Try again soon, or send fewer at once.",
                status=429,
                code="queue_full",
            )

    def put(self, images: Sequence[Image]) -> list["asyncio.Future[Answer]"]:
        """Let `images` wait, all or none; raises as `check_room` does."""
        self.check_room(len(images))
        if not len(self):
            self._n_settled = 0
        loop = asyncio.get_running_loop()
        futures = []
        for image in images:
            future: asyncio.Future[Answer] = loop.create_future()
            number = next(self._numbers)
            self._waiting[number] = (image, future)
            future.add_done_callback(lambda _, number=number: self._forget(number))  # type: ignore[misc]
            futures.append(future)
        self._look()
        return futures

    async def take(self) -> tuple[dict[int, Image], list[int]]:
        """Images for the worker, oldest first, as soon as there are some; and those it need not answer any more."""
        await self._something.wait()
        numbers = list(itertools.islice(self._waiting, self.most_out - len(self._out)))
        taken = {}
        for number in numbers:
            taken[number], self._out[number] = self._waiting.pop(number)
        left, self._left = self._left, []
        self._look()
        return taken, left

    def settle(self, number: int, answer: Answer) -> bool:
        """Give an image that was taken its answer; whether anybody still waited for it."""
        self._n_settled += 1
        future = self._out.get(number)
        if future is None or future.done():
            return False
        future.set_result(answer)
        return True

    def fail_out(self, why: Refusal) -> None:
        """Answer all that are with the worker with `why`."""
        _fail(self._out.values(), why)
        self._out.clear()
        self._left.clear()
        self._look()

    def fail(self, why: Refusal) -> None:
        """Answer all with `why`."""
        _fail((future for _, future in self._waiting.values()), why)
        self._waiting.clear()
        self.fail_out(why)

    def _forget(self, number: int) -> None:
        self._waiting.pop(number, None)
        future = self._out.pop(number, None)
        if future is not None and future.cancelled():
            self._left.append(number)
        self._look()

    def _look(self) -> None:
        if self._left or (self._waiting and len(self._out) < self.most_out):
            self._something.set()
        else:
            self._something.clear()


def _fail(futures: "Iterable[asyncio.Future[Answer]]", why: Refusal) -> None:
    for future in list(futures):
        if not future.done():
            future.set_exception(why)
