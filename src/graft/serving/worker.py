"""The worker process: holds the classifier, decodes images, answers groups of them. Ends when its parent does.

Messages come on standard input and go out on standard output; see `graft.serving.frames`.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Thread
from typing import Any, BinaryIO

import numpy as np

from graft.bundle.bundle import BATCH, SINGLE, Bundle
from graft.core.errors import CODES, GraftError, ImageRefused, ResourceProblem
from graft.core.version import __version__
from graft.data.images import check_and_load
from graft.serving.frames import Message, encode, read_message

FILE, PIXELS = "file", "pixels"  # what a part is: an image file's content, or decoded pixels
AT_ONCE = 2  # images below full batches: the engine works on one while the other is brought
Refused = dict[str, str]
Answers = list[np.ndarray | Refused]


def work(incoming: BinaryIO, outgoing: BinaryIO, answer: Callable[..., Iterator[Answers]] | None = None) -> None:
    """Load the classifier that the first message names, then answer group by group, for good."""
    messages: SimpleQueue[Message] = SimpleQueue()
    Thread(target=_read, args=(incoming, messages), daemon=True).start()
    job = messages.get().header
    try:
        bundle = Bundle.load(Path(job["bundle"]), threads=job["threads"])
        _warm_up(bundle)
    except GraftError as error:
        fatal = {"message": error.message, "hint": error.hint, "code": error.code, "status": error.exit_status}
        _send(outgoing, Message({"fatal": fatal}))
        return
    _send(outgoing, Message({"about": about(bundle)}))
    with ThreadPoolExecutor(bundle.threads) as pool:
        while True:
            group = messages.get()
            for answers in (answer or answer_group)(bundle, pool, group.header["kinds"], group.parts):
                _send(outgoing, _answered(answers))


def answer_group(
    bundle: Bundle, pool: ThreadPoolExecutor, kinds: Sequence[str], parts: Sequence[bytes]
) -> Iterator[Answers]:
    """For each image its probabilities `(class,)` float32, or why it was refused, in order, as soon as some are there.

    None is touched by another. All are decoded at once, by threads, while the network works on the first ones.
    """
    decoding = [pool.submit(_decoded, bundle, kind, data) for kind, data in zip(kinds, parts, strict=True)]
    while decoding:
        count = BATCH * bundle.threads if len(decoding) >= BATCH * bundle.threads else AT_ONCE
        decoded = [each.result() for each in decoding[:count]]
        decoding = decoding[count:]
        good = [each for each in decoded if isinstance(each, np.ndarray)]
        chances = iter(bundle.predict_pixels(np.stack(good)) if good else ())
        yield [next(chances) if isinstance(each, np.ndarray) else each for each in decoded]


def about(bundle: Bundle) -> dict[str, Any]:
    """What the service tells of its classifier, and what the front must know of it."""
    manifest, provenance = bundle.manifest, bundle.manifest.provenance
    return {
        "classes": list(bundle.classes),
        "side_pixels": manifest.side_pixels,
        "backbone": manifest.backbone,
        "precision": bundle.precision,
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
        "image_limits": {
            "max_bytes": bundle.rules.max_bytes,
            "max_pixels": bundle.rules.max_pixels,
            "min_side_pixels": bundle.rules.min_side_pixels,
        },
    }


def _warm_up(bundle: Bundle) -> None:
    """Let every batch shape answer once, so that no client waits for what only the first answer needs."""
    bundle.warm_up()
    side = bundle.manifest.side_pixels
    for count in (SINGLE, BATCH * bundle.threads):
        bundle.predict_pixels(np.zeros((count, side, side, 3), np.uint8))


def _decoded(bundle: Bundle, kind: str, data: bytes) -> np.ndarray | Refused:
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


def _told(error: GraftError) -> str:
    """The error's sentence; of damage only that there is some, for what decoders say of it quotes the file."""
    return f"The image was refused: {CODES['corrupt']}." if error.code == "corrupt" else error.message


def _answered(answers: Answers) -> Message:
    good = [np.asarray(each, np.float32).tobytes() for each in answers if not isinstance(each, dict)]
    return Message({"refused": [each if isinstance(each, dict) else None for each in answers]}, good)


def _read(incoming: BinaryIO, messages: "SimpleQueue[Message]") -> None:
    """Collect messages; when the front is gone, so is this process, whatever it is doing."""
    while (message := read_message(incoming)) is not None:
        messages.put(message)
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
