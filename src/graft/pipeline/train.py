"""The whole path: photos → manifest → plan → features → head → honest test → bundle → report."""

import datetime
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from graft.core import machine
from graft.core.errors import BadInput
from graft.core.locks import Lock
from graft.core.progress import Progress
from graft.data.depth import depth_note
from graft.data.inspection.summary import inspect_manifest
from graft.data.records import Manifest
from graft.evaluation.metrics import evaluate
from graft.evaluation.records import Evaluation
from graft.features.extraction import extract
from graft.features.records import Activations
from graft.pipeline.bundling import write_classifier
from graft.pipeline.clock import Clock
from graft.pipeline.intake import Intake, earlier_splits, read_data
from graft.pipeline.options import TrainOptions
from graft.pipeline.planning import Resolved, follow, program_of, read_plan, resolve_plan
from graft.pipeline.reporting import next_commands, write_report, write_thumbnails
from graft.pipeline.run import Made, Run, check_free, place_run
from graft.pipeline.scoring import Scored, score, training_rows
from graft.pipeline.workspace import feature_store, scratch_folder, working
from graft.training.probe import ProbeResult, train_probe
from graft.training.records import Plan
from graft.training.taps import TapTable


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

    Raises: `BadInput` for data, options or weights that cannot be used, `ResourceProblem` for the machine's limits.
    """
    clock = Clock()
    given = read_plan(Path(options.config)) if options.config else None
    options = follow(options, given) if given else options
    with clock.stage("scan"):
        intake = _read(options, given, progress)
        _check_measurable(intake.manifest)
        if note := depth_note(intake.manifest):
            progress.say(f"Mind: {note}")
    with clock.stage("plan"):
        resolved = resolve_plan(options, intake.manifest, given)
        progress.say(f"Backbone {resolved.record.title}: {resolved.plan.backbone_reason}.")
        run = place_run(options.output, Path(options.data), resolved.plan)
    with Lock(run.lock, wait_seconds=5.0) as lock, scratch_folder() as scratch:
        run.sweep()
        check_free(run, resolved.plan)
        run.write(resolved.plan)
        run.write(intake.manifest)
        run.write(inspect_manifest(intake.manifest))
        with clock.stage("features"):
            activations = read_taps(intake, resolved, scratch, progress)
        with clock.stage("head"):
            result = _fit(intake.manifest, activations, resolved.plan, progress)
            run.write(result.summary)
        with clock.stage("evaluate"):
            scored, evaluation = _judge(intake.manifest, activations, result, resolved.plan)
        lock.check()
        with clock.stage("bundle"), progress.stage("Writing the classifier", None, "files"):
            bundle_hash = write_classifier(run, resolved, intake.manifest, result.classifier, evaluation)
            evaluation = replace(evaluation, bundle_hash=bundle_hash)
        with clock.stage("report"):
            _write_results(run, intake, scored, evaluation, progress)
            run.write(_made(options, intake, clock, activations))
            text = write_report(run)
    summary = _summary(run, intake.manifest, resolved, result, evaluation) | {"seconds": clock.seconds()}
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
    threads = resolved.plan.threads
    return extract(
        intake.root,
        intake.manifest.photos,
        program_of(resolved.plan),
        resolved.weights,
        store=feature_store(),
        scratch=scratch,
        cache=machine.cache_directory(),
        rules=intake.manifest.rules,
        workers=threads,
        threads=threads,
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


def _judge(manifest: Manifest, activations: Activations, result: ProbeResult, plan: Plan) -> tuple[Scored, Evaluation]:
    scored = score(manifest, activations.values, result)
    evaluation = evaluate(
        scored.probabilities,
        scored.labels,
        manifest.classes,
        manifest_hash=plan.manifest_hash,
        bundle_hash="",  # known when the bundle is written, which quotes this evaluation
        split=scored.split,
        seed=plan.seed,
    )
    return scored, evaluation


def _write_results(run: Run, intake: Intake, scored: Scored, evaluation: Evaluation, progress: Progress) -> None:
    run.write(evaluation)
    run.write(scored.last_layer)
    run.write_arrays("predictions", {"rows": scored.rows, "probabilities": scored.probabilities})
    write_thumbnails(run, intake, scored, progress)


def _made(options: TrainOptions, intake: Intake, clock: Clock, activations: Activations) -> Made:
    return Made(
        command=options.command,
        data=str(intake.origin),
        archive_sha256=intake.archive.sha256 if intake.archive else "",
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        seconds=clock.seconds(),
        versions=machine.versions(),
        machine=machine.facts(),
        n_computed=activations.computed,
        n_reused=activations.reused,
        events=activations.events,
    )


def _summary(
    run: Run, manifest: Manifest, resolved: Resolved, result: ProbeResult, evaluation: Evaluation
) -> dict[str, Any]:
    splits = [photo.split for photo in manifest.photos]
    chosen, accuracy = result.summary.chosen, evaluation.accuracy
    validation = result.summary.validation_accuracy
    tested = {"accuracy": accuracy.value, "interval": [accuracy.low, accuracy.high]}
    return {
        "run": str(run.path),
        "bundle": str(run.bundle),
        "report": str(run.report),
        "recipe": resolved.plan.recipe,
        "backbone": resolved.plan.backbone,
        "backbone_reason": resolved.plan.backbone_reason,
        "classes": list(manifest.classes),
        "n": {name: splits.count(name) for name in ("train", "validation", "test")}
        | {"quarantined": len(manifest.quarantined)},
        "validation": {
            "accuracy": validation.value if validation else chosen.accuracy,
            "on": "validation photos" if validation else "training photos, out of fold",
        },
        "test": tested if evaluation.split == "test" else None,
    }
