import re
from dataclasses import replace

import pytest

from graft.evaluation.intervals import wilson
from graft.evaluation.records import ReliabilityBin
from graft.report import charts
from graft.report.data import ReportData
from graft.training.records import Depth
from tests.report.reading import read


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.42, 0.96, (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)),
        (0.0, 1.0, (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)),
        (0.985, 0.999, (0.98, 0.99, 1.0)),
        (1.0, 1.0, (0.99, 1.0)),
        (0.0, 0.0, (-0.01, 0.0)),
    ],
)
def test_scales_enclose_the_values(low: float, high: float, ticks: tuple[float, ...]) -> None:
    assert charts.scale(low, high) == ticks


@pytest.mark.parametrize("low", [0.0, 0.131, 0.5, 0.87, 0.993])
@pytest.mark.parametrize("more", [0.0, 0.004, 0.1, 0.5])
def test_scales_have_few_ticks(low: float, more: float) -> None:
    high = min(1.0, low + more)
    ticks = charts.scale(low, high)
    assert 2 <= len(ticks) <= 8
    assert ticks[0] <= low
    assert high <= ticks[-1] <= 1.0


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", text)]


def test_the_depth_curve_has_a_point_for_each_layer(report: ReportData) -> None:
    chart = read(str(charts.depth_profile(report.probe)))
    svg = chart.all("svg")[0]
    assert len(svg.all("path", class_="dot")) == len(report.probe.depth_profile)
    curve = numbers(svg.all("path", class_="curve")[0].attributes["d"])
    heights = curve[1::2]
    best = max(range(14), key=lambda i: report.probe.depth_profile[i].accuracy.value)
    assert heights.index(min(heights)) == best
    assert all(0 <= height <= 1000 for height in heights)
    notes = [note.text for note in chart.all("span", class_="note")]
    assert notes[0].startswith("conv_pw_10_relu: ")
    assert notes[1].startswith("last: ")
    assert [label.text for label in chart.all("span", class_="tx")] == [str(i) for i in range(1, 15)]


def test_one_layer_alone_is_drawn(report: ReportData) -> None:
    only = (Depth(layer="block", width=8, accuracy=wilson(50, 60)),)
    chart = read(str(charts.depth_profile(replace(report.probe, depth_profile=only))))
    assert len(chart.all("path", class_="dot")) == 1
    assert chart.all("path", class_="span") == []


def test_a_network_of_many_depths_keeps_its_labels_apart(report: ReportData) -> None:
    many = tuple(Depth(layer=f"add_{i}", width=8, accuracy=wilson(50 + i % 9, 60)) for i in range(83))
    chart = read(str(charts.depth_profile(replace(report.probe, depth_profile=many))))
    labels = chart.all("span", class_="tx")
    assert len(labels) <= 30
    assert len([label for label in labels if "wide" not in label.attributes["class"].split()]) <= 10


def test_reliability_points_lie_where_the_bins_are() -> None:
    bins = (
        ReliabilityBin(low=0.5, high=0.7, count=20, confidence=0.6, accuracy=0.6),
        ReliabilityBin(low=0.9, high=1.0, count=20, confidence=1.0, accuracy=1.0),
        ReliabilityBin(low=0.7, high=0.9, count=0, confidence=0.0, accuracy=0.0),
    )
    chart = read(str(charts.reliability(bins)))
    dots = [numbers(dot.attributes["d"]) for dot in chart.all("path", class_="dot")]
    assert len(dots) == 2
    assert dots[0][0] == pytest.approx(1000 - dots[0][1], abs=0.1)
    assert dots[1][:2] == [1000.0, 0.0]
    assert "says 60.0\u00a0%, right 60.0\u00a0% of 20 photos" in chart.all("desc")[0].text


def test_the_overview_escapes_names_and_names_only_mistakes() -> None:
    table = tuple(tuple(9 if i == j else int((i, j) == (0, 1)) for j in range(30)) for i in range(30))
    chart = read(str(charts.confusion_overview(["<b>", *map(str, range(29))], table)))
    titles = [title.text for path in chart.all("path") for title in path.all("title")]
    assert titles == ["<b> taken for 0: 1"]
    assert "270 photos lie on the diagonal (right), 1 beside it (wrong)." in chart.all("desc")[0].text


def test_shades_grow_with_the_share_and_show_a_single_mistake() -> None:
    shares = [i / 20 for i in range(21)]
    for shade in (charts.right_shade, charts.wrong_shade):
        values = [shade(share) for share in shares]
        assert values == sorted(values)
        assert values[0] == 0
        assert values[-1] == pytest.approx(1.0)
    assert charts.wrong_shade(0.01) > 0.2


def test_a_missing_score_draws_nothing() -> None:
    assert charts.whisker(None) == ""
    assert 'aria-hidden="true"' in charts.whisker(wilson(9, 10))
