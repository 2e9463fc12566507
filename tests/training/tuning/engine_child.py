"""The engine's checks, for a process of its own: `python -m tests.training.tuning.engine_child BACKEND [CHECK…]`.

Those of heads with layers of their own are in `head_checks.py`.

Keras takes one backend for each process, and the tests' own has the fast one. The last line written is JSON: for each
check "" or what went wrong. `test_engine.py` runs this.
"""

import importlib
import json
import sys
import tempfile
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.cuts import wide_cuts
from graft.backbones.freezing import Freeze
from graft.backbones.networks import build
from graft.backbones.weights import WeightsFile, import_weights, load_into
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.progress import SilentProgress
from graft.core.tensors import tensors_sha256, write_tensors
from graft.evaluation.calibration import temperature
from graft.features.sources import StoredSource
from graft.training.linear import class_logits, decision
from graft.training.records import Classifier
from graft.training.tuning import loop, network, optimizer, steps
from graft.training.tuning.backend import choose, prepare
from graft.training.tuning.records import Phase, Tuning
from graft.training.tuning.state import Saved
from graft.training.tuning.task import Task, Tuned
from tests.training.tuning import samples
from tests.training.tuning.samples import PHASE, classifier, schedule, task

EVERYTHING = {"dropout": 0.2, "mixup": 0.4, "label_smoothing": 0.1, "averaging": 0.9}


class Memory:
    """Keeps commits in memory; bytes only, as a file would."""

    def __init__(self, saved: Saved | None = None) -> None:
        self.saved = saved
        self.steps: list[int] = []

    def save(self, step, tensors, state):
        self.steps.append(step)
        copies = {name: np.array(array) for name, array in tensors.items()}
        self.saved = Saved(step, copies, json.loads(json.dumps(state)))

    def load(self):
        return self.saved


def run(given: Task, *, checkpoints: Memory | None = None, stop: Callable[[], bool] = lambda: False) -> Tuned:
    return loop.tune(given, checkpoints=checkpoints or Memory(), stop=stop, progress=SilentProgress())


def identity(tuned: Tuned) -> str:
    """Hash of everything numerical that came out."""
    head = {"~kernel": tuned.classifier.kernel, "~bias": tuned.classifier.bias}
    head |= {f"~{name}": each for name, each in tuned.head_tensors.items()}
    return tensors_sha256({**tuned.tensors, **head}) + repr((tuned.epochs, tuned.best_epoch))


def after(calls: int) -> Callable[[], bool]:
    """A `stop` that says yes at its n-th call."""
    count = iter(range(1, sys.maxsize))
    return lambda: next(count) >= calls


def features(given: Task, tuned: Tuned, cut: np.ndarray) -> np.ndarray:
    """The head's features for activations at the cut, by a plain Keras model with the tuned tensors."""
    import keras

    model = build(given.backbone, side_pixels=given.side_pixels)
    for layer in model.layers:
        for weight in layer.weights:
            weight.assign(tuned.tensors[f"{layer.name}/{weight.name}"])
    outputs = [keras.layers.GlobalAveragePooling2D()(model.get_layer(tap).output) for tap in tuned.classifier.taps]
    part = keras.Model(model.get_layer(given.schedule.cut[0]).output, keras.layers.Concatenate()(outputs))
    return np.asarray(part.predict_on_batch(cut))


def validation_logits(given: Task, tuned: Tuned) -> np.ndarray:
    rows = np.arange(given.validation.n_photos)
    (cut,) = given.validation.read(rows, np.zeros_like(rows))
    return class_logits(decision(tuned.classifier, features(given, tuned, cut)))


def log_loss(logits: np.ndarray, labels: np.ndarray) -> float:
    """As sure as it will be when it ships: after temperature scaling."""
    scaled = logits.astype(np.float64) / temperature(logits, labels)
    chances = np.exp(scaled) / np.exp(scaled).sum(axis=1, keepdims=True)
    return float(-np.log(chances[np.arange(len(labels)), labels]).mean())


def check_training_changes_what_is_trained_and_nothing_else(backend: str) -> None:
    given = task(backend)
    tuned = run(given)
    start = network.file_tensors(given.weights)
    changed = {name for name in start if not np.array_equal(start[name], tuned.tensors[name])}
    assert changed == {"s3_b/kernel", "head/kernel"}, changed  # BatchNormalization's own stay
    assert tuned.tensors.keys() == start.keys()
    assert [epoch.number for epoch in tuned.epochs] == [1, 2]
    assert [epoch.step for epoch in tuned.epochs] == [3, 6]
    assert not tuned.stopped and not tuned.stopped_early and tuned.events == ()
    frozen = {name: start[name] for name in start if name not in changed}
    assert tuned.frozen_sha256 == tensors_sha256(frozen)
    for left, right in (("mean", given.start), ("scale", given.start)):
        assert np.array_equal(getattr(tuned.classifier, left), getattr(right, left))
    assert tuned.classifier.temperature == 1.0


def check_the_best_epochs_weights_are_given_back(backend: str) -> None:
    given = task(backend, plan=schedule(phase=replace(PHASE, epochs=4, rate=3e-3)))
    tuned = run(given)
    losses = [epoch.validation_loss for epoch in tuned.epochs]
    best = tuned.epochs[tuned.best_epoch - 1]
    assert best.validation_loss == min(losses)
    assert tuned.best_epoch < 4, "choose a rate at which the last epoch is not the best: this shows nothing"
    logits = validation_logits(given, tuned)
    assert abs(log_loss(logits, given.validation_labels) - best.validation_loss) < 1e-4
    assert best.validation_accuracy == np.mean(logits.argmax(axis=1) == given.validation_labels)


def check_training_learns(backend: str) -> None:
    tuning = Tuning(backend=backend, label_smoothing=0.0)
    given = task(backend, tuning=tuning, plan=schedule(phase=replace(PHASE, epochs=10)), n_validation=0)
    tuned = run(given)
    assert tuned.best_epoch == 10  # without validation the last one counts
    assert tuned.epochs[-1].validation_loss is None
    assert tuned.epochs[-1].loss < 0.8 * tuned.epochs[0].loss
    assert tuned.epochs[-1].accuracy > tuned.epochs[0].accuracy


def check_equal_tasks_give_equal_bytes(backend: str) -> None:
    given = task(backend, tuning=Tuning(backend=backend, **EVERYTHING))
    first = identity(run(given))
    assert identity(run(given)) == first
    assert identity(run(replace(given, seed=4))) != first


def check_resuming_again_and_again_changes_nothing(backend: str) -> None:
    """Stops after one, two or three looks at `stop`, in training and in validation, until the end is reached."""
    given = everything(backend)
    whole = run(given)
    memory = Memory()
    places = set()
    for number in range(100):
        tuned = run(given, checkpoints=memory, stop=after(1 + number % 3))
        places.add((memory.saved.state["epoch"], memory.saved.state["batch"]))
        if not tuned.stopped:
            break
    assert not tuned.stopped
    assert identity(tuned) == identity(whole)
    assert any(batch == 2 for _, batch in places), "no stop during validation: this shows nothing"
    assert len(places) > 4


def check_resuming_at_each_step_changes_nothing(backend: str) -> None:
    """Stop at each look at `stop` of a training of 21 steps with its validations: the rest of it is the same."""
    given = everything(backend, epochs=7, n_photos=20)
    looks = []
    whole = run(given, stop=lambda: bool(looks.append(1)))
    assert whole.epochs[-1].step == 21
    for place in range(1, len(looks) + 1):
        memory = Memory()
        stopped = run(given, checkpoints=memory, stop=after(place))
        assert stopped.stopped
        assert identity(run(given, checkpoints=memory)) == identity(whole), place


def check_sabotage_each_part_of_a_checkpoint_matters(backend: str) -> None:
    given = everything(backend)
    whole, memory = identity(run(given)), Memory()
    run(given, checkpoints=memory, stop=after(6))  # in the second epoch
    groups = {name.partition("/")[0] for name in memory.saved.tensors} - {"best"}
    assert groups == {"weight", "average", "mean", "square", "seed"}
    for group in groups:
        tensors = {name: np.array(array) for name, array in memory.saved.tensors.items()}
        for name, array in tensors.items():
            if name.startswith(f"{group}/"):
                array += 1 if group == "seed" else array.dtype.type(0.01)
        assert identity(run(given, checkpoints=Memory(replace(memory.saved, tensors=tensors)))) != whole, group


def everything(backend: str, epochs: int = 3, n_photos: int = 14) -> Task:
    """A task with all there is to remember: dropout, mixup, averages, a tap below the cut."""
    phase = replace(PHASE, epochs=epochs, layer_decay=0.5)
    plan = schedule(phase=phase, cut=("s3_out",), trained=("head",))
    given = task(backend, tuning=Tuning(backend=backend, **EVERYTHING), plan=plan, n_photos=n_photos)
    start = classifier(3, ("s3_out", "head_relu"))
    sources = []
    for source in (given.train, given.validation):
        (maps,) = source._values
        sources.append(type(source)([maps], [maps.mean(axis=(2, 3))]))
    return replace(given, start=start, train=sources[0], validation=sources[1])


def check_stopping_before_the_first_epoch_gives_the_start_back(backend: str) -> None:
    given = task(backend)
    memory = Memory()
    tuned = run(given, checkpoints=memory, stop=after(2))
    assert tuned.stopped and tuned.best_epoch == 0 and tuned.epochs == ()
    start = network.file_tensors(given.weights)
    assert all(np.array_equal(start[name], tuned.tensors[name]) for name in start)
    assert np.array_equal(tuned.classifier.kernel, given.start.kernel)
    assert memory.steps == [2]


class Unread:
    """A source that must not be asked for anything."""

    def __getattr__(self, name):
        raise AssertionError(f"{name} was asked for")


def check_a_finished_training_is_not_trained_again(backend: str) -> None:
    given = task(backend)
    memory = Memory()
    first = run(given, checkpoints=memory)
    assert memory.steps == [3, 6]  # after each epoch
    assert all(name.startswith("best/") for name in memory.saved.tensors)  # only the best is of use by now
    again = run(replace(given, train=Unread(), validation=Unread()), checkpoints=memory)
    assert identity(again) == identity(first)
    assert (again.frozen_sha256, again.events) == (first.frozen_sha256, first.events)
    assert memory.steps == [3, 6]


def check_sabotage_a_finished_checkpoint_of_other_weights_is_refused(backend: str) -> None:
    given = task(backend)
    memory = Memory()
    run(given, checkpoints=memory)
    for name in ("best/s3_b/kernel", "best/nobody/kernel"):
        tensors = {**memory.saved.tensors, name: np.zeros((2, 2), np.float32)}
        refused(given, replace(memory.saved, tensors=tensors))
    refused(given, replace(memory.saved, state={**memory.saved.state, "frozen_sha256": "0" * 64}))


def refused(given: Task, saved: Saved) -> None:
    try:
        run(given, checkpoints=Memory(saved))
    except IntegrityProblem as error:
        assert error.code == "checkpoint_corrupt"
    else:
        raise AssertionError("it was taken")


def check_when_checkpoints_are_written_changes_nothing(backend: str) -> None:
    given = task(backend)
    seconds, memory = loop.CHECKPOINT_SECONDS, Memory()
    whole = identity(run(given))
    loop.CHECKPOINT_SECONDS = -1.0
    try:
        assert identity(run(given, checkpoints=memory)) == whole
    finally:
        loop.CHECKPOINT_SECONDS = seconds
    assert memory.steps == [1, 2, 3, 3, 4, 5, 6, 6]


def check_a_checkpoint_of_another_training_is_refused(backend: str) -> None:
    memory = Memory()
    run(task(backend), checkpoints=memory, stop=after(2))
    refused(task(backend, plan=schedule(phase=replace(PHASE, optimizer="sgd"))), memory.saved)


def check_the_head_phase_leaves_the_backbone_alone(backend: str) -> None:
    given = task(backend, plan=schedule(trained=()))
    memory = Memory()
    tuned = run(given, checkpoints=memory, stop=after(4))
    assert not [name for name in memory.saved.tensors if "s3_b" in name]  # nothing needless is kept
    tuned = run(given, checkpoints=memory)
    start = network.file_tensors(given.weights)
    assert all(np.array_equal(start[name], tuned.tensors[name]) for name in start)
    assert not np.array_equal(tuned.classifier.kernel, given.start.kernel)


def check_sabotage_a_changed_frozen_tensor_is_found(backend: str) -> None:
    given = task(backend)
    for name in ("s1_down/kernel", "s3_b_bn/moving_mean", "s3_a/kernel"):  # below the cut, trained block, above the cut
        layer, weight = name.split("/")
        under_way = loop._Run(given, Memory(), None, lambda: False)
        variable = next(each for each in under_way.network.backbone.get_layer(layer).weights if each.name == weight)
        value = network.read(variable)
        value.flat[0] += 1e-6
        variable.assign(value)
        try:
            under_way.result(stopped=False)
        except IntegrityProblem as error:
            assert error.code == "hash_mismatch"
        else:
            raise AssertionError(f"{name} changed unseen")


def check_a_loss_that_is_no_number_stops_at_once(backend: str) -> None:
    memory = Memory()
    given = task(backend, plan=schedule(phase=replace(PHASE, optimizer="sgd", rate=1e12, warmup_epochs=0)))
    try:
        run(given, checkpoints=memory)
    except BadInput as error:
        assert error.code == "diverged"
        assert "epoch 1" in error.message and "1e+12" in error.message
    else:
        raise AssertionError("it went on")
    assert memory.steps == []  # nothing bad is kept


def check_patience_ends_a_phase_with_the_best_weights(backend: str) -> None:
    phase = replace(PHASE, epochs=9, rate=0.05, patience=2, optimizer="sgd", warmup_epochs=0)
    memory = Memory()
    given = task(backend, plan=schedule(phase=phase))
    tuned = run(given, checkpoints=memory)
    losses = [epoch.validation_loss for epoch in tuned.epochs]
    assert tuned.stopped_early and 3 <= len(losses) < 9
    assert len(losses) == tuned.best_epoch + 2 and losses[tuned.best_epoch - 1] == min(losses)
    assert abs(log_loss(validation_logits(given, tuned), given.validation_labels) - min(losses)) < 1e-4
    again = run(given, checkpoints=memory)
    assert identity(again) == identity(tuned) and again.stopped_early


def check_two_classes_keep_their_one_unit(backend: str) -> None:
    given = task(backend, classes=2, start=classifier(2, units=1))
    tuned = run(given)
    assert tuned.classifier.kernel.shape == given.start.kernel.shape
    best = tuned.epochs[tuned.best_epoch - 1]
    logits = validation_logits(given, tuned)
    assert abs(log_loss(logits, given.validation_labels) - best.validation_loss) < 1e-4
    untrained = run(replace(given, schedule=schedule(phase=replace(PHASE, rate=1e-12))))
    assert np.allclose(untrained.classifier.kernel, given.start.kernel, atol=1e-7)


def check_training_starts_at_the_given_classifier(backend: str) -> None:
    given = task(backend, plan=schedule(phase=replace(PHASE, rate=1e-12, epochs=1)))
    tuned = run(given)
    same = replace(tuned, classifier=given.start, tensors=network.file_tensors(given.weights))
    assert (
        abs(log_loss(validation_logits(given, same), given.validation_labels) - tuned.epochs[0].validation_loss) < 1e-5
    )


def check_rows_that_fill_a_batch_count_for_nothing(backend: str) -> None:
    sgd = replace(PHASE, optimizer="sgd", rate=1e-2)
    results = []
    for size in (20, 32):
        tuning = Tuning(backend=backend, averaging=0.0)
        given = task(backend, tuning=tuning, plan=schedule(phase=sgd, batch_images=size))
        results.append(run(given))
    for name in ("s3_b/kernel", "head/kernel"):
        assert np.allclose(results[0].tensors[name], results[1].tensors[name], atol=1e-6)
    for first, second in zip(results[0].epochs, results[1].epochs, strict=True):
        assert abs(first.loss - second.loss) < 1e-5 and first.accuracy == second.accuracy


def check_bfloat16_computes_near_float32(backend: str) -> None:
    import ml_dtypes

    tuned = {}
    for precision in ("float32", "bfloat16"):
        given = task(backend, plan=schedule(precision=precision))
        (maps,) = given.train._values
        stored = type(given.train)([maps.astype(ml_dtypes.bfloat16)])
        tuned[precision] = run(replace(given, train=stored))
    first, second = tuned["float32"], tuned["bfloat16"]
    assert all(array.dtype == np.float32 for array in second.tensors.values())
    assert abs(first.epochs[0].loss - second.epochs[0].loss) < 0.05 * first.epochs[0].loss
    assert not np.array_equal(first.classifier.kernel, second.classifier.kernel)


def check_layers_that_the_classifier_does_not_read_are_told(backend: str) -> None:
    given = task(backend, start=classifier(3, ("s3_out",)))
    tuned = run(given)
    start = network.file_tensors(given.weights)
    changed = {name for name in start if not np.array_equal(start[name], tuned.tensors[name])}
    assert changed == {"s3_b/kernel"}
    assert len(tuned.events) == 1 and "head" in tuned.events[0] and "s3_out" in tuned.events[0]


def check_a_source_of_other_arrays_is_refused(backend: str) -> None:
    given = task(backend)
    wrong = type(given.train)([samples.activations(3, 20, name="train")[:, :, :2]])
    try:
        run(replace(given, train=wrong))
    except BadInput as error:
        assert "(3, 3, 256)" in error.message and "(2, 3, 256)" in error.message
    else:
        raise AssertionError("it was taken")


def check_the_loss_is_the_formula(backend: str) -> None:
    """Smoothing, mixup and class weights together, one batch, against NumPy."""
    given = task(
        backend,
        tuning=Tuning(backend=backend, mixup=0.4, label_smoothing=0.1, averaging=0.0),
        class_weights=np.array([0.5, 1.0, 2.0], np.float32),
        plan=schedule(batch_images=20),
    )
    batch = next(loop.training_batches(given, 0))
    assert not np.array_equal(batch.partners, np.arange(20)) and batch.shares.min() >= 0.5
    made = network.make_network(given)
    trained = steps.begin(made, PHASE, averaging=0.0, mixes=True)
    total, right = loop.make_steps(made, trained).train(batch, optimizer.scalars(PHASE, 0, 1, 0.0, 20))
    share = batch.shares.reshape(-1, 1, 1, 1)
    mixed = batch.arrays[0] * share + batch.arrays[0][batch.partners] * (1 - share)
    start = run(replace(given, schedule=schedule(phase=replace(PHASE, rate=1e-12, epochs=1))))
    logits = decision(given.start, features(given, start, mixed)).astype(np.float64)
    logs = logits - logits.max(axis=1, keepdims=True)
    logs -= np.log(np.exp(logs).sum(axis=1, keepdims=True))
    order = [int(np.argmax(row)) for row in batch.targets]
    losses = -(batch.targets * logs).sum(axis=1) * batch.weights
    assert abs(total - losses.sum()) < 1e-3
    assert right == sum(int(np.argmax(row)) == want for row, want in zip(logits, order, strict=True))


def check_optimisers_are_those_of_keras(backend: str) -> None:
    import keras

    numbers = np.random.Generator(np.random.Philox(3))
    start = numbers.normal(0, 1, (4, 3)).astype(np.float32)
    gradients = [numbers.normal(0, 1, (4, 3)).astype(np.float32) for _ in range(5)]
    theirs = {
        "adam": lambda: keras.optimizers.Adam(0.01),
        "adamw": lambda: keras.optimizers.AdamW(0.01, weight_decay=0.1),
        "sgd": lambda: keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True),
        "rmsprop": lambda: keras.optimizers.RMSprop(0.01),
    }
    for name, make in theirs.items():
        reference = keras.Variable(start)
        keras_optimizer = make()
        phase = Phase(
            name="x",
            freeze=Freeze(kind="all"),
            epochs=1,
            optimizer=name,
            rate=0.01,
            warmup_epochs=0,
            decay="none",
            weight_decay=0.1 if name == "adamw" else 0.0,
        )
        value = keras.ops.convert_to_tensor(start)
        slots = [keras.ops.zeros((4, 3)) for _ in optimizer.SLOTS[name]]
        for step, gradient in enumerate(gradients):
            tensor = keras.ops.convert_to_tensor(gradient)
            keras_optimizer.apply([tensor], [reference])
            shared = keras.ops.convert_to_tensor(optimizer.scalars(phase, step, 5, 0.0, 1))
            value, slots = optimizer.updated(phase, value, tensor, slots, shared, factor=1.0, decays=True)
        assert np.allclose(keras.ops.convert_to_numpy(value), network.read(reference), atol=2e-6), name


def check_lower_layers_and_the_head_learn_at_their_own_rates(backend: str) -> None:
    """After one step of SGD without momentum a tensor's change is its gradient times its rate."""
    changes = []
    for decay, head_factor in ((1.0, 1.0), (0.5, 3.0)):
        phase = Phase(
            name="x",
            freeze=Freeze(kind="all"),
            epochs=1,
            optimizer="sgd",
            momentum=0.0,
            rate=1e-2,
            warmup_epochs=0,
            layer_decay=decay,
            head_factor=head_factor,
        )
        plan = schedule(phase=phase, batch_images=20)
        given = task(backend, tuning=Tuning(backend=backend, averaging=0.0), plan=plan, n_validation=0)
        tuned = run(given)
        start = network.file_tensors(given.weights)
        moved = [np.abs(tuned.tensors[name] - start[name]).sum() for name in ("head/kernel", "s3_b/kernel")]
        changes.append([*moved, np.abs(tuned.classifier.kernel - given.start.kernel).sum()])
    ratios = np.divide(changes[1], changes[0])
    assert np.allclose(ratios, [1.0, 0.5, 3.0], rtol=1e-3), ratios  # s3_b lies one tap below head


def check_measuring_steps(backend: str) -> None:
    times = loop.seconds_per_step(task(backend), n=2)
    assert times.forward > 0 and 0 < times.train < times.opening


class Pixels:
    """Views of photos as the network's input, from memory."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values
        self.shapes = (values.shape[2:],)
        self.n_views, self.n_photos = values.shape[:2]

    def read(self, photos, views):
        return (self.values[views, photos],)

    def close(self):
        pass


def check_stored_activations_train_as_end_to_end(backend: str) -> None:
    """From exact stored activations, from pixels, and in a plain Keras loop: the same weights after an epoch."""
    import keras

    pixels = np.random.Generator(np.random.Philox(8)).uniform(0, 255, (2, 12, 48, 48, 3)).astype(np.float32)
    phase = replace(PHASE, optimizer="sgd", rate=1e-3, epochs=1, momentum=0.9, warmup_epochs=0, decay="none")
    tuning = Tuning(backend=backend, averaging=0.0, label_smoothing=0.0)
    plan = schedule(phase=phase, views=2, batch_images=4)
    given = task(backend, tuning=tuning, plan=plan, n_photos=12, n_validation=0)

    model = build(given.backbone, side_pixels=48)
    load_into(model, given.weights)
    prefix = keras.Model(model.input, model.get_layer(samples.CUT[0]).output)
    maps = np.stack([np.asarray(prefix.predict_on_batch(view)) for view in pixels])
    stored = run(replace(given, train=type(given.train)([maps])))
    end_to_end = replace(given, train=Pixels(pixels), schedule=replace(plan, cut=()))
    whole = run(end_to_end)

    for layer in model.layers:
        layer.trainable = layer.name in samples.TRAINED
    taps = [keras.layers.GlobalAveragePooling2D()(model.get_layer(tap).output) for tap in samples.TAPS]
    joined = (keras.layers.Concatenate()(taps) - given.start.mean) * given.start.scale
    top = keras.layers.Dense(3)
    plain = keras.Model(model.input, top(joined))
    top.set_weights([given.start.kernel, given.start.bias])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    plain.compile(keras.optimizers.SGD(1e-3, momentum=0.9, nesterov=True), loss)
    order = loop_order(given)
    for photos, views in order:
        plain.train_on_batch(pixels[views, photos], given.train_labels[photos])

    kernels = {
        "stored": (stored.tensors["s3_b/kernel"], stored.tensors["head/kernel"], stored.classifier.kernel),
        "pixels": (whole.tensors["s3_b/kernel"], whole.tensors["head/kernel"], whole.classifier.kernel),
        "keras": tuple(
            np.asarray(keras.ops.convert_to_numpy(each.kernel))
            for each in (model.get_layer("s3_b"), model.get_layer("head"), top)
        ),
    }
    start = network.file_tensors(given.weights)["s3_b/kernel"]
    assert np.abs(kernels["stored"][0] - start).max() > 1e-4, "nothing was learned: this shows nothing"
    for name in ("pixels", "keras"):
        for first, second in zip(kernels["stored"], kernels[name], strict=True):
            assert np.abs(first - second).max() < 1e-5, (name, np.abs(first - second).max())


def loop_order(given: Task) -> list[tuple[np.ndarray, np.ndarray]]:
    """Photos and views of each step of the first epoch, as the source was asked for them."""
    asked = []

    class Spy(Pixels):
        def read(self, photos, views):
            asked.append((photos, views))
            return super().read(photos, views)

    spied = replace(given, train=Spy(np.zeros((2, given.train.n_photos, 1), np.float32)))
    for _ in loop.training_batches(spied, 0):
        pass
    return asked


def random_network(name: str, folder: str) -> tuple[object, object, WeightsFile]:
    """A catalogue's network with random weights in a file: record, Keras model, weights."""
    import keras

    record = find(name)
    keras.utils.set_random_seed(1)
    model = build(record, side_pixels=record.min_side_pixels)
    tensors = {f"{layer.name}/{each.name}": network.read(each) for layer in model.layers for each in layer.weights}
    path = Path(folder) / f"{name}.safetensors"
    write_tensors(path, tensors, metadata={}, writer="record")
    return record, model, WeightsFile(path, "", tensors_sha256(tensors))


def head_on_last(record) -> Classifier:
    width = record.tap_widths[-1]
    kernel = np.random.Generator(np.random.Philox(2)).normal(0, 1, (width, 3)).astype(np.float32)
    ones = np.ones(width, np.float32)
    return Classifier(record.taps[-1:], np.zeros_like(ones), ones, kernel, np.zeros(3, np.float32), 1.0)


def logits_of(given: Task, arrays: list[np.ndarray], *, training: bool = False) -> np.ndarray:
    import keras

    made = network.make_network(given)
    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    found = made.logits(made.below(tensors), training=training)
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.stop_gradient(found)))


def check_a_cut_of_two_tensors(backend: str) -> None:
    """NASNet: its cells read the two below them."""
    import keras

    if backend == "torch":
        return  # Keras refuses to build this network there
    with tempfile.TemporaryDirectory() as folder:
        record, model, weights = random_network("nasnet_mobile", folder)
        side = record.min_side_pixels
        cut = [each for each in wide_cuts(model, tensors=2) if len(each) == 2][-8]
        trained = (next(layer.name for layer in reversed(model.layers) if "conv" in layer.name and layer.weights),)
        pixels = np.random.Generator(np.random.Philox(8)).normal(0, 1, (1, 2, side, side, 3)).astype(np.float32)
        prefix = keras.Model(model.input, [model.get_layer(name).output for name in cut])
        maps = [np.asarray(each) for each in prefix.predict_on_batch(pixels[0])]
        plan = schedule(cut=cut, trained=trained, views=1, batch_images=2)
        given = replace(
            task(backend, plan=plan, n_photos=2, n_validation=0, start=head_on_last(record)),
            backbone=record,
            side_pixels=side,
            weights=weights,
            train=StoredSource([each[np.newaxis] for each in maps]),
        )
        whole = replace(given, schedule=replace(plan, cut=()), train=Pixels(pixels))
        stored, end_to_end = logits_of(given, maps), logits_of(whole, [pixels[0]])
        assert np.abs(stored).max() > 1e-3 and np.allclose(stored, end_to_end, atol=1e-4 * np.abs(stored).max())
        plain = keras.Model(model.input, keras.layers.GlobalAveragePooling2D()(model.get_layer(record.taps[-1]).output))
        expected = np.asarray(plain.predict_on_batch(pixels[0])) @ given.start.kernel
        assert np.allclose(stored, expected, atol=1e-3 * np.abs(expected).max())


def check_dropout_below_everything_trained_drops_nothing(backend: str) -> None:
    """EfficientNet drops whole branches while it is trained; a frozen one must not, wherever the cut lies."""
    with tempfile.TemporaryDirectory() as folder:
        record, model, weights = random_network("efficientnet_b0", folder)
        side = record.min_side_pixels
        pixels = np.random.Generator(np.random.Philox(8)).normal(0, 1, (1, 4, side, side, 3)).astype(np.float32)

        def difference(trained: str) -> float:
            plan = schedule(cut=(), trained=(trained,), views=1, batch_images=4)
            given = replace(
                task(backend, plan=plan, n_photos=4, n_validation=0, start=head_on_last(record)),
                backbone=record,
                side_pixels=side,
                weights=weights,
                train=Pixels(pixels),
            )
            lower = replace(given, schedule=replace(plan, cut=(model.operations[0].name,)))
            found = [logits_of(each, [pixels[0]], training=True) for each in (given, lower)]
            return max(np.abs(each - logits_of(given, [pixels[0]])).max() / np.abs(each).max() for each in found)

        assert difference("top_conv") < 1e-5
        assert difference("block2b_expand_conv") > 1e-3, "nothing was dropped where it should: this shows nothing"


def check_real_weights_learn_and_resume(backend: str) -> None:
    """MobileNet 0.25 from its published file, cut in the middle."""
    shared = Path(__file__).resolve().parents[4] / "shared" / "weights" / "mobilenet_0.25_224_notop.weights.h5"
    if not shared.is_file():
        return
    with tempfile.TemporaryDirectory() as folder:
        record, weights = import_weights(shared, ["mobilenet_0.25"], Path(folder))
        maps = np.random.Generator(np.random.Philox(8)).uniform(0, 6, (2, 12, 6, 6, 128)).astype(np.float32)
        model = build(record, side_pixels=96)
        place = [layer.name for layer in model.layers].index("conv_pw_6_relu")
        trained = [layer.name for layer in model.layers[place:] if layer.weights and "bn" not in layer.name]
        plan = schedule(cut=("conv_pw_6_relu",), trained=tuple(trained), views=2, batch_images=5)
        given = replace(
            task(backend, plan=plan, n_photos=12, n_validation=0, start=head_on_last(record)),
            backbone=record,
            side_pixels=96,
            weights=weights,
            train=StoredSource([maps]),
        )
        whole = run(given)
        memory = Memory()
        assert run(given, checkpoints=memory, stop=after(4)).stopped
        assert identity(run(given, checkpoints=memory)) == identity(whole)
        before = network.file_tensors(weights)
        changed = {name for name in before if not np.array_equal(before[name], whole.tensors[name])}
        assert changed == {f"{name}/kernel" for name in trained}


def main() -> None:
    backend, *wanted = sys.argv[1:]
    prepare(choose(backend), 2)
    checks = globals() | vars(importlib.import_module("tests.training.tuning.head_checks"))
    found = {}
    for name in wanted:
        try:
            checks[name](backend)
            found[name] = ""
        except Exception:  # noqa: BLE001 whatever goes wrong in a check is its result
            found[name] = traceback.format_exc()
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main()
