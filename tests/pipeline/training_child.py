"""Trainings in a process of their own, where Keras may compute with TensorFlow; what they read is written down.

Reads a list of jobs as JSON from standard input: `name`, `options` of a training, and `spoil`, a fault to be found.
Writes one JSON object: for each name what came of it, and what the fine-tuning was given.
"""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import numpy as np

from graft.core.errors import BadInput, GraftError
from graft.core.hashing import sha256_file
from graft.core.progress import SilentProgress
from graft.data.augmentation.views import make_view
from graft.data.images import load_pixels
from graft.data.records import Photo
from graft.features.preprocessing import network_input
from graft.pipeline.options import TrainOptions
from graft.pipeline.train import train
from graft.pipeline.tuning import answering, finetuning, phases, views


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
    given: list[list[list[int]]] = []
    seen |= {"read": read, "tuned": 0, "views": given, "judged": []}
    expected: list[Expected] = []  # of each source that was made

    def note(photos: Sequence[Photo], n_views: int | None) -> None:
        splits = sorted({photo.split for photo in photos})
        read.append({"splits": splits, "n": len(photos), "views": n_views, "paths": [photo.path for photo in photos]})

    def stored(root: Any, photos: Sequence[Photo], *rest: Any, **words: Any) -> Any:
        note(photos, words["views"])
        found = extract_views(root, photos, *rest, **words)
        expected.append(Expected(list(found.values.values()), first=int(words["judged_augmented"])))
        return found

    def fresh(root: Any, photos: Sequence[Photo], **words: Any) -> Any:
        source = pixels(root, photos, **words)
        note(photos, source.n_views)
        expected.append(Expected([np.stack([by_hand(root, photos, view, **words) for view in range(FIRST_VIEWS)])]))
        return source

    def asked(root: Any, photos: Sequence[Photo], *rest: Any, **words: Any) -> Any:
        answered = answering_views(root, photos, *rest, **words)
        splits = sorted({photo.split for photo in photos})
        first = int(words["judged_augmented"])
        seen["judged"].append({"splits": splits, "n": len(photos), "answered": answered, "first": first})
        return answered

    def classify(values: dict[str, np.ndarray], *rest: Any) -> Any:
        found = seen["judged"][-1].pop("answered", None)
        if found is not None:
            (name,) = list(values)[:1]
            first = seen["judged"][-1].pop("first")
            rows = enumerate(found.values[name], first)
            seen["judged"][-1]["views"] = [view for view, each in rows if np.array_equal(each, values[name])]
        return judging(values, *rest)

    def begin(work: Any, probed: Any, lock: Any) -> None:
        seen["heads"] = {name: numbers(getattr(probed.result, name)) for name in ("held_out", "classifier")}
        whole(work, probed, lock)

    def tune(task: Any, **words: Any) -> Any:
        seen["tuned"] += 1
        seen.setdefault("start", numbers(task.start))  # of the first phase
        seen["labels"] = task.train_labels.tolist()
        there = [source for source in (task.train, task.validation) if source is not None]
        given.extend(views_in(source, each) for source, each in zip(there, expected[-len(there) :], strict=True))
        return genuine(task, **words)

    extract_views, pixels = views.extract_views, views.PixelSource
    whole, genuine = finetuning.finetune, phases.tune
    answering_views, judging = answering.extract_views, answering.classify
    with ExitStack() as stack:
        for module, name, other in (
            (views, "extract_views", stored),
            (views, "PixelSource", fresh),
            (answering, "extract_views", asked),
            (answering, "classify", classify),
            (phases, "tune", tune),
            (sys.modules["graft.pipeline.train"], "finetune", begin),
        ):
            stack.enter_context(mock.patch.object(module, name, other))
        yield


@dataclass(frozen=True)
class Expected:
    """What a source may give: arrays (view, photo, …), and the number of the first view in them."""

    arrays: list[np.ndarray]
    first: int = 0


FIRST_VIEWS = 4  # of photos that are read from their pixels: as many as are looked at


def by_hand(root: Any, photos: Sequence[Photo], view: int, **words: Any) -> np.ndarray:
    """A view of each photo as the network's input, made without any source."""
    rules, preprocessing = words["rules"], words["preprocessing"]
    size: dict[str, Any] = {"side_pixels": words["side_pixels"], "geometry": preprocessing.geometry}
    pixels = [
        make_view(
            load_pixels((root / photo.path).read_bytes(), rules=rules, **size),
            words["augmentation"],
            sha256=photo.sha256,
            view=view,
            seed=words["seed"],
        )
        for photo in photos
    ]
    return network_input(np.stack(pixels), preprocessing)


def views_in(source: Any, expected: Expected) -> list[list[int]]:
    """Which views of the photos a source gives where it is asked for its first, its second … one."""
    every = np.arange(source.n_photos)
    found = []
    for view in range(source.n_views or FIRST_VIEWS - 1):
        values = np.asarray(source.read(every, np.full_like(every, view))[0], np.float32)
        likely = [each for each in expected.arrays if each.shape[2:] == source.shapes[0]]
        found.append(
            [
                number + expected.first
                for number in range(len(expected.arrays[0]))
                if any(np.array_equal(np.asarray(each[number], np.float32), values) for each in likely)
            ]
        )
    return found


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


def plain(work: Any) -> Any:
    """The same training, but validation and test photos are to be seen as they are."""
    tuning = replace(work.tuning, augments="train")
    return replace(work, resolved=replace(work.resolved, plan=replace(work.resolved.plan, tuning=tuning)))


def stop_in_the_second(task: Any, *, stop: Callable[[], bool], **words: Any) -> Any:
    """The wish to stop, three steps after the second phase began."""
    asked: list[int] = []

    def soon() -> bool:
        asked.append(1)
        return len(asked) >= 3

    begun = "phase-1" in str(task.weights.path) or bool(task.head_tensors)
    return GENUINE["tune"](task, stop=soon if begun else stop, **words)


def stop(*arguments: Any, **words: Any) -> Any:
    """The end of a process just before it begins to fine-tune."""
    problem = BadInput("Enough.")
    problem.code = "stopped by the test"
    raise problem


GENUINE: dict[str, Callable[..., Any]] = {
    "sources": phases.sources,
    "task_of": phases.task_of,
    "answers_of": phases.answers_of,
    "tune": phases.tune,
}
FAULTS: dict[str, dict[str, Callable[..., Any]]] = {
    "leak": {"sources": leak, "task_of": leak_labels},
    "stop before": {"_prepare": stop},
    "stop soon": {"tune": stop_in_the_second},
    "judged plain": {
        "sources": lambda work, *rest: GENUINE["sources"](plain(work), *rest),
        "answers_of": lambda work, *rest: GENUINE["answers_of"](plain(work), *rest),
    },
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
            options = {name: tuple(each) if isinstance(each, list) else each for name, each in job["options"].items()}
            result = train(TrainOptions(**options), progress=progress)
        except GraftError as error:
            return {"error": {"code": error.code, "message": error.message}, "said": progress.said, "seen": seen}
    found = {"summary": result.summary, "text": result.text, "bundle": sha256_file(result.bundle)}
    return found | {"said": progress.said, "seen": seen}


if __name__ == "__main__":
    os.environ["KERAS_BACKEND"] = "tensorflow"  # before anything imports Keras
    print(json.dumps({job["name"]: one(job) for job in json.load(sys.stdin)}))
