"""What a training leaves in its run: the classifier that it keeps, how good it is, and how it was made."""

import datetime
from collections.abc import Sequence
from dataclasses import replace

from graft.core import machine
from graft.core.errors import GraftError
from graft.core.hashing import sha256_file
from graft.evaluation.records import Evaluation
from graft.features.records import Activations
from graft.pipeline.bundling import write_classifier
from graft.pipeline.reporting import write_thumbnails
from graft.pipeline.run import Made, Run
from graft.pipeline.scoring import Candidate
from graft.pipeline.work import Work


def leave(work: Work, kept: Candidate, activations: Activations, events: Sequence[str] = ()) -> None:
    """Write the classifier, its evaluation, answers and thumbnails, and what is known of how they came about."""
    run = work.run
    with work.clock.stage("bundle"), work.progress.stage("Writing the classifier", None, "files"):
        bundle_hash = write_classifier(run.bundle, work, kept)
    with work.clock.stage("report"):
        run.write(replace(kept.evaluation, bundle_hash=bundle_hash))
        run.write(kept.scored.last_layer)
        run.write_arrays("predictions", {"rows": kept.scored.rows, "probabilities": kept.scored.probabilities})
        write_thumbnails(run, work.intake, kept.scored, work.resolved.plan, work.progress)
    run.write(_made(work, activations, events))


def is_whole(run: Run) -> bool:
    """Whether the run holds a classifier with all that belongs to it, which a training under way need not replace."""
    try:
        return run.has(Made) and run.read(Evaluation).bundle_hash == sha256_file(run.bundle)
    except (GraftError, OSError):
        return False


def _made(work: Work, activations: Activations, events: Sequence[str]) -> Made:
    intake = work.intake
    return Made(
        command=work.options.command,
        data=str(intake.origin),
        archive_sha256=intake.archive.sha256 if intake.archive else "",
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        seconds=work.clock.seconds(),
        versions=machine.versions(),
        machine=machine.facts(),
        n_computed=activations.computed,
        n_reused=activations.reused,
        events=(*activations.events, *events),
    )
