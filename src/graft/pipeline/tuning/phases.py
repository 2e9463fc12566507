"""The phases of a training, one after the other: each with a cut, views and checkpoints of its own."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Final

import numpy as np

from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.files import remove_tree
from graft.core.records import record_hash
from graft.pipeline.bundling import write_classifier
from graft.pipeline.run import Run
from graft.pipeline.scoring import Candidate, Probed
from graft.pipeline.tuning.answering import Answers, answers_of, measured, trained_weights
from graft.pipeline.tuning.scheduling import Step
from graft.pipeline.tuning.views import sources, task_of
from graft.pipeline.work import Work
from graft.report.figures import VIEWS_AGAIN
from graft.training.checkpoints import Checkpoints
from graft.training.records import Classifier, Plan
from graft.training.tuning.loop import tune
from graft.training.tuning.records import Epoch, PhaseSummary
from graft.training.tuning.task import Task, Tuned

CHECKPOINTS: Final = "checkpoints"  # folder in the run while a training is under way, one in it for each phase


@dataclass(frozen=True)
class Trained:
    """A phase that was trained, to its end or until somebody stopped it, and how good its classifier is."""

    tuned: Tuned
    answers: Answers
    candidate: Candidate
    summary: PhaseSummary


def train_phases(
    work: Work,
    probed: Probed,
    steps: Sequence[Step],
    *,
    stop: Callable[[], bool],
    watch: Callable[[Epoch], None],
    report: Callable[[str], None],
) -> tuple[tuple[Epoch, ...], tuple[Trained, ...], Tuned]:
    """All epochs, what each phase that learned something left, and the last phase as it ended.

    Each phase begins with the best weights of the one before. What a phase but the last leaves is written to the run
    as a bundle of its own, which later phases do not touch. Raises as `tune`.
    """
    epochs: tuple[Epoch, ...] = ()
    done: list[Trained] = []
    begun: tuple[Classifier, Mapping[str, np.ndarray]] | None = None
    for number, step in enumerate(steps, 1):
        with work.clock.stage("views"):
            train, validation = sources(work, step.layout, step.schedule)
        if number == 1 and step.layout.cut and work.options.plots is not None:
            _read_again(work, step)
        weighted = probed.result.summary.class_weighted and not work.tuning.phases
        task = task_of(work, step.layout, step.schedule, train, validation, class_weighted=weighted, begun=begun)
        with work.clock.stage("fine-tuning"), _opened(task):
            tuned = tune(
                task,
                checkpoints=_checkpoints(work, number, report),
                stop=stop,
                progress=work.progress,
                watch=_counting_on(watch, epochs),
            )
        first = len(epochs)
        epochs = (*epochs, *(_counted(epoch, epochs) for epoch in tuned.epochs))
        if tuned.best_epoch:
            weights = trained_weights(work, tuned, f"phase-{number}") if step.schedule.trained else task.weights
            last = number == len(steps) or tuned.stopped
            done.append(_left(work, probed, step, tuned, weights, first, "" if last else f"phase-{number}.graft"))
            work = replace(work, resolved=replace(work.resolved, weights=weights))
            begun = (tuned.classifier, tuned.head_tensors)
        if tuned.stopped:
            break
    return epochs, tuple(done), tuned


def clear_checkpoints(run: Run) -> None:
    """Remove what only a training under way needs."""
    remove_tree(run.path / CHECKPOINTS)


def _read_again(work: Work, step: Step) -> None:
    """Time how long what was computed and stored takes to be read, for the figure that compares both."""
    with work.clock.stage(VIEWS_AGAIN):
        read = sources(work, step.layout, step.schedule)
    for source in filter(None, read):
        source.close()


def _left(
    work: Work, probed: Probed, step: Step, tuned: Tuned, weights: WeightsFile, first: int, bundle: str
) -> Trained:
    """Measure what a phase left, and write it as a bundle where a name is given."""
    with work.clock.stage("evaluate"):
        answers = answers_of(work, tuned.classifier, weights)
        candidate = measured(work, probed, answers)
    if bundle:
        write_classifier(work.run.path / bundle, work, candidate)
    summary = PhaseSummary(
        name=step.schedule.phase.name,
        best_epoch=first + tuned.best_epoch,
        frozen_sha256=tuned.frozen_sha256,
        accuracy=candidate.evaluation.accuracy,
        bundle=bundle,
    )
    return Trained(tuned, answers, candidate, summary)


def _checkpoints(work: Work, number: int, report: Callable[[str], None]) -> Checkpoints:
    return Checkpoints(
        work.run.path / CHECKPOINTS / str(number),
        _identity(work.resolved.plan),
        report,
        circumstances={"processor": " ".join(machine.cpu_features())},
    )


def _identity(plan: Plan) -> dict[str, str]:
    """What a checkpoint's numbers depend on, by the names that a refusal tells."""
    chosen = plan.tuning.backend if plan.tuning else ""
    installed = machine.versions()
    return {
        "plan": record_hash(plan),
        "manifest": plan.manifest_hash,
        "backbone": f"{plan.backbone} {plan.weights_sha256}",
        "backend": f"{chosen} {installed.get(chosen, '')}".strip(),
        "keras": metadata.version("keras"),
        "graft": plan.graft_version,
    }


def _counted(epoch: Epoch, before: Sequence[Epoch]) -> Epoch:
    """A phase's epoch counted over all phases."""
    if not before:
        return epoch
    return replace(epoch, number=before[-1].number + epoch.number, step=before[-1].step + epoch.step)


def _counting_on(watch: Callable[[Epoch], None], before: Sequence[Epoch]) -> Callable[[Epoch], None]:
    return lambda epoch: watch(_counted(epoch, before))


@contextmanager
def _opened(task: Task) -> Iterator[None]:
    """Give the sources' threads and files back when training ends, however it does."""
    with closing(task.train), closing(task.validation) if task.validation else nullcontext():
        yield
