"""How large the photos are and of which shape: two small charts."""

import math
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

from markupsafe import Markup

from graft.data.records import Photo
from graft.report import charts, words

MOST_BARS: Final = 10
WIDE_RANGE: Final = 4  # from which lengths are told in doublings, as photos of very different sizes need it
SHAPES: Final = ("1:2", "9:16", "2:3", "3:4", "1:1", "4:3", "3:2", "16:9", "2:1")


def size_charts(photos: Sequence[Photo]) -> list[tuple[str, Markup]]:
    """(heading, chart) of the longer sides and of the shapes, each only where the photos differ in it."""
    found = []
    lengths = [max(photo.facts.width, photo.facts.height) for photo in photos]
    if lengths and min(lengths) < max(lengths):
        edges = length_edges(min(lengths), max(lengths))
        bars = _counted(lengths, edges)
        told = [f"{low:,} to {high - 1:,} pixels" for low, high in pairwise(edges)]
        labels = [(index / len(bars), f"{edge:,}") for index, edge in enumerate(edges)]
        chart = charts.columns("lengths", "Photos by their longer side", list(zip(told, bars, strict=True)), labels)
        found.append(("Longer side, pixels", chart))
    shapes = Counter(shape(photo.facts.width, photo.facts.height) for photo in photos)
    if len(shapes) > 1:
        places = [SHAPES.index(name) for name in shapes]
        names = SHAPES[min(places) : max(places) + 1]
        labels = [((index + 0.5) / len(names), name) for index, name in enumerate(names)]
        rows = [(f"about {name}", shapes[name]) for name in names]
        chart = charts.columns("shapes", "Photos by the ratio of width to height", rows, labels)
        found.append(("Width to height, about", chart))
    return found


def shape(width: int, height: int) -> str:
    """The familiar ratio of width to height that comes nearest; what is narrower or wider still counts to the ends."""
    return min(SHAPES, key=lambda name: (abs(math.log(width / height) - _log_ratio(name)), name))


def length_edges(least: int, greatest: int) -> list[int]:
    """Limits of at most ten equal steps, or of doublings, that enclose both lengths; the last one is exclusive."""
    if greatest >= WIDE_RANGE * least:
        first, last = int(math.log2(least)), int(math.log2(greatest)) + 1
        first = max(first, last - MOST_BARS)
        edges = [2**power for power in range(first, last + 1)]
        return [min(edges[0], least), *edges[1:]]
    step = next(
        step
        for power in range(10)
        for step in (10**power, 2 * 10**power, 5 * 10**power)
        if greatest // step - least // step < MOST_BARS
    )
    return [step * index for index in range(least // step, greatest // step + 2)]


def _counted(lengths: Sequence[int], edges: Sequence[int]) -> list[int]:
    found = Counter(sum(length >= edge for edge in edges[1:]) for length in lengths)
    return [found[index] for index in range(len(edges) - 1)]


def _log_ratio(name: str) -> float:
    wide, high = name.split(":")
    return math.log(int(wide) / int(high))


def told(photos: Sequence[Photo]) -> str:
    """The commonest size in words, where it is that of all or of most: "100 × 100 pixels"."""
    sizes = Counter((photo.facts.width, photo.facts.height) for photo in photos)
    if not sizes:
        return "none"
    (width, height), n = sizes.most_common(1)[0]
    text = f"{width} × {height} pixels"
    if n == len(photos):
        return text
    if n > len(photos) / 2:
        return f"mostly {text}"
    return f"{words.counted(len(sizes), 'size')}, the commonest {text} ({words.percent(n / len(photos), 0)})"
