import pytest

from graft.backbones.families.preprocessings import CAFFE, SCALED_TO_ONE, SYMMETRIC, UNCHANGED
from graft.backbones.records import Preprocessing
from graft.core.records import to_value
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


@pytest.mark.parametrize(
    ("backbone", "taken", "told"),
    [
        ("vgg16", CAFFE, "the network's own preprocessing"),
        ("vgg16", UNCHANGED, "as they are, from 0 to 255: not the preprocessing that VGG16 was made with"),
        ("vgg16", SCALED_TO_ONE, "divided by 255: not the preprocessing that VGG16 was made with"),
        ("vgg16", SYMMETRIC, "changed: not the preprocessing that VGG16 was made with"),
        ("convnet", SCALED_TO_ONE, "the network's own preprocessing"),
        ("efficientnet_b0", UNCHANGED, "the network's own preprocessing"),
    ],
)
def test_a_foreign_preprocessing_is_told(backbone: str, taken: Preprocessing, told: str) -> None:
    plan = {"backbone": backbone, "preprocessing": to_value(taken)}
    assert tables.choices(plan)[1:] == [("Pixels", told)]


def test_many_classes_show_the_weakest_first() -> None:
    data = make_report(tuple(f"c{i}" for i in range(40)), per_class=60, skew=0.8, n_samples=1, skill=3.0, n_mistakes=0)
    scores = tables.per_class(data.evaluation)
    assert scores.shown[0].f1.value == min(item.f1.value for item in data.evaluation.per_class if item.f1)
    assert len(scores.every) == 40
    assert len(tables.most_confused(data.evaluation)) == 12


def test_few_classes_are_shown_whole(report: ReportData) -> None:
    assert tables.per_class(report.evaluation).every == []


def test_stages_are_drawn_against_the_longest() -> None:
    assert tables.stages({"b": 1.0, "a": 2.0}) == [("a", 2.0, 1.0), ("b", 1.0, 0.5)]
    assert tables.stages({"a": 0.0}) == [("a", 0.0, 0.0)]
