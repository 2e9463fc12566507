"""Charts of the report as SVG files of their own: colours inside, light ground, nothing but shapes and text.

A page stretches its charts and sets their labels as HTML; other programs (LibreOffice, Inkscape, a slide) cannot.
So the finished chart is read and drawn again at a fixed size: the same ticks, points and words in both.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree

from markupsafe import Markup

from graft.report import words
from graft.report.svg import number

GENERATOR: Final = "<!-- Graft figure -->"
HEAD_BYTES: Final = 200  # of a file, in which its generator stands
# The light colours of style.css.
PAPER, RAISED, INK, SOFT, LINE = "#fcfbf8", "#f4f2ec", "#1d2322", "#5d6663", "#dedbd2"
RIGHT, WRONG, FAINT = "#0f5e6e", "#be5408", "#b9b6ab"
FONT: Final = "'Liberation Sans', Arial, Helvetica, sans-serif"
MARGIN: Final = 28.0
TITLE_SIZE, TEXT_SIZE, LABEL_SIZE = 20.0, 13.0, 12.0
LETTER: Final = 0.52  # mean width of a letter, in sizes of the font
DOT: Final = re.compile(r"M(-?[\d.]+) (-?[\d.]+)h\.01")
STEP: Final = re.compile(r"([MLHVhvZz])|(-?\d+\.?\d*)")

Attributes = Mapping[str, str]
# Class of a path in style.css -> how it is drawn; of several classes the last one that stands here counts.
STYLES: Final[dict[str, Attributes]] = {
    "rule": {"stroke": LINE, "stroke-width": "1"},
    "band": {"fill": RIGHT, "fill-opacity": "0.16"},
    "span": {"fill": RAISED},
    "curve": {"stroke": RIGHT, "stroke-width": "2", "stroke-linejoin": "round"},
    "diagonal": {"stroke": SOFT, "stroke-width": "1.25", "stroke-dasharray": "4 4"},
    "whisker": {"stroke": RIGHT, "stroke-opacity": "0.45", "stroke-width": "2"},
    "best": {"stroke": RIGHT, "stroke-width": "1", "stroke-dasharray": "1 3"},
    "phase": {"stroke": FAINT, "stroke-width": "1"},
    "right": {"fill": RIGHT},
    "wrong": {"fill": WRONG},
    "dot": {"fill": RIGHT, "r": "4"},
    "seen": {"fill": SOFT, "r": "2.5"},
    "fine": {"fill": SOFT, "r": "1.5"},
    "ring": {"fill": RIGHT, "r": "5"},
}


@dataclass(frozen=True)
class Box:
    """Where a chart's square lies on the figure, in pixels from the top left."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Key:
    """One entry of a legend: the class of the path it stands for, and its name."""

    kind: str
    text: str


def figure(title: str, lines: Sequence[str], body: Markup, *, width: float, height: float) -> bytes:
    """A whole SVG file: `title` and `lines` above `body`, which stands below `head_height` of the same lines."""
    heading = text(MARGIN, MARGIN + TITLE_SIZE * 0.7, title, size=TITLE_SIZE, weight="bold")
    below = Markup().join(
        text(MARGIN, MARGIN + TITLE_SIZE + 18 + place * (TEXT_SIZE + 6), line, colour=SOFT, size=TEXT_SIZE)
        for place, line in enumerate(_wrapped(lines, width))
    )
    drawn = Markup(
        '<?xml version="1.0" encoding="UTF-8"?>\n{0}\n'
        '<svg xmlns="http://www.w3.org/2000/svg" width="{1}" height="{2}" viewBox="0 0 {1} {2}" '
        'font-family="{3}" role="img"><title>{4}</title><rect width="{1}" height="{2}" fill="{5}"/>{6}</svg>\n'
    ).format(Markup(GENERATOR), number(width), number(height), FONT, title, PAPER, heading + below + body)
    return words.clean(drawn).encode()


def head_height(lines: Sequence[str], width: float) -> float:
    """Pixels that title and lines take at the top of a figure of this width."""
    return MARGIN + TITLE_SIZE + 24 + len(_wrapped(lines, width)) * (TEXT_SIZE + 6)


def is_figure(head: bytes) -> bool:
    """Whether a file that begins so is an SVG which `figure` made."""
    return GENERATOR.encode() in head


def chart(markup: Markup, box: Box) -> Markup:
    """A chart of `svg.plot` inside `box`, its labels around it."""
    root = ElementTree.fromstring(words.clean(markup))
    drawing, labels = root[0], root[1]
    side = float(drawing.attrib["viewBox"].split()[2])
    scale = _Scale(box, box.width / side, box.height / side)
    return Markup().join([*_shapes(drawing, scale), *(_label(each, box) for each in labels)])


def legend(keys: Sequence[Key], left: float, top: float) -> Markup:
    """The keys side by side, as they are drawn in the chart."""
    parts, x = [], left
    for key in keys:
        style = STYLES[key.kind]
        if "r" in style:
            parts.append(_circle(x + 10, top, style))
        else:
            parts.append(Markup('<path d="M{} {}h20" fill="none"{}/>').format(number(x), number(top), _inline(style)))
        parts.append(text(x + 27, top + LABEL_SIZE * 0.35, key.text, colour=SOFT))
        x += 27 + len(key.text) * LABEL_SIZE * LETTER + 26
    return Markup().join(parts)


def text(
    x: float,
    y: float,
    content: str,
    *,
    colour: str = INK,
    size: float = LABEL_SIZE,
    anchor: str = "start",
    weight: str = "normal",
    turn: float = 0.0,
) -> Markup:
    """One line of text whose baseline begins, ends or has its middle at (x, y), turned clockwise by `turn` degrees."""
    turned = Markup(' transform="rotate({} {} {})"').format(number(turn), number(x), number(y)) if turn else ""
    return Markup('<text x="{}" y="{}" font-size="{}" fill="{}" text-anchor="{}" font-weight="{}"{}>{}</text>').format(
        number(x), number(y), number(size), colour, anchor, weight, turned, content
    )


def rectangle(box: Box, fill: str, *, opacity: float = 1.0, told: str = "") -> Markup:
    """A filled rectangle; `told` is shown where a pointer rests on it."""
    title = Markup("<title>{}</title>").format(told) if told else ""
    return Markup('<rect x="{}" y="{}" width="{}" height="{}" fill="{}" fill-opacity="{}">{}</rect>').format(
        *map(number, (box.left, box.top, box.width, box.height)), fill, number(opacity), title
    )


@dataclass(frozen=True)
class _Scale:
    """From a chart's own square to its box."""

    box: Box
    across: float
    down: float

    def point(self, x: float, y: float) -> tuple[float, float]:
        return self.box.left + x * self.across, self.box.top + y * self.down


def _shapes(element: ElementTree.Element, scale: _Scale) -> Iterator[Markup]:
    """The chart's paths with their tooltips; what is neither is the chart's own title and description."""
    for child in element:
        if child.tag == "g":
            told = child.findtext("title") or ""
            title = Markup("<title>{}</title>").format(told)
            yield Markup("<g>{}{}</g>").format(title, Markup().join(_shapes(child, scale)))
        elif child.tag == "path":
            yield _shape(child, scale)


def _shape(path: ElementTree.Element, scale: _Scale) -> Markup:
    style = _style(path.attrib["class"])
    if dot := DOT.fullmatch(path.attrib["d"]):
        x, y = scale.point(float(dot[1]), float(dot[2]))
        return _circle(x, y, style)
    told = path.findtext("title")
    title = Markup("<title>{}</title>").format(told) if told else ""
    if opacity := path.get("fill-opacity"):
        style = {**style, "fill-opacity": opacity}
    fill = "" if "fill" in style else Markup(' fill="none"')
    return Markup('<path d="{}"{}{}>{}</path>').format(_scaled(path.attrib["d"], scale), fill, _inline(style), title)


def _style(kinds: str) -> Attributes:
    """How the last of these classes that has a style is drawn; a class without one is a defect, and a KeyError."""
    known = [kind for kind in kinds.split() if kind in STYLES]
    return STYLES[known[-1] if known else kinds]


def _circle(x: float, y: float, style: Attributes) -> Markup:
    return Markup('<circle cx="{}" cy="{}"{}/>').format(number(x), number(y), _inline(style))


def _inline(style: Attributes) -> Markup:
    return Markup().join(Markup(' {}="{}"').format(name, value) for name, value in style.items())


def _scaled(d: str, scale: _Scale) -> str:
    """The path in pixels, with absolute moves and lines alone."""
    x = y = 0.0
    told: list[str] = []
    steps = iter(STEP.findall(d))
    command = ""
    for letter, digits in steps:
        command = letter or command
        if letter in ("Z", "z"):
            told.append("Z")
            continue
        value = float(digits or next(steps)[1])
        if command in "ML":
            x, y = value, float(next(steps)[1])
        elif command in "Hh":
            x = value + (x if command == "h" else 0.0)
        else:
            y = value + (y if command == "v" else 0.0)
        across, down = scale.point(x, y)
        told.append(f"{'M' if command == 'M' else 'L'}{number(across)} {number(down)}")
        command = "L" if command == "M" else command  # pairs after a move are lines
    return "".join(told)


def _label(span: ElementTree.Element, box: Box) -> Markup:
    """A tick's label beside, below or above the chart, or a note on it."""
    kinds = span.attrib["class"].split()
    place = {name: float(value.rstrip("%")) / 100 for name, value in _declarations(span.attrib["style"])}
    x, y = box.left + box.width * place.get("left", 0.0), box.top + box.height * place.get("top", 0.0)
    content = "".join(span.itertext())
    if "ty" in kinds:
        return text(box.left - 9, y + LABEL_SIZE * 0.35, content, colour=SOFT, anchor="end")
    if "tx" in kinds:
        return text(x, box.top + box.height + LABEL_SIZE + 8, content, colour=SOFT, anchor="middle")
    if "tp" in kinds:
        return text(x, box.top - 8, content, colour=SOFT, anchor="middle")
    anchor = {"left": "start", "middle": "middle", "right": "end"}[kinds[-1]]
    return text(x, y - 13 if "above" in kinds else y + LABEL_SIZE + 10, content, anchor=anchor)


def _declarations(style: str) -> Iterator[tuple[str, str]]:
    for part in style.split(";"):
        name, value = part.split(":")
        yield name, value


def _wrapped(lines: Sequence[str], width: float) -> list[str]:
    letters = int((width - 2 * MARGIN) / (TEXT_SIZE * LETTER))
    return [part for line in lines for part in textwrap.wrap(line, letters)]
