"""Learning curves of fine-tuning: accuracy and loss by epoch, training as dots, validation as a line."""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from graft.report import charts, svg, words
from graft.report.svg import UNIT
from graft.training.tuning.records import Epoch, TuningSummary

LEAST_LOSS: Final = 1e-4  # lower ones are drawn here: below it no one looks
MOST_TICKS: Final = 7
LABELS: Final = 6  # numbers below a chart that stands beside another one
MANY_EPOCHS: Final = 40  # from which dots are small
ROUND: Final = (1, 2, 5)


@dataclass(frozen=True)
class Stretch:
    """The epochs of one phase in a row: its place among the phases from 1, its name, and its epochs."""

    place: int
    name: str
    epochs: tuple[Epoch, ...]


@dataclass(frozen=True)
class LearningCurve:
    """A chart with its heading and how to read its height; best epoch and probe in words, empty where unknown."""

    heading: str
    reading: str
    chart: Markup
    best: str
    probe: str


@dataclass(frozen=True)
class _Quantity:
    """What is drawn: how to read it off an epoch, how to print it, and the axis it stands on."""

    kind: str
    title: str
    training: Callable[[Epoch], float | None]
    validation: Callable[[Epoch], float | None]
    told: Callable[[float], str]
    tick: Callable[[float], str]
    ticks: Callable[[float, float], tuple[float, ...]]
    logarithmic: bool


@dataclass(frozen=True)
class _Axis:
    ticks: tuple[float, ...]
    logarithmic: bool

    def height(self, value: float) -> float:
        """Height of a value on the chart's square, counted from the top."""
        if not self.logarithmic:
            return svg.height(value, self.ticks)
        return svg.height(math.log(max(value, self.ticks[0])), tuple(map(math.log, self.ticks)))


def stretches(epochs: Sequence[Epoch]) -> tuple[Stretch, ...]:
    """The epochs phase by phase."""
    parts = [tuple(rows) for _, rows in itertools.groupby(epochs, key=lambda row: row.phase)]
    return tuple(Stretch(place, rows[0].phase, rows) for place, rows in enumerate(parts, 1))


def learning_curves(summary: TuningSummary) -> tuple[LearningCurve, ...]:
    """Accuracy and loss by epoch; none where no epoch ended."""
    if not summary.epochs:
        return ()
    accuracy = summary.comparison.accuracy_first if summary.comparison else None
    return (
        _curve(summary, _ACCURACY, accuracy, "higher is better"),
        _curve(summary, _LOSS, summary.probe_validation_loss, "lower is better, logarithmic"),
    )


def loss_ticks(low: float, high: float) -> tuple[float, ...]:
    """Round values that enclose both losses on a logarithmic axis, at most seven and at least two."""
    low, high = max(low, LEAST_LOSS), max(high, LEAST_LOSS)
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1
    for steps in (ROUND, (1, 3), (1,)):
        values = [float(f"{step}e{power}") for power in range(first, last + 1) for step in steps]
        start = max(index for index, value in enumerate(values) if value <= low * (1 + 1e-9))
        stop = min(index for index, value in enumerate(values) if value >= high * (1 - 1e-9))
        found = values[start : max(stop, start + 1) + 1]
        if len(found) <= MOST_TICKS:
            break
    every = math.ceil(len(found) / MOST_TICKS)
    return tuple(found if every == 1 else [*found[:-1:every], found[-1]])


def loss_words(loss: float) -> str:
    """A loss with three digits that count: "0.0312", "1.27"; what is hardly one as "below 0.0001"."""
    if loss < LEAST_LOSS:
        return f"below {LEAST_LOSS:.4f}"
    return f"{loss:.{max(0, 2 - math.floor(math.log10(loss)))}f}"


def _curve(summary: TuningSummary, quantity: _Quantity, probe: float | None, reading: str) -> LearningCurve:
    epochs = summary.epochs
    training = [(row.number, quantity.training(row)) for row in epochs]
    validation = [(row.number, quantity.validation(row)) for row in epochs]
    values = [value for _, value in (*training, *validation, (0, probe)) if value is not None]
    axis = _Axis(quantity.ticks(min(values), max(values)), quantity.logarithmic)
    places = _Places(epochs)
    parts = (
        _rules(axis),
        _phase_rules(epochs, places),
        _level(axis, probe),
        _best_line(summary, places),
        _line(axis, places, validation),
        _dots(axis, places, training, quantity),
        _best_dot(summary, axis, places, quantity),
    )
    labels = _up_labels(axis, quantity) + _epoch_numbers(epochs, places)
    description = _description(summary, quantity, probe)
    chart = svg.plot(quantity.kind, quantity.title, description, Markup().join(parts), labels)
    level = "" if probe is None else f"Linear probe: {quantity.told(probe)}"
    return LearningCurve(quantity.title, reading, chart, _best_words(summary, quantity), level)


class _Places:
    """Where epochs stand from left to right: each in the middle of its share of the width."""

    def __init__(self, epochs: Sequence[Epoch]) -> None:
        self._order = {row.number: index for index, row in enumerate(epochs)}
        self._width = UNIT / len(epochs)

    def middle(self, number: int) -> float:
        return self._width * (self._order[number] + 0.5)

    def begin(self, number: int) -> float:
        return self._width * self._order[number]


def _rules(axis: _Axis) -> Markup:
    lines = " ".join(f"M0 {svg.number(axis.height(tick))}H1000" for tick in axis.ticks)
    return Markup('<path class="rule" d="{}"/>').format(lines)


def _phase_rules(epochs: Sequence[Epoch], places: _Places) -> Markup:
    """An upright line where a phase begins after another one."""
    begins = [part.epochs[0].number for part in stretches(epochs)[1:]]
    return Markup().join(
        Markup('<path class="phase" d="M{} -60V1000"/>').format(svg.number(places.begin(number))) for number in begins
    )


def _level(axis: _Axis, probe: float | None) -> Markup:
    if probe is None:
        return Markup()
    return Markup('<path class="diagonal" d="M0 {}H1000"/>').format(svg.number(axis.height(probe)))


def _best_line(summary: TuningSummary, places: _Places) -> Markup:
    if best_epoch(summary) is None:
        return Markup()
    return Markup('<path class="best" d="M{} 0V1000"/>').format(svg.number(places.middle(summary.best_epoch)))


def _line(axis: _Axis, places: _Places, values: Sequence[tuple[int, float | None]]) -> Markup:
    spots = [(places.middle(number), axis.height(value)) for number, value in values if value is not None]
    if len(spots) == 1:  # a line of one point would not be seen
        return Markup('<path class="ring" d="{}"/>').format(svg.dot(*spots[0]))
    return Markup('<path class="curve" d="{}"/>').format(svg.line(spots)) if spots else Markup()


def _dots(axis: _Axis, places: _Places, values: Sequence[tuple[int, float | None]], quantity: _Quantity) -> Markup:
    kind = "seen fine" if len(values) > MANY_EPOCHS else "seen"
    return Markup().join(
        Markup('<g><title>{}</title><path class="{}" d="{}"/></g>').format(
            f"epoch {number}, training: {quantity.told(value)}",
            kind,
            svg.dot(places.middle(number), axis.height(value)),
        )
        for number, value in values
        if value is not None
    )


def _best_dot(summary: TuningSummary, axis: _Axis, places: _Places, quantity: _Quantity) -> Markup:
    best = best_epoch(summary)
    value = quantity.validation(best) if best else None
    if best is None or value is None:
        return Markup()
    return Markup('<path class="dot" d="{}"/>').format(svg.dot(places.middle(best.number), axis.height(value)))


def _best_words(summary: TuningSummary, quantity: _Quantity) -> str:
    best = best_epoch(summary)
    value = quantity.validation(best) if best else None
    return f"Best: epoch {best.number}, {quantity.told(value)}" if best and value is not None else ""


def _up_labels(axis: _Axis, quantity: _Quantity) -> Markup:
    return Markup().join(svg.label("ty", axis.height(tick) / UNIT, quantity.tick(tick)) for tick in axis.ticks)


def _epoch_numbers(epochs: Sequence[Epoch], places: _Places) -> Markup:
    """Epochs below the chart, as many as there is room for, and the number of each phase above it."""
    steps = (step * 10**power for power in itertools.count() for step in ROUND)
    step = next(step for step in steps if len(epochs) <= LABELS * step)
    first = epochs[0].number
    numbers = [first, *(row.number for row in epochs if row.number % step == 0 and row.number - first > step / 2)]
    below = [(places.middle(number), str(number)) for number in numbers]
    parts = stretches(epochs)
    above = [
        ((places.middle(part.epochs[0].number) + places.middle(part.epochs[-1].number)) / 2, part) for part in parts
    ]
    named = [svg.label("tx", x / UNIT, text) for x, text in below]
    named += [svg.label("tp", x / UNIT, str(part.place)) for x, part in above if len(parts) > 1]
    return Markup().join(named)


def best_epoch(summary: TuningSummary) -> Epoch | None:
    """The epoch whose weights were kept; None where none had ended."""
    return next((row for row in summary.epochs if row.number == summary.best_epoch), None)


def _description(summary: TuningSummary, quantity: _Quantity, probe: float | None) -> str:
    """The chart in words: where both curves begin and end, the best epoch, the phases, the probe."""
    first, last, best = summary.epochs[0], summary.epochs[-1], best_epoch(summary)
    told = [words.counted(len(summary.epochs), "epoch")]
    parts = stretches(summary.epochs)
    if len(parts) > 1:
        told += [f"phase {part.place}, {part.name}, from epoch {part.epochs[0].number}" for part in parts]
    for name, value in (("training", quantity.training), ("validation", quantity.validation)):
        begun, ended = value(first), value(last)
        if begun is not None and ended is not None:
            told.append(f"{name} {quantity.told(begun)} in the first epoch, {quantity.told(ended)} in the last")
    measured = quantity.validation(best) if best else None
    if best is not None and measured is not None:
        told.append(f"best epoch {best.number}: {quantity.told(measured)}")
    if probe is not None:
        told.append(f"the linear probe before: {quantity.told(probe)}")
    return "; ".join(told) + "."


def _loss_tick(value: float) -> str:
    return f"{value:.4f}".rstrip("0").rstrip(".") if value < 1 else f"{value:g}"


_ACCURACY: Final = _Quantity(
    kind="accuracy",
    title="Accuracy by epoch",
    training=lambda row: row.accuracy,
    validation=lambda row: row.validation_accuracy,
    told=words.percent,
    tick=lambda share: words.percent(share, 0),
    ticks=charts.scale,
    logarithmic=False,
)
_LOSS: Final = _Quantity(
    kind="loss",
    title="Loss by epoch",
    training=lambda row: row.loss,
    validation=lambda row: row.validation_loss,
    told=loss_words,
    tick=_loss_tick,
    ticks=loss_ticks,
    logarithmic=True,
)
