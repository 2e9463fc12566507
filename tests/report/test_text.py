from dataclasses import replace

import pytest

from graft.data.inspection.summary import inspect_manifest
from graft.report.data import ReportData
from graft.report.text import inspection_text, summary_text
from tests.report.factory import make_manifest, make_report


def test_the_summary_says_what_matters_in_sixteen_lines(report: ReportData) -> None:
    text = summary_text(report, report="runs/x/report.html", bundle="runs/x/classifier.graft")
    lines = text.split("\n")
    assert len(lines) <= 16
    evaluation = report.evaluation
    for expected in (
        f"{evaluation.accuracy.value * 100:.1f} %",
        f"95 % interval {evaluation.accuracy.low * 100:.1f} to {evaluation.accuracy.high * 100:.1f} %",
        f"of {evaluation.n} photos it never saw",
        f"{report.comparison.accuracy_first * 100:.1f} %: no difference shown",
        "3 files: 1 not_an_image, 1 too_small, 1 truncated",
        "runs/x/report.html",
        "runs/x/classifier.graft (13.2 MB)",
    ):
        assert expected in text
    assert text.isascii()
    assert all(len(line) <= 100 for line in lines)


def test_the_summary_is_short_where_everything_went_wrong() -> None:
    data = make_report(("a", "b", "c"), per_class=20, skill=0.3, split="validation", quarantined=9)
    text = summary_text(data, report="r", bundle="b")
    assert len(text.split("\n")) <= 16
    assert text.startswith("Validation accuracy")


def test_the_same_score_is_called_the_same(report: ReportData) -> None:
    values = report.comparison_with_last_layer | {"difference": 0.0, "p_value": 1.0, "verdict": "no difference shown"}
    text = summary_text(replace(report, comparison_with_last_layer=values), report="r", bundle="b")
    assert f"{report.comparison.accuracy_first * 100:.1f} %: the same\n" in text
    assert "chance" not in text


def test_paths_are_printed_as_they_are(report: ReportData) -> None:
    text = summary_text(report, report="Jürgen’s – runs/report.html", bundle="b")
    assert "Jürgen’s – runs/report.html" in text


def test_nothing_can_steer_the_terminal(report: ReportData) -> None:
    data = make_report(("a\x1b]0;x\x07", "b\r\nc"), per_class=30, skill=1.0)
    text = summary_text(data, report="r\x1b[2J", bundle="b") + inspection_text(data.inspection)
    assert not set("\x1b\x07\r") & set(text)


def test_the_inspection_is_a_table_with_straight_columns() -> None:
    manifest = make_manifest(("cat", "狗狗", "a" * 70), 40)
    text = inspection_text(inspect_manifest(manifest))
    lines = text.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("class"))
    table = lines[start : start + 5]
    assert table[0].split() == ["class", "train", "validation", "test", "all"]
    ends = {len(line.rstrip(" #")) + sum(sign in "狗" for sign in line) for line in table}
    assert len(ends) == 1
    assert [line.count("#") for line in table] == [0, 24, 21, 24, 0]
    assert table[4].split()[-1] == str(len(manifest.photos))
    assert "0 files" not in text
    assert "truncated, the image ends before it should" in text
    assert "cat/IMG_000000.JPG, cat/IMG_000001.JPG" in text
    assert "Format       JPEG " in text


@pytest.mark.parametrize("k", [30, 31, 200])
def test_very_many_classes_are_cut(k: int) -> None:
    inspection = inspect_manifest(make_manifest(tuple(f"class{i}" for i in range(k)), 9, quarantined=40))
    text = inspection_text(inspection)
    assert len(text.split("\n")) < 75
    assert (f"... and {k - 12} larger classes" in text) == (k > 30)
    assert "... and 30 more" in text


def test_given_splits_and_clean_data_are_said_to_be_so() -> None:
    manifest = make_manifest(("a", "b"), 40, quarantined=0, duplicates=0, test=False)
    text = inspection_text(inspect_manifest(manifest))
    assert text.startswith("80 photos in 2 classes: nothing stands in the way\n")
    assert ["Splits", "as", "given"] in [line.split() for line in text.split("\n")]
    assert len(text.split("\n")) < 24
    assert "test " not in text.split("\n\n")[-2]
    assert "Left out" not in text
    assert "Identical" not in text


def test_what_comes_first_is_numbered_with_what_to_do() -> None:
    manifest = make_manifest(("a", "b"), 40, quarantined=0, duplicates=0)
    one, other = (next(photo.path for photo in manifest.photos if photo.split == split) for split in ("train", "test"))
    leaking = replace(manifest, near_duplicates=((one, other),))
    lines = inspection_text(inspect_manifest(leaking)).split("\n")
    assert lines[0].endswith("1 thing to look at first")
    assert lines[2].startswith("1. Photos that look the same are in two splits once")
    assert "   -> Keep such photos in one split only." in lines
    assert f"  {one}, {other} (in two splits)" in lines
    assert all(len(line) <= 100 for line in lines)


def test_a_wide_name_does_not_take_more_than_its_column() -> None:
    lines = inspection_text(inspect_manifest(make_manifest(("狗" * 84, "b"), 20))).split("\n")
    row = next(line for line in lines if line.startswith("狗"))
    name = row.split()[0]
    assert 38 <= 2 * name.count("狗") + 1 <= 40
