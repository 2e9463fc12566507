"""A chart as a file of its own: the same points and words, complete in itself, and nothing that any program refuses."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

import numpy as np
import pytest
from markupsafe import Markup

from graft.report import charts, curves, standalone, svg
from graft.report.data import ReportData
from graft.report.standalone import Box, Key, chart, figure
from tests.report.factory import make_epochs, make_tuning

BOX = Box(100.0, 50.0, 400.0, 200.0)
SVG = "{http://www.w3.org/2000/svg}"


def parsed(markup: Markup) -> ElementTree.Element:
    return ElementTree.fromstring(f"<g>{markup}</g>")


def spots(d: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in re.findall(r"[ML](-?[\d.]+) (-?[\d.]+)", d)]


def every_chart(report: ReportData) -> Iterator[Markup]:
    yield charts.depth_profile(report.probe)
    yield charts.reliability(report.evaluation.reliability)
    yield charts.confusion_overview(report.evaluation.classes, report.evaluation.confusion)
    for summary in (
        make_tuning(),
        make_tuning(epochs=make_epochs(0, 1), best_epoch=1),
        make_tuning(epochs=make_epochs(5, 60)),
    ):
        yield from (each.chart for each in curves.learning_curves(summary))


def test_each_chart_can_be_drawn_and_keeps_its_labels(report: ReportData) -> None:
    for markup in every_chart(report):
        drawn = parsed(chart(markup, BOX))
        labels = ["".join(span.itertext()) for span in ElementTree.fromstring(markup)[1]]
        assert [text.text for text in drawn.iter("text")] == labels
        assert len(list(drawn.iter("path"))) + len(list(drawn.iter("circle"))) == markup.count("<path ")
        assert not any("class" in each.attrib or "style" in each.attrib for each in drawn.iter())


def test_a_class_without_a_style_is_noticed() -> None:
    markup = svg.plot("x", "", "", Markup('<path class="glitter" d="M0 0H1000"/>'), Markup())
    with pytest.raises(KeyError, match="glitter"):
        chart(markup, BOX)


def test_points_lie_where_the_page_has_them() -> None:
    markup = curves.learning_curves(make_tuning())[0].chart
    (page,) = (path for path in ElementTree.fromstring(markup)[0].iter("path") if path.get("class") == "curve")
    (file,) = (path for path in parsed(chart(markup, BOX)).iter("path") if path.get("stroke-width") == "2")
    wanted = np.array(spots(page.attrib["d"])) * (0.4, 0.2) + (100, 50)
    assert len(wanted) == 12
    assert np.array(spots(file.attrib["d"])) == pytest.approx(wanted, abs=0.01)


@pytest.mark.parametrize(
    ("d", "wanted"),
    [
        ("M0 0H1000", "M100 50L500 50"),
        ("M0 1000L500 500 1000 0", "M100 250L300 150L500 50"),
        ("M200 100H400V1000H200Z", "M180 70L260 70L260 250L180 250Z"),
        ("M10 20h100v50h-100z", "M104 54L144 54L144 64L104 64Z"),
        ("M0 0H1000M0 500H1000", "M100 50L500 50M100 150L500 150"),
        ("M500 -60V1000", "M300 38L300 250"),
    ],
)
def test_paths_are_scaled(d: str, wanted: str) -> None:
    markup = svg.plot("x", "", "", Markup('<path class="rule" d="{}"/>').format(d), Markup())
    assert next(parsed(chart(markup, BOX)).iter("path")).attrib["d"] == wanted


def test_dots_stay_round() -> None:
    drawn = parsed(chart(curves.learning_curves(make_tuning())[0].chart, BOX))
    dots = [each for each in drawn.iter("circle") if each.get("r") == "2.5"]
    assert len(dots) == 12
    assert all(100 <= float(each.attrib["cx"]) <= 500 and 50 <= float(each.attrib["cy"]) <= 250 for each in dots)


def test_a_figure_is_whole_safe_and_known_again() -> None:
    made = figure("<b>&\x00\x1b\u202e", ["a " * 200, "]]>"], standalone.text(1, 2, "<x>"), width=300, height=200)
    root = ElementTree.fromstring(made)
    assert root.tag == f"{SVG}svg"
    assert root.attrib["viewBox"] == "0 0 300 200"
    assert root.findtext(f"{SVG}title") == "<b>&\ufffd\ufffd\ufffd"
    texts = [each.text or "" for each in root.iter(f"{SVG}text")]
    assert "<x>" in texts and len(texts) > 8  # the long line was broken
    assert {each.tag.removeprefix(SVG) for each in root.iter()} <= {"svg", "title", "rect", "text"}
    assert standalone.is_figure(made[: standalone.HEAD_BYTES])
    assert not standalone.is_figure(b'<svg xmlns="http://www.w3.org/2000/svg"/>')


def test_the_head_leaves_room_for_its_lines() -> None:
    one, two = (standalone.head_height(lines, 400) for lines in (["short"], ["short", "word " * 30]))
    assert two - one == pytest.approx((standalone.TEXT_SIZE + 6) * 3)


def test_a_legend_shows_each_key() -> None:
    made = parsed(standalone.legend([Key("seen", "training"), Key("curve", "validation")], 0, 0))
    assert [each.text for each in made.iter("text")] == ["training", "validation"]
    assert len(list(made.iter("circle"))) == len(list(made.iter("path"))) == 1
