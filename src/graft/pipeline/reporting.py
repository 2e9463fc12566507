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
from graft.data.images import thumbnail
from graft.data.inspection import Inspection
from graft.data.records import Manifest
from graft.data.stream import read_photo
from graft.evaluation.comparison import Comparison
from graft.evaluation.records import Evaluation
from graft.pipeline.intake import Intake
from graft.pipeline.run import Made, Run
from graft.pipeline.scoring import Scored
from graft.report.data import Mistake, ReportData
from graft.report.page import render_html, render_json
from graft.report.text import summary_text
from graft.training.records import Plan, ProbeSummary

THUMBNAIL_PIXELS = 128
SAMPLES_PER_CLASS = 8
MAX_SAMPLED_CLASSES = 40


def write_thumbnails(run: Run, intake: Intake, scored: Scored, progress: Progress) -> None:
    """Keep small JPEGs of the surest mistakes and of some training photos of each class in the run."""
    mistakes, rules = scored.mistakes(), intake.manifest.rules
    wanted = {f"mistake/{scored.rows[place]}": int(scored.rows[place]) for place in mistakes}
    wanted |= {f"sample/{row}": row for row in _samples(intake.manifest)}
    arrays: dict[str, np.ndarray] = {"mistakes": scored.rows[mistakes]}
    with progress.stage("Making thumbnails", len(wanted), "photos") as stage:
        for name, row in wanted.items():
            data = read_photo(intake.root, intake.manifest.photos[row], rules=rules)
            arrays[name] = np.frombuffer(thumbnail(data, THUMBNAIL_PIXELS, rules=rules), np.uint8)
            stage.advance()
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
    pictures = run.read_arrays("thumbnails")
    return ReportData(
        name=Path(made.data).name,
        created=made.created,
        command=made.command,
        manifest=manifest,
        inspection=run.read(Inspection),
        plan=to_value(plan),
        probe=run.read(ProbeSummary),
        evaluation=run.read(Evaluation),
        comparison_with_last_layer=to_value(run.read(Comparison)),
        mistakes=tuple(_mistakes(run, manifest, pictures)),
        samples=_sample_pictures(manifest, pictures),
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
    path = _quoted(str(run.path))
    return (
        (f"graft predict {path} PHOTO…", "says what is on other photos"),
        (f"graft evaluate {path} DATA", "measures the classifier on other labelled photos"),
    )


def _quoted(word: str) -> str:
    """One word as this system's shell reads it."""
    return subprocess.list2cmdline([word]) if sys.platform == "win32" else shlex.quote(word)


def _samples(manifest: Manifest) -> Iterator[int]:
    """Rows of some training photos of each class, spread over the class."""
    rows: dict[int, list[int]] = {}
    for row, photo in enumerate(manifest.photos):
        if photo.split == "train":
            rows.setdefault(photo.label, []).append(row)
    for label in sorted(rows)[:MAX_SAMPLED_CLASSES]:
        picks = np.unique(np.linspace(0, len(rows[label]) - 1, SAMPLES_PER_CLASS).round().astype(int))
        yield from (rows[label][pick] for pick in picks)


def _mistakes(run: Run, manifest: Manifest, pictures: dict[str, np.ndarray]) -> Iterator[Mistake]:
    predictions = run.read_arrays("predictions")
    places = {int(row): place for place, row in enumerate(predictions["rows"])}
    for row in pictures["mistakes"].tolist():
        photo, chances = manifest.photos[row], predictions["probabilities"][places[row]]
        predicted = int(chances.argmax())
        yield Mistake(
            path=photo.path,
            true=manifest.classes[photo.label],
            predicted=manifest.classes[predicted],
            probability=float(chances[predicted]),
            thumbnail=pictures[f"mistake/{row}"].tobytes(),
        )


def _sample_pictures(manifest: Manifest, pictures: dict[str, np.ndarray]) -> dict[str, tuple[bytes, ...]]:
    samples: dict[str, list[bytes]] = {}
    for row in sorted(int(name.partition("/")[2]) for name in pictures if name.startswith("sample/")):
        name = manifest.classes[manifest.photos[row].label]
        samples.setdefault(name, []).append(pictures[f"sample/{row}"].tobytes())
    return {name: tuple(samples[name]) for name in manifest.classes if name in samples}
