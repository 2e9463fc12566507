"""`--plots DIR`: a run's charts as SVG and its photo grids as PNG, each a file to take elsewhere."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final

from graft.core.errors import BadInput
from graft.core.files import make_directory, remove_file, write_atomic
from graft.core.progress import Progress
from graft.data.augmentation import sheet, wording
from graft.data.augmentation.sheet import Tile, grid, make_sheet
from graft.data.images import decode
from graft.pipeline.places import FileKind, check_place
from graft.pipeline.thumbnails import ANY_SIZE
from graft.report import findings, standalone, words
from graft.report.data import Answered, ReportData, Viewed
from graft.report.figures import NAMES, charts_of

ANSWERS: Final = "answers.png"
VIEWS: Final = "augmented-views.png"
COLUMNS: Final = 5  # of the answers
MOST_NAME: Final = 24  # letters of a class below an answer
_NOUN: Final = ("train --plots", "figure")
CHART = FileKind(*_NOUN, "an SVG file", (".svg",), standalone.HEAD_BYTES, standalone.is_figure, "figure")
KINDS: Final = {
    **dict.fromkeys(NAMES, CHART),
    ANSWERS: CHART._replace(
        form="a PNG file",
        suffixes=(".png",),
        head_bytes=sheet.HEAD_BYTES,
        is_ours=partial(sheet.is_sheet, generator=sheet.ANSWERS),
    ),
    VIEWS: CHART._replace(
        form="a PNG file",
        suffixes=(".png",),
        head_bytes=sheet.HEAD_BYTES,
        is_ours=partial(sheet.is_sheet, generator=sheet.TRAINING_VIEWS),
    ),
}


def check_folder(folder: Path) -> None:
    """Refuse a place for figures that is a file, or where one of their names is taken by something else: `BadInput`.

    Asked before anything is computed.
    """
    if folder.exists() and not folder.is_dir():
        raise BadInput(
            f"--plots must be a folder, got the file {str(folder)!r}.",
            hint="Name another place.",
            code="already_exists",
        )
    for name, kind in KINDS.items():
        check_place(folder / name, kind)


def write_figures(data: ReportData, folder: Path, progress: Progress) -> tuple[Path, ...]:
    """Write what the run has figures of; an earlier figure that it has nothing for is removed. Returns the files."""
    check_folder(folder)
    with progress.stage("Drawing figures", None, "figures"):
        made = charts_of(data)
        if data.answers:
            made[ANSWERS] = answers_sheet(data)
        if data.views:
            made[VIEWS] = views_sheet(data)
        make_directory(folder)
        for name, kind in KINDS.items():
            if name in made:
                write_atomic(folder / name, made[name], writer=kind.writer)
            else:
                remove_file(folder / name)  # of another run: side by side they would be taken for one
    return tuple(folder / name for name in KINDS if name in made)


def answers_sheet(data: ReportData) -> bytes:
    """Photos of the scored split in rows of five, each with its class and the answer; wrong answers are framed."""
    n_wrong = sum(item.true != item.predicted for item in data.answers)
    n = len(data.answers)
    told = (
        f"{words.counted(n, 'photo')} drawn by chance from {words.count(data.evaluation.n)} {findings.photos_of(data)}"
    )
    lines = [f"{told}; {n_wrong or 'none'} of them wrong{', framed' if n_wrong else ''}."]
    lines.append(f"All in all right on {words.percent(data.evaluation.accuracy.value)}.".replace(words.NO_BREAK, " "))
    tiles = [_answer(item) for item in data.answers]
    return make_sheet(grid(tiles, COLUMNS), title=f"{data.name}: answers", lines=lines, generator=sheet.ANSWERS)


def _answer(item: Answered) -> Tile:
    wrong = item.true != item.predicted
    sure = words.percent(item.probability, 0).replace(words.NO_BREAK, " ")
    true, said = (words.shortened(name, MOST_NAME) for name in (item.true, item.predicted))
    told = f"{'wrong' if wrong else 'right'}, {sure}: said {said}"
    return Tile(decode(item.thumbnail, rules=ANY_SIZE), f"is {true}", told, is_wrong=wrong)


def views_sheet(data: ReportData) -> bytes:
    """A row for each of a few training photos: the photo, and views of it as fine-tuning saw them."""
    lines = ["Some training photos, and views of them as fine-tuning saw them."]
    if data.asked is not None:
        meaning = wording.describe(data.asked.augmentation)
        lines.insert(0, f"{meaning[:1].upper()}{meaning[1:]}.")
    rows = [_views(item) for item in data.views]
    return make_sheet(rows, title=f"{data.name}: augmented views", lines=lines, generator=sheet.TRAINING_VIEWS)


def _views(item: Viewed) -> Sequence[Tile]:
    tiles = []
    for number, (picture, told) in enumerate(item.pictures):
        pixels = decode(picture, rules=ANY_SIZE)
        if number:
            tiles.append(Tile(pixels, f"view {number}", told))
        else:
            tiles.append(Tile(pixels, item.label, item.path.rpartition("/")[2], is_photo=True))
    return tiles
