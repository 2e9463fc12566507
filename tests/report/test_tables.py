from dataclasses import replace

from graft.data.inspection import DuplicateGroup
from graft.report import tables
from graft.report.data import ReportData
from tests.report.factory import make_report


def test_nested_settings_become_rows() -> None:
    plan = {"a": 1, "b": {"c": True, "d": None, "e": {}}, "f": [1, 2], "g": [{"h": 0}], "i": [], "j": "x" * 500}
    rows = dict(tables.flat(plan))
    assert rows == {
        "a": "1", "b.c": "yes", "b.d": "none", "b.e": "none", "f": "1, 2", "g.0.h": "0", "i": "none", "j": rows["j"],
    }  # fmt: skip
    assert len(rows["j"]) == tables.MOST_PLAN_CHARACTERS
    assert tables.flat({}) == [("", "none")]


def test_the_main_choices_carry_their_reasons(report: ReportData) -> None:
    assert tables.choices(report.plan)[1] == ("Backbone", "mobilenet_1.0: named on the command line")
    assert tables.choices({"recipe": "probe"}) == [("Recipe", "probe")]


def test_many_classes_show_the_smallest_and_the_weakest_first() -> None:
    data = make_report(tuple(f"c{i}" for i in range(40)), per_class=60, skew=0.8, n_samples=1, skill=3.0, n_mistakes=0)
    photos = tables.photos(data)["rows"]
    assert len(photos.shown) == 12
    assert len(photos.every) == 40
    smallest = sorted(item.total for item in data.inspection.classes)[:12]
    assert [size for _, size in photos.shown] == smallest
    scores = tables.per_class(data.evaluation)
    assert scores.shown[0].f1.value == min(item.f1.value for item in data.evaluation.per_class if item.f1)
    assert len(scores.every) == 40
    assert len(tables.most_confused(data.evaluation)) == 12


def test_few_classes_are_shown_whole(report: ReportData) -> None:
    assert tables.per_class(report.evaluation).every == []
    assert len(tables.photos(report)["rows"].shown) == 10


def test_harmful_copies_come_first(report: ReportData) -> None:
    groups = tuple(DuplicateGroup(paths=(f"a/{i}", f"a/{i}b"), classes=("a",), splits=("train",)) for i in range(30))
    leak = DuplicateGroup(paths=("a/x", "a/y"), classes=("a",), splits=("train", "test"))
    found = tables.duplicates(replace(report.inspection, exact_duplicates=(*groups, leak)))
    assert found["rows"][0][0] == leak
    assert (found["n"], found["files"], found["across_splits"], found["across_classes"]) == (31, 62, 1, 0)
    assert found["more"] == 31 - len(found["rows"])


def test_left_out_files_beyond_the_fold_are_counted() -> None:
    data = make_report(("a", "b"), per_class=20, quarantined=300)
    found = tables.quarantine(data.manifest)
    assert len(found["rows"].shown) + len(found["rows"].every) + found["more"] == found["n"] == 300


def test_stages_are_drawn_against_the_longest() -> None:
    assert tables.stages({"b": 1.0, "a": 2.0}) == [("a", 2.0, 1.0), ("b", 1.0, 0.5)]
    assert tables.stages({"a": 0.0}) == [("a", 0.0, 0.0)]
