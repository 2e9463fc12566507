"""Fine-tuning, step by step: the whole state is ours, so a run that goes on ends as one that was never stopped."""

import math
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.progress import Progress, Stage
from graft.core.records import to_value
from graft.core.tensors import tensors_sha256
from graft.evaluation.calibration import softmax, temperature
from graft.training.tuning.backend import choose, prepare
from graft.training.tuning.batches import Batch, steps_per_epoch, training_batches, validation_batches
from graft.training.tuning.network import Network, Tunable, file_tensors, make_network, read
from graft.training.tuning.optimizer import rate_at, scalars
from graft.training.tuning.records import Epoch, Phase
from graft.training.tuning.state import CheckpointStore, Saved, Standing, standing_of
from graft.training.tuning.steps import Steps, Trained, begin, make_steps
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
    """Train from where `checkpoints` stand, until the schedule's end or until `stop()`.

    `watch` is called with each epoch as it ends. `stop` is asked after every step and every batch of validation. A
    checkpoint is written after every epoch, about once a minute, and when stopping; when it is written changes no
    number.

    Raises: `BadInput` diverged where the loss is no longer a number, `IntegrityProblem` where a frozen tensor changed
    or the checkpoint is of another training; what `checkpoints` and the sources raise.
    """
    run = _Run(task, checkpoints, stop, watch)
    total = steps_per_epoch(task) * sum(phase.epochs for phase in task.schedule.phases)
    with progress.stage("Fine-tuning", total, "steps") as stage:
        stage.advance(run.standing.step)
        finished = run.go_on(stage)
        if finished:
            stage.advance(total - run.standing.step)  # of phases that ended early
    return run.result(stopped=not finished)


def seconds_per_step(task: Task, n: int = 3) -> StepTimes:
    """Measure `n` training steps and `n` forward passes of the phase that trains most, on the first photos.

    Nothing that was trained is kept. Takes as long as loading the network and `2 * n` steps; raises as `tune`.
    """
    began = time.perf_counter()
    prepare(choose(task.tuning.backend), task.threads)
    network = make_network(task)
    phase = max(task.schedule.phases, key=lambda each: each.trains == "all")
    steps = make_steps(network, begin(network, phase, averaging=task.tuning.averaging, mixes=task.tuning.mixup > 0))
    numbers = scalars(phase, 0, 1, task.tuning.averaging, task.schedule.batch_images)

    def timed(work: Callable[[], object]) -> float:
        before = time.perf_counter()
        work()
        return time.perf_counter() - before

    def first_batch() -> Batch:
        with closing(training_batches(task, 0, 0)) as batches:
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


class _Run:
    """One fine-tuning under way."""

    def __init__(
        self,
        task: Task,
        checkpoints: CheckpointStore,
        stop: Callable[[], bool],
        watch: Callable[[Epoch], None] | None = None,
    ) -> None:
        prepare(choose(task.tuning.backend), task.threads)
        self.task = task
        self.checkpoints = checkpoints
        self.stop = stop
        self.watch = watch
        self.phases = task.schedule.phases
        self.network: Network = make_network(task)
        self.standing = Standing()
        self.best: dict[str, np.ndarray] = {}
        self._committed = (-1, -1)
        self._commit_seconds = time.monotonic()
        saved = checkpoints.load()
        if saved is None:
            self._begin_phase()
        else:
            self._restore(saved)

    def go_on(self, stage: Stage) -> bool:
        """Train to the end: true. False: stopped before, with everything committed."""
        while self.standing.phase < len(self.phases):
            ended = self._train_epoch(stage) and self._validate()
            self._commit()
            if not ended:
                return False
        return True

    def result(self, *, stopped: bool) -> Tuned:
        """The best weights, after the proof that nothing else changed."""
        network, standing = self.network, self.standing
        tensors = network.tensors()
        changing = {each.name for each in network.trained}
        frozen = tensors_sha256({name: each for name, each in tensors.items() if name not in changing})
        start = file_tensors(self.task.weights)
        if frozen != tensors_sha256({name: each for name, each in start.items() if name not in changing}):
            raise IntegrityProblem(
                "The frozen tensors must be after training what they were before, but they changed.",
                hint="This is a defect of Graft: please report it.",
                code="hash_mismatch",
            )
        tensors |= {name: self.best.get(name, start[name]) for name in changing}
        kernel, bias = (self.best.get(each.name, read(each.variable)) for each in network.head)
        if not self.best:
            kernel, bias = network.start.kernel, network.start.bias
        return Tuned(
            tensors=tensors,
            classifier=network.classifier(kernel, bias, units=self.task.start.kernel.shape[1]),
            epochs=standing.epochs,
            best_epoch=standing.best_epoch,
            stopped=stopped,
            stopped_early=standing.stopped_early,
            frozen_sha256=frozen,
            events=network.events,
        )

    def _begin_phase(self) -> None:
        """Fresh optimiser and averages for the phase that comes; nothing after the last."""
        if self.standing.phase < len(self.phases):
            tuning = self.task.tuning
            self.trained: Trained = begin(self.network, self._phase, averaging=tuning.averaging, mixes=tuning.mixup > 0)
            self.steps: Steps = make_steps(self.network, self.trained)

    @property
    def _phase(self) -> Phase:
        return self.phases[self.standing.phase]

    def _train_epoch(self, stage: Stage) -> bool:
        """The rest of this epoch's steps; false when stopped."""
        per_epoch = steps_per_epoch(self.task)
        where = self.standing
        with closing(training_batches(self.task, where.phase, where.epoch, where.batch)) as batches:
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
        where = self.standing
        number = where.epoch * per_epoch + where.batch
        numbers = scalars(self._phase, number, per_epoch, self.task.tuning.averaging, batch.n_photos)
        loss, right = self.steps.train(batch, numbers)
        self._check_finite(loss)
        self.standing = where.after_batch(loss, right, batch.n_photos)

    def _validate(self) -> bool:
        """Measure with the averaged weights, remember them if they are the best, end the epoch; false when stopped."""
        with self._averaged():
            measured = self._measure()
            if measured is None:
                return False
            loss, accuracy = measured
            where = self.standing
            if loss is None or where.best_loss is None or loss < where.best_loss:
                self.best = {each.name: read(each.variable) for each in self._touched()}
                self.standing = replace(where, best_epoch=len(where.epochs) + 1, best_loss=loss)
        self._end_epoch(loss, accuracy)
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
        """Write down the epoch, and go to the next one or to the next phase."""
        where, phase = self.standing, self._phase
        per_epoch = steps_per_epoch(self.task)
        epoch = Epoch(
            number=len(where.epochs) + 1,
            phase=phase.name,
            step=where.step,
            rate=rate_at(phase, where.epoch * per_epoch + where.batch - 1, per_epoch),
            loss=where.loss_sum / where.n_photos,
            accuracy=where.n_right / where.n_photos,
            validation_loss=loss,
            validation_accuracy=accuracy,
        )
        if self.watch:
            self.watch(epoch)
        self.standing = where = where.after_epoch(epoch)
        early = 0 < phase.patience <= where.stale and where.epoch < phase.epochs
        if early or where.epoch == phase.epochs:
            self._end_phase(early=early)

    def _end_phase(self, *, early: bool) -> None:
        """A phase that had no more to give is followed by the next one from the best weights, others from the last."""
        self.standing = self.standing.after_phase(early=early)
        if early:
            start = file_tensors(self.task.weights)
            for each in self._touched():
                if each.name in self.best or each.name in start:
                    each.variable.assign(self.best.get(each.name, start.get(each.name)))
        self._begin_phase()

    def _touched(self) -> tuple[Tunable, ...]:
        """What the phases up to now have trained."""
        phases = self.phases[: self.standing.phase + 1]
        return self.network.tunables(max(phases, key=lambda phase: phase.trains == "all"))

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
        if self.standing.phase == len(self.phases):
            return {}
        weights = {f"weight/{each.name}": each.variable for each in self._touched()}
        seeds = {f"seed/{number}": each for number, each in enumerate(self.network.seeds())}
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
        if self.standing.phase > len(self.phases):
            raise _foreign(saved)
        self._begin_phase()
        tensors = dict(saved.tensors)
        self.best = {
            name.removeprefix("best/"): np.array(tensors.pop(name)) for name in saved.tensors if name[:5] == "best/"
        }
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
                f"The loss must stay a number, but in epoch {epoch} of {self._phase.name!r}, at a learning rate of up "
                f"to {self._phase.rate:g}, it became {loss}.",
                hint="Use a lower --learning-rate, in another folder; this one holds the classifier from before.",
                code="diverged",
            )

    def _note(self, per_epoch: int) -> str:
        """`epoch 3/12 · rate 7.1e-4 · loss 0.51 · 98.2 % · validation 99.1 %`."""
        where = self.standing
        rate = rate_at(self._phase, where.epoch * per_epoch + where.batch - 1, per_epoch)
        parts = [
            f"epoch {len(where.epochs) + 1}/{sum(phase.epochs for phase in self.phases)}",
            f"rate {rate:.2g}",
            f"loss {where.loss_sum / where.n_photos:.2f}",
            f"{100 * where.n_right / where.n_photos:.1f} %",
        ]
        if where.epochs and where.epochs[-1].validation_accuracy is not None:
            parts.append(f"validation {100 * where.epochs[-1].validation_accuracy:.1f} %")
        return " · ".join(parts)


def _foreign(saved: Saved) -> IntegrityProblem:
    return IntegrityProblem(
        f"The checkpoint of step {saved.step} must hold what this training needs, but holds another training's.",
        hint="Remove the run's checkpoints, or train into another folder.",
        code="checkpoint_corrupt",
    )
