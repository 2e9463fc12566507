"""The charts as files: what each run has, and that their figures are those of the records."""

from dataclasses import replace
from xml.etree import ElementTree

import pytest

from graft.report import figures, words
from graft.report.charts import MANY_TOOLTIPS
from graft.report.data import ReportData
from graft.report.figures import AGAIN, CONFUSION, LEARNING, TIMING, VIEWS_AGAIN, charts_of, timing_bars
from graft.report.page import render_html
from tests.report.factory import make_report, make_tuned_report, make_tuning

SVG = "{http://www.w3.org/2000/svg}"
SECONDS = {"features": 12.0, AGAIN: 0.05, "head": 3.0, "views": 8.0, "fine-tuning": 24.0}


def texts(file: bytes) -> list[str]:
    return ["".join(each.itertext()) for each in ElementTree.fromstring(file).iter(f"{SVG}text")]


def test_each_run_has_the_charts_that_its_records_hold(report: ReportData, tuned: ReportData) -> None:
    assert set(charts_of(report)) == set(figures.NAMES) - {LEARNING, TIMING}
    assert set(charts_of(replace(tuned, seconds=SECONDS, n_computed=9))) == set(figures.NAMES)
    assert LEARNING not in charts_of(replace(tuned, tuning=make_tuning(epochs=(), best_epoch=0, comparison=None)))


def test_learning_curves_have_dots_for_training_and_a_line_for_validation() -> None:
    root = ElementTree.fromstring(figures.learning_figure(make_tuning()))
    dots = [each for each in root.iter(f"{SVG}circle") if each.get("r") == "2.5"]
    lines = [
        each
        for each in root.iter(f"{SVG}path")
        if each.get("stroke-width") == "2" and each.get("d", "").count("L") == 11
    ]
    assert len(dots) == 2 * 12 + 1  # and one in the legend
    assert len(lines) == 2
    told = texts(figures.learning_figure(make_tuning()))
    assert "Phases: 1 head, 2 epochs; 2 upper layers, 10 epochs" in told
    assert {"training", "validation", "the linear probe before", "best epoch, 11"} <= set(told)


def test_the_confusion_matrix_holds_each_count_and_its_percent(report: ReportData) -> None:
    root = ElementTree.fromstring(charts_of(report)[CONFUSION])
    table = report.evaluation.confusion
    bold = [each.text for each in root.iter(f"{SVG}text") if each.get("font-weight") == "bold"]
    assert bold == ["Confusion matrix", *(str(n) for row in table for n in row if n)]
    small = [each.text for each in root.iter(f"{SVG}text") if each.get("font-size") == "10"]
    assert small == [words.percent(n / sum(row), 1 if n < sum(row) else 0) for row in table for n in row if n]
    totals = [each.text for each in root.iter(f"{SVG}text") if each.get("font-size") == "11"]
    assert totals == [str(sum(row)) for row in table]


@pytest.mark.parametrize("k", [2, 20, 43, 120])
def test_confusions_are_drawn_for_any_number_of_classes(k: int) -> None:
    data = make_report(tuple(f"<class> & {i}" for i in range(k)), per_class=40, skill=3.0)
    made = ElementTree.fromstring(charts_of(data)[CONFUSION])
    squares = [each for each in made.iter() if each.findtext(f"{SVG}title", "").count(" taken for ")]
    wrong = sum(1 for i, row in enumerate(data.evaluation.confusion) for j, n in enumerate(row) if n and i != j)
    assert len(squares) >= min(wrong, MANY_TOOLTIPS)
    assert float(made.attrib["width"]) < 2500


def test_timing_compares_computing_with_the_store(tuned: ReportData) -> None:
    data = replace(tuned, seconds=SECONDS, n_computed=2000)
    bars = {bar.name: bar for bar in timing_bars(data)}
    assert [bar.seconds for bar in bars.values()] == [12.0, 0.05, 8.0, 2.0, 3.0]
    assert bars["One epoch of training"].note == "mean of 12, compilation included"
    told = texts(charts_of(data)[TIMING])
    assert "Read from the store, features are there 240 times as fast as computed." in told
    assert "0.05 s" in told


def test_timing_compares_what_training_reads_with_the_store(tuned: ReportData) -> None:
    data = replace(tuned, seconds=SECONDS | {VIEWS_AGAIN: 0.25}, n_computed=2000)
    bars = {bar.name: bar for bar in timing_bars(data)}
    assert bars["The same from the store"].seconds == 0.25
    assert data.schedules[0].cut[0] in bars["The same from the store"].note
    told = "What fine-tuning reads of the photos took 8.0 s the first time, 0.25 s from the store."
    assert told in " ".join(texts(charts_of(data)[TIMING]))
    assert told in render_html(data), "the report says it too"
    assert "from the store." not in render_html(replace(tuned, seconds=SECONDS))


def test_what_was_not_measured_is_not_claimed(tuned: ReportData) -> None:
    reused = replace(tuned, seconds=SECONDS, n_reused=2000)
    assert [bar.seconds for bar in timing_bars(reused)] == [0.05, 8.0, 2.0, 3.0]
    assert not any("times as fast" in text for text in texts(charts_of(reused)[TIMING]))
    assert any(text.startswith("Features were in the store") for text in texts(charts_of(reused)[TIMING]))
    partly = replace(tuned, seconds=SECONDS, n_computed=5, n_reused=1995)
    assert timing_bars(partly)[0].note.startswith("5 photos of 2,000, the others were in the store;")
    assert not any("times as fast" in text for text in texts(charts_of(partly)[TIMING]))
    assert timing_bars(replace(tuned, seconds={})) == []


def test_hostile_names_do_not_break_a_file() -> None:
    data = make_tuned_report(classes=("a\x1b[31m", "</text><script>", "c\nd"), per_class=40, skill=2.0)
    for file in charts_of(data).values():
        root = ElementTree.fromstring(file)
        assert not list(root.iter(f"{SVG}script"))
