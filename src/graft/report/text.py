"""The report in a few plain lines for a terminal, and the table of `graft inspect`."""

import unicodedata
from collections.abc import Sequence
from typing import Final

from graft.data.inspection import ClassCount, DuplicateGroup, Inspection
from graft.data.records import SPLITS
from graft.report import advice, cautions, findings, words
from graft.report.data import ReportData

MOST_CLASSES: Final = 60
MOST_FILES: Final = 10
MOST_NAME_COLUMNS: Final = 40
# Signs that a terminal with an old code page cannot show.
_TYPEWRITTEN: Final = str.maketrans(
    {"\u00a0": " ", "−": "-", "–": "-", "“": '"', "”": '"', "’": "'", "×": "x", "…": "..."}
)


def summary_text(data: ReportData, *, report: str, bundle: str) -> str:
    """What a training ends with, at most 15 lines: how good, what to mind, where the files lie, what to type next.

    `report` and `bundle` are the paths as the user should see them.
    """
    rows = [*_score_rows(data), *_caution_rows(data), ("Time", words.duration(sum(data.seconds.values()))), ("", "")]
    rows = [(name, _typed(text)) for name, text in rows]
    rows += [("Report", report), ("Classifier", f"{bundle} ({_typed(words.byte_size(data.bundle_bytes))})")]
    if data.next_commands:
        rows.append(("Next", data.next_commands[0][0]))
    return _columns(rows)


def inspection_text(inspection: Inspection) -> str:
    """What `graft inspect` prints: notes first, then photos by class and part, then facts about the files."""
    origin = "splits as given" if inspection.split_origin == "given" else "splits made by Graft"
    classes = words.counted(len(inspection.classes), "class", "classes")
    blocks = [[f"{words.counted(inspection.n, 'photo')} in {classes}, {origin}"]]
    if inspection.notes:
        blocks.append([f"- {_typed(note)}" for note in inspection.notes])
    blocks += [_class_table(inspection.classes), [_columns(findings.file_facts(inspection))]]
    if inspection.quarantined:
        files = [
            words.plain(f"  {item.path}: {item.code}, {item.reason}") for item in inspection.quarantined[:MOST_FILES]
        ]
        blocks.append(["Left out", *files, *_more(len(inspection.quarantined))])
    if inspection.exact_duplicates:
        groups = [f"  {_group(group)}" for group in inspection.exact_duplicates[:MOST_FILES]]
        blocks.append(["Identical files", *groups, *_more(len(inspection.exact_duplicates))])
    return "\n\n".join("\n".join(block) for block in blocks)


def _score_rows(data: ReportData) -> list[tuple[str, str]]:
    evaluation, comparison = data.evaluation, data.comparison
    interval = words.span(evaluation.accuracy.low, evaluation.accuracy.high)
    n, right = words.count(evaluation.n), words.count(findings.correct(evaluation))
    told = f"{words.percent(evaluation.accuracy.value)}, right on {right} of {n} {findings.photos_of(data)}"
    rows = [
        (findings.SCORE_NAME[evaluation.split], told),
        ("", f"95 % interval {interval}"),
    ]
    if comparison:
        gain, low, high = (words.signed(x) for x in (comparison.difference, comparison.low, comparison.high))
        told = f"this is {comparison.verdict}, {gain} points ({low} to {high})"
        if comparison.difference == 0:
            told = "the same"
        elif comparison.verdict == "no difference shown":
            told = f"no difference shown, {gain} points may be chance (p = {comparison.p_value:.2f})"
        rows.append(("Last layer alone", f"{words.percent(comparison.accuracy_first)}: {told}"))
    rows.append(("Always guessing", words.percent(evaluation.majority_share)))
    return rows


def _caution_rows(data: ReportData) -> list[tuple[str, str]]:
    minds = cautions.lines(data.manifest, data.evaluation)
    rows = [("" if place else "Mind", line) for place, line in enumerate(minds)]
    rows.append(("Calibration", findings.calibration(data.evaluation).verdict))
    pair = advice.worst_pair(data)
    if pair:
        share = f"{words.count(pair.mistakes)} of their {words.counted(pair.photos, 'photo')}"
        rows.append(("Most confused", f"“{pair.first}” and “{pair.second}”, {share}"))
    left_out = findings.quarantine_by_code(data.manifest)
    if left_out:
        codes = ", ".join(f"{n} {code}" for code, _, n in left_out)
        rows.append(("Left out", f"{words.counted(len(data.manifest.quarantined), 'file')}: {codes}"))
    return rows


def _class_table(classes: Sequence[ClassCount]) -> list[str]:
    """One line for each class; of very many, the smallest."""
    parts = [split for split in SPLITS if any(getattr(item, split) for item in classes)]
    shown = classes if len(classes) <= MOST_CLASSES else sorted(classes, key=lambda item: item.total)[:MOST_CLASSES]
    rows = [(_name(item.name), [*(getattr(item, part) for part in parts), item.total]) for item in shown]
    rows.append(("all", [sum(getattr(item, part) for item in classes) for part in (*parts, "total")]))
    cells = [["class", *parts, "all"], *([name, *map(words.count, numbers)] for name, numbers in rows)]
    widths = [max(_width(cell) for cell in column) for column in zip(*cells, strict=True)]
    lines = [_padded(first, widths[0]) + _right(rest, widths[1:]) for first, *rest in cells]
    if len(shown) < len(classes):
        lines.insert(-1, f"... and {words.count(len(classes) - len(shown))} larger classes")
    return lines


def _right(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))


def _group(group: DuplicateGroup) -> str:
    harm = " (in two splits)" if advice.crosses_splits(group) else ""
    harm += " (in two classes)" if advice.crosses_classes(group) else ""
    more = f" and {len(group.paths) - 3} more" if len(group.paths) > 3 else ""
    return words.plain(f"{', '.join(group.paths[:3])}{more}{harm}")


def _more(n: int) -> list[str]:
    return [f"  ... and {words.count(n - MOST_FILES)} more"] if n > MOST_FILES else []


def _columns(rows: Sequence[tuple[str, str]]) -> str:
    """Names and texts in two columns."""
    width = max(_width(name) for name, _ in rows)
    return "\n".join(words.plain(f"{_padded(name, width)}  {text}").rstrip() for name, text in rows)


def _name(name: str) -> str:
    return words.shortened(words.plain(name), MOST_NAME_COLUMNS).replace("…", "~")


def _typed(line: str) -> str:
    """Our own words with signs that any terminal shows; names and paths inside may lose a typographic quote."""
    return words.plain(line).translate(_TYPEWRITTEN)


def _padded(text: str, columns: int) -> str:
    return text + " " * (columns - _width(text))


def _width(text: str) -> int:
    """Columns a terminal needs: wide signs take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )
