"""Fine-tuning, step by step: the whole state is ours, so a run that goes on ends as one that was never stopped."""

import math
import statistics
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.progress import Progress, Stage
from graft.core.records import to_value
from graft.core.tensors import tensors_sha256
from graft.evaluation.calibration import softmax, temperature
from graft.training.heads.folding import folded
from graft.training.linear import as_sigmoid, as_softmax
from graft.training.tuning.backend import choose, prepare
from graft.training.tuning.batches import Batch, steps_per_epoch, training_batches, validation_batches
from graft.training.tuning.network import HEAD, Network, file_tensors, make_network, read
from graft.training.tuning.optimizer import rate_at, scalars
from graft.training.tuning.records import Epoch, Phase
from graft.training.tuning.state import CheckpointStore, Saved, Standing, standing_of
from graft.training.tuning.steps import Steps, Trained, begin
from graft.training.tuning.task import StepTimes, Task, Tuned

CHECKPOINT_SECONDS = 60.0
SMALLEST_CHANCE = 1e-30  # of which a logarithm is taken


def tune(
    task: Task,
    *,
    checkpoints: CheckpointStore,
    stop: Callable[[], bool],
    progress: Progress,
    watch: Callable[[Epoch], None] | None = None,
) -> Tuned:
    """Train from where `checkpoints` stand, until the phase's end or until `stop()`.

    `watch` is called with each epoch as it ends. `stop` is asked after every step and every batch of validation. A
    checkpoint is written after every epoch, about once a minute, and when stopping; when it is written changes no
    number. Checkpoints of a finished phase give its result again, without a look at the sources.

    Raises: `BadInput` diverged where the loss is no longer a number, `IntegrityProblem` where a frozen tensor changed
    or the checkpoint is of another training; what `checkpoints` and the sources raise.
    """
    saved = checkpoints.load()
    if saved is not None and standing_of(saved).finished:
        return _finished(task, saved)
    run = _Run(task, checkpoints, saved, stop, watch)
    total = steps_per_epoch(task) * task.schedule.phase.epochs
    with progress.stage("Fine-tuning", total, "steps") as stage:
        stage.advance(run.standing.step)
        finished = run.go_on(stage)
        if finished:
            stage.advance(total - run.standing.step)  # where it ended early
    return run.result(stopped=not finished)


def seconds_per_step(task: Task, n: int = 3) -> StepTimes:
    """Measure `n` training steps and `n` forward passes, on the first photos.

    Nothing that was trained is kept. Takes as long as loading the network and `2 * n` steps; raises as `tune`.
    """
    began = time.perf_counter()
    prepare(choose(task.tuning.backend), task.threads)
    network = make_network(task)
    phase = task.schedule.phase
    steps = make_steps(network, begin(network, phase, averaging=task.tuning.averaging, mixes=task.tuning.mixup > 0))
    numbers = scalars(phase, 0, 1, task.tuning.averaging, task.schedule.batch_images)

    def timed(work: Callable[[], object]) -> float:
        before = time.perf_counter()
        work()
        return time.perf_counter() - before

    def first_batch() -> Batch:
        with closing(training_batches(task, 0)) as batches:
            return next(batches)

    def train() -> object:
        return steps.train(first_batch(), numbers)

    batch = first_batch()
    steps.train(batch, numbers)
    steps.forward(batch.arrays)
    opening = time.perf_counter() - began
    return StepTimes(
        train=statistics.median(timed(train) for _ in range(n)),
        forward=statistics.median(timed(lambda: steps.forward(batch.arrays)) for _ in range(n)),
        opening=opening,
    )


def make_steps(network: Network, trained: Trained) -> Steps:
    """The steps on the backend that Keras runs on."""
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        from graft.training.tuning.steps_tensorflow import TensorFlowSteps

        return TensorFlowSteps(network, trained)
    if backend == "jax":
        from graft.training.tuning.steps_jax import JaxSteps

        return JaxSteps(network, trained)
    from graft.training.tuning.steps_torch import TorchSteps

    return TorchSteps(network, trained)


class _Run:
    """A phase under way."""

    def __init__(
        self,
        task: Task,
        checkpoints: CheckpointStore,
        saved: Saved | None,
        stop: Callable[[], bool],
        watch: Callable[[Epoch], None] | None = None,
    ) -> None:
        prepare(choose(task.tuning.backend), task.threads)
        self.task = task
        self.checkpoints = checkpoints
        self.stop = stop
        self.watch = watch
        self.phase: Phase = task.schedule.phase
        self.network: Network = make_network(task)
        self.started = {name: read(each) for name, each in self.network.own.items()}
        self.trained: Trained = begin(
            self.network, self.phase, averaging=task.tuning.averaging, mixes=task.tuning.mixup > 0
        )
        self.steps: Steps = make_steps(self.network, self.trained)
        self.standing = Standing()
        self.best: dict[str, np.ndarray] = {}
        self._committed = (-1, -1)
        self._commit_seconds = time.monotonic()
        if saved is not None:
            self._restore(saved)

    def go_on(self, stage: Stage) -> bool:
        """Train to the end: true. False: stopped before, with everything committed."""
        while not self.standing.finished:
            ended = self._train_epoch(stage) and self._validate()
            if ended and self._is_over():
                proved = self.proved()
                self.standing = replace(self.standing, frozen_sha256=proved, events=self.network.events)
            self._commit()
            if not ended:
                return False
        return True

    def proved(self) -> str:
        """Hash of the backbone's frozen tensors, after the proof that nothing changed but what is trained."""
        changing = self.network.changing
        own = {name: each for name, each in self.network.own.items() if name not in changing}
        frozen, start = (_without(each, changing) for each in (self.network.tensors(), file_tensors(self.task.weights)))
        sha256 = tensors_sha256(frozen)
        if sha256 != tensors_sha256(start) or any(
            not np.array_equal(read(each), self.started[name]) for name, each in own.items()
        ):
            raise IntegrityProblem(
                "The frozen tensors must be after training what they were before, but they changed.",
                hint="This is a defect of Graft: please report it.",
                code="hash_mismatch",
            )
        return sha256

    def result(self, *, stopped: bool) -> Tuned:
        """The best weights."""
        standing = self.standing
        if not standing.finished:
            standing = replace(standing, frozen_sha256=self.proved(), events=self.network.events)
        return _result(self.task, standing, {**self.started, **self.best}, stopped=stopped)

    def _is_over(self) -> bool:
        where, phase = self.standing, self.phase
        early = 0 < phase.patience <= where.stale and where.epoch < phase.epochs
        if early:
            self.standing = replace(where, stopped_early=True)
        return early or where.epoch == phase.epochs

    def _train_epoch(self, stage: Stage) -> bool:
        """The rest of this epoch's steps; false when stopped."""
        per_epoch = steps_per_epoch(self.task)
        with closing(training_batches(self.task, self.standing.epoch, self.standing.batch)) as batches:
            for batch in batches:
                self._step(batch, per_epoch)
                stage.advance()
                stage.note(self._note(per_epoch))
                if self.stop():
                    return False
                if time.monotonic() - self._commit_seconds > CHECKPOINT_SECONDS:
                    self._commit()
        return True

    def _step(self, batch: Batch, per_epoch: int) -> None:
        numbers = scalars(self.phase, self.standing.step, per_epoch, self.task.tuning.averaging, batch.n_photos)
        loss, right = self.steps.train(batch, numbers)
        self._check_finite(loss)
        self.standing = self.standing.after_batch(loss, right, batch.n_photos)

    def _validate(self) -> bool:
        """Measure with the averaged weights, remember them if they are the best, end the epoch; false when stopped."""
        with self._averaged():
            measured = self._measure()
            if measured is None:
                return False
            if self.standing.improved_by(measured[0]):
                kept = self.network.changing | self.network.own
                self.best = {name: read(variable) for name, variable in kept.items()}
        self._end_epoch(*measured)
        return True

    def _measure(self) -> tuple[float | None, float | None] | None:
        """Calibrated loss and accuracy on the validation photos, (None, None) without any; None when stopped."""
        source, labels = self.task.validation, self.task.validation_labels
        if source is None or labels is None or not len(labels):
            return None, None
        logits = []
        with closing(validation_batches(source, self.task.schedule.batch_images)) as batches:
            for arrays, n_photos in batches:
                logits.append(self.steps.forward(arrays)[:n_photos])
                if self.stop():
                    return None
        joined = np.concatenate(logits)
        self._check_finite(float(np.abs(joined).max()))
        # As sure as it will be when it ships: smoothed labels make it shy, which says nothing of what it knows.
        chances = softmax(joined, temperature(joined, labels))
        own = chances[np.arange(len(labels)), labels]
        loss = float(-np.log(np.maximum(own, SMALLEST_CHANCE)).mean())
        return loss, float((chances.argmax(axis=1) == labels).mean())

    def _end_epoch(self, loss: float | None, accuracy: float | None) -> None:
        """Write down the epoch, and go to the next one."""
        where = self.standing
        epoch = Epoch(
            number=len(where.epochs) + 1,
            phase=self.phase.name,
            step=where.step,
            rate=rate_at(self.phase, where.step - 1, steps_per_epoch(self.task)),
            loss=where.loss_sum / where.n_photos,
            accuracy=where.n_right / where.n_photos,
            validation_loss=loss,
            validation_accuracy=accuracy,
        )
        if self.watch:
            self.watch(epoch)
        self.standing = where.after_epoch(epoch)

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """The moving averages in the weights' place, where they are kept."""
        own = [read(each.variable) for each in self.trained.tunables] if self.trained.averages else []
        for each, average in zip(self.trained.tunables, self.trained.averages, strict=False):
            each.variable.assign(read(average))
        try:
            yield
        finally:
            for each, value in zip(self.trained.tunables, own, strict=False):
                each.variable.assign(value)

    def _variables(self) -> dict[str, Any]:
        """All that changes now, by name."""
        if self.standing.finished:
            return {}
        weights = {f"weight/{name}": variable for name, variable in self.network.changing.items()}
        seeds = {f"seed/{number}": each for number, each in enumerate(self.network.seeds)}
        return weights | seeds | self.trained.named()

    def _commit(self) -> None:
        """Write down everything, unless that was just done."""
        where = self.standing
        mark = (where.step, len(where.epochs))
        if mark != self._committed:
            tensors = {name: read(variable) for name, variable in self._variables().items()}
            best = {f"best/{name}": value for name, value in self.best.items()}
            self.checkpoints.save(where.step, tensors | best, to_value(where))
            self._committed = mark
        self._commit_seconds = time.monotonic()

    def _restore(self, saved: Saved) -> None:
        """Go on from a commit."""
        self.standing = standing_of(saved)
        self.best, tensors = _parted(saved)
        variables = self._variables()
        if tensors.keys() != variables.keys():
            raise _foreign(saved)
        for name, variable in variables.items():
            if tensors[name].shape != tuple(variable.shape):
                raise _foreign(saved)
            variable.assign(np.array(tensors[name]))
        self._committed = (self.standing.step, len(self.standing.epochs))

    def _check_finite(self, loss: float) -> None:
        if not math.isfinite(loss):
            epoch = len(self.standing.epochs) + 1
            raise BadInput(
                f"The loss must stay a number, but in epoch {epoch} of {self.phase.name!r}, at a learning rate of up "
                f"to {self.phase.rate:g}, it became {loss}.",
                hint="Use a lower --learning-rate, in another folder; this one holds the classifier from before.",
                code="diverged",
            )

    def _note(self, per_epoch: int) -> str:
        """`epoch 3/12 · rate 7.1e-4 · loss 0.51 · 98.2 % · validation 99.1 %`."""
        where = self.standing
        parts = [
            f"epoch {len(where.epochs) + 1}/{self.phase.epochs}",
            f"rate {rate_at(self.phase, where.step - 1, per_epoch):.2g}",
            f"loss {where.loss_sum / where.n_photos:.2f}",
            f"{100 * where.n_right / where.n_photos:.1f} %",
        ]
        if where.epochs and where.epochs[-1].validation_accuracy is not None:
            parts.append(f"validation {100 * where.epochs[-1].validation_accuracy:.1f} %")
        return " · ".join(parts)


def _result(task: Task, standing: Standing, best: Mapping[str, np.ndarray], *, stopped: bool) -> Tuned:
    """What came of it: `best` holds what changed, and all of the classifier's own tensors."""
    prefix = f"{HEAD}/"
    own = {name.removeprefix(prefix): each for name, each in best.items() if name.startswith(prefix)}
    changed = {name: each for name, each in best.items() if not name.startswith(prefix)}
    if task.head is None:
        made = replace(as_softmax(task.start), kernel=own["kernel"], bias=own["bias"], temperature=1.0)
        classifier = as_sigmoid(made) if task.start.kernel.shape[1] == 1 else made
    else:
        classifier = folded(task.head, task.start, own)
    return Tuned(
        tensors=file_tensors(task.weights) | changed,
        classifier=classifier,
        head_tensors={} if task.head is None else own,
        epochs=standing.epochs,
        best_epoch=standing.best_epoch,
        stopped=stopped,
        stopped_early=standing.stopped_early,
        frozen_sha256=standing.frozen_sha256,
        events=standing.events,
    )


def _finished(task: Task, saved: Saved) -> Tuned:
    """The result of a phase that was trained to its end: no network is built, no source is read."""
    standing = standing_of(saved)
    best, others = _parted(saved)
    start = file_tensors(task.weights)
    changed = {name: each.shape for name, each in best.items() if not name.startswith(f"{HEAD}/")}
    fits = all(name in start and start[name].shape == shape for name, shape in changed.items())
    if others or not fits or tensors_sha256(_without(start, changed)) != standing.frozen_sha256:
        raise _foreign(saved)
    return _result(task, standing, best, stopped=False)


def _parted(saved: Saved) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Copies of the best tensors, by their own names, and all others."""
    prefix = "best/"
    best = {name.removeprefix(prefix): np.array(each) for name, each in saved.tensors.items() if name[:5] == prefix}
    return best, {name: each for name, each in saved.tensors.items() if name[:5] != prefix}


def _without(tensors: Mapping[str, np.ndarray], names: Collection[str]) -> dict[str, np.ndarray]:
    return {name: each for name, each in tensors.items() if name not in names}


def _foreign(saved: Saved) -> IntegrityProblem:
    return IntegrityProblem(
        f"The checkpoint of step {saved.step} must hold what this training needs, but holds another training's.",
        hint="Remove the run's checkpoints, or train into another folder.",
        code="checkpoint_corrupt",
    )
