"""Trainings in a process of their own, where Keras may compute with TensorFlow; what they read is written down.

Reads a list of jobs as JSON from standard input: `name`, `options` of a training, and `spoil`, a fault to be found.
Writes one JSON object: for each name what came of it, and what the fine-tuning was given.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any
from unittest import mock

import numpy as np

from graft.core.errors import BadInput, GraftError
from graft.core.hashing import sha256_file
from graft.core.progress import SilentProgress
from graft.data.records import Photo
from graft.pipeline import finetuning, phases, views
from graft.pipeline.options import TrainOptions
from graft.pipeline.train import train


class Telling(SilentProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def say(self, text: str) -> None:
        """Keep it."""
        self.said.append(text)


@contextmanager
def audited(seen: dict[str, Any]) -> Iterator[None]:
    """Note which photos are read for the training, in which views, and with which head it begins."""
    read: list[dict[str, Any]] = []
    seen |= {"read": read, "tuned": 0}

    def note(photos: Sequence[Photo], n_views: int | None) -> None:
        splits = sorted({photo.split for photo in photos})
        read.append({"splits": splits, "n": len(photos), "views": n_views, "paths": [photo.path for photo in photos]})

    def stored(root: Any, photos: Sequence[Photo], *rest: Any, **words: Any) -> Any:
        note(photos, words["views"])
        return extract_views(root, photos, *rest, **words)

    def fresh(root: Any, photos: Sequence[Photo], **words: Any) -> Any:
        source = pixels(root, photos, **words)
        note(photos, source.n_views)
        return source

    def begin(work: Any, probed: Any, lock: Any) -> None:
        seen["heads"] = {name: numbers(getattr(probed.result, name)) for name in ("held_out", "classifier")}
        whole(work, probed, lock)

    def tune(task: Any, **words: Any) -> Any:
        seen["tuned"] += 1
        seen.setdefault("start", numbers(task.start))  # of the first phase
        seen["labels"] = task.train_labels.tolist()
        return genuine(task, **words)

    extract_views, pixels = views.extract_views, views.PixelSource
    whole, genuine = finetuning.finetune, phases.tune
    with ExitStack() as stack:
        for module, name, other in (
            (views, "extract_views", stored),
            (views, "PixelSource", fresh),
            (phases, "tune", tune),
            (sys.modules["graft.pipeline.train"], "finetune", begin),
        ):
            stack.enter_context(mock.patch.object(module, name, other))
        yield


def numbers(head: Any) -> dict[str, Any]:
    """A head as plain values: its taps, and what its kernel adds up to."""
    return {"taps": list(head.taps), "kernel": float(abs(head.kernel).sum())}


def leak(work: Any, *rest: Any) -> Any:
    """The fault of reading test photos as if they were training photos."""
    manifest = work.intake.manifest
    photos = tuple(replace(photo, split="train") if photo.split == "test" else photo for photo in manifest.photos)
    intake = replace(work.intake, manifest=replace(manifest, photos=photos))
    return GENUINE["sources"](replace(work, intake=intake), *rest)


def leak_labels(work: Any, layout: Any, schedule: Any, train: Any, validation: Any, **words: Any) -> Any:
    """The labels that go with it."""
    task = GENUINE["task_of"](work, layout, schedule, train, validation, **words)
    labels = [photo.label for photo in work.intake.manifest.photos if photo.split != "validation"]
    return replace(task, train_labels=np.array(labels))


def stop(*arguments: Any, **words: Any) -> Any:
    """The end of a process just before it begins to fine-tune."""
    problem = BadInput("Enough.")
    problem.code = "stopped by the test"
    raise problem


GENUINE: dict[str, Callable[..., Any]] = {"sources": phases.sources, "task_of": phases.task_of}
FAULTS: dict[str, dict[str, Callable[..., Any]]] = {
    "leak": {"sources": leak, "task_of": leak_labels},
    "stop before": {"_prepare": stop},
}


def one(job: dict[str, Any]) -> dict[str, Any]:
    """Train once."""
    seen: dict[str, Any] = {}
    progress = Telling()
    with ExitStack() as stack:
        stack.enter_context(audited(seen))
        for name, fault in FAULTS.get(job.get("spoil", ""), {}).items():
            module = phases if hasattr(phases, name) else finetuning
            stack.enter_context(mock.patch.object(module, name, fault))
        try:
            result = train(TrainOptions(**job["options"]), progress=progress)
        except GraftError as error:
            return {"error": {"code": error.code, "message": error.message}, "said": progress.said, "seen": seen}
    found = {"summary": result.summary, "text": result.text, "bundle": sha256_file(result.bundle)}
    return found | {"said": progress.said, "seen": seen}


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"  # before anything imports Keras
    print(json.dumps({job["name"]: one(job) for job in json.load(sys.stdin)}))
