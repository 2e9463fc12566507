"""Fine-tuning after the probe: phases of training → honest comparison → the better one is kept."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from signal import SIGTERM
from typing import Any, Final, Literal

import numpy as np

from graft.bundle.format import read_bundle
from graft.core.errors import BadInput, GraftError
from graft.core.files import write_atomic
from graft.core.interrupts import cooperative
from graft.core.locks import Lock
from graft.core.records import record_hash
from graft.evaluation.calibration import softmax
from graft.evaluation.comparison import Comparison, compare
from graft.evaluation.metrics import photo_losses
from graft.pipeline.leaving import leave
from graft.pipeline.reporting import write_report
from graft.pipeline.run import Run
from graft.pipeline.scoring import Probed, rows_of
from graft.pipeline.tuning.phases import Trained, clear_checkpoints, train_phases
from graft.pipeline.tuning.scheduling import FINISH_SECONDS, Step, schedule_for
from graft.pipeline.work import Work
from graft.report.freezing import freezing_text
from graft.report.history import history_csv
from graft.report.tensorboard import TensorBoardWriter
from graft.report.words import duration
from graft.training.records import Plan
from graft.training.tuning import backend
from graft.training.tuning.records import Epoch, TuningSummary
from graft.training.tuning.task import Tuned

HISTORY: Final = "history.csv"
LAYERS: Final = "layers.txt"  # every layer, trained or not
ONE_IN_TWENTY: Final = 1.645  # standard errors that a normal variable is above its mean so often


def tuned_already(run: Run, plan: Plan) -> bool:
    """Whether the run holds a finished fine-tuning of this very plan, whose classifier is whole.

    What a training killed at its very end left of its checkpoints is removed then.
    """
    try:
        if plan.tuning is None or not run.read(TuningSummary).finished:
            return False
        bundle, tensors = read_bundle(run.bundle)
    except GraftError:
        return False  # trained (again)
    tensors.close()
    phases = run.read(TuningSummary).phases
    whole = bundle.provenance.plan_hash == record_hash(plan)
    whole = whole and all((run.path / phase.bundle).is_file() for phase in phases if phase.bundle)
    if whole:
        clear_checkpoints(run)
    return whole


def finetune(work: Work, probed: Probed, lock: Lock) -> None:
    """Fine-tune as the plan says, decide what is kept, and leave it in the run.

    Raises: `Stopped` where a signal came: what was learned is in a checkpoint then, and after Ctrl-C the better
    classifier so far in the run.
    """
    prepared = _nothing_to_gain(work, probed) or _prepare(work, probed)
    if isinstance(prepared, str):
        work.progress.say(f"Fine-tuning is {prepared}.")
        work.run.write(_no_epochs(prepared, finished=True))
        return
    work, steps = prepared
    events: list[str] = []

    def report(event: str) -> None:
        work.progress.say(event)
        events.append(event)

    with cooperative() as stop:
        try:
            with _watched(work.options.tensorboard) as watch:
                epochs, done, last = train_phases(work, probed, steps, stop=stop, watch=watch, report=report)
        except BadInput as problem:
            if problem.code != "diverged" or work.resolved.plan.recipe != "auto":
                raise
            lock.check()
            _leave_probe(work, probed, f"given up: {problem.message.rstrip('.')}", events)
            clear_checkpoints(work.run)
        else:
            lock.check()
            if not (last.stopped and stop.signal == SIGTERM):  # who sends that wants it soon: the checkpoint is enough
                _finish(work, probed, epochs, done, last, events)
                if not last.stopped:
                    clear_checkpoints(work.run)
    if stop():
        write_report(work.run)
        work.progress.say(f"Stopped. What is best so far is kept: {work.run.bundle}")
    stop.check()


@contextmanager
def _watched(folder: str | None) -> Iterator[Callable[[Epoch], None]]:
    """What is told of each epoch as it ends: TensorBoard, where the user watches."""
    if folder is None:
        yield lambda epoch: None
        return
    with TensorBoardWriter(Path(folder)) as writer:
        yield writer.epoch


def _nothing_to_gain(work: Work, probed: Probed) -> str:
    """Why fine-tuning could not be seen to be better, or not be done; "" where it could, or where it was asked for."""
    if work.resolved.plan.recipe != "auto":
        return ""
    found, budget = probed.result.summary.validation_accuracy, work.tuning.time_budget_seconds
    if found is not None and found.value == 1:
        n_photos = len(rows_of(work.intake.manifest, "validation"))
        return f"left out, for the probe was right on all {n_photos} validation photos"
    if budget is not None and budget - work.clock.seconds()["total"] < FINISH_SECONDS:
        return f"left out, for nothing can be trained in what is left of the {duration(budget)}"
    return ""


def _prepare(work: Work, probed: Probed) -> tuple[Work, tuple[Step, ...]] | str:
    """Decide what is done in each phase, and keep it in the plan; or why there is to be no fine-tuning."""
    plan = work.resolved.plan
    with work.progress.stage(f"Loading {work.tuning.backend}", None, ""):
        backend.prepare(work.tuning.backend, plan.threads)
    steps = schedule_for(work, probed)
    if isinstance(steps, str):
        return steps
    decided = replace(plan, schedules=tuple(step.schedule for step in steps))
    work = replace(work, resolved=replace(work.resolved, plan=decided))
    work.run.write(work.resolved.plan)
    for step in steps:
        work.progress.say(freezing_text(step.layout.table, step.layout.freezing))
        work.progress.say(step.schedule.reason)
    tables = [
        f"{step.schedule.phase.name}\n\n{freezing_text(step.layout.table, step.layout.freezing, every=True)}\n\n"
        f"{step.schedule.reason}\n"
        for step in steps
    ]
    write_atomic(work.run.path / LAYERS, "\n".join(tables).encode(), writer="layers")
    return work, steps


def tuning_values(run: Run) -> dict[str, Any] | None:
    """What a program wants to know of the fine-tuning; None where there was none."""
    if not run.has(TuningSummary):
        return None
    summary = run.read(TuningSummary)
    compared = summary.comparison
    return {
        "kept": summary.kept,
        "reason": summary.reason,
        "epochs": len(summary.epochs),
        "best_epoch": summary.best_epoch,
        "validation": {"probe": compared.accuracy_first, "finetune": compared.accuracy_second} if compared else None,
    }


def _leave_probe(work: Work, probed: Probed, reason: str, events: Sequence[str]) -> None:
    """The probe's classifier stands, in the run's bundle too: an earlier part of this training may have left another.

    Its provenance names the plan with its schedules, so that the run counts as finished.
    """
    kept = replace(probed.candidate, resolved=replace(probed.candidate.resolved, plan=work.resolved.plan))
    leave(work, kept, probed.activations, events)
    work.run.write(_no_epochs(reason, finished=True, events=events))


def _finish(
    work: Work, probed: Probed, epochs: Sequence[Epoch], done: Sequence[Trained], last: Tuned, events: list[str]
) -> None:
    """Choose between the probe and what was trained, and leave the run so that it tells all of it."""
    run = work.run
    if not done:
        run.write(_no_epochs("stopped before its first epoch had ended", finished=False, events=events))
        return
    best = best_phase(done, named=bool(work.tuning.phases))
    summary = _summary(work, probed, epochs, done, best, last, events)
    kept = best.candidate if summary.kept == "finetune" else probed.candidate
    leave(
        work,
        replace(kept, resolved=replace(kept.resolved, plan=work.resolved.plan)),
        probed.activations,
        summary.events,
    )
    write_atomic(run.path / HISTORY, history_csv(summary), writer="history")
    run.write(summary)  # last: a run that holds it, finished, is done


def _no_epochs(reason: str, *, finished: bool, events: Sequence[str] = ()) -> TuningSummary:
    """There was nothing to compare: the probe's classifier stands."""
    return TuningSummary(
        epochs=(),
        best_epoch=0,
        finished=finished,
        stopped_early=False,
        frozen_sha256="",
        comparison=None,
        probe_validation_loss=None,
        tuned_validation_loss=None,
        kept="probe",
        reason=reason,
        events=tuple(events),
    )


def best_phase(done: Sequence[Trained], *, named: bool) -> Trained:
    """The phase whose classifier is kept: of a named recipe the last, otherwise the one with the least validation loss.

    Of equals, and without validation photos, the last.
    """
    losses = [each.tuned.epochs[each.tuned.best_epoch - 1].validation_loss for each in done]
    known = [loss for loss in losses if loss is not None]
    if named or len(known) < len(done):
        return done[-1]
    return done[max(place for place, loss in enumerate(losses) if loss == min(known))]


def _summary(
    work: Work,
    probed: Probed,
    epochs: Sequence[Epoch],
    done: Sequence[Trained],
    best: Trained,
    last: Tuned,
    events: list[str],
) -> TuningSummary:
    manifest, answers, candidate = work.intake.manifest, best.answers, best.candidate
    rows = rows_of(manifest, "validation")
    labels = np.array([photo.label for photo in manifest.photos])[rows]
    asked = is_asked_for(work.resolved.plan.recipe, stopped=last.stopped)
    comparison: Comparison | None = None
    losses: tuple[float, float] | None = None
    kept: Literal["probe", "finetune"] = "finetune"
    reason = "as asked; there are no validation photos to compare on"
    if len(rows):
        before = softmax(probed.result.validation_logits, probed.result.held_out.temperature)
        comparison = compare(labels, before.argmax(axis=1), answers.validation.argmax(axis=1))
        each = photo_losses(before, labels), photo_losses(answers.validation, labels)
        losses = float(each[0].mean()), float(each[1].mean())
        kept, reason = choose(comparison, each[0] - each[1], asked=asked)
        if asked and work.tuning.phases:
            reason = "the recipe was asked for"
    scored, found = probed.candidate.scored, candidate.scored
    tested = compare(found.labels, scored.probabilities.argmax(axis=1), found.probabilities.argmax(axis=1))
    summaries = tuple(each.summary for each in done)
    return TuningSummary(
        epochs=tuple(epochs),
        best_epoch=best.summary.best_epoch,
        finished=not last.stopped,
        stopped_early=last.stopped_early,
        frozen_sha256=best.summary.frozen_sha256,
        comparison=comparison,
        comparison_on_test=tested if found.split == "test" else None,
        probe_validation_loss=losses[0] if losses else None,
        tuned_validation_loss=losses[1] if losses else None,
        kept=kept,
        reason=reason,
        phases=summaries if len(work.resolved.plan.schedules) > 1 else (),
        events=(*(event for each in done for event in each.tuned.events), *events),
    )


def is_asked_for(recipe: str, *, stopped: bool) -> bool:
    """Whether what was trained is kept whatever it is worth: not where it is to be decided, or is not whole yet."""
    return recipe != "auto" and not stopped


def choose(comparison: Comparison, gains: np.ndarray, *, asked: bool) -> tuple[Literal["probe", "finetune"], str]:
    """Which of the two to keep, and why: clearly more right answers on the validation photos, or clearly surer ones.

    `gains` is by how much fine-tuning lowered each validation photo's log-loss. The best of many epochs was chosen on
    the same photos, so being ahead by chance must not count: it must be ahead by more right answers than chance gives
    one time in twenty (their standard error is the root of the number of photos on which just one is right), or its
    loss must be lower by two standard errors.
    """
    if asked:
        return "finetune", "fine-tuning was asked for"
    ahead = comparison.only_second_right - comparison.only_first_right
    photos = f"of {comparison.n} validation photos"
    if ahead < 0:
        return "probe", f"fine-tuning was right on {-ahead} fewer {photos}"
    if ahead > ONE_IN_TWENTY * math.sqrt(comparison.only_first_right + comparison.only_second_right):
        return "finetune", f"fine-tuning was right on {ahead} more {photos}"
    told = f"right on {ahead} more {photos}" if ahead else f"right on as many {photos}"
    error = float(gains.std(ddof=1) / math.sqrt(len(gains))) if len(gains) > 1 else math.inf
    if float(gains.mean()) > 2 * error:
        return "finetune", f"fine-tuning was {told}, and surer of what is right"
    chance = ", which may be chance" if ahead else ""
    return "probe", f"fine-tuning was {told}{chance}: the simpler one is kept"
