"""The whole path: photos → manifest → plan → features → head → honest test → bundle → report."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from graft.core import machine
from graft.core.errors import BadInput
from graft.core.files import make_directory
from graft.core.locks import Lock
from graft.core.progress import Progress
from graft.data.augmentation.normalization import parse_normalization
from graft.data.depth import depth_note
from graft.data.inspection.summary import inspect_manifest
from graft.data.records import Manifest
from graft.evaluation.records import Evaluation
from graft.features.extraction import extract
from graft.features.records import Activations
from graft.pipeline.clock import Clock
from graft.pipeline.figures import check_folder, write_figures
from graft.pipeline.intake import Intake, earlier_splits, read_data
from graft.pipeline.leaving import is_whole, leave
from graft.pipeline.normalizing import Normalize, normalizing
from graft.pipeline.options import TrainOptions
from graft.pipeline.planning import Resolved, follow, program_of, read_plan, resolve_plan
from graft.pipeline.recipes.reference import with_recipe
from graft.pipeline.reporting import next_commands, report_data, write_report
from graft.pipeline.run import Run, as_begun, check_free, place_run
from graft.pipeline.scoring import Candidate, Probed, classify, judged_rows, measure, training_rows
from graft.pipeline.tuning.finetuning import finetune, tuned_already, tuning_values
from graft.pipeline.work import Work
from graft.pipeline.workspace import feature_store, scratch_folder, working
from graft.report.figures import AGAIN
from graft.report.tensorboard import require_tensorboard
from graft.training.probe import ProbeResult, train_probe
from graft.training.records import Plan, ProbeSummary
from graft.training.taps import TapTable
from graft.training.tuning import backend


@dataclass(frozen=True)
class TrainResult:
    """Where a training left what. `summary` is what `graft train --json` prints, `text` what it tells a person."""

    run: Path
    bundle: Path
    report: Path
    summary: dict[str, Any]
    text: str
    next_command: tuple[str, str]  # and what it does


@working()
def train(options: TrainOptions, *, progress: Progress) -> TrainResult:
    """Train as `options` say and leave a finished run.

    The probe comes first, and its classifier is usable while fine-tuning, where the plan has it, goes on. A run that is
    there already is gone on with, or told again where it is finished.

    Raises: `BadInput` for data, options or weights that cannot be used, `ResourceProblem` for the machine's limits,
    `Stopped` where a signal ended the fine-tuning.
    """
    clock = Clock()
    if options.tensorboard is not None:
        require_tensorboard()
        make_directory(Path(options.tensorboard))  # now, rather than when the first epoch is to be written
    if options.plots is not None:
        check_folder(Path(options.plots))
    given = read_plan(Path(options.config)) if options.config else None
    options = with_recipe(follow(options, given) if given else options)
    with clock.stage("scan"):
        intake = _read(options, given, progress)
        _check_measurable(intake.manifest)
        if note := depth_note(intake.manifest):
            progress.say(f"Mind: {note}")
    with scratch_folder() as scratch:
        with clock.stage("plan"):
            normalize = _normalize(options, intake, scratch, progress)
            resolved = resolve_plan(options, intake.manifest, given, normalize=normalize)
            progress.say(f"Backbone {resolved.record.title}: {resolved.plan.backbone_reason}.")
            progress.say(f"Recipe {resolved.plan.recipe}: {resolved.plan.recipe_reason}.")
            run = place_run(options.output, Path(options.data), resolved.plan)
        with Lock(run.lock, wait_seconds=5.0) as lock:
            run.sweep()
            check_free(run, resolved.plan)
            resolved = replace(resolved, plan=as_begun(run, resolved.plan))
            work = Work(run, intake, resolved, options, scratch, clock, progress)
            if tuned_already(run, resolved.plan):
                progress.say("This run is finished: nothing is trained again.")
            else:
                _train(work, lock)
            text = write_report(run, figures=options.plots or "")
            figures = _draw(run, options, progress)
    return _result(run, intake.manifest, clock, text, figures)


def _normalize(options: TrainOptions, intake: Intake, scratch: Path, progress: Progress) -> Normalize | None:
    """What photos are centred, scaled or whitened by, where that is asked for."""
    if options.normalize is None:
        return None
    wanted = parse_normalization(options.normalize)
    return normalizing(wanted, intake, seed=options.seed, scratch=scratch, progress=progress)


def _draw(run: Run, options: TrainOptions, progress: Progress) -> tuple[Path, ...]:
    """The run's figures, where they are asked for."""
    return write_figures(report_data(run), Path(options.plots), progress) if options.plots is not None else ()


def _train(work: Work, lock: Lock) -> None:
    run, intake, resolved, clock = work.run, work.intake, work.resolved, work.clock
    run.write(resolved.plan)
    run.write(intake.manifest)
    run.write(inspect_manifest(intake.manifest))
    if resolved.plan.tuning is not None and resolved.plan.engine == "keras":
        backend.prepare(resolved.plan.tuning.backend, resolved.plan.threads)  # Keras chooses once, when it is loaded
    with clock.stage("features"):
        activations = read_taps(intake, resolved, work.scratch, work.progress)
    if work.options.plots is not None:
        with clock.stage(AGAIN):  # for the figure that compares both
            read_taps(intake, resolved, work.scratch, work.progress)
    with clock.stage("head"):
        result = _fit(intake.manifest, activations, resolved.plan, work.progress)
        run.write(result.summary)
    with clock.stage("evaluate"):
        probe = _judge(intake.manifest, activations, result, resolved)
    lock.check()
    if resolved.plan.tuning is None:
        leave(work, probe, activations)
        return
    if not is_whole(run):
        leave(work, probe, activations)
        write_report(run)
    finetune(work, Probed(result, probe, activations), lock)


def _result(run: Run, manifest: Manifest, clock: Clock, text: str, figures: tuple[Path, ...]) -> TrainResult:
    summary = _summary(run, manifest) | {"seconds": clock.seconds(), "figures": [str(path) for path in figures]}
    return TrainResult(run.path, run.bundle, run.report, summary, text, next_commands(run)[0])


def _read(options: TrainOptions, given: Plan | None, progress: Progress) -> Intake:
    return read_data(
        Path(options.data),
        split=given.split_fractions if given else options.split,
        seed=options.seed,
        on_bad=options.on_bad,
        split_from=earlier_splits(options.split_from),
        duplicates=options.duplicates,
        rules=options.rules(given.rules if given else None),
        progress=progress,
    )


def read_taps(intake: Intake, resolved: Resolved, scratch: Path, progress: Progress) -> Activations:
    """All taps of all photos, from the store where it has them."""
    return extract(
        intake.root,
        intake.manifest.photos,
        program_of(resolved.plan),
        resolved.weights,
        store=feature_store(),
        scratch=scratch,
        cache=machine.cache_directory(),
        rules=intake.manifest.rules,
        workers=machine.threads(),
        threads=resolved.plan.threads,
        progress=progress,
        kind=resolved.plan.engine,
    )


def _check_measurable(manifest: Manifest) -> None:
    """Refuse data on which nothing could be measured, before anything is computed."""
    if all(photo.split == "train" for photo in manifest.photos):
        raise BadInput(
            "The data must have validation or test photos to measure the classifier on, got only training photos.",
            hint="Give --split A/B/C with a test share above zero.",
        )


def _fit(manifest: Manifest, activations: Activations, plan: Plan, progress: Progress) -> ProbeResult:
    """Train the probe. Labels and features of the test split stay here: the probe can read neither."""
    rows = training_rows(manifest)
    labels = np.array([-1 if photo.split == "test" else photo.label for photo in manifest.photos])
    table = TapTable(activations.values, plan.taps, readable=labels >= 0)
    return train_probe(table, labels, rows, classes=len(manifest.classes), plan=plan, progress=progress)


def _judge(manifest: Manifest, activations: Activations, result: ProbeResult, resolved: Resolved) -> Candidate:
    """Measure the probe. This is the first time that test features are read."""
    _, rows = judged_rows(manifest)
    chances = classify(activations.values, result.classifier, rows)
    last_layer = classify(activations.values, result.last_layer, rows).argmax(axis=1)
    return measure("probe", resolved, manifest, result.classifier, chances, last_layer)


def _summary(run: Run, manifest: Manifest) -> dict[str, Any]:
    splits = [photo.split for photo in manifest.photos]
    plan, probe, evaluation = run.read(Plan), run.read(ProbeSummary), run.read(Evaluation)
    chosen, accuracy = probe.chosen, evaluation.accuracy
    validation = probe.validation_accuracy
    tested = {"accuracy": accuracy.value, "interval": [accuracy.low, accuracy.high]}
    return {
        "run": str(run.path),
        "bundle": str(run.bundle),
        "report": str(run.report),
        "recipe": plan.recipe,
        "backbone": plan.backbone,
        "backbone_reason": plan.backbone_reason,
        "classes": list(manifest.classes),
        "n": {name: splits.count(name) for name in ("train", "validation", "test")}
        | {"quarantined": len(manifest.quarantined)},
        "validation": {
            "accuracy": validation.value if validation else chosen.accuracy,
            "on": "validation photos" if validation else "training photos, out of fold",
        },
        "test": tested if evaluation.split == "test" else None,
        "finetuning": tuning_values(run),
    }
