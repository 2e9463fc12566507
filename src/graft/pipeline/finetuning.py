"""Fine-tuning after the probe: views → stored activations → training → honest comparison → the better one is kept."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from signal import SIGTERM
from typing import Any, Final, Literal

import numpy as np

from graft.backbones.weights import WeightsFile
from graft.bundle.format import read_bundle
from graft.core import machine
from graft.core.errors import BadInput, GraftError
from graft.core.files import remove_tree, write_atomic
from graft.core.interrupts import cooperative
from graft.core.locks import Lock
from graft.core.records import record_hash
from graft.core.tensors import tensors_sha256, write_tensors
from graft.evaluation.calibration import softmax, temperature
from graft.evaluation.comparison import Comparison, compare
from graft.evaluation.metrics import photo_losses
from graft.features.extraction import extract
from graft.features.records import Output
from graft.features.store import Store
from graft.pipeline.layouts import asked
from graft.pipeline.leaving import Work, leave
from graft.pipeline.planning import Resolved, program_of
from graft.pipeline.reporting import write_report
from graft.pipeline.run import Run
from graft.pipeline.scheduling import schedule_for
from graft.pipeline.scoring import Candidate, Probed, classify, judged_rows, measure, rows_of
from graft.pipeline.views import sources, task_of
from graft.report.freezing import freezing_text
from graft.report.history import history_csv
from graft.report.tensorboard import TensorBoardWriter
from graft.training.checkpoints import Checkpoints
from graft.training.records import LinearClassifier, Plan
from graft.training.tuning import backend
from graft.training.tuning.loop import tune
from graft.training.tuning.records import Epoch, TuningSummary
from graft.training.tuning.task import Task, Tuned

CHECKPOINTS: Final = "checkpoints"  # folder in the run while a training is under way
HISTORY: Final = "history.csv"
LAYERS: Final = "layers.txt"  # every layer, trained or not
WRITER: Final = "tuned_weights"
ONE_IN_TWENTY: Final = 1.645  # standard errors that a normal variable is above its mean so often


@dataclass(frozen=True)
class _Answers:
    """The fine-tuned classifier, calibrated, and its probabilities for the validation and the judged photos."""

    resolved: Resolved  # with the tuned weights
    classifier: LinearClassifier
    validation: np.ndarray
    judged: np.ndarray


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
    whole = bundle.provenance.plan_hash == record_hash(plan)
    if whole:
        remove_tree(run.path / CHECKPOINTS)
    return whole


def finetune(work: Work, probed: Probed, lock: Lock) -> None:
    """Fine-tune as the plan says, decide what is kept, and leave it in the run.

    Raises: `Stopped` where a signal came: what was learned is in a checkpoint then, and after Ctrl-C the better
    classifier so far in the run.
    """
    with work.clock.stage("views"):
        prepared = _nothing_to_gain(work, probed) or _prepare(work, probed)
    if isinstance(prepared, str):
        work.progress.say(f"Fine-tuning is {prepared}.")
        work.run.write(_no_epochs(prepared, finished=True))
        return
    work, task = prepared
    events: list[str] = []

    def report(event: str) -> None:
        work.progress.say(event)
        events.append(event)

    checkpoints = Checkpoints(
        work.run.path / CHECKPOINTS,
        _identity(work.resolved.plan),
        report,
        circumstances={"processor": " ".join(machine.cpu_features())},
    )
    with cooperative() as stop:
        with work.clock.stage("fine-tuning"), _watched(work.options.tensorboard) as watch, _opened(task):
            try:
                tuned = tune(task, checkpoints=checkpoints, stop=stop, progress=work.progress, watch=watch)
            except BadInput as problem:
                if problem.code != "diverged" or work.resolved.plan.recipe != "auto":
                    raise
                work.run.write(_no_epochs(f"given up: {problem.message.rstrip('.')}", finished=True))
                checkpoints.clear()
                return
        lock.check()
        if not (tuned.stopped and stop.signal == SIGTERM):  # who sends that wants it soon: the checkpoint is enough
            _finish(work, probed, tuned, events)
            if not tuned.stopped:
                checkpoints.clear()
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


@contextmanager
def _opened(task: Task) -> Iterator[None]:
    """Give the sources' threads and files back when training ends, however it does."""
    with closing(task.train), closing(task.validation) if task.validation else nullcontext():
        yield


def _nothing_to_gain(work: Work, probed: Probed) -> str:
    """Why fine-tuning could not be seen to be better; "" where it could, or where it was asked for."""
    found = probed.result.summary.validation_accuracy
    if work.resolved.plan.recipe != "auto" or found is None or found.value < 1:
        return ""
    n_photos = len(rows_of(work.intake.manifest, "validation"))
    return f"left out, for the probe was right on all {n_photos} validation photos"


def _prepare(work: Work, probed: Probed) -> tuple[Work, Task] | str:
    """Decide the schedule, keep it in the plan, and read the views; or why there is to be no fine-tuning."""
    plan, tuning = work.resolved.plan, asked(work)
    with work.progress.stage(f"Loading {tuning.backend}", None, ""):
        backend.prepare(tuning.backend, plan.threads)
    decided = schedule_for(work, probed)
    if isinstance(decided, str):
        return decided
    layout, schedule = decided
    work = replace(work, resolved=replace(work.resolved, plan=replace(plan, schedule=schedule)))
    work.run.write(work.resolved.plan)
    work.progress.say(freezing_text(layout.table, layout.freezing))
    table = freezing_text(layout.table, layout.freezing, every=True)
    write_atomic(work.run.path / LAYERS, f"{table}\n\n{schedule.reason}\n".encode(), writer="layers")
    work.progress.say(schedule.reason)
    train, validation = sources(work, layout, schedule)
    weighted = probed.result.summary.class_weighted
    return work, task_of(work, layout, schedule, train, validation, class_weighted=weighted)


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


def _finish(work: Work, probed: Probed, tuned: Tuned, events: list[str]) -> None:
    """Measure the fine-tuned classifier, choose, and leave the run so that it tells all of it."""
    run = work.run
    if tuned.best_epoch == 0:
        run.write(_no_epochs("stopped before its first epoch had ended", finished=False, events=events))
        return
    with work.clock.stage("evaluate"):
        answers = _answers(work, tuned)
        candidate = _measured(work, probed, answers)
    summary = _summary(work, probed, tuned, answers, candidate, events)
    kept = candidate if summary.kept == "finetune" else probed.candidate
    plan = replace(kept.resolved, plan=work.resolved.plan)
    leave(work, replace(kept, resolved=plan), probed.activations, summary.events)
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


def _answers(work: Work, tuned: Tuned) -> _Answers:
    """The tuned network run like any other: from the photos' files, on the engine that predicts."""
    manifest, resolved = work.intake.manifest, work.resolved
    weights = _tuned_weights(work.scratch, tuned)
    outputs = tuple(Output(layer=tap) for tap in tuned.classifier.taps)
    program = replace(program_of(resolved.plan, weights.sha256), outputs=outputs)
    _, judged = judged_rows(manifest)
    validation = rows_of(manifest, "validation")
    rows = np.union1d(validation, judged)
    activations = extract(
        work.intake.root,
        [manifest.photos[row] for row in rows],
        program,
        weights,
        store=Store(work.scratch / "tuned", cap_bytes=1 << 40),  # goes with the training: nobody asks again
        scratch=work.scratch,
        cache=machine.cache_directory(),
        rules=manifest.rules,
        workers=machine.threads(),
        threads=resolved.plan.threads,
        progress=work.progress,
        kind=resolved.plan.engine,
    )
    classifier = tuned.classifier
    labels = np.array([photo.label for photo in manifest.photos])
    held_out = classify(activations.values, classifier, np.searchsorted(rows, validation)) if len(validation) else None
    if held_out is not None:
        logits = np.log(np.maximum(held_out, np.finfo(np.float32).tiny))
        classifier = replace(classifier, temperature=temperature(logits, labels[validation]))
        held_out = softmax(logits, classifier.temperature)
    return _Answers(
        resolved=replace(resolved, weights=weights),
        classifier=classifier,
        validation=held_out if held_out is not None else np.zeros((0, len(manifest.classes)), np.float32),
        judged=classify(activations.values, classifier, np.searchsorted(rows, judged)),
    )


def _tuned_weights(scratch: Path, tuned: Tuned) -> WeightsFile:
    path = scratch / "tuned.safetensors"
    write_tensors(path, tuned.tensors, metadata={}, writer=WRITER)
    return WeightsFile(path, "", tensors_sha256(tuned.tensors))


def _measured(work: Work, probed: Probed, answers: _Answers) -> Candidate:
    manifest = work.intake.manifest
    _, rows = judged_rows(manifest)
    last_layer = classify(probed.activations.values, probed.result.last_layer, rows).argmax(axis=1)
    return measure("finetune", answers.resolved, manifest, answers.classifier, answers.judged, last_layer)


def _summary(
    work: Work, probed: Probed, tuned: Tuned, answers: _Answers, candidate: Candidate, events: list[str]
) -> TuningSummary:
    manifest = work.intake.manifest
    rows = rows_of(manifest, "validation")
    labels = np.array([photo.label for photo in manifest.photos])[rows]
    comparison: Comparison | None = None
    losses: tuple[float, float] | None = None
    kept: Literal["probe", "finetune"] = "finetune"
    reason = "as asked; there are no validation photos to compare on"
    if len(rows):
        before = softmax(probed.result.validation_logits, probed.result.held_out.temperature)
        comparison = compare(labels, before.argmax(axis=1), answers.validation.argmax(axis=1))
        each = photo_losses(before, labels), photo_losses(answers.validation, labels)
        losses = float(each[0].mean()), float(each[1].mean())
        kept, reason = choose(comparison, each[0] - each[1], asked=work.resolved.plan.recipe == "finetune")
    scored, found = probed.candidate.scored, candidate.scored
    tested = compare(found.labels, scored.probabilities.argmax(axis=1), found.probabilities.argmax(axis=1))
    return TuningSummary(
        epochs=tuned.epochs,
        best_epoch=tuned.best_epoch,
        finished=not tuned.stopped,
        stopped_early=tuned.stopped_early,
        frozen_sha256=tuned.frozen_sha256,
        comparison=comparison,
        comparison_on_test=tested if found.split == "test" else None,
        probe_validation_loss=losses[0] if losses else None,
        tuned_validation_loss=losses[1] if losses else None,
        kept=kept,
        reason=reason,
        events=(*tuned.events, *events),
    )


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
