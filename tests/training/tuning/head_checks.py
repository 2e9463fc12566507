"""Checks of heads with layers of their own, and of networks whose normalisation is trained; see `engine_child.py`."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.networks import build
from graft.backbones.weights import WeightsFile, load_into
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.tensors import tensors_sha256, write_tensors
from graft.features.sources import StoredSource
from graft.training.heads.folding import folded
from graft.training.heads.network import fresh_start, initial_tensors, layered_head, read_shape
from graft.training.heads.records import (
    BatchNormalization,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    GlobalMaxPooling,
    Head,
    Layer,
)
from graft.training.linear import class_logits, classify, decision
from graft.training.tuning import loop, network
from graft.training.tuning.records import Phase, Tuning
from graft.training.tuning.task import Task, Tuned
from tests.training.tuning.engine_child import Memory, Pixels, after, identity, loop_order, run
from tests.training.tuning.samples import CUT, PHASE, schedule, task

MAP = "head_relu"  # of the built-in backbone: (3, 3, 512) at the tests' size
SHAPE = (3, 3, 512)
DENSE = Head(layers=(Flatten(), Dense(units=8)))
CIFAR = Head(
    layers=(
        Convolution(filters=7, kernel_pixels=3),
        BatchNormalization(),
        GlobalAveragePooling(),
        Dropout(rate=0.2),
        Flatten(),
        Dense(units=8),
    )
)
STEADY = replace(PHASE, epochs=1, optimizer="rmsprop", warmup_epochs=0, decay="none")


def without_dropout(head: Head) -> Head:
    """Its draws are no one else's."""
    return replace(head, layers=tuple(layer for layer in head.layers if not isinstance(layer, Dropout)))


def plain(backend: str, **others: object) -> Tuning:
    return Tuning(backend=backend, averaging=0.0, label_smoothing=0.0, **others)


def pixel_task(backend: str, head: Head, phase: Phase, trained: Sequence[str], *, units: int = 3) -> Task:
    """A task that reads pixels: 10 photos in batches of 4, so that the last one has 2."""
    pixels = np.random.Generator(np.random.Philox(8)).uniform(0, 255, (2, 10, 48, 48, 3)).astype(np.float32)
    plan = schedule(phase=phase, cut=(), trained=tuple(trained), views=2, batch_images=4)
    classes = max(2, units)
    start = fresh_start(head, MAP, SHAPE, classes, units, seed=3)
    given = task(backend, tuning=plain(backend), plan=plan, start=start, n_photos=10, n_validation=0, classes=classes)
    return replace(given, head=head, train=Pixels(pixels))


def keras_twin(given: Task, frozen: Sequence[str], loss: str = "sparse_categorical_crossentropy") -> object:
    """The same system as a user of Keras writes it; what `frozen` names does not learn."""
    import keras

    backbone = build(given.backbone, side_pixels=given.side_pixels)
    load_into(backbone, given.weights)
    units = given.start.kernel.shape[1]
    tensors = dict(given.head_tensors) or initial_tensors(given.head, SHAPE, units, given.seed)
    values = backbone.get_layer(MAP).output
    kinds = {
        Flatten: lambda _: keras.layers.Flatten(name="flatten"),
        Dense: lambda layer: keras.layers.Dense(layer.units, activation=layer.activation, name="dense"),
        Convolution: lambda layer: keras.layers.Conv2D(layer.filters, layer.kernel_pixels, name="convolution"),
        BatchNormalization: lambda _: keras.layers.BatchNormalization(name="batch_normalization"),
        GlobalAveragePooling: lambda _: keras.layers.GlobalAveragePooling2D(),
    }
    for layer in given.head.layers:
        values = kinds[type(layer)](layer)(values)
    ending = "sigmoid" if units == 1 else "softmax"
    model = keras.Model(backbone.input, keras.layers.Dense(units, activation=ending, name="predictions")(values))
    for layer in model.layers:
        for weight in layer.weights:
            if f"{layer.name}/{weight.name}" in tensors:
                weight.assign(tensors[f"{layer.name}/{weight.name}"])
        layer.trainable = layer.name not in frozen
    phase = given.schedule.phase
    optimizers = {"rmsprop": keras.optimizers.RMSprop, "adam": keras.optimizers.Adam}
    model.compile(optimizers[phase.optimizer](phase.rate), loss)
    return model


def train_keras(model: object, given: Task) -> None:
    for photos, views in loop_order(given):
        model.train_on_batch(given.train.values[views, photos], given.train_labels[photos])


def compare(tuned: Tuned, given: Task, model: object, *, moved: set[str]) -> None:
    """Every tensor of both is the same, and `moved` names what is another than before."""
    start = network.file_tensors(given.weights)
    initial = dict(given.head_tensors) or initial_tensors(given.head, SHAPE, len(given.start.bias), given.seed)
    ours = {**tuned.tensors, **tuned.head_tensors}
    theirs = {f"{layer.name}/{each.name}": network.read(each) for layer in model.layers for each in layer.weights}
    assert ours.keys() == theirs.keys(), ours.keys() ^ theirs.keys()
    worst = {name: float(np.abs(ours[name] - theirs[name]).max()) for name in ours}
    assert max(worst.values()) < 1e-5, sorted(worst.items(), key=lambda pair: -pair[1])[:5]
    spread = {name: float(np.abs(ours[name] - theirs[name]).mean()) for name in ours}  # the worst may be one ReLU's
    assert max(spread.values()) < 1e-6, sorted(spread.items(), key=lambda pair: -pair[1])[:5]
    changed = {name for name, each in ours.items() if not np.array_equal(each, {**start, **initial}[name])}
    assert changed == moved, changed ^ moved


def saved_weights(tensors: dict[str, np.ndarray], folder: str) -> WeightsFile:
    path = Path(folder) / "tuned.safetensors"
    write_tensors(path, tensors, metadata={}, writer="record")
    return WeightsFile(path, "", tensors_sha256(tensors))


def head_alone(backend: str) -> tuple[Task, Tuned, list[str]]:
    """A head with BatchNormalization on the frozen backbone, compared with Keras'; and the backbone's layers."""
    head = without_dropout(CIFAR)
    phase = replace(STEADY, batch_normalization="trained", rate=1e-4)  # a bias below it learns rounding errors alone
    given = pixel_task(backend, head, phase, trained=())
    layers = [layer.name for layer in build(given.backbone, side_pixels=48).layers if layer.weights]
    model = keras_twin(given, layers)
    train_keras(model, given)
    tuned = run(given)
    compare(tuned, given, model, moved=set(initial_tensors(head, SHAPE, 3, 3)))
    return given, tuned, layers


def check_a_head_with_statistics_trains_as_in_keras(backend: str) -> None:
    head_alone(backend)


def check_a_head_and_its_backbone_train_as_in_keras_in_two_phases(backend: str) -> None:
    """First the head with its BatchNormalization, then everything but BatchNormalization."""
    given, tuned, layers = head_alone(backend)
    convolutions = [name for name in layers if "bn" not in name]
    with tempfile.TemporaryDirectory() as folder:
        second = replace(
            given,
            schedule=replace(
                given.schedule, phase=replace(STEADY, name="second", rate=1e-5), trained=tuple(convolutions)
            ),
            start=tuned.classifier,
            head_tensors=tuned.head_tensors,
            weights=saved_weights(tuned.tensors, folder),
        )
        frozen = [name for name in layers if "bn" in name]
        model = keras_twin(second, [*frozen, "batch_normalization"])
        train_keras(model, second)
        moved = {f"{name}/kernel" for name in (*convolutions, "dense", "convolution", "predictions")}
        moved |= {"dense/bias", "convolution/bias", "predictions/bias"}
        compare(run(second), second, model, moved=moved)


def check_a_network_from_scratch_trains_as_in_keras(backend: str) -> None:
    """All of it, BatchNormalization too, and a last batch that is smaller than the others."""
    layers = [layer.name for layer in build(find("sprout"), side_pixels=48).layers if layer.weights]
    phase = replace(STEADY, batch_normalization="trained", optimizer="adam")
    given = pixel_task(backend, DENSE, phase, trained=layers)
    model = keras_twin(given, ())
    train_keras(model, given)
    every = {f"{layer.name}/{each.name}" for layer in model.layers for each in layer.weights}
    compare(run(given), given, model, moved=every)


def check_stored_maps_train_a_head_as_pixels_do(backend: str) -> None:
    """The cut is the layer that the head reads: nothing of the backbone is computed again."""
    given = pixel_task(backend, DENSE, STEADY, trained=())
    model = keras_twin(given, ())
    import keras

    part = keras.Model(model.input, model.get_layer(MAP).output)
    maps = np.stack([np.asarray(part.predict_on_batch(view)) for view in given.train.values])
    stored = replace(given, train=StoredSource([maps]), schedule=replace(given.schedule, cut=(MAP,)))
    first, second = run(given), run(stored)
    for name, tensor in first.head_tensors.items():
        assert np.abs(tensor - second.head_tensors[name]).max() < 1e-5, name
    averages = Head(layers=(GlobalAveragePooling(), Dense(units=8)))
    start = fresh_start(averages, MAP, SHAPE, 3, 3, seed=3)
    assert start.pooling == "avg"
    pooled = replace(stored, head=averages, start=start, train=StoredSource([], [maps.mean(axis=(2, 3))]))
    whole = replace(given, head=averages, start=start)
    first, second = run(pooled), run(whole)
    assert first.classifier.pooling == "avg"
    for name, tensor in first.head_tensors.items():
        assert np.abs(tensor - second.head_tensors[name]).max() < 1e-5, name


def check_one_sigmoid_unit_trains_as_in_keras(backend: str) -> None:
    for head in (DENSE, Head(layers=(GlobalMaxPooling(),))):
        given = pixel_task(backend, head, STEADY, trained=(), units=1)
        if head is not DENSE:  # Keras' twin is asked for the head that reads the map
            tuned = run(given)
            assert tuned.classifier.pooling == "max" and tuned.classifier.kernel.shape == (512, 1)
            continue
        layers = [layer.name for layer in build(given.backbone, side_pixels=48).layers if layer.weights]
        model = keras_twin(given, layers, loss="binary_crossentropy")
        train_keras(model, given)
        tuned = run(given)
        compare(tuned, given, model, moved=set(initial_tensors(head, SHAPE, 1, 3)))
        assert tuned.classifier.kernel.shape == (8, 1)


def with_everything(backend: str) -> Task:
    """Dropout, statistics, averages, and steps that are no whole number of rounds."""
    phase = replace(PHASE, epochs=2, batch_normalization="trained", steps_per_epoch=2)
    tuning = Tuning(backend=backend, averaging=0.9)
    start = fresh_start(CIFAR, MAP, SHAPE, 3, 3, seed=3)
    plan = schedule(phase=phase, trained=("s3_b", "s3_b_bn", "head", "head_bn"))
    return replace(task(backend, tuning=tuning, plan=plan, start=start, n_photos=13), head=CIFAR)


def check_resuming_a_head_again_and_again_changes_nothing(backend: str) -> None:
    given = with_everything(backend)
    whole = run(given)
    memory = Memory()
    for number in range(100):
        tuned = run(given, checkpoints=memory, stop=after(1 + number % 3))
        if not tuned.stopped:
            break
    assert not tuned.stopped and identity(tuned) == identity(whole)
    assert identity(run(given, checkpoints=memory)) == identity(whole)
    assert [epoch.step for epoch in whole.epochs] == [2, 4]
    start = network.file_tensors(given.weights)
    changed = {name for name in start if not np.array_equal(start[name], whole.tensors[name])}
    normalizations = {f"{name}/{each}" for name in ("s3_b_bn", "head_bn") for each in ("gamma", "beta")}
    statistics = {f"{name}/moving_{each}" for name in ("s3_b_bn", "head_bn") for each in ("mean", "variance")}
    assert changed == {"s3_b/kernel", "head/kernel", *normalizations, *statistics}, changed
    frozen = {name: each for name, each in start.items() if name not in changed}
    assert whole.frozen_sha256 == tensors_sha256(frozen)


def check_sabotage_statistics_in_a_checkpoint_matter(backend: str) -> None:
    given = with_everything(backend)
    whole, memory = identity(run(given)), Memory()
    run(given, checkpoints=memory, stop=after(1))
    for name in ("weight/s3_b_bn/moving_mean", "weight/~head/batch_normalization/moving_variance", "seed/0"):
        tensors = {key: np.array(array) for key, array in memory.saved.tensors.items()}
        tensors[name] = tensors[name] + tensors[name].dtype.type(1)
        assert identity(run(given, checkpoints=Memory(replace(memory.saved, tensors=tensors)))) != whole, name


def check_sabotage_a_changed_frozen_tensor_of_the_head_is_found(backend: str) -> None:
    given = with_everything(backend)
    frozen = replace(given.schedule.phase, batch_normalization="frozen")
    given = replace(given, schedule=replace(given.schedule, phase=frozen))
    under_way = loop._Run(given, Memory(), None, lambda: False)
    assert under_way.proved()
    variable = under_way.network.head.frozen["batch_normalization/moving_mean"]
    variable.assign(network.read(variable) + 1e-6)
    try:
        under_way.proved()
    except IntegrityProblem as error:
        assert error.code == "hash_mismatch"
    else:
        raise AssertionError("it changed unseen")


def check_dropout_of_a_head_acts_in_training_alone(backend: str) -> None:
    import keras

    given = with_everything(backend)
    made = network.make_network(given)
    rows = np.arange(given.validation.n_photos)
    (cut,) = given.validation.read(rows, np.zeros_like(rows))
    tensors = [keras.ops.convert_to_tensor(cut)]

    def logits(training: bool) -> np.ndarray:
        found = made.logits(made.below(tensors), training=training)
        return np.asarray(keras.ops.convert_to_numpy(keras.ops.stop_gradient(found)))

    assert np.array_equal(logits(False), logits(False))
    assert not np.array_equal(logits(True), logits(True))


def check_a_head_in_bfloat16_computes_near_float32(backend: str) -> None:
    losses = {}
    for precision in ("float32", "bfloat16"):
        given = with_everything(backend)
        given = replace(given, head=without_dropout(CIFAR), schedule=replace(given.schedule, precision=precision))
        tuned = run(given)
        assert all(array.dtype == np.float32 for array in (*tuned.tensors.values(), *tuned.head_tensors.values()))
        losses[precision] = tuned.epochs[0].loss
    assert losses["float32"] != losses["bfloat16"]
    assert abs(losses["float32"] - losses["bfloat16"]) < 0.05 * losses["float32"]


def check_each_normalisation_is_trained(backend: str) -> None:
    """convnet from random weights: all of its tensors move, and those that are tracked are finite."""
    head = Head(layers=(Flatten(), Dense(units=8)))
    for name in ("convnet", "convnet_batch", "convnet_batch_renorm", "convnet_group", "convnet_weight"):
        record = find(name)
        model = build(record, side_pixels=record.min_side_pixels)
        tensors = {f"{layer.name}/{each.name}": network.read(each) for layer in model.layers for each in layer.weights}
        last = model.layers[-1]
        shape = tuple(last.output.shape[1:])
        pixels = np.random.Generator(np.random.Philox(8)).uniform(0, 1, (1, 8, *model.input_shape[1:]))
        trained = tuple(layer.name for layer in model.layers if layer.weights)
        phase = replace(STEADY, batch_normalization="trained", epochs=2)
        with tempfile.TemporaryDirectory() as folder:
            given = replace(
                task(backend, tuning=plain(backend), n_photos=8, n_validation=0),
                backbone=record,
                side_pixels=record.min_side_pixels,
                weights=saved_weights(tensors, folder),
                schedule=schedule(phase=phase, cut=(), trained=trained, batch_images=4),
                start=fresh_start(head, last.name, shape, 3, 3, seed=3),
                head=head,
                train=Pixels(pixels.astype(np.float32)),
            )
            tuned = run(given)
        for key, tensor in tuned.tensors.items():
            assert np.isfinite(tensor).all() and not np.array_equal(tensor, tensors[key]), (name, key)


def check_folded_heads_answer_as_they_did_in_keras(backend: str) -> None:
    """The reference systems' heads and random ones, with random tensors, on random maps."""
    import keras

    numbers = np.random.Generator(np.random.Philox(4))
    recipes = [
        (Head(layers=(GlobalAveragePooling(),), name="softmax"), (7, 7, 512), 10),
        (Head(layers=(Flatten(), Dense(units=256), Dropout(rate=0.5))), (4, 4, 512), 1),
        (Head(layers=(Flatten(), Dense(units=256))), (4, 4, 512), 1),
        (Head(layers=(Flatten(), Dense(units=132))), (2, 2, 512), 1),
        (Head(layers=(Flatten(), Dropout(rate=0.5), Dense(units=512))), (7, 7, 128), 1),
        (replace(CIFAR, layers=(Convolution(filters=7, kernel_pixels=7), *CIFAR.layers[1:])), (7, 7, 1280), 10),
    ]
    for head, shape, units in [*recipes, *(random_head(numbers) for _ in range(25))]:
        tensors = {
            name: random_tensor(name, each, numbers)
            for name, each in initial_tensors(head, shape, units, seed=1).items()
        }
        classes = max(2, units)
        start = fresh_start(head, "layer", shape, classes, units, seed=1)
        made = layered_head(head, start, shape, tensors, normalizes=False, seed=1)
        found = folded(head, start, tensors)
        kind = "bfloat16" if start.pooling == "none" and len(shape) > 1 else "float16"  # as they are stored
        read = keras.ops.cast(
            keras.ops.cast(numbers.normal(0, 1, (5, *read_shape(shape, start.pooling))), kind), "float32"
        )
        values = np.asarray(keras.ops.convert_to_numpy(read))
        logits = keras.ops.stop_gradient(made.logits([read], training=False))
        expected = np.asarray(keras.ops.convert_to_numpy(logits))
        scale = max(1.0, float(np.abs(expected).max()))
        got = class_logits(decision(found, values.reshape(5, -1)))
        assert np.abs(got - expected).max() < 1e-5 * scale, head
        chances = np.asarray(keras.ops.convert_to_numpy(keras.ops.softmax(logits)))
        assert np.abs(classify(found, {found.outputs[0].name: values}) - chances).max() < 1e-5 * scale, head


def random_head(numbers: np.random.Generator) -> tuple[Head, tuple[int, ...], int]:
    """A head, the map that it reads, and its units."""
    side, channels = int(numbers.integers(1, 4)), int(numbers.integers(2, 6))
    layers: list[Layer] = []
    extras = (BatchNormalization(), Dropout(rate=0.3))
    ending = int(numbers.integers(4))
    if ending < 2:
        layers.append((GlobalAveragePooling(), GlobalMaxPooling())[ending])
    else:
        layers += [layer for layer in extras if numbers.random() < 0.5]
        if ending == 3:
            activation = "relu" if numbers.random() < 0.5 else "linear"
            layers.append(Convolution(filters=3, kernel_pixels=side, activation=activation))
            layers += [layer for layer in extras if numbers.random() < 0.5]
            layers += [GlobalAveragePooling()] if numbers.random() < 0.5 else []
        layers += [Flatten()] if ending == 2 or not isinstance(layers[-1], GlobalAveragePooling) else []
    for _ in range(int(numbers.integers(3))):
        layers += [layer for layer in extras if numbers.random() < 0.4]
        layers.append(
            Dense(units=int(numbers.integers(1, 5)), activation="relu" if numbers.random() < 0.7 else "linear")
        )
    layers += [layer for layer in extras if numbers.random() < 0.4]
    return Head(layers=tuple(layers)), (side, side, channels), int(numbers.choice([1, 3]))


def random_tensor(name: str, like: np.ndarray, numbers: np.random.Generator) -> np.ndarray:
    """As after training: nothing is zero or one any more."""
    if name.endswith("variance"):
        return numbers.uniform(0.3, 2, like.shape).astype(np.float32)
    spread = 1 / math.sqrt(like.size / like.shape[-1]) if like.ndim > 1 else 0.5
    return numbers.normal(0, spread, like.shape).astype(np.float32)


def check_a_head_that_does_not_fit_is_refused(backend: str) -> None:
    given = pixel_task(backend, DENSE, STEADY, trained=())
    others = initial_tensors(DENSE, (2, 2, 512), 3, 1)
    for wrong in (
        replace(given, head=Head(layers=(GlobalAveragePooling(), Dense(units=8)))),
        replace(given, head_tensors=others),
        replace(given, head=Head(layers=(Convolution(filters=2, kernel_pixels=7), Flatten()))),
        replace(given, train=StoredSource([np.zeros((1, 10, 2, 2, 512), np.float32)]), schedule=schedule(cut=(MAP,))),
    ):
        try:
            run(wrong)
        except BadInput:
            continue
        raise AssertionError("it was taken")


def check_training_a_head_learns_on_stored_maps(backend: str) -> None:
    """From the tests' usual cut, with the upper blocks trained above it."""
    phase = replace(PHASE, epochs=8, batch_normalization="trained")
    plan = schedule(phase=phase, cut=CUT)
    start = fresh_start(CIFAR, MAP, SHAPE, 3, 3, seed=3)
    tuned = run(replace(task(backend, tuning=plain(backend), plan=plan, start=start, n_validation=0), head=CIFAR))
    assert tuned.epochs[-1].loss < 0.8 * tuned.epochs[0].loss
    assert tuned.classifier.hidden and tuned.head_tensors.keys() == initial_tensors(CIFAR, SHAPE, 3, 3).keys()
