"""The page as a browser lays it out: nothing sticks out, nothing is cut off, nothing is fetched."""

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from graft.report.data import InspectionData
from graft.report.figures import charts_of
from graft.report.inspection_page import render_inspection
from graft.report.page import render_html
from tests.report.factory import (
    make_epochs,
    make_inspection,
    make_manifest,
    make_report,
    make_tuned_report,
    make_tuning,
)

pytestmark = pytest.mark.slow
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
LONG = "a class with quite a long name, spelled_with_underscores_and_more"
STICKS_OUT = """() => [...document.querySelectorAll('body *')].filter(e => {
    if (e.closest('.scroller') || e.closest('.hidden')) return false;
    const box = e.getBoundingClientRect();
    return box.width > 0 && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(e => e.outerHTML.slice(0, 120))"""
CUT_OFF = """() => [...document.querySelectorAll('body *')].filter(e => !e.matches('.hidden, .scroller') &&
    getComputedStyle(e).overflowX !== 'visible' && !e.closest('.matrix') && e.scrollWidth > e.clientWidth + 1
).map(e => e.outerHTML.slice(0, 120))"""
OVERLAPS = """() => {
    const found = [];
    for (const plot of document.querySelectorAll('.plot')) {
        const boxes = [...plot.querySelectorAll('span')].map(e => [e.textContent, e.getBoundingClientRect()])
            .filter(([, box]) => box.width > 0);
        for (const [i, [one, a]] of boxes.entries()) for (const [other, b] of boxes.slice(i + 1))
            if (a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom) found.push([one, other]);
    }
    return found;
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright to look at the page")
    if CHROMIUM is None:
        pytest.skip("needs chromium to look at the page")
    with playwright.sync_playwright() as control:
        browser = control.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("pages")
    reports = {
        "two": make_report(("cats", LONG), name=LONG, per_class=200, skill=5.0, sharp=1.6),
        "ten": make_report(),
        "many": make_report(
            tuple(f"{LONG}_{i}" for i in range(110)), per_class=40, skill=6.0, n_samples=3, quarantined=60
        ),
        "tuned": make_tuned_report(),
        "long": make_tuned_report(
            make_tuning(epochs=make_epochs(30, 170), best_epoch=4, kept="probe", finished=False, events=(LONG,))
        ),
        "brief": make_tuned_report(make_tuning(epochs=make_epochs(0, 1), best_epoch=1)),
        "validation": make_report(("maple", "oak", "birch", LONG), per_class=60, skill=4.0, split="validation"),
    }
    texts = {name: render_html(data) for name, data in reports.items()}
    texts |= {name: render_inspection(data) for name, data in inspections().items()}
    for name, text in texts.items():
        (folder / f"{name}.html").write_text(text, encoding="utf-8")
    return {name: folder / f"{name}.html" for name in texts}


def inspections() -> dict[str, InspectionData]:
    """Clean data, and data with every fault, long names and photos of many sizes."""
    clean = make_manifest(("cats", "dogs"), 60, quarantined=0, duplicates=0)
    manifest = make_manifest(tuple(f"{LONG}_{i}" for i in range(60)), 30, quarantined=60, duplicates=20)
    photos = [
        replace(photo, facts=replace(photo.facts, width=20 + place * 7, height=20 + place % 900))
        for place, photo in enumerate(manifest.photos)
    ]
    near = tuple((photos[place].path, photos[place + 400].path) for place in range(0, 60, 3))
    ignored = tuple(f"{LONG}/{number}.txt" for number in range(300))
    faulty = replace(manifest, photos=tuple(photos), near_duplicates=near, ignored=ignored)
    return {"clean": make_inspection(clean), "faulty": make_inspection(faulty, name=LONG)}


@pytest.mark.parametrize("width_pixels", [320, 390, 820, 1280])
@pytest.mark.parametrize("name", ["two", "ten", "many", "tuned", "long", "brief", "validation", "clean", "faulty"])
def test_nothing_sticks_out_or_overlaps(browser: Any, pages: dict[str, Path], name: str, width_pixels: int) -> None:
    view = browser.new_page(viewport={"width": width_pixels, "height": 900})
    requests: list[str] = []
    complaints: list[str] = []
    view.on("request", lambda request: requests.append(request.url))
    view.on("console", lambda message: complaints.append(message.text))
    view.goto(pages[name].as_uri())
    view.evaluate("document.querySelectorAll('details').forEach(fold => fold.open = true)")
    assert view.evaluate(STICKS_OUT) == []
    assert view.evaluate("document.documentElement.scrollWidth") <= width_pixels
    assert view.evaluate(CUT_OFF) == []
    assert view.evaluate(OVERLAPS) == []
    assert [url for url in requests if not url.startswith("data:")] == [pages[name].as_uri()]
    assert complaints == []
    view.close()


CLIPPED = """() => {
    const all = document.documentElement.getBoundingClientRect();
    return [...document.querySelectorAll('text')].filter(e => {
        const box = e.getBoundingClientRect();
        return box.left < 4 || box.top < 4 || box.right > all.right - 4 || box.bottom > all.bottom - 4;
    }).map(e => e.textContent);
}"""


@pytest.mark.parametrize("classes", [("a", LONG), tuple("0123456789"), tuple(f"{LONG}_{i}" for i in range(43))])
def test_figures_show_all_of_their_words(browser: Any, tmp_path: Path, classes: tuple[str, ...]) -> None:
    data = make_tuned_report(
        classes=classes,
        per_class=60,
        skill=4.0,
        seconds={"features": 3.0, "head": 4000.0, "fine-tuning": 1.0},
        n_computed=5,
        n_reused=9_000,
    )
    view = browser.new_page(viewport={"width": 2000, "height": 2000})
    for name, file in charts_of(data).items():
        (tmp_path / name).write_bytes(file)
        view.goto((tmp_path / name).as_uri())
        assert view.evaluate("document.querySelectorAll('text').length") > 5
        assert view.evaluate(CLIPPED) == [], name
    view.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_stands_out_from_its_ground(browser: Any, pages: dict[str, Path], scheme: str) -> None:
    view = browser.new_page(color_scheme=scheme)
    view.goto(pages["ten"].as_uri())
    colours = view.evaluate("""['paper', 'raised', 'ink', 'soft', 'right-rgb', 'wrong-rgb'].map(
        name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim())""")
    paper, raised, ink, soft, right, wrong = map(_rgb, colours)
    assert _contrast(ink, paper) > 10
    assert min(_contrast(soft, paper), _contrast(right, paper), _contrast(ink, raised)) > 4.5
    assert _contrast(wrong, paper) > 4.4
    view.close()


def _rgb(text: str) -> tuple[int, ...]:
    if text.startswith("#"):
        return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))
    return tuple(int(part) for part in text.split())


def _contrast(one: tuple[int, ...], other: tuple[int, ...]) -> float:
    """WCAG 2 contrast ratio of two sRGB colours."""

    def luminance(colour: tuple[int, ...]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (v / 255 for v in colour)]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)
