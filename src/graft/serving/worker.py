"""The worker process: holds the classifier, decodes images, answers groups of them. Ends when its parent does.

Messages come on standard input and go out on standard output; see `graft.serving.frames`.
"""

import itertools
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from threading import Condition, Lock, Thread
from typing import Any, BinaryIO

import numpy as np

from graft.bundle.bundle import BATCH, SINGLE, Bundle
from graft.core.errors import CODES, GraftError, ImageRefused, ResourceProblem
from graft.core.version import __version__
from graft.data.images import check_and_load
from graft.serving.frames import Message, encode, read_message

# A lone image is helped by all threads where nothing else was to do for so many times as long as the work before: they
# lose more by it together than the image wins, which others would wait for.
IDLE_TIMES = 3
FILE, PIXELS = "file", "pixels"  # what a part is: an image file's content, or decoded pixels
Refused = dict[str, str]
Decode = Callable[[Bundle, str, bytes], "np.ndarray | Refused"]


@dataclass(frozen=True)
class Given:
    """One image as it came."""

    number: int
    kind: str
    data: bytes = field(repr=False)


class Inbox:
    """Images that no thread has taken yet, oldest first."""

    def __init__(self) -> None:
        self._given: dict[int, Given] = {}
        self._n_taken = 0  # by threads that have not come back
        self._began = self._ended = time.monotonic()  # of the last work without a pause, by any of the threads
        self._changed = Condition()

    def put(self, message: Message) -> None:
        """Add a message's images, and forget those that it says nobody waits for."""
        header = message.header
        with self._changed:
            for number in header["left"]:
                self._given.pop(number, None)
            for number, kind, data in zip(header["numbers"], header["kinds"], message.parts, strict=True):
                self._given[number] = Given(number, kind, data)
                self._changed.notify()

    @contextmanager
    def taken(self, busy_images: int) -> Iterator[tuple[list[Given], bool]]:
        """What a thread takes as soon as there is something, and whether it may be helped by all.

        It is a batch where `busy_images` wait: a batch takes less work, but is answered as a whole, and of fewer images
        other threads had better take some.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._given)
            n_taken = BATCH if len(self._given) >= busy_images else 1
            found = [self._given.pop(number) for number in list(itertools.islice(self._given, n_taken))]
            now = time.monotonic()
            rested = now - self._ended >= IDLE_TIMES * (self._ended - self._began)
            helped = rested and not self._n_taken and not self._given
            if not self._n_taken:
                self._began = now
            self._n_taken += 1
        try:
            yield found, helped
        finally:
            with self._changed:
                self._n_taken -= 1
                self._ended = time.monotonic()


def decoded(bundle: Bundle, kind: str, data: bytes) -> np.ndarray | Refused:
    """One image as `(side, side, 3)` uint8 RGB, or why it was refused."""
    side = bundle.manifest.side_pixels
    if kind == PIXELS:
        return np.frombuffer(data, np.uint8).reshape(side, side, 3)
    geometry = bundle.manifest.preprocessing.geometry
    try:
        facts, pixels = check_and_load(data, side_pixels=side, geometry=geometry, rules=bundle.rules)
        if "trailing_bytes" in facts.flags:
            raise ImageRefused(
                "The file must end where its image does, got more bytes after it.", code="trailing_bytes"
            )
    except (ImageRefused, ResourceProblem) as error:
        return {"code": error.code, "message": _told(error)}
    return pixels


def work(incoming: BinaryIO, outgoing: BinaryIO, decode: Decode = decoded) -> None:
    """Load the classifier that the first message names, then answer images as they come, for good.

    Each thread decodes images and lets the network work on them, with nobody to wait for; an image that comes while
    there is little to do is helped by all in the network.
    """
    inbox, jobs = Inbox(), SimpleQueue[Message]()
    threading.excepthook = _end_at_once
    Thread(target=_read_on, args=(incoming, jobs.put, inbox.put), daemon=True).start()
    job = jobs.get().header
    try:
        bundle = Bundle.load(Path(job["bundle"]), threads=job["threads"])
        _warm_up(bundle)
    except GraftError as error:
        fatal = {"message": error.message, "hint": error.hint, "code": error.code, "status": error.exit_status}
        _send(outgoing, Message({"fatal": fatal}))
        return
    _send(outgoing, Message({"about": about(bundle)}))
    sending, busy_images = Lock(), BATCH * bundle.threads

    def answer_on() -> None:
        while True:
            with inbox.taken(busy_images) as (given, helped):
                message = _answers(bundle, given, decode, helped=helped)
            with sending:
                _send(outgoing, message)

    n_threads = bundle.threads + 1  # a thread that waits for the network leaves its processor to another's decoding
    threads = [Thread(target=answer_on, daemon=True) for _ in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _answers(bundle: Bundle, given: Sequence[Given], decode: Decode, *, helped: bool) -> Message:
    """Probabilities `(class,)` float32 of each image, or why it was refused. None is touched by another."""
    found = [decode(bundle, each.kind, each.data) for each in given]
    good = [each for each in found if isinstance(each, np.ndarray)]
    chances = bundle.predict_pixels(np.stack(good), apart=not helped) if good else ()
    refused = [each if isinstance(each, dict) else None for each in found]
    numbers = [each.number for each in given]
    return Message({"numbers": numbers, "refused": refused}, [row.tobytes() for row in chances])


def about(bundle: Bundle) -> dict[str, Any]:
    """What the service tells of its classifier, and what the front must know of it."""
    manifest, provenance = bundle.manifest, bundle.manifest.provenance
    return {
        "classes": list(bundle.classes),
        "side_pixels": manifest.side_pixels,
        "backbone": manifest.backbone,
        "precision": bundle.precision,
        "threshold": bundle.threshold,
        "recipe": provenance.recipe,
        "accuracy": provenance.accuracy,
        "accuracy_interval": list(provenance.accuracy_interval),
        "scored_on": provenance.scored_on,
        "n_scored": provenance.n_scored,
        "n_train": provenance.n_train,
        "licences": [{"what": what, "terms": terms} for what, terms in manifest.licences],
        "bundle_sha256": bundle.sha256(),
        "trained_with": f"graft {provenance.graft_version}",
        "served_with": f"graft {__version__}",
        "full_batch_images": BATCH * bundle.threads,
        "image_limits": {
            "max_bytes": bundle.rules.max_bytes,
            "max_pixels": bundle.rules.max_pixels,
            "min_side_pixels": bundle.rules.min_side_pixels,
        },
    }


def _warm_up(bundle: Bundle) -> None:
    """Let every batch shape answer once, so that no client waits for what only the first answer needs."""
    side = bundle.manifest.side_pixels
    for count, apart in ((SINGLE, False), (SINGLE, True), (BATCH, True)):
        bundle.predict_pixels(np.zeros((count, side, side, 3), np.uint8), apart=apart)


def _told(error: GraftError) -> str:
    """The error's sentence; of damage only that there is some, for what decoders say of it quotes the file."""
    return f"The image was refused: {CODES['corrupt']}." if error.code == "corrupt" else error.message


def _end_at_once(defect: threading.ExceptHookArgs) -> None:
    """No thread goes on without the others."""
    threading.__excepthook__(defect)
    os._exit(1)


def _read_on(incoming: BinaryIO, begin: Callable[[Message], None], go_on: Callable[[Message], None]) -> None:
    """Give the first message to `begin`, all others to `go_on`.

    When the front is gone, so is this process, whatever it is doing.
    """
    take = begin
    while (message := read_message(incoming)) is not None:
        take(message)
        take = go_on
    os._exit(0)


def _send(outgoing: BinaryIO, message: Message) -> None:
    for piece in encode(message):
        outgoing.write(piece)
    outgoing.flush()


def main() -> None:
    """Work on this process's own streams; what a library prints goes to standard error instead of into messages."""
    sys.stdout.flush()
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    work(sys.stdin.buffer, outgoing)


if __name__ == "__main__":
    main()
