"""The chart of a ranking: accuracy against speed, with labels that keep out of each other's way."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from graft.evaluation.ranking import Ranked, Ranking
from graft.report import charts, ranking, svg, words
from graft.report.svg import UNIT

# The narrowest box, in CSS pixels, in which each kind of label is shown (rank.html.jinja): where the page is wider,
# dots move apart and labels stay clear of each other.
NAMED_BOX: Final = (800.0, 352.0)
NUMBERED_BOX: Final = (280.0, 256.0)
LETTER_PIXELS: Final = 7.2
LINE_PIXELS: Final = 16.0
DOT_PIXELS: Final = 12.0
GAP_PIXELS: Final = 13.0  # clear of the ring around the recommended one
Line = Sequence[tuple[float, float]]  # corners, as shares of the box from the top left


@dataclass(frozen=True)
class Box:
    """A rectangle in pixels from the top left."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        across = min(self.right, other.right) - max(self.left, other.left)
        down = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, across) * max(0.0, down)

    def outside(self, width: float, height: float) -> float:
        """The area beyond a chart of this size; a line of text above and below it is allowed."""
        frame = Box(0.0, -LINE_PIXELS, width, height + LINE_PIXELS)
        return (self.right - self.left) * (self.bottom - self.top) - self.overlap(frame)


@dataclass(frozen=True)
class Spot:
    """A point of the chart: across, up and the ends of its interval, as shares of the box from the top left."""

    x: float
    y: float
    high: float
    low: float

    def obstacles(self, width: float, height: float) -> tuple[Box, Box]:
        """What a label must not cover: the dot and its whisker."""
        x, y, half = self.x * width, self.y * height, DOT_PIXELS / 2
        whisker = Box(x - 2, self.high * height, x + 2, self.low * height)
        return Box(x - half, y - half, x + half, y + half), whisker


def frontier(item: Ranking) -> Markup:
    """Accuracy over photos per second on a logarithmic axis; the line runs along the backbones that none beats."""
    entries = item.entries
    ups = charts.scale(min(e.accuracy.low for e in entries), max(e.accuracy.high for e in entries))
    speeds = [each.photos_per_second for each in entries]
    low, high = min(speeds) / 1.3, max(speeds) * 1.3
    spots = [_spot(each, low, high, ups) for each in entries]
    stairs = _stairs(entries, spots)
    dots = Markup().join(_mark(item, each, spot) for each, spot in zip(entries, spots, strict=True))
    drawing = Markup('{}<path class="curve" d="{}"/>{}').format(
        svg.rules(ups), svg.line((x * UNIT, y * UNIT) for x, y in stairs), dots
    )
    across = Markup().join(svg.label("tx", _along(tick, low, high), f"{tick:,g}") for tick in speed_ticks(low, high))
    table = ranking.rows(item)
    names = _labels(
        spots,
        stairs,
        [row.entry.title if row.name == row.entry.backbone else row.name for row in table],
        NAMED_BOX,
        "named",
    )
    numbers = _labels(spots, stairs, [str(row.number) for row in table], NUMBERED_BOX, "numbered")
    description = "; ".join(
        f"{row.name}: {words.score(row.entry.accuracy)}, {row.entry.photos_per_second:,.0f} photos/s" for row in table
    )
    return svg.plot(
        "frontier", "Accuracy against speed", description, drawing, svg.up_labels(ups) + across + names + numbers
    )


def speed_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times the powers of ten within the range; without the 2s and 5s where there are many."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [digit * 10.0**power for power in powers for digit in (1, 2, 5) if low <= digit * 10.0**power <= high]
    tens = [tick for tick in ticks if math.isclose(math.log10(tick), round(math.log10(tick)))]
    return tens if len(ticks) > 8 and len(tens) > 1 else ticks


def place_labels(spots: Sequence[Spot], line: Line, texts: Sequence[str], width: float, height: float) -> list[Box]:
    """A box for each text near its spot: the first place around it free of all else, or the one that covers least."""
    taken = [box for spot in spots for box in spot.obstacles(width, height)]
    taken += [
        Box(min(x, to_x) * width - 1, min(y, to_y) * height - 1, max(x, to_x) * width + 1, max(y, to_y) * height + 1)
        for (x, y), (to_x, to_y) in pairwise(line)
    ]
    placed = []
    for spot, text in zip(spots, texts, strict=True):
        boxes = list(_places(spot, len(text) * LETTER_PIXELS + 4, width, height))
        covered = [sum(map(box.overlap, taken)) + box.outside(width, height) for box in boxes]
        best = boxes[min(range(len(boxes)), key=covered.__getitem__)]  # the first of the least
        placed.append(best)
        taken.append(best)
    return placed


def _places(spot: Spot, label_width: float, width: float, height: float) -> Iterator[Box]:
    """Boxes around a spot, the best first: beside it, above, below, at the corners, then farther out."""
    x, y = spot.x * width, spot.y * height
    for gap in (GAP_PIXELS, 2 * GAP_PIXELS, 3 * GAP_PIXELS):
        right, left, middle = x + gap, x - gap - label_width, x - label_width / 2
        above, level, below = y - gap - LINE_PIXELS, y - LINE_PIXELS / 2, y + gap
        for start, top in (
            *((right, level), (left, level), (right, above), (right, below), (left, above), (left, below)),
            *((middle, above), (middle, below)),
        ):
            yield Box(start, top, start + label_width, top + LINE_PIXELS)


def _labels(spots: Sequence[Spot], line: Line, texts: Sequence[str], box: tuple[float, float], kind: str) -> Markup:
    """Labels fixed to their spots: the spot in percent, the way to the label in pixels."""
    width, height = box
    return Markup().join(
        Markup('<span class="note {}" style="left:{}%;top:{}%;margin:{}px 0 0 {}px">{}</span>').format(
            kind,
            svg.number(100 * spot.x),
            svg.number(100 * spot.y),
            svg.number(place.top - spot.y * height),
            svg.number(place.left - spot.x * width),
            text,
        )
        for spot, place, text in zip(spots, place_labels(spots, line, texts, width, height), texts, strict=True)
    )


def _spot(entry: Ranked, low: float, high: float, ups: Sequence[float]) -> Spot:
    value, top, bottom = (
        svg.height(share, ups) / UNIT for share in (entry.accuracy.value, entry.accuracy.high, entry.accuracy.low)
    )
    return Spot(_along(entry.photos_per_second, low, high), value, top, bottom)


def _along(speed: float, low: float, high: float) -> float:
    return math.log(speed / low) / math.log(high / low)


def _mark(item: Ranking, entry: Ranked, spot: Spot) -> Markup:
    """A dot on its whisker; dots that others beat are faint, the recommended one has a ring."""
    x, kind = spot.x * UNIT, "dot" if entry.frontier else "dot behind"
    ring = Markup('<path class="ring" d="{0}"/><path class="ring inner" d="{0}"/>').format(svg.dot(x, spot.y * UNIT))
    return Markup(
        '<g><title>{}: {}, {} photos/s</title><path class="whisker" d="{}"/>{}<path class="{}" d="{}"/></g>'
    ).format(
        entry.title,
        words.score(entry.accuracy),
        f"{entry.photos_per_second:,.0f}",
        svg.line([(x, spot.high * UNIT), (x, spot.low * UNIT)]),
        ring if entry.weights_sha256 == item.recommended else "",
        kind,
        svg.dot(x, spot.y * UNIT),
    )


def _stairs(entries: Sequence[Ranked], spots: Sequence[Spot]) -> Line:
    """Along the frontier from slow to fast: down to the next backbone's accuracy, then on to its speed."""
    corners = sorted((spot.x, spot.y) for entry, spot in zip(entries, spots, strict=True) if entry.frontier)
    steps = [corners[0]]
    for x, y in corners[1:]:
        steps += [(steps[-1][0], y), (x, y)]
    return steps
