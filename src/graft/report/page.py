"""Records to one self-contained HTML page, and to one JSON file with the same content."""

import base64
import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from markupsafe import Markup

from graft.core.records import to_value
from graft.report import advice, cautions, charts, findings, tables, tuning, words
from graft.report.data import Answered, ReportData
from graft.report.figures import AGAIN, VIEWS_AGAIN, timing_lines
from graft.report.overview import data_section
from graft.report.values import inspection_value

if TYPE_CHECKING:
    from jinja2 import Environment

SCHEMA: Final = "graft/report/1"
MOST_MISTAKES: Final = 24


def render_html(data: ReportData) -> str:
    """The report as one HTML page: no script, no network, the same text for the same records.

    Every value is escaped; a policy in the page's head forbids scripts and anything fetched.
    """
    return render("page.html.jinja", _context(data))


def render(template: str, context: dict[str, Any]) -> str:
    """A template of this folder as one page with the style sheet in it."""
    style = Markup((files("graft.report") / "assets" / "style.css").read_text(encoding="utf-8"))
    page = _environment().get_template(template).render({**context, "style": style})
    return words.clean("\n".join(line for line in map(str.rstrip, page.split("\n")) if line)) + "\n"


def is_page_of(generator: str, head: bytes) -> bool:
    """Whether a file that begins like this is a page of this generator, as the template's block of that name says."""
    return f'<meta name="generator" content="{generator}">'.encode() in head


def render_json(data: ReportData) -> bytes:
    """The report for programs: the records without thumbnails, the manifest by its hash, the sentences of the page."""
    value = {
        "schema": SCHEMA,
        "name": data.name,
        "created": data.created,
        "command": data.command,
        "manifest_hash": data.evaluation.manifest_hash,
        "photos": findings.split_counts(data.manifest),
        "inspection": inspection_value(data.inspection),
        "plan": data.plan,
        "probe": to_value(data.probe),
        "fine_tuning": to_value(data.tuning) if data.tuning else None,
        "evaluation": to_value(data.evaluation),
        "comparison_with_last_layer": data.comparison_with_last_layer,
        "mistakes": list(map(_answer_value, data.mistakes)),
        "answers_shown": list(map(_answer_value, data.answers)),
        "advice": [{"heading": item.heading, "detail": item.detail} for item in advice.advise(data)],
        "seconds": data.seconds,
        "versions": data.versions,
        "machine": data.machine,
        "bundle": {"name": data.bundle_name, "bytes": data.bundle_bytes},
        "licences": [list(item) for item in data.licences],
        "events": list(data.events),
        "next_commands": [list(item) for item in data.next_commands],
    }
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return text.encode("utf-8", "backslashreplace") + b"\n"  # a lone surrogate becomes the JSON escape that it is


def _answer_value(item: Answered) -> dict[str, str | float]:
    return {"path": item.path, "true": item.true, "predicted": item.predicted, "probability": item.probability}


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("graft.report", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_printable,
    )
    environment.filters.update(
        percent=words.percent,
        number=words.percent_number,
        count=words.count,
        duration=words.duration,
        short=words.shortened,
        outward=words.outward,
        breakable=_breakable,
        jpeg=_jpeg,
    )
    return environment


def _printable(value: object) -> object:
    """What the template prints: plain strings lose line breaks, control characters and direction overrides."""
    return words.plain(value) if type(value) is str else value


def _jpeg(data: bytes) -> Markup:
    """A thumbnail as an address that needs no network."""
    return Markup("data:image/jpeg;base64,{}").format(base64.b64encode(data).decode("ascii"))


def _breakable(name: str) -> Markup:
    """A name or path that may be broken after the signs people put between words."""
    return Markup("<wbr>").join(re.split(r"(?<=[_/.-])(?=[^_/.-])", words.plain(name)))


def _context(data: ReportData) -> dict[str, Any]:
    """Everything the template shows, section by section."""
    evaluation = data.evaluation
    return {
        "data": data,
        "evaluation": evaluation,
        "created": words.date(data.created),
        "score": _score(data),
        "calibration": findings.calibration(evaluation),
        "band_sentence": findings.band_sentence,
        "few_answers": findings.FEW_ANSWERS,
        "advice": advice.advise(data),
        "basis": findings.data_sentence(data.manifest, evaluation.split),
        "photos": data_section(
            data.manifest,
            data.inspection,
            data.pictures,
            order=[item.name for item in tables.weakest_first(evaluation)],
        ),
        "notes": [item.sentence for item in data.inspection.concerns if item.kind != "left_out"],
        "told_before": False,
        "elsewhere": "inspection.json",
        "depth": _depth(data),
        "tuning": tuning.section(data),
        "confusion": _confusion(data),
        "per_class": tables.per_class(evaluation),
        "whisker": charts.whisker,
        "reliability": charts.reliability(evaluation.reliability),
        "n_wrong_shown": sum(item.true != item.predicted for item in data.answers),
        "mistakes": data.mistakes[:MOST_MISTAKES],
        "n_mistakes": evaluation.n - findings.correct(evaluation),
        "events": tuning.other_events(data),
        "again": findings.again_sentence(data),
        "stages": tables.stages(data.seconds),
        "timing": timing_lines(data) if {AGAIN, VIEWS_AGAIN} & set(data.seconds) else [],
        "total_seconds": sum(data.seconds.values()),
        "choices": tables.choices(data.plan),
        "plan": tables.flat(data.plan),
        "bundle_size": words.byte_size(data.bundle_bytes),
    }


def _score(data: ReportData) -> dict[str, Any]:
    """The figure the page opens with, in words, and what it is compared with."""
    evaluation, comparison = data.evaluation, data.comparison
    rows = [("This classifier", evaluation.accuracy.value)]
    if comparison:
        rows.append(("Reading only the last layer", comparison.accuracy_first))
    rows += tuning.other_score(data)
    commonest = findings.commonest_class(evaluation)
    guess = f"“{words.shortened(commonest, 24)}”" if commonest else "the commonest class"
    rows.append((f"Always guessing {guess}", evaluation.majority_share))
    means = (findings.SCORE_MEANS[evaluation.split], cautions.seen_sentence(data.manifest, evaluation))
    return {
        "name": findings.SCORE_NAME[evaluation.split],
        "means": " ".join(filter(None, means)),
        "right": findings.correct(evaluation),
        "photos": findings.photos_of(data),
        "interval": words.span(evaluation.accuracy.low, evaluation.accuracy.high),
        "rows": rows,
        "comparison": findings.comparison_sentence(comparison) if comparison else "",
        "figures": tables.figures(evaluation),
    }


def _depth(data: ReportData) -> dict[str, Any]:
    probe = data.probe
    return {
        "chart": charts.depth_profile(probe),
        "finding": findings.depth_sentence(data),
        "reading": findings.reading_sentence(probe, before=findings.is_tuned(data)),
        "span": findings.chosen_span(probe),
        "rows": probe.depth_profile,
        "on": words.counted(probe.n_compared_on, "training or validation photo"),
    }


def _confusion(data: ReportData) -> dict[str, Any]:
    """A full table for few classes; for many an overview, and the table of the classes that are confused most."""
    evaluation = data.evaluation
    many = len(evaluation.classes) > tables.MOST_MATRIX_CLASSES
    chosen = tables.most_confused(evaluation) if many else list(range(len(evaluation.classes)))
    return {
        "overview": charts.confusion_overview(evaluation.classes, evaluation.confusion) if many else "",
        "matrix": tables.matrix(evaluation, chosen),
        "swatches": tables.SWATCHES,
        "pairs": tables.pairs(evaluation),
    }
