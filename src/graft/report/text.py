"""The report in a few plain lines for a terminal, and the table of `graft inspect`."""

import textwrap
from collections.abc import Sequence
from typing import Final

from graft.data.inspection.concerns import ClassCount, DuplicateGroup
from graft.data.inspection.summary import Inspection
from graft.data.records import SPLITS
from graft.report import advice, cautions, findings, tuning, words
from graft.report.columns import columns, width
from graft.report.data import ReportData
from graft.report.values import verdict

MOST_CLASSES: Final = 30
FEW_CLASSES: Final = 12  # of more, the smallest
MOST_FILES: Final = 10
LINE_COLUMNS: Final = 100
BAR_COLUMNS: Final = 24
MOST_NAME_COLUMNS: Final = 40
# Signs that a terminal with an old code page cannot show.
_TYPEWRITTEN: Final = str.maketrans(
    {"\u00a0": " ", "−": "-", "–": "-", "“": '"', "”": '"', "’": "'", "×": "x", "…": "..."}
)


def summary_text(data: ReportData, *, report: str, bundle: str, figures: str = "") -> str:
    """What a training ends with: how good, what to mind, which network, where the files lie.

    At most 16 lines, 18 after fine-tuning, one more with figures. `report`, `bundle` and `figures`, "" for none, are
    the paths as the user should see them.
    """
    rows = [*_score_rows(data), *_tuning_rows(data), *_caution_rows(data), *_network_rows(data)]
    rows += [("Time", words.duration(sum(data.seconds.values()))), ("", "")]
    rows = [(name, typed(text)) for name, text in rows]
    rows += [("Report", report), ("Classifier", f"{bundle} ({typed(words.byte_size(data.bundle_bytes))})")]
    rows += [("Figures", figures)] if figures else []
    return _columns(rows)


def inspection_text(inspection: Inspection) -> str:
    """What `graft inspect` prints: verdict, what to do about it, photos by class and part, facts about files."""
    counted = words.counted(len(inspection.classes), "class", "classes")
    blocks = [[f"{words.counted(inspection.n, 'photo')} in {counted}: {verdict(inspection)}"]]
    blocks += [_concern_lines(inspection)]
    origin = "as given" if inspection.split_origin == "given" else "made by Graft"
    facts = [*findings.file_facts(inspection), ("Splits", origin)]
    blocks += [_class_table(inspection.classes), [_columns(facts)]]
    if inspection.quarantined:
        files = [
            words.plain(f"  {item.path}: {item.code}, {item.reason}") for item in inspection.quarantined[:MOST_FILES]
        ]
        blocks.append(["Left out", *files, *_more(len(inspection.quarantined))])
    for heading, groups in (
        ("Identical files", inspection.exact_duplicates),
        ("Photos that look the same", inspection.near_duplicates),
    ):
        if groups:
            worst = sorted(groups, key=lambda group: (not group.leaks, not group.conflicts))
            lines = [f"  {_group(group)}" for group in worst[:MOST_FILES]]
            blocks.append([heading, *lines, *_more(len(groups))])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _concern_lines(inspection: Inspection) -> list[str]:
    """Numbered what comes first, each with what to do; then a dash before each remark."""
    first = [concern for concern in inspection.concerns if concern.first]
    lines = []
    for number, concern in enumerate(first, 1):
        lines += _wrapped(concern.sentence, f"{number}. ") + _wrapped(concern.remedy, "   -> ")
    for concern in inspection.concerns:
        if not concern.first:
            lines += _wrapped(concern.sentence, "- ")
    return lines


def _wrapped(text: str, mark: str) -> list[str]:
    """A paragraph after its mark; a path stays in one piece."""
    wrapper = textwrap.TextWrapper(
        width=LINE_COLUMNS,
        initial_indent=mark,
        subsequent_indent=" " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return wrapper.wrap(typed(text))


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


def _tuning_rows(data: ReportData) -> list[tuple[str, str]]:
    """What fine-tuning brought and how it went, in two lines."""
    if data.tuning is None:
        return []
    name = "Recipe" if data.is_reference else "Fine-tuning"
    return [(name if not place else "", line) for place, line in enumerate(tuning.lines(data))]


def _caution_rows(data: ReportData) -> list[tuple[str, str]]:
    minds = cautions.lines(data.manifest, data.evaluation, data.inspection.shortcuts)
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


def _network_rows(data: ReportData) -> list[tuple[str, str]]:
    """Which network, and why that one."""
    plan = data.plan
    if "backbone" not in plan:
        return []
    reason = str(plan.get("backbone_reason", ""))
    return [("Backbone", f"{plan['backbone']} at {plan.get('side_pixels')} px{': ' if reason else ''}{reason}")]


def _class_table(classes: Sequence[ClassCount]) -> list[str]:
    """One line for each class; of very many, the smallest."""
    parts = [split for split in SPLITS if any(getattr(item, split) for item in classes)]
    smallest = sorted(classes, key=lambda item: item.total)[:FEW_CLASSES]
    shown = classes if len(classes) <= MOST_CLASSES else smallest
    rows = [(_name(item.name), [*(getattr(item, part) for part in parts), item.total]) for item in shown]
    rows.append(("all", [sum(getattr(item, part) for item in classes) for part in (*parts, "total")]))
    cells = [["class", *parts, "all"], *([name, *map(words.count, numbers)] for name, numbers in rows)]
    largest = max((item.total for item in shown), default=0)
    bars = ["", *(_bar(item.total, largest) for item in shown), ""]
    barred = [[*row, bar] for row, bar in zip(cells, bars, strict=True)]
    lines = columns(barred, right=range(1, len(parts) + 2))
    if len(shown) < len(classes):
        lines.insert(-1, f"... and {words.count(len(classes) - len(shown))} larger classes")
    return lines


def _bar(number: int, largest: int) -> str:
    """A bar of signs that every terminal has; what is not nothing has at least one."""
    return "#" * (max(1, round(BAR_COLUMNS * number / largest)) if number else 0)


def _group(group: DuplicateGroup) -> str:
    harm = " (in two splits)" if group.leaks else ""
    harm += " (in two classes)" if group.conflicts else ""
    more = f" and {len(group.paths) - 3} more" if len(group.paths) > 3 else ""
    return words.plain(f"{', '.join(group.paths[:3])}{more}{harm}")


def _more(n: int) -> list[str]:
    return [f"  ... and {words.count(n - MOST_FILES)} more"] if n > MOST_FILES else []


def _columns(rows: Sequence[tuple[str, str]]) -> str:
    """Names and texts in two columns."""
    return "\n".join(map(words.plain, columns(rows)))


def _name(name: str) -> str:
    text = words.plain(name)
    most = MOST_NAME_COLUMNS
    while width(name := words.shortened(text, most)) > MOST_NAME_COLUMNS:
        most -= 1  # wide signs take two columns
    return name.replace("…", "~")


def typed(line: str) -> str:
    """Our own words with signs that any terminal shows; names and paths inside may lose a typographic quote."""
    return words.plain(line).translate(_TYPEWRITTEN)
