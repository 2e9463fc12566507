"""Epochs of training block 5 of VGG16, one way of doing it in one process: `bench_finetune.py` starts these.

The network, the head (the average of the last convolution, ten classes), the loss, Adam, its rate and the batch are the
same both ways. Decoding and augmentation are left out on both sides: pixels lie in memory as float32, ready for the
network; activations lie as the store keeps them, four views of each photo.
"""

import json
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np

BACKBONE = "vgg16"
SIDE_PIXELS = 150
CUT = "block4_pool"
TRAINED = ("block5_conv1", "block5_conv2", "block5_conv3")
TAP = TRAINED[-1]
CLASSES = 10
VIEWS = 4
RATE = 1e-4
LABEL_SMOOTHING = 0.1
Moment = tuple[float, float]  # seconds of the clock, and of the processor over all threads


@dataclass(frozen=True)
class Way:
    """How to train, and how much of it; as JSON on the command line."""

    tool: Literal["graft", "keras", "store"]  # store: no training, but what the store is filled with, once
    precision: Literal["float32", "bfloat16"]
    jit: bool | None  # Keras' jit_compile; None: its default
    averaging: float  # decay of averaged weights; 0: none are kept
    photos: int
    batch_images: int
    epochs: int
    weights: str  # file with random weights
    cache: str


class Watch:
    """A progress that remembers when each step ended."""

    def __init__(self) -> None:
        self.moments: list[Moment] = []

    @contextmanager
    def stage(self, name: str, total: int | None, unit: str) -> Iterator["Watch"]:
        """See `graft.core.progress.Progress`."""
        yield self

    def say(self, text: str) -> None:
        """Nothing to tell."""

    def advance(self, n: int = 1) -> None:
        """Remember the moment."""
        self.moments += [now()] * n

    def note(self, text: str) -> None:
        """Nothing to show."""


class NoCheckpoints:
    """Keeps nothing: what is written about once a minute would be written every few seconds here."""

    def save(self, step: int, tensors: Mapping[str, np.ndarray], state: Mapping[str, Any]) -> None:
        """Let go of it."""

    def load(self) -> None:
        """There is nothing."""


def now() -> Moment:
    """This moment."""
    return time.perf_counter(), time.process_time()


def between(ends: list[Moment]) -> list[Moment]:
    """What passed from each moment to the next."""
    return [(end[0] - begin[0], end[1] - begin[1]) for begin, end in pairwise(ends)]


def graft_epochs(way: Way) -> list[Moment]:
    """Each epoch after the first, by Graft's own loop."""
    from graft.training.tuning.loop import tune

    watch = Watch()
    with tempfile.TemporaryDirectory() as scratch:
        task = graft_task(way, Path(scratch))
        tune(task, checkpoints=NoCheckpoints(), stop=lambda: False, progress=watch)
        task.train.close()
    steps = -(-way.photos // way.batch_images)
    return between(watch.moments[steps - 1 :: steps])


def graft_task(way: Way, scratch: Path):  # a Task, imported late
    """Block 5 above stored activations, without validation photos."""
    from graft.backbones.weights import resolve
    from graft.core import machine
    from graft.features.sources import StoredSource
    from graft.training.records import Classifier
    from graft.training.tuning.records import Tuning
    from graft.training.tuning.task import Task

    record, weights = resolve(BACKBONE, Path(way.weights), Path(way.cache))
    width = dict(zip(record.taps, record.tap_widths, strict=True))[TAP]
    return Task(
        backbone=record,
        side_pixels=SIDE_PIXELS,
        weights=weights,
        schedule=schedule_of(way),
        tuning=Tuning(averaging=way.averaging, label_smoothing=LABEL_SMOOTHING),
        start=Classifier(
            taps=(TAP,),
            mean=np.zeros(width, np.float32),
            scale=np.ones(width, np.float32),
            kernel=np.random.default_rng(1).normal(0, 0.05, (width, CLASSES)).astype(np.float32),
            bias=np.zeros(CLASSES, np.float32),
            temperature=1.0,
        ),
        head=None,
        classes=CLASSES,
        train=StoredSource([stored(way.photos, record, scratch)]),
        train_labels=labels(way.photos),
        validation=None,
        validation_labels=None,
        class_weights=None,
        seed=0,
        threads=machine.threads(),
    )


def schedule_of(way: Way):  # a Schedule, imported late
    """One phase at a steady rate, one epoch longer than is timed."""
    from graft.backbones.freezing import Freeze
    from graft.training.tuning.records import Phase, Schedule

    phase = Phase(
        name="block 5", freeze=Freeze(kind="all"), epochs=way.epochs + 1, rate=RATE, warmup_epochs=0, decay="none"
    )
    return Schedule(
        cut=(CUT,),
        trained=TRAINED,
        n_trained_parameters=7_079_424,
        n_frozen_parameters=7_635_264,
        views=VIEWS,
        store_bytes=0,
        batch_images=way.batch_images,
        precision=way.precision,
        phase=phase,
        reason="for a benchmark",
    )


def stored(photos: int, record, scratch: Path) -> np.ndarray:  # a BackboneRecord, imported late
    """Activations of random content where the store's come to lie: `(view, photo, 9, 9, 512)` bfloat16."""
    import ml_dtypes

    from graft.features.table import spacious

    side = SIDE_PIXELS // 16
    array = spacious(scratch, (VIEWS, photos, side, side, 512), ml_dtypes.bfloat16)
    draw = np.random.default_rng(2)
    for view in array:
        for place in view:
            place[...] = np.maximum(draw.standard_normal(place.shape, np.float32), 0)
    return array


def keras_epochs(way: Way) -> list[Moment]:
    """Each epoch after the first, by Keras' `fit` from pixels."""
    import keras

    if way.precision == "bfloat16":
        keras.config.set_dtype_policy("mixed_bfloat16")
    model = keras_model()
    averaging = {"use_ema": True, "ema_momentum": way.averaging} if way.averaging else {}
    compiling = {} if way.jit is None else {"jit_compile": way.jit}
    model.compile(
        optimizer=keras.optimizers.Adam(RATE, **averaging),
        loss=keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=LABEL_SMOOTHING),
        metrics=["accuracy"],
        **compiling,
    )
    draw = np.random.default_rng(0)
    pixels = draw.standard_normal((way.photos, SIDE_PIXELS, SIDE_PIXELS, 3), np.float32) * 60
    targets = np.eye(CLASSES, dtype=np.float32)[labels(way.photos)]
    ends: list[Moment] = []
    watch = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: ends.append(now()))
    epochs = way.epochs + 1
    model.fit(pixels, targets, batch_size=way.batch_images, epochs=epochs, verbose=0, callbacks=[watch])
    return between(ends)


def keras_model():  # a keras.Model, imported late
    """The network as one would write it: a frozen part called with training=False, block 5, average, classes."""
    import keras

    base = keras.applications.VGG16(include_top=False, weights=None, input_shape=(SIDE_PIXELS, SIDE_PIXELS, 3))
    frozen = keras.Model(base.input, base.get_layer(CUT).output)
    frozen.trainable = False
    block = keras.Model(base.get_layer(CUT).output, base.get_layer(TAP).output)
    inputs = keras.Input((SIDE_PIXELS, SIDE_PIXELS, 3))
    averages = keras.layers.GlobalAveragePooling2D()(block(frozen(inputs, training=False)))
    return keras.Model(inputs, keras.layers.Dense(CLASSES, dtype="float32")(averages))


def storing_epochs(way: Way) -> list[Moment]:
    """All photos run up to the cut on Graft's engine, again and again: a view of each."""
    from graft.backbones.weights import resolve
    from graft.core import machine
    from graft.features.engines import open_engine, run_pixels
    from graft.features.records import Output, Program

    record, weights = resolve(BACKBONE, Path(way.weights), Path(way.cache))
    program = Program(
        backbone=record.name,
        weights_sha256=weights.sha256,
        side_pixels=SIDE_PIXELS,
        preprocessing=record.preprocessing,
        outputs=(Output(layer=CUT, pooling="none"),),
        precision=way.precision,
    )
    shape = (way.photos, SIDE_PIXELS, SIDE_PIXELS, 3)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    ends = []
    with open_engine(program, weights, threads=machine.threads(), cache=Path(way.cache)) as engine:
        for _ in range(way.epochs + 2):
            ends.append(now())
            run_pixels(engine, pixels)
    return between(ends)[1:]


def labels(photos: int) -> np.ndarray:
    """A class for each photo: `(photo,)`."""
    return np.arange(photos) % CLASSES


def main() -> None:
    """Print wall and processor seconds of each epoch after the first, as JSON."""
    from graft.core import machine
    from graft.training.tuning import backend

    way = Way(**json.loads(sys.argv[1]))
    if way.tool == "store":
        epochs = storing_epochs(way)
    else:
        backend.prepare("tensorflow", machine.threads())
        epochs = graft_epochs(way) if way.tool == "graft" else keras_epochs(way)
    print(json.dumps(epochs))


if __name__ == "__main__":
    main()
