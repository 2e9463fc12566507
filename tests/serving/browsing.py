"""A real browser, and the page in it as visitors use it; answers are the service's own, or told."""

import base64
import json
import re
import shutil
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright to use the page")
expect = sync_api.expect
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
PREDICT = "**/predict*"
SURE = (("santa", 0.93), ("not_santa", 0.07))
DROP = """([names, type, content]) => {
    const dropped = new DataTransfer();
    const bytes = Uint8Array.from(atob(content), sign => sign.charCodeAt(0));
    for (const name of names) dropped.items.add(new File([bytes], name, {type}));
    const say = kind => new DragEvent(kind, {dataTransfer: dropped, bubbles: true, cancelable: true});
    document.querySelector('h1').dispatchEvent(say('dragenter'));
    const lit = document.body.classList.contains('dragging');
    return [lit, document.querySelector('h1').dispatchEvent(say('drop')), document.body.classList.contains('dragging')];
}"""


@contextmanager
def chromium() -> Iterator[Any]:
    """A browser with a camera that nobody is asked for."""
    if CHROMIUM is None:
        pytest.skip("needs chromium to use the page")
    with sync_api.sync_playwright() as control:
        browser = control.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Any, address: str, *, before: Callable[[Any], object] = bool, **settings: Any) -> Iterator[Any]:
    """The page in a window of its own; `before` sees the window before the page is in it."""
    window = new_window(browser, **settings)
    before(window)
    with watched(window, address):
        window.goto(address)
        yield window
    window.context.close()


def new_window(browser: Any, **settings: Any) -> Any:
    context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | settings))
    page = context.new_page()
    page.set_default_timeout(10_000)
    return page


@contextmanager
def watched(page: Any, address: str) -> Iterator[None]:
    """At the end the page has complained of nothing, asked no other host, and is at rest."""
    complaints: list[str] = []
    hosts: set[str] = set()
    listeners = {
        "console": lambda message: complaints.append(message.text),
        "pageerror": lambda error: complaints.append(str(error)),
        "request": lambda request: hosts.add(urlsplit(request.url).netloc),
    }
    for event, listener in listeners.items():
        page.on(event, listener)
    yield
    expect(page.locator("#progress")).to_be_hidden()
    for event, listener in listeners.items():
        page.remove_listener(event, listener)
    assert [text for text in complaints if not text.startswith("Failed to load resource: ")] == []
    assert hosts - {"", urlsplit(address).netloc} == set()


def some_files(*names: str, content: bytes = b"no photo") -> list[dict[str, Any]]:
    return [{"name": name, "mimeType": "image/jpeg", "buffer": content} for name in names]


def answer_with(view: Any, *guesses: tuple[str, float]) -> list[str]:
    """Let the service give this answer to every photo; the list fills with the requests' types."""
    return reply_with(view, answered(*guesses))


def answered(*guesses: tuple[str, float]) -> dict[str, Any]:
    top = [{"label": label, "probability": probability} for label, probability in guesses]
    return {"json": {**top[0], "top": top}}


def reply_with(view: Any, *replies: dict[str, Any]) -> list[str]:
    """Let the service give these replies one after another, and the last one from then on."""
    types: list[str] = []

    def reply(route: Any) -> None:
        types.append(route.request.headers["content-type"])
        route.fulfill(**replies[min(len(types), len(replies)) - 1])

    view.route(PREDICT, reply)
    return types


def refusal(status: int, sentence: str | None = None, **headers: str) -> dict[str, Any]:
    return {"status": status, "headers": headers, "json": {"error": sentence, "code": "x"} if sentence else {}}


def asked_directly(address: str, photo: Path) -> Any:
    request = urllib.request.Request(f"{address}predict", photo.read_bytes(), {"content-type": "image/jpeg"})
    with urllib.request.urlopen(request) as reply:
        return json.load(reply)


def check_shown(view: Any, answer: Any) -> None:
    """The page shows just this answer, in words and in bars."""
    for place, guess in enumerate(answer["top"]):
        row = view.get_by_role("list", name="Most likely classes").get_by_role("listitem").nth(place)
        expect(row.locator("bdi")).to_have_text(guess["label"])
        shown = re.sub(r"[^\d.]", "", row.locator(".amount").inner_text())
        assert float(shown) == pytest.approx(100 * guess["probability"], abs=0.51)
        length = row.locator("i").evaluate("bar => parseFloat(bar.style.inlineSize)")
        assert length == pytest.approx(100 * guess["probability"], abs=0.01)
    expect(view.locator("#verdict")).to_contain_text(answer["label"])


def tell(page: Any, about: Any) -> None:
    """Let the service describe itself so."""
    page.route("**/about", lambda route: route.fulfill(json=about))


def drop(view: Any, names: list[str], content: bytes) -> Any:
    """Drag files over the page and let go; whether it lit up, went on to the browser, and stayed lit."""
    return view.evaluate(DROP, [names, "image/jpeg", base64.b64encode(content).decode()])
