"""The report of a run, made from what the run holds: it can be made again without photos or backbone."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from graft.bundle.format import read_bundle
from graft.core.files import write_atomic
from graft.core.progress import Progress
from graft.core.records import to_value
from graft.data.archives.unpacking import plain_name
from graft.data.inspection.summary import Inspection, inspect_manifest
from graft.data.records import Manifest
from graft.evaluation.comparison import Comparison
from graft.evaluation.records import Evaluation
from graft.pipeline.intake import Intake
from graft.pipeline.run import Made, Run
from graft.pipeline.scoring import Scored
from graft.pipeline.thumbnails import (
    drawn_rows,
    group_rows,
    make_thumbnails,
    pictures_of,
    sheet_rows,
    view_arrays,
    viewed,
)
from graft.report.data import Answered, ReportData
from graft.report.page import render_html, render_json
from graft.report.text import summary_text
from graft.training.records import Plan, ProbeSummary
from graft.training.tuning.records import TuningSummary

SHEET_OF_EACH = 16
SHEET_TOGETHER = 320


def write_thumbnails(run: Run, intake: Intake, scored: Scored, plan: Plan, progress: Progress) -> None:
    """Keep small JPEGs in the run: of the surest mistakes, of answers drawn by chance, of copies, of some photos of
    each class, and of augmented views."""
    mistakes = [int(scored.rows[place]) for place in scored.mistakes()]
    sheet = sheet_rows(intake.manifest, of_each=SHEET_OF_EACH, together=SHEET_TOGETHER)
    copies = group_rows(intake.manifest, run.read(Inspection))
    answers = drawn_rows(scored.rows, plan.seed).tolist()
    made = make_thumbnails(intake, [*mistakes, *answers, *sheet, *copies], progress)
    arrays = {f"photo/{row}": np.frombuffer(picture, np.uint8) for row, picture in made.items()}
    chosen = {"mistakes": mistakes, "answers": answers, "sheet": sheet}
    arrays |= {name: np.array(rows, np.int64) for name, rows in chosen.items()}
    run.write_arrays("thumbnails", arrays | view_arrays(intake, plan))


def write_report(run: Run, *, figures: str = "") -> str:
    """Write `report.html` and `report.json` from the run's records; returns the same in a few lines of text.

    `figures` is the folder that the text names for them.
    """
    data = report_data(run)
    write_atomic(run.path / "report.json", render_json(data), writer="report_values")
    write_page(run, data)
    return summary_text(data, report=str(run.report), bundle=str(run.bundle), figures=figures)


def write_page(run: Run, data: ReportData) -> None:
    """Write the page alone."""
    write_atomic(run.report, render_html(data).encode(), writer="report")


def report_data(run: Run) -> ReportData:
    """Everything the page says, read back from the run."""
    manifest, made, plan = run.read(Manifest), run.read(Made), run.read(Plan)
    bundle, tensors = read_bundle(run.bundle)
    tensors.close()
    arrays = run.read_arrays("thumbnails")
    return ReportData(
        name=plain_name(Path(made.data)),
        created=made.created,
        command=made.command,
        manifest=manifest,
        inspection=inspect_manifest(manifest),  # as this version sees the same photos
        plan=to_value(plan),
        probe=run.read(ProbeSummary),
        tuning=run.read(TuningSummary) if run.has(TuningSummary) else None,
        evaluation=run.read(Evaluation),
        comparison_with_last_layer=to_value(run.read(Comparison)),
        mistakes=tuple(_answered(run, manifest, arrays, "mistakes")),
        answers=tuple(_answered(run, manifest, arrays, "answers")),
        views=tuple(viewed(manifest, arrays)),
        pictures=pictures_of(
            manifest,
            {int(name.removeprefix("photo/")): arrays[name].tobytes() for name in arrays if name.startswith("photo/")},
            arrays["sheet"].tolist(),
        ),
        seconds={stage: seconds for stage, seconds in made.seconds.items() if stage != "total"},
        n_computed=made.n_computed,
        n_reused=made.n_reused,
        versions=made.versions,
        machine=made.machine,
        bundle_name=run.bundle.name,
        bundle_bytes=run.bundle.stat().st_size,
        licences=bundle.licences,
        events=made.events,
        next_commands=next_commands(run),
    )


def next_commands(run: Run) -> tuple[tuple[str, str], ...]:
    """What a person is likely to want after a training, ready to be typed."""
    path = quoted(str(run.path))
    return (
        (f"graft predict {path} PHOTO…", "says what is on other photos"),
        (f"graft evaluate {path} DATA", "measures the classifier on other labelled photos"),
    )


def quoted(word: str) -> str:
    """One word as this system's shell reads it."""
    return subprocess.list2cmdline([word]) if sys.platform == "win32" else shlex.quote(word)


def _answered(run: Run, manifest: Manifest, arrays: dict[str, np.ndarray], name: str) -> Iterator[Answered]:
    """The photos whose rows are kept under `name`, with what was said of them; none in runs from before it was."""
    predictions = run.read_arrays("predictions")
    places = {int(row): place for place, row in enumerate(predictions["rows"])}
    for row in arrays.get(name, np.zeros(0, np.int64)).tolist():
        photo, chances = manifest.photos[row], predictions["probabilities"][places[row]]
        predicted = int(chances.argmax())
        yield Answered(
            path=photo.path,
            true=manifest.classes[photo.label],
            predicted=manifest.classes[predicted],
            probability=float(chances[predicted]),
            thumbnail=arrays[f"photo/{row}"].tobytes(),
        )
