import re
from dataclasses import replace
from itertools import pairwise

import pytest

from graft.report import curves
from tests.report.factory import make_epochs, make_tuning
from tests.report.reading import Element, read


def charts(**changes: object) -> tuple[Element, Element]:
    accuracy, loss = curves.learning_curves(make_tuning(**changes))
    return read(str(accuracy.chart)), read(str(loss.chart))


def path(chart: Element, kind: str) -> list[float]:
    return [float(number) for number in re.findall(r"-?\d+\.?\d*", chart.all("path", class_=kind)[0].attributes["d"])]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.03, 1.4, (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)),
        (0.2, 0.5, (0.2, 0.5)),
        (0.3, 0.3, (0.2, 0.5)),
        (0.5, 0.5, (0.5, 1.0)),
        (0.0, 0.0, (0.0001, 0.0002)),
        (0.011, 9.0, (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)),
        (0.0, 12.0, (0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0)),
    ],
)
def test_loss_ticks_enclose_the_values(low: float, high: float, ticks: tuple[float, ...]) -> None:
    assert curves.loss_ticks(low, high) == pytest.approx(ticks)


@pytest.mark.parametrize("low", [0.0, 1e-9, 0.0004, 0.07, 0.7, 3.0, 80.0])
@pytest.mark.parametrize("times", [1.0, 1.01, 3.0, 50.0, 1e4, 1e9])
def test_loss_ticks_are_few(low: float, times: float) -> None:
    high = max(low, 1e-4) * times
    ticks = curves.loss_ticks(low, high)
    assert 2 <= len(ticks) <= curves.MOST_TICKS + 1
    assert list(ticks) == sorted(set(ticks))
    assert ticks[0] <= max(low, 1e-4) * (1 + 1e-6)
    assert ticks[-1] >= high * (1 - 1e-6)


@pytest.mark.parametrize(
    ("loss", "words"), [(0.0, "below 0.0001"), (0.0312, "0.0312"), (0.5, "0.500"), (1.268, "1.27"), (123.4, "123")]
)
def test_losses_are_told_with_three_digits(loss: float, words: str) -> None:
    assert curves.loss_words(loss) == words


def test_each_epoch_is_a_dot_and_a_point_of_the_line() -> None:
    summary = make_tuning()
    for chart in charts():
        assert len(chart.all("path", class_="seen")) == len(summary.epochs)
        line = path(chart, "curve")
        assert len(line) == 2 * len(summary.epochs)
        assert line[::2] == sorted(line[::2])
        assert all(0 <= place <= 1000 for place in line)


def test_higher_accuracy_stands_higher_and_lower_loss_lower() -> None:
    summary = make_tuning()
    accuracy, loss = charts()
    up = path(accuracy, "curve")[1::2]
    down = path(loss, "curve")[1::2]
    assert up.index(min(up)) == [row.validation_accuracy for row in summary.epochs].index(
        max(row.validation_accuracy for row in summary.epochs)
    )
    assert down.index(max(down)) == 10  # the best epoch is the eleventh


def test_equal_ratios_of_loss_are_equal_heights() -> None:
    rows = tuple(
        replace(row, loss=loss, validation_loss=loss)
        for row, loss in zip(make_epochs(0, 3), (0.8, 0.4, 0.2), strict=True)
    )
    heights = path(charts(epochs=rows, best_epoch=3, probe_validation_loss=None)[1], "curve")[1::2]
    assert heights[1] - heights[0] == pytest.approx(heights[2] - heights[1], abs=0.02)


def test_best_epoch_probe_and_phases_are_marked() -> None:
    accuracy, loss = charts()
    for chart in (accuracy, loss):
        best = path(chart, "best")[0]
        assert best == pytest.approx(1000 * 10.5 / 12, abs=0.01)
        assert path(chart, "dot")[0] == best
        assert path(chart, "phase")[0] == pytest.approx(1000 * 2 / 12, abs=0.01)
        assert len(chart.all("path", class_="diagonal")) == 1
        assert [label.text for label in chart.all("span", class_="tp")] == ["1", "2"]
    told = curves.learning_curves(make_tuning())
    assert [curve.probe for curve in told] == ["Linear probe: 97.1\u00a0%", "Linear probe: 0.112"]
    assert [curve.best.split(", ")[0] for curve in told] == ["Best: epoch 11"] * 2


def test_one_phase_is_not_numbered_and_no_probe_draws_no_line() -> None:
    for chart in charts(epochs=make_epochs(0, 9), best_epoch=9, comparison=None, probe_validation_loss=None):
        assert chart.all("span", class_="tp") == chart.all("path", class_="phase") == []
        assert chart.all("path", class_="diagonal") == []


def test_the_chart_can_be_read_aloud() -> None:
    accuracy, _ = charts()
    told = accuracy.all("desc")[0].text
    for part in (
        "12 epochs",
        "phase 2, upper layers, from epoch 3",
        "best epoch 11: 99.4",
        "linear probe before: 97.1",
    ):
        assert part in told
    assert accuracy.all("svg")[0].attributes["role"] == "img"


def test_without_validation_there_are_dots_alone() -> None:
    for chart in charts(epochs=make_epochs(validation=False), comparison=None, probe_validation_loss=None):
        assert chart.all("path", class_="curve") == chart.all("path", class_="dot") == []
        assert len(chart.all("path", class_="seen")) == 12


def test_one_epoch_is_seen_and_none_draws_nothing() -> None:
    for chart in charts(epochs=make_epochs(0, 1), best_epoch=1):
        assert len(chart.all("path", class_="ring")) == len(chart.all("path", class_="seen")) == 1
    assert curves.learning_curves(make_tuning(epochs=(), best_epoch=0)) == ()


@pytest.mark.parametrize("n", [1, 2, 6, 7, 12, 13, 60, 199, 1000, 2600])
def test_numbers_below_are_few_and_apart(n: int) -> None:
    numbers = [int(label.text) for label in charts(epochs=make_epochs(0, n), best_epoch=1)[0].all("span", class_="tx")]
    assert 1 <= len(numbers) <= curves.LABELS + 1
    assert numbers[0] == 1
    assert all(later - earlier >= n / 13 for earlier, later in pairwise(numbers))
