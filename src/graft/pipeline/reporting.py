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
from graft.pipeline.thumbnails import group_rows, make_thumbnails, pictures_of, sheet_rows
from graft.report.data import Mistake, ReportData
from graft.report.page import render_html, render_json
from graft.report.text import summary_text
from graft.training.records import Plan, ProbeSummary
from graft.training.tuning.records import TuningSummary

SHEET_OF_EACH = 16
SHEET_TOGETHER = 320


def write_thumbnails(run: Run, intake: Intake, scored: Scored, progress: Progress) -> None:
    """Keep small JPEGs in the run: of the surest mistakes, of copies, and of some photos of each class."""
    mistakes = [int(scored.rows[place]) for place in scored.mistakes()]
    sheet = sheet_rows(intake.manifest, of_each=SHEET_OF_EACH, together=SHEET_TOGETHER)
    copies = group_rows(intake.manifest, run.read(Inspection))
    made = make_thumbnails(intake, [*mistakes, *sheet, *copies], progress)
    arrays = {f"photo/{row}": np.frombuffer(picture, np.uint8) for row, picture in made.items()}
    arrays |= {"mistakes": np.array(mistakes, np.int64), "sheet": np.array(sheet, np.int64)}
    run.write_arrays("thumbnails", arrays)


def write_report(run: Run) -> str:
    """Write `report.html` and `report.json` from the run's records; returns the same in a few lines of text."""
    data = report_data(run)
    write_atomic(run.path / "report.json", render_json(data), writer="report_values")
    write_page(run, data)
    return summary_text(data, report=str(run.report), bundle=str(run.bundle))


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
        mistakes=tuple(_mistakes(run, manifest, arrays)),
        pictures=pictures_of(
            manifest,
            {int(name.removeprefix("photo/")): arrays[name].tobytes() for name in arrays if name.startswith("photo/")},
            arrays["sheet"].tolist(),
        ),
        seconds={stage: seconds for stage, seconds in made.seconds.items() if stage != "total"},
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


def _mistakes(run: Run, manifest: Manifest, arrays: dict[str, np.ndarray]) -> Iterator[Mistake]:
    predictions = run.read_arrays("predictions")
    places = {int(row): place for place, row in enumerate(predictions["rows"])}
    for row in arrays["mistakes"].tolist():
        photo, chances = manifest.photos[row], predictions["probabilities"][places[row]]
        predicted = int(chances.argmax())
        yield Mistake(
            path=photo.path,
            true=manifest.classes[photo.label],
            predicted=manifest.classes[predicted],
            probability=float(chances[predicted]),
            thumbnail=arrays[f"photo/{row}"].tobytes(),
        )
