from dataclasses import replace

import pytest

from graft.evaluation.intervals import wilson
from graft.evaluation.records import ReliabilityBin
from graft.report import findings
from graft.report.data import ReportData
from graft.training.records import Depth
from tests.report.factory import make_manifest, make_report


def bins(*rows: tuple[int, float, float]) -> tuple[ReliabilityBin, ...]:
    return tuple(
        ReliabilityBin(low=confidence, high=confidence, count=count, confidence=confidence, accuracy=accuracy)
        for count, confidence, accuracy in rows
    )


def judged(report: ReportData, *rows: tuple[int, float, float]) -> findings.Calibration:
    n = sum(row[0] for row in rows)
    ece = sum(count * abs(confidence - accuracy) for count, confidence, accuracy in rows) / n
    return findings.calibration(replace(report.evaluation, reliability=bins(*rows), ece=ece))


def test_percentages_that_hold_are_called_so(report: ReportData) -> None:
    found = judged(report, (500, 0.99, 0.99), (400, 0.9, 0.9), (100, 0.6, 0.61))
    assert found.verdict == "Its percentages can be taken at face value."
    assert [findings.band_sentence(band) for band in found.bands] == [
        "When it says 99\u00a0%, it is right 99 times in 100",
        "When it says 90\u00a0%, it is right about 9 times in 10",
        "When it says 60\u00a0%, it is right about 6 times in 10",
    ]


@pytest.mark.parametrize(
    ("rows", "verdict"),
    [
        (((500, 0.99, 0.85), (500, 0.8, 0.6)), "It is surer of itself than it should be."),
        (((500, 0.9, 1.0), (500, 0.6, 0.8)), "It is right more often than it says."),
        (((500, 0.99, 0.85), (500, 0.7, 0.85)), "Its percentages are only roughly right."),
    ],
)
def test_percentages_that_do_not_hold_are_called_so(report: ReportData, rows, verdict: str) -> None:
    assert judged(report, *rows).verdict == verdict


def test_few_photos_are_not_blamed_for_chance(report: ReportData) -> None:
    rows = ((18, 0.9, 5 / 6), (18, 0.7, 5 / 6), (18, 0.6, 0.5))
    found = judged(report, *rows)
    assert found.verdict == "Its percentages can be taken at face value."
    assert "no more than chance explains" in found.reason
    many = tuple((count * 170, confidence, accuracy) for count, confidence, accuracy in rows)
    assert judged(report, *many).verdict != found.verdict
    assert findings.band_sentence(found.bands[-1]) == "When it says 65\u00a0%, it is right 67 times in 100"


def test_fewer_than_fifty_photos_are_not_judged(report: ReportData) -> None:
    for rows in (((6, 0.9, 5 / 6), (43, 0.6, 0.6)), ((49, 0.99, 0.2),)):
        found = judged(report, *rows)
        assert found.verdict == "Too few photos to tell whether its percentages can be believed."
        assert found.reason.startswith("It was scored on 49 photos")
    assert judged(report, (50, 0.99, 0.2)).verdict == findings.SURER
    band = findings.Band(count=12, confidence=0.65, accuracy=8 / 12)
    assert findings.band_sentence(band) == "When it said 65\u00a0%, it was right 8 of 12 times"


def test_empty_bins_count_for_nothing(report: ReportData) -> None:
    assert findings.bands(bins((0, 0.5, 0.0))) == ()
    assert findings.chance_error(()) == 0.0


def curve(*shares: float, n: int = 1000) -> tuple[Depth, ...]:
    return tuple(Depth(layer=f"layer_{i}", width=8, accuracy=wilson(round(s * n), n)) for i, s in enumerate(shares))


def test_the_depth_sentence_says_no_more_than_the_intervals_allow(report: ReportData) -> None:
    def told(*shares: float, **plan: bool) -> str:
        probe = replace(report.probe, depth_profile=curve(*shares))
        return findings.depth_sentence(replace(report, probe=probe, plan=report.plan | plan))

    clear = told(0.5, 0.95, 0.90)
    assert clear.startswith("layer_1, 1 step before the end, knows most")
    equal = told(0.5, 0.91, 0.90)
    assert "may be equal" in equal
    last = told(0.5, 0.8, 0.90)
    assert "highest at the last layer, layer_2" in last
    untrained = told(0.5, 0.8, 0.90, random_weights=True)
    assert "learned nothing yet" in untrained and "90.0" in untrained and "fits your photos" not in untrained


def test_what_the_classifier_reads(report: ReportData) -> None:
    assert findings.chosen_span(report.probe) == (6, 13)
    assert "conv_pw_6_relu to conv_pw_13_relu together (shaded), 3,584 numbers" in findings.reading_sentence(
        report.probe
    )
    alone = replace(report.probe, chosen=replace(report.probe.chosen, first="elsewhere", last="elsewhere"))
    assert findings.chosen_span(alone) is None
    assert "reads elsewhere alone, 3,584" in findings.reading_sentence(alone)


def test_the_commonest_class_is_named_only_where_it_is_known(report: ReportData) -> None:
    evaluation = report.evaluation
    assert findings.commonest_class(evaluation) == max(evaluation.per_class, key=lambda item: item.support).name
    assert findings.commonest_class(replace(evaluation, majority_share=0.5)) == ""


def test_the_data_sentence_counts_every_part() -> None:
    manifest = make_manifest(("a", "b"), 20)
    assert findings.data_sentence(manifest, "test").endswith("and 6 held back for the score.")
    given = make_manifest(("a", "b"), 20, test=False)
    assert findings.data_sentence(given, "validation").endswith("to choose settings with and to score it on.")
    assert "were given" in findings.split_sentence(given)
    assert "70 / 15 / 15 %, seed 0" in findings.split_sentence(manifest)


@pytest.mark.parametrize(
    ("verdict", "start"),
    [("better", "Better than"), ("worse", "Worse than"), ("no difference shown", "No difference from")],
)
def test_the_comparison_says_what_is_shown(report: ReportData, verdict: str, start: str) -> None:
    comparison = replace(report.comparison, verdict=verdict, difference=0.05, low=-0.01, high=0.11)
    text = findings.comparison_sentence(comparison)
    assert text.startswith(start)
    assert "+5.0 points (95 % interval −1.0 to +11.0) on the same photos" in text
    assert ("may be chance (exact test, p = " in text) == (verdict == "no difference shown")


def test_equal_classifiers_are_called_the_same(report: ReportData) -> None:
    text = findings.comparison_sentence(replace(report.comparison, difference=0.0, low=-0.01, high=0.01, p_value=1.0))
    assert text == "Reading only the last layer does the same on these photos (95 % interval −1.0 to +1.0)."


def test_left_out_files_are_counted_by_reason() -> None:
    data = make_report(("a", "b"), per_class=20, quarantined=5)
    assert [(code, n) for code, _, n in findings.quarantine_by_code(data.manifest)] == [
        ("not_an_image", 2), ("truncated", 2), ("too_small", 1),
    ]  # fmt: skip
