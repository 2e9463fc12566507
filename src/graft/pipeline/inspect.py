"""What is in a folder of photos, before anything is trained on it."""

import datetime
from dataclasses import replace
from pathlib import Path

from graft.bundle.checks import class_problem
from graft.core.progress import Progress
from graft.data.inspection.concerns import Concern
from graft.data.inspection.summary import Inspection, inspect_manifest
from graft.data.limits import chosen_rules
from graft.data.records import Duplicates, ImageRules, Manifest
from graft.data.scan import OnBad
from graft.pipeline.intake import Intake, earlier_splits, read_data
from graft.pipeline.places import INSPECTION, check_place, write_file
from graft.pipeline.workspace import working

SHEET_OF_EACH = 24
SHEET_TOGETHER = 720


@working()
def inspect(
    data: Path,
    *,
    on_bad: OnBad = "quarantine",
    seed: int = 0,
    split: str = "70/15/15",
    max_megapixels: float | None = None,
    max_megabytes: float | None = None,
    min_side: int | None = None,
    white: int | None = None,
    split_from: str | None = None,
    duplicates: Duplicates = "near",
    output: Path | None = None,
    command: str = "",
    progress: Progress,
) -> Inspection:
    """Counts, files left out however many, duplicates, shortcuts, imbalance, sizes, modes, orientation.

    Nothing that a training would refuse stops it: too many bad files, one class only, classes without good photos.
    The options from `max_megapixels` to `white` change the `ImageRules`, as they do in a training. With `output` one
    HTML page is written there, which names `command` as what made it; anything but an earlier such page at that place
    is left alone (`BadInput` already_exists).
    """
    if output is not None:
        check_place(output, INSPECTION)
    rules = chosen_rules(
        ImageRules(), max_megapixels=max_megapixels, max_megabytes=max_megabytes, min_side=min_side, white=white
    )
    intake = read_data(
        data,
        split=split,
        seed=seed,
        on_bad=on_bad,
        most_bad=1.0,
        least_classes=1,
        least_photos=0,
        rules=rules,
        split_from=earlier_splits(split_from),
        duplicates=duplicates,
        progress=progress,
    )
    inspection = _with_names(inspect_manifest(intake.manifest), intake.manifest)
    if output is not None:
        _write_page(output, intake, inspection, command=command, progress=progress)
    return inspection


def _with_names(inspection: Inspection, manifest: Manifest) -> Inspection:
    """The inspection, with the concern that a training would refuse the names of the classes."""
    problem = class_problem(manifest.classes) if len(manifest.classes) > 1 else ""
    if not problem:
        return inspection
    concern = Concern(
        kind="class_names",
        first=True,
        sentence=f"The names of the classes cannot be used: {problem}.",
        remedy="Rename the folder or label.",
    )
    concerns = (concern, *inspection.concerns)
    return replace(inspection, concerns=concerns, notes=tuple(item.sentence for item in concerns))


def _write_page(output: Path, intake: Intake, inspection: Inspection, *, command: str, progress: Progress) -> None:
    from graft.pipeline.thumbnails import group_rows, make_thumbnails, pictures_of, sheet_rows
    from graft.report.data import InspectionData
    from graft.report.inspection_page import render_inspection

    manifest = intake.manifest
    sheet = sheet_rows(manifest, of_each=SHEET_OF_EACH, together=SHEET_TOGETHER)
    pictures = make_thumbnails(intake, [*sheet, *group_rows(manifest, inspection)], progress)
    page = render_inspection(
        InspectionData(
            name=intake.origin.name,
            created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
            command=command,
            manifest=manifest,
            inspection=inspection,
            pictures=pictures_of(manifest, pictures, sheet),
        )
    )
    write_file(output, page.encode(), INSPECTION)
