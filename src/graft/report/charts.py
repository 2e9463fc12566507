"""Inline SVG charts: curves stretch with the page, their labels are HTML text of one size, legible on a phone.

Each chart is one `role="img"` with a title and a description; colours are classes that the style sheet defines for
light, dark and print. Everything variable passes through `Markup.format`, which escapes it.
"""

import math
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from graft.evaluation.intervals import wilson
from graft.evaluation.records import ReliabilityBin, Score
from graft.report import findings, svg, words
from graft.report.svg import UNIT
from graft.training.records import ProbeSummary

MANY_TOOLTIPS: Final = 300
LABEL_SIGNS: Final = 38  # below a chart of columns, beside another one or on a phone
COLUMN_GAP: Final = 0.08  # on either side, of a column's width
LEAST_COLUMN: Final = 12.0  # a single photo among thousands is still seen
_STEPS: Final = (0.01, 0.02, 0.05, 0.1, 0.2)


def scale(low: float, high: float) -> tuple[float, ...]:
    """Round tick values that enclose both shares, at most eight, ending at 1 at the highest."""
    for step in _STEPS:
        first, last = math.floor(low / step + 1e-9), min(round(1 / step), math.ceil(high / step - 1e-9))
        if last - first <= 7:
            break
    first = min(first, last - 1)
    return tuple(round(index * step, 6) for index in range(first, last + 1))


def depth_profile(probe: ProbeSummary) -> Markup:
    """Accuracy at each depth with its interval band; the layers that the classifier reads are shaded."""
    profile = probe.depth_profile
    ticks = scale(min(depth.accuracy.low for depth in profile), max(depth.accuracy.high for depth in profile))
    across = [UNIT / 2] if len(profile) == 1 else [UNIT * i / (len(profile) - 1) for i in range(len(profile))]
    up = [[svg.height(value, ticks) for value in (d.accuracy.low, d.accuracy.value, d.accuracy.high)] for d in profile]
    spots = list(zip(across, up, strict=True))
    band = svg.line([*((x, y[2]) for x, y in spots), *((x, y[0]) for x, y in reversed(spots))])
    dots = Markup().join(
        Markup('<g><title>{}: {}</title><path class="dot" d="{}"/></g>').format(
            depth.layer, words.score(depth.accuracy), svg.dot(x, y[1])
        )
        for depth, x, y in zip(profile, across, up, strict=True)
    )
    drawing = Markup('{}{}<path class="band" d="{}Z"/><path class="curve" d="{}"/>{}').format(
        svg.rules(ticks), _span(probe, across), band, svg.line((x, y[1]) for x, y in spots), dots
    )
    description = "; ".join(f"{depth.layer} {words.percent(depth.accuracy.value)}" for depth in profile)
    labels = svg.up_labels(ticks) + _depth_numbers(across) + _depth_notes(probe, across, [y[1] for y in up])
    return svg.plot("depth", "Accuracy at each depth of the network", description, drawing, labels)


def reliability(bins: Sequence[ReliabilityBin]) -> Markup:
    """What the classifier says against what is true: points on the diagonal are honest."""
    shown = [item for item in bins if item.count]
    scores = [wilson(round(item.accuracy * item.count), item.count) for item in shown]
    lowest = min([0.8, *(item.confidence for item in shown), *(item.low for item in scores)])
    ticks = scale(max(0.0, lowest), 1.0)
    marks = Markup().join(
        Markup('<g><title>{}</title><path class="whisker" d="{}"/><path class="dot" d="{}"/></g>').format(
            _bin_words(item),
            svg.line(
                [(svg.along(item.confidence, ticks), svg.height(y, ticks)) for y in (interval.low, interval.high)]
            ),
            svg.dot(svg.along(item.confidence, ticks), svg.height(item.accuracy, ticks)),
        )
        for item, interval in zip(shown, scores, strict=True)
    )
    drawing = Markup('{}<path class="diagonal" d="M0 1000L1000 0"/>{}').format(svg.rules(ticks), marks)
    labels = svg.up_labels(ticks) + Markup().join(
        svg.label("tx" if (len(ticks) - i) % 2 else "tx wide", svg.along(tick, ticks) / UNIT, words.percent(tick, 0))
        for i, tick in enumerate(ticks)
    )
    description = "; ".join(_bin_words(item) for item in shown)
    return svg.plot(
        "reliability", "How often it is right, against how sure it says it is", description, drawing, labels
    )


def confusion_overview(classes: Sequence[str], table: Sequence[Sequence[int]]) -> Markup:
    """A matrix of many classes, one square a cell; only what happened is drawn."""
    size = len(classes)
    cells = [(true, said, n, n / sum(row)) for true, row in enumerate(table) for said, n in enumerate(row) if n]
    told = {(t, s) for t, s, n, _ in sorted((c for c in cells if c[0] != c[1]), key=lambda c: -c[2])[:MANY_TOOLTIPS]}
    drawing = Markup().join(
        Markup('<path class="{}" fill-opacity="{}" d="M{} {}h1v1h-1z">{}</path>').format(
            "right" if true == said else "wrong",
            svg.number(right_shade(share) if true == said else wrong_shade(share)),
            said,
            true,
            Markup("<title>{} taken for {}: {}</title>").format(classes[true], classes[said], n)
            if (true, said) in told
            else "",
        )
        for true, said, n, share in cells
    )
    right = sum(row[index] for index, row in enumerate(table))
    wrong = sum(map(sum, table)) - right
    description = f"{words.count(right)} photos lie on the diagonal (right), {words.count(wrong)} beside it (wrong)."
    step = next(step for step in (5, 10, 20, 50, 100, 1000) if size / step <= 10)
    labels = Markup().join(
        svg.label(kind, (index - 0.5) / size, str(index))
        for index in (1, *range(step, size + 1, step))
        for kind in ("ty", "tx")
    )
    return svg.plot("overview", f"Confusion matrix of {size} classes", description, drawing, labels, side=float(size))


def columns(kind: str, title: str, bars: Sequence[tuple[str, int]], labels: Sequence[tuple[float, str]]) -> Markup:
    """Counts as columns of equal width; `labels` stand below at a share of the width, as many as there is room for."""
    most = max(max((n for _, n in bars), default=0), 1)
    width = UNIT / max(len(bars), 1)
    drawing = Markup().join(
        Markup('<path class="column" d="M{} {}H{}V1000H{}Z"><title>{}: {}</title></path>').format(
            svg.number(index * width + width * COLUMN_GAP),
            svg.number(UNIT - max(UNIT * n / most, LEAST_COLUMN)),
            svg.number((index + 1) * width - width * COLUMN_GAP),
            svg.number(index * width + width * COLUMN_GAP),
            name,
            words.counted(n, "photo"),
        )
        for index, (name, n) in enumerate(bars)
        if n
    )
    frame = Markup('<path class="rule" d="M0 0H1000M0 500H1000M0 1000H1000"/>')
    every = math.ceil(sum(len(text) + 2 for _, text in labels) / LABEL_SIGNS)
    below = Markup().join(svg.label("tx", place, text) for place, text in labels[::every])
    up = svg.label("ty", 0.0, words.count(most)) + svg.label("ty", 1.0, "0")
    description = "; ".join(f"{name}: {words.counted(n, 'photo')}" for name, n in bars)
    return svg.plot(kind, title, description, frame + drawing, up + below)


def whisker(score: Score | None) -> Markup:
    """One figure from 0 to 100 % as a dot on its interval; the figures stand beside it as text."""
    if score is None:
        return Markup()
    return Markup(
        '<svg class="strip" viewBox="0 0 1000 20" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<path class="axis" d="M0 10H1000"/><path class="whisker" d="M{} 10H{}"/>'
        '<path class="dot" d="M{} 10h.01"/></svg>'
    ).format(svg.number(score.low * UNIT), svg.number(score.high * UNIT), svg.number(score.value * UNIT))


def right_shade(share: float) -> float:
    """Opacity of a cell on the diagonal that holds this share of its row."""
    return 0.15 + 0.85 * share**2 if share else 0.0


def wrong_shade(share: float) -> float:
    """Opacity of a cell beside the diagonal: the root makes a single mistake among many photos visible."""
    return 0.15 + 0.85 * math.sqrt(share) if share else 0.0


def _bin_words(item: ReliabilityBin) -> str:
    says = words.percent(item.confidence)
    return f"says {says}, right {words.percent(item.accuracy)} of {words.counted(item.count, 'photo')}"


def _span(probe: ProbeSummary, across: Sequence[float]) -> Markup:
    """The shaded layers that the classifier reads, half a step wider on either side."""
    span = findings.chosen_span(probe)
    if span is None:
        return Markup()
    half = (across[1] - across[0]) / 2 if len(across) > 1 else UNIT / 4
    left, right = max(0.0, across[span[0]] - half), min(UNIT, across[span[1]] + half)
    return Markup('<path class="span" d="M{0} 0H{1}V1000H{0}Z"/>').format(svg.number(left), svg.number(right))


def _depth_numbers(across: Sequence[float]) -> Markup:
    """Numbers under the curve, from 1; those that a phone has no room for are marked."""
    every = max(1, math.ceil(len(across) / 9))
    rarely = max(1, math.ceil(len(across) / 30))
    return Markup().join(
        svg.label("tx" if i % every == 0 else "tx wide", x / UNIT, str(i + 1))
        for i, x in enumerate(across)
        if i % rarely == 0
    )


def _depth_notes(probe: ProbeSummary, across: Sequence[float], up: Sequence[float]) -> Markup:
    """The best single depth named above its point, the last layer below its own."""
    profile, best, last = probe.depth_profile, findings.best_depth(probe.depth_profile), len(up) - 1
    told = [f"{depth.layer}: {words.percent(depth.accuracy.value)}" for depth in profile]
    note = _note("above", told[best], across[best], up[best])
    if best == last:
        return note
    return note + _note("below", f"last: {words.percent(profile[last].accuracy.value)}", across[last], up[last])


def _note(where: str, text: str, x: float, y: float) -> Markup:
    side = "left" if x < UNIT / 3 else "right" if x > UNIT * 2 / 3 else "middle"
    return Markup('<span class="note {} {}" style="left:{}%;top:{}%">{}</span>').format(
        where, side, svg.number(x / 10), svg.number(y / 10), text
    )
