"""What every chart is drawn with: the frame, ticks and their labels, lines and dots, on a square that is stretched.

Everything variable passes through `Markup.format`, which escapes it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from markupsafe import Markup

from graft.report import words

UNIT: Final = 1000.0  # charts are drawn on a square of this side and stretched to their box


def plot(kind: str, title: str, description: str, drawing: Markup, labels: Markup, side: float = UNIT) -> Markup:
    """A chart's frame: the drawing stretched over it, the labels placed on it by percentages."""
    return Markup(
        '<div class="plot {0}"><svg viewBox="0 0 {1} {1}" preserveAspectRatio="none" role="img" focusable="false" '
        'aria-labelledby="{0}-chart {0}-text"><title id="{0}-chart">{2}</title><desc id="{0}-text">{3}</desc>{4}</svg>'
        '<div aria-hidden="true">{5}</div></div>'
    ).format(kind, number(side), title, description, drawing, labels)


def rules(ticks: Sequence[float]) -> Markup:
    """A thin line across the chart at each tick."""
    lines = " ".join(f"M0 {number(height(tick, ticks))}H1000" for tick in ticks)
    return Markup('<path class="rule" d="{}"/>').format(lines)


def label(kind: str, share: float, text: str) -> Markup:
    """A label at a share of the chart's height, from the top (`ty`), or of its width (`tx`)."""
    side = "top" if kind == "ty" else "left"
    return Markup('<span class="{}" style="{}:{}%">{}</span>').format(kind, side, number(share * 100), text)


def up_labels(ticks: Sequence[float]) -> Markup:
    """The ticks' percentages at the left edge."""
    return Markup().join(label("ty", height(tick, ticks) / UNIT, words.percent(tick, 0)) for tick in ticks)


def height(value: float, ticks: Sequence[float]) -> float:
    """Height of a value on the square, counted from the top."""
    return UNIT * (1 - (value - ticks[0]) / (ticks[-1] - ticks[0]))


def along(value: float, ticks: Sequence[float]) -> float:
    """The same value's place from the left, where both axes have these ticks."""
    return UNIT - height(value, ticks)


def line(spots: Iterable[tuple[float, float]]) -> str:
    """The path through some points."""
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in spots)


def dot(x: float, y: float) -> str:
    """The path of one point, which the stroke makes round."""
    return f"M{number(x)} {number(y)}h.01"


def number(value: float) -> str:
    """A coordinate with as few digits as it needs."""
    return f"{value:.2f}".rstrip("0").rstrip(".")
