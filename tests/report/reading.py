"""A strict reader of HTML pages: what a browser would find, and what is wrong with the page."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "wbr", "input"}
ADDRESSES = {"src", "href", "srcset", "action", "formaction", "data", "poster", "xlink:href", "background", "ping"}
HEADINGS = {f"h{level}" for level in range(1, 7)}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    children: list["Element"] = field(default_factory=list)
    text: str = ""  # of the element and everything inside

    def all(self, tag: str = "", **wanted: str) -> list["Element"]:
        """Elements inside with this tag and these attributes (`class_` for class, which must hold the word)."""
        found = [child for child in self.children if child._fits(tag, wanted)]
        return found + [deep for child in self.children for deep in child.all(tag, **wanted)]

    def _fits(self, tag: str, wanted: dict[str, str]) -> bool:
        for name, value in wanted.items():
            given = self.attributes.get(name.rstrip("_"), "")
            if value not in (given.split() if name == "class_" else [given]):
                return False
        return not tag or self.tag == tag


class Reader(HTMLParser):
    """Builds the tree and notes every tag that is not closed where it must be."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.open = [self.root]
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if len({name for name, _ in attrs}) != len(attrs):
            self.faults.append(f"<{tag}> has an attribute twice")
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.open[-1].children.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].children.append(Element(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if self.open[-1].tag != tag:
            self.faults.append(f"</{tag}> closes <{self.open[-1].tag}>")
        else:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


def read(page: str) -> Element:
    """The page's tree; AssertionError where a tag is not closed properly."""
    reader = Reader()
    reader.feed(page)
    reader.close()
    assert not reader.faults, reader.faults[:5]
    assert len(reader.open) == 1, f"<{reader.open[-1].tag}> is never closed"
    return reader.root


def dangers(root: Element) -> list[str]:
    """What would run code or fetch something: scripts, handlers, foreign addresses, frames, imports of style."""
    found = [
        f"<{e.tag}>" for e in root.all() if e.tag in {"script", "iframe", "object", "embed", "base", "form", "link"}
    ]
    for element in root.all():
        for name, value in element.attributes.items():
            if name.startswith("on"):
                found.append(f"{element.tag} {name}")
            if name in ADDRESSES and not value.startswith(("data:image/jpeg;base64,", "#")):
                found.append(f"{element.tag} {name}={value[:60]}")
            if name == "style" and "(" in value:
                found.append(f"style {value[:60]}")
    for style in root.all("style"):
        found += [word for word in ("@import", "url(", "expression", "//") if word in style.text]
    return found


def heading_levels(root: Element) -> list[int]:
    """Levels of the headings in the order of the page."""
    return [int(element.tag[1]) for element in _in_order(root) if element.tag in HEADINGS]


def _in_order(element: Element) -> list[Element]:
    return [found for child in element.children for found in (child, *_in_order(child))]
