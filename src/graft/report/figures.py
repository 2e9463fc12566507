"""The charts of a run as files to put into a paper, a lecture or a slide: SVG, each complete in itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from graft.evaluation.records import Evaluation
from graft.report import charts, curves, findings, standalone, words
from graft.report.data import ReportData
from graft.report.standalone import INK, LABEL_SIZE, LETTER, MARGIN, RAISED, RIGHT, SOFT, WRONG, Box, Key, text
from graft.training.tuning.records import TuningSummary

LEARNING: Final = "learning-curves.svg"
CONFUSION: Final = "confusion-matrix.svg"
DEPTH: Final = "depth-profile.svg"
CALIBRATION: Final = "calibration.svg"
TIMING: Final = "timing.svg"
NAMES: Final = (LEARNING, CONFUSION, DEPTH, CALIBRATION, TIMING)
AXIS: Final = 56.0  # left of a chart, for its labels
BELOW: Final = 34.0  # a chart, for its labels
MOST_NAME: Final = 28  # letters of a class
ROOMY_CLASSES, MOST_CELLS = 12, 100  # up to here with percent in the cells; with cells at all
# Stages of a training whose figures are asked for.
AGAIN: Final = "features, read again"
VIEWS_AGAIN: Final = "views, read again"


@dataclass(frozen=True)
class Bar:
    """One duration of the timing chart; `note` stands beside it."""

    name: str
    seconds: float
    note: str = ""


def charts_of(data: ReportData) -> dict[str, bytes]:
    """The run's charts by file name: those that its records have something for."""
    found = {
        CONFUSION: confusion_figure(data.evaluation),
        DEPTH: depth_figure(data),
        CALIBRATION: calibration_figure(data.evaluation),
    }
    if data.tuning and data.tuning.epochs:
        found[LEARNING] = learning_figure(data.tuning)
    if bars := timing_bars(data):
        found[TIMING] = timing_figure(bars, timing_lines(data))
    return found


def learning_figure(summary: TuningSummary) -> bytes:
    """Accuracy and loss by epoch side by side: dots for training, a line for validation."""
    width, high = 1040.0, 300.0
    panels = curves.learning_curves(summary)
    each = (width - 2 * MARGIN - 36) / len(panels)
    lines = _learning_lines(summary)
    top = standalone.head_height(lines, width)
    body = standalone.legend(_learning_keys(summary), MARGIN, top + 6)
    for place, panel in enumerate(panels):
        left = MARGIN + place * (each + 36)
        box = Box(left + AXIS, top + 74, each - AXIS, high)
        heading = text(left, top + 42, panel.heading, weight="bold", size=14)
        reading = text(left + each, top + 42, panel.reading, colour=SOFT, anchor="end")
        below = text(left + each, box.top + high + 46, "epoch", colour=SOFT, anchor="end")
        body += heading + reading + standalone.chart(panel.chart, box) + below
    return standalone.figure("Learning curves", lines, body, width=width, height=top + 74 + high + 46 + MARGIN)


def _learning_keys(summary: TuningSummary) -> list[Key]:
    keys = [Key("seen", "training")]
    if any(row.validation_loss is not None for row in summary.epochs):
        keys.append(Key("curve", "validation"))
    if summary.comparison or summary.probe_validation_loss is not None:
        keys.append(Key("diagonal", "the linear probe before"))
    if curves.best_epoch(summary):
        keys.append(Key("best", f"best epoch, {summary.best_epoch}"))
    return keys


def _learning_lines(summary: TuningSummary) -> list[str]:
    parts = curves.stretches(summary.epochs)
    if len(parts) == 1:
        return [words.counted(len(summary.epochs), "epoch")]
    told = [f"{part.place} {part.name}, {words.counted(len(part.epochs), 'epoch')}" for part in parts]
    return [f"Phases: {'; '.join(told)}"]


def depth_figure(data: ReportData) -> bytes:
    """Accuracy at each depth alone, with its interval band; what the classifier reads is shaded."""
    width, high = 860.0, 340.0
    probe = data.probe
    lines = [findings.depth_sentence(data), findings.reading_sentence(probe)]
    top = standalone.head_height(lines, width) + 10
    box = Box(MARGIN + AXIS, top, width - 2 * MARGIN - AXIS, high)
    below = top + high + 48
    ends = text(box.left, below, "1 = first layers, edges and colours", colour=SOFT) + text(
        width - MARGIN, below, f"{len(probe.depth_profile)} = last layers, whole things", colour=SOFT, anchor="end"
    )
    body = standalone.chart(charts.depth_profile(probe), box) + ends
    return standalone.figure("Accuracy at each depth of the network", lines, body, width=width, height=below + MARGIN)


def calibration_figure(evaluation: Evaluation) -> bytes:
    """How often it is right against how sure it says it is."""
    width, side = 560.0, 400.0
    calibration = findings.calibration(evaluation)
    lines = [calibration.verdict, calibration.reason]
    top = standalone.head_height(lines, width) + 24
    box = Box(MARGIN + AXIS, top, side, side)
    axes = text(MARGIN, top - 14, "is right", colour=SOFT) + text(
        box.left + side, top + side + 46, "says", colour=SOFT, anchor="end"
    )
    body = standalone.chart(charts.reliability(evaluation.reliability), box) + axes
    return standalone.figure("Calibration", lines, body, width=width, height=top + side + 46 + MARGIN)


def confusion_figure(evaluation: Evaluation) -> bytes:
    """Counts and row percent, true classes down and answers across; of very many classes a picture of squares."""
    n_right, count = findings.correct(evaluation), words.count
    lines = [
        f"{count(n_right)} of {count(evaluation.n)} {evaluation.split if evaluation.split != 'given' else 'other'} "
        "photos right. Rows: true class; columns: answer; shades: share of the row."
    ]
    size = len(evaluation.classes)
    if size > MOST_CELLS:
        side = 800.0
        top = standalone.head_height(lines, side + 2 * MARGIN + AXIS) + 6
        ground = Box(MARGIN + AXIS, top, side, side)
        overview = charts.confusion_overview(evaluation.classes, evaluation.confusion)
        body = standalone.rectangle(ground, RAISED) + standalone.chart(overview, ground)
        width, height = side + 2 * MARGIN + AXIS, top + side + BELOW + MARGIN
        return standalone.figure("Confusion matrix", lines, body, width=width, height=height)
    names = [words.shortened(words.plain(name), MOST_NAME) for name in evaluation.classes]
    longest = max(map(len, names)) * LABEL_SIZE * (LETTER + 0.06)
    cell = 60.0 if size <= ROOMY_CLASSES else 34.0 if size <= 2 * ROOMY_CLASSES else 20.0
    flat = longest <= cell
    slant = 0.0 if flat else longest * 0.72
    width = max(520.0, 2 * MARGIN + longest + 10 + size * cell + max(56.0, slant))
    top = standalone.head_height(lines, width) + (18 if flat else slant + 12)
    box = Box(MARGIN + longest + 10, top, cell, cell)
    body = _names(names, box, flat=flat) + _cells(evaluation, box)
    return standalone.figure("Confusion matrix", lines, body, width=width, height=top + size * cell + 10 + MARGIN)


def _names(names: Sequence[str], first: Box, *, flat: bool) -> Markup:
    """The classes at the left and above; `flat` where each fits over its column. `first` is the first cell."""
    parts = []
    for place, name in enumerate(names):
        x, y = first.left + (place + 0.5) * first.width, first.top + (place + 0.5) * first.height
        parts.append(text(first.left - 10, y + LABEL_SIZE * 0.35, name, anchor="end"))
        if flat:
            parts.append(text(x, first.top - 8, name, anchor="middle"))
        else:
            parts.append(text(x + 4, first.top - 6, name, turn=-45.0))
    return Markup().join(parts)


def _cells(evaluation: Evaluation, first: Box) -> Markup:
    """One square a cell with its count, and its percent where there is room; at the right what the row's are of."""
    parts, cell = [], first.width
    for down, (name, row) in enumerate(zip(evaluation.classes, evaluation.confusion, strict=True)):
        total, y = sum(row), first.top + down * cell
        for across, n in enumerate(row):
            box = Box(first.left + across * cell + 1, y + 1, cell - 2, cell - 2)
            parts.append(standalone.rectangle(box, RAISED))
            if n:
                share = n / total
                shade = charts.right_shade(share) if down == across else charts.wrong_shade(share)
                told = f"{name} taken for {evaluation.classes[across]}: {n} of {total}"
                fill = RIGHT if down == across else WRONG
                parts.append(standalone.rectangle(box, fill, opacity=shade, told=told))
                parts.append(_figures(n, share, box, "#ffffff" if shade > 0.55 else INK))
        end = first.left + len(row) * cell + 6
        parts.append(text(end, y + cell / 2 + 4, words.count(total), colour=SOFT, size=11))
    return Markup().join(parts)


def _figures(n: int, share: float, box: Box, colour: str) -> Markup:
    """A cell's count, and below it its percent where the cell has room for both."""
    x, y = box.left + box.width / 2, box.top + box.height / 2
    if box.width < 30:
        size = min(10.0, box.width / (LETTER * max(2, len(str(n)))))
        return text(x, y + size * 0.35, str(n), colour=colour, size=size, anchor="middle")
    percent = words.percent(share, 1 if 0 < share < 1 and box.width > 40 else 0)
    small = 10.0 if box.width > 40 else 8.5
    return text(x, y - 1, words.count(n), colour=colour, anchor="middle", weight="bold") + text(
        x, y + 12, percent, colour=colour, size=small, anchor="middle"
    )


def timing_bars(data: ReportData) -> list[Bar]:
    """What computing features once costs, what reading them again does, and an epoch on them; as far as measured."""
    seconds, n_photos = data.seconds, data.n_computed + data.n_reused
    bars = []
    if data.n_computed and "features" in seconds:
        of = "" if not data.n_reused else f" of {words.count(n_photos)}, the others were in the store"
        bars.append(
            Bar(
                "Photos decoded and through the network, and stored",
                seconds["features"],
                f"{words.counted(data.n_computed, 'photo')}{of}; loading the network included",
            )
        )
    again = seconds.get(AGAIN, 0.0 if data.n_computed else seconds.get("features", 0.0))
    if again:
        bars.append(Bar("The same features from the store", again, words.counted(n_photos, "photo")))
    if "views" in seconds:
        bars.append(Bar("What fine-tuning reads of the photos made ready", seconds["views"], "the first time"))
    if VIEWS_AGAIN in seconds:
        bars.append(Bar("The same from the store", seconds[VIEWS_AGAIN], _stored_at(data)))
    epochs = len(data.tuning.epochs) if data.tuning else 0
    if epochs and "fine-tuning" in seconds:
        mean = f"mean of {epochs}, compilation included" if epochs > 1 else "compilation included"
        bars.append(Bar("One epoch of training", seconds["fine-tuning"] / epochs, mean))
    if "head" in seconds:
        bars.append(Bar("The linear probe: depths compared, chosen, fitted", seconds["head"]))
    return bars


def timing_lines(data: ReportData) -> list[str]:
    """What the durations show, in a sentence."""
    first, again = data.seconds.get("features", 0.0), data.seconds.get(AGAIN, 0.0)
    told = ["Wall-clock time on the machine that trained."]
    if again and first and data.n_computed and not data.n_reused:
        told.insert(0, f"Read from the store, features are there {first / again:,.0f} times as fast as computed.")
    if VIEWS_AGAIN in data.seconds:
        took, stored = (words.duration(data.seconds[stage]) for stage in ("views", VIEWS_AGAIN))
        told.insert(0, f"What fine-tuning reads of the photos took {took} the first time, {stored} from the store.")
    if not data.n_computed:
        told.insert(
            0, "Features were in the store when this training began: computing them took an earlier one's time."
        )
    return told


def _stored_at(data: ReportData) -> str:
    """Where the network is cut for the first phase, and how much lies there."""
    schedule = next(iter(data.schedules), None)
    if schedule is None or not schedule.cut:
        return ""
    return f"{words.byte_size(schedule.store_bytes)} at {' + '.join(schedule.cut)}"


def timing_figure(bars: Sequence[Bar], lines: Sequence[str]) -> bytes:
    """Durations as bars on one scale from zero, each with its figure."""
    width, step = 860.0, 50.0
    top = standalone.head_height(lines, width) + 8
    room, longest = width - 2 * MARGIN - 90, max(bar.seconds for bar in bars)
    parts = []
    for place, bar in enumerate(bars):
        y = top + place * step
        share = bar.seconds / longest if longest else 0.0
        note = (
            Markup('<tspan fill="{}">{}</tspan>').format(SOFT, f"{3 * words.NO_BREAK}{bar.note}")
            if bar.note
            else Markup()
        )
        parts.append(Markup("{}{}</text>").format(text(MARGIN, y + 12, bar.name).removesuffix("</text>"), note))
        parts.append(standalone.rectangle(Box(MARGIN, y + 20, max(1.5, room * share), 14), RIGHT))
        parts.append(text(MARGIN + room * share + 9, y + 31, words.duration(bar.seconds), weight="bold"))
    body = Markup().join(parts)
    return standalone.figure(
        "Features once, then from the store", lines, body, width=width, height=top + len(bars) * step + MARGIN
    )
