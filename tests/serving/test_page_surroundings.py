"""The page at `/` in what surrounds it: windows, cameras, proxies, colours, keyboards, screen readers."""

import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from tests.serving.browsing import (
    SURE,
    answer_with,
    expect,
    opened,
    refusal,
    reply_with,
    some_files,
    tell,
)

pytestmark = pytest.mark.page

LONG = "a_class_with_a_very_long_name_without_any_space_" * 2
ARABIC = "\u0643\u0644\u0628 \u0635\u063a\u064a\u0631"
STICKS_OUT = """() => [...document.querySelectorAll('body *')].filter(e => {
    const box = e.getBoundingClientRect();
    return !e.closest('.hidden') && box.width > 0 && (box.right > innerWidth + 0.5 || box.left < -0.5);
}).map(e => e.outerHTML.slice(0, 120))"""
COUNT_CAMERAS = """(() => {
    globalThis.cameras = [];
    const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
    navigator.mediaDevices.getUserMedia = async wish => {
        const stream = await ask(wish);
        cameras.push(...stream.getTracks());
        return stream;
    };
})()"""


# The camera


def test_the_camera_is_asked_only_then_and_let_go(browser: Any, address: str) -> None:
    with opened(browser, address, before=lambda page: page.add_init_script(COUNT_CAMERAS)) as view:
        assert view.evaluate("cameras.length") == 0
        view.get_by_role("button", name="Use the camera").press("Enter")
        take = view.get_by_role("button", name="Take the picture")
        expect(take).to_be_focused()
        assert view.evaluate("cameras.map(track => track.readyState)") == ["live"]
        take.press("Enter")
        expect(view.get_by_role("img", name="The photo camera picture 1.jpg")).to_be_visible()
        expect(view.locator("#bars li").first).to_be_visible()
        assert view.locator("#photo").evaluate("image => image.naturalWidth") >= 640
        view.get_by_role("button", name="Close the camera").press("Enter")
        assert view.evaluate("cameras.map(track => track.readyState)") == ["ended"]
        expect(take).to_be_hidden()
        expect(view.get_by_role("button", name="Use the camera")).to_be_focused()


def test_escape_lets_the_camera_go(browser: Any, address: str) -> None:
    with opened(browser, address, before=lambda page: page.add_init_script(COUNT_CAMERAS)) as view:
        view.get_by_role("button", name="Use the camera").click()
        expect(view.get_by_role("button", name="Take the picture")).to_be_focused()
        view.keyboard.press("Escape")
        assert view.evaluate("cameras.map(track => track.readyState)") == ["ended"]


def test_without_cameras_nothing_speaks_of_one(browser: Any, address: str) -> None:
    script = "Object.defineProperty(navigator, 'mediaDevices', {value: undefined})"
    with opened(browser, address, before=lambda page: page.add_init_script(script)) as view:
        expect(view.get_by_role("button", name=re.compile("choose"))).to_be_visible()
        expect(view.get_by_role("button", name="camera")).to_have_count(0)


def test_a_camera_that_cannot_be_had_is_explained(view: Any) -> None:
    for error, sentence in (
        ("NotAllowedError", "The browser may not use the camera. Allow it beside the address above, then try again."),
        ("NotFoundError", "No camera was found."),
        ("NotReadableError", "The camera cannot be used. Another program may be using it."),
    ):
        view.evaluate(
            f"void (navigator.mediaDevices.getUserMedia = async () => {{ throw new DOMException('', '{error}') }})"
        )
        view.get_by_role("button", name="Use the camera").click()
        expect(view.get_by_role("alert")).to_have_text(sentence)
        view.get_by_role("button", name="Close the message").click()


# For everybody


@pytest.mark.parametrize(("touch", "widths_pixels"), [(True, (320, 390)), (False, (820, 1280, 2200))])
def test_nothing_sticks_out(browser: Any, address: str, touch: bool, widths_pixels: tuple[int, ...]) -> None:
    about = {"name": LONG, "classes": [LONG, ARABIC, *(f"{LONG}{number}" for number in range(100))], "accuracy": 0.9}
    with opened(browser, address, before=lambda page: tell(page, about), has_touch=touch) as view:
        expect(view.locator("summary")).to_be_visible()
        check_widths(view, widths_pixels)
        answer_with(view, (LONG, 0.5), (ARABIC, 0.3), ("W" * 90, 0.1), ("猫", 0.05), ("b", 0.0001))
        view.set_input_files("#files", [*some_files(f"{LONG}.jpg"), *some_files("empty.jpg", content=b"")])
        expect(view.get_by_role("alert")).to_be_visible()
        view.locator("summary").click()
        view.get_by_role("button", name="Use the camera").click()
        expect(view.get_by_role("button", name="Take the picture")).to_be_focused()
        check_widths(view, widths_pixels)


def check_widths(view: Any, widths_pixels: tuple[int, ...]) -> None:
    for width in widths_pixels:
        view.set_viewport_size({"width": width, "height": 700})
        assert view.evaluate(STICKS_OUT) == []
        assert view.evaluate("document.documentElement.scrollWidth") <= width


def test_sabotage_what_sticks_out_is_noticed(view: Any) -> None:
    view.evaluate("document.querySelector('main').append(Object.assign(document.createElement('hr'), {id: 'wide'}))")
    view.locator("#wide").evaluate("rule => { rule.style.width = '3000px' }")
    assert len(view.evaluate(STICKS_OUT)) == 1


def test_on_a_phone_the_answer_comes_into_view(browser: Any, address: str, photos: list[Path]) -> None:
    phone = {"viewport": {"width": 390, "height": 740}, "has_touch": True, "is_mobile": True}
    with opened(browser, address, reduced_motion="reduce", **phone) as view:
        expect(view.get_by_role("button", name="Choose photos")).to_be_visible()
        view.set_input_files("#files", photos[0])
        expect(view.locator("#verdict")).to_be_in_viewport()
        expect(view.locator("#photo")).to_be_in_viewport()


def test_on_a_phone_the_message_comes_into_view(browser: Any, address: str) -> None:
    phone = {"viewport": {"width": 390, "height": 740}, "has_touch": True, "is_mobile": True}
    with opened(browser, address, reduced_motion="reduce", **phone) as view:
        view.get_by_role("button", name="Use the camera").click()
        expect(view.get_by_role("button", name="Take the picture")).to_be_in_viewport()
        view.set_input_files("#files", some_files("a.jpg"))
        expect(view.get_by_role("alert")).to_be_in_viewport(ratio=1)


def test_everything_is_reached_by_keyboard_in_order(view: Any) -> None:
    answer_with(view, *SURE)
    view.set_input_files("#files", some_files("a.jpg", "b.jpg"))
    expect(view.locator("#past li")).to_have_count(2)
    reply_with(view, refusal(500))
    view.set_input_files("#files", some_files("c.jpg"))
    expect(view.get_by_role("alert")).to_be_visible()
    names = [
        "Drop photos",
        "Use the camera",
        "Try again",
        "Close the message",
        "Clear the list",
        "santa",
        "santa",
        "For programs",
    ]
    for name in names:
        view.keyboard.press("Tab")
        focused = view.locator(":focus")
        expect(focused).to_contain_text(name)
        assert focused.evaluate("e => getComputedStyle(e).outlineStyle") == "solid"
    view.keyboard.press("Tab")
    assert view.locator(":focus").count() == 0


def test_screen_readers_find_their_way(view: Any) -> None:
    answer_with(view, *SURE)
    view.set_input_files("#files", some_files("a.jpg"))
    expect(view.locator("#verdict")).to_have_text("santa")
    for landmark in ("banner", "main", "contentinfo"):
        expect(view.get_by_role(landmark)).to_have_count(1)
    expect(view.get_by_role("heading", level=1)).to_have_text("What is in this photo?")
    expect(view.get_by_role("heading", level=1)).to_have_count(1)
    for region in ("Choose a photo", "Answer", "This visit"):
        expect(view.get_by_role("region", name=region)).to_be_visible()
    bars = view.get_by_role("list", name="Most likely classes").get_by_role("listitem")
    assert [" ".join(text.split()) for text in bars.all_inner_texts()] == ["santa 93 %", "not_santa 7 %"]
    choose = view.get_by_role("button", name="Drop photos here, or choose them")
    expect(choose).to_have_accessible_description(re.compile(r"Several at once are fine\..* Ctrl.V"))
    assert view.locator("img:not([alt]), button:not([type]), html:not([lang])").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_in_both_colour_schemes(browser: Any, address: str, scheme: Any) -> None:
    with opened(browser, address, color_scheme=scheme) as view:
        colours = view.evaluate("""['paper', 'raised', 'ink', 'soft', 'edge', 'right-rgb', 'wrong-rgb'].map(
            name => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim())""")
    paper, raised, ink, soft, edge, right, wrong = map(luminance, colours)
    for text in (ink, soft, right, wrong):
        assert min(contrast(text, paper), contrast(text, raised)) > 4.5
    assert min(contrast(edge, paper), contrast(edge, raised)) > 3


def luminance(colour: str) -> float:
    """WCAG 2: of `#rrggbb` or `red green blue`."""
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)] if colour.startswith("#") else map(int, colour.split())
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in parts)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: float, other: float) -> float:
    bright, dark = sorted((one, other), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_motion_is_left_out_where_it_is_not_wanted(browser: Any, address: str) -> None:
    for wish, seconds in (("reduce", "0s"), ("no-preference", "0.25s")):
        with opened(browser, address, reduced_motion=wish) as view:
            answer_with(view, *SURE)
            view.set_input_files("#files", some_files("a.jpg"))
            expect(view.locator("#bars i").first).to_have_css("transition-duration", seconds)


def test_it_works_below_the_path_of_a_proxy(browser: Any, address: str, photos: list[Path]) -> None:
    with proxied(address, "/some/where/") as below, opened(browser, below) as view:
        view.set_input_files("#files", photos[0])
        expect(view.locator("#verdict")).to_have_text("green")
        view.get_by_role("link", name="For programs").click()
        expect(view.locator("dt").first).to_have_css("margin-top", "12px")  # as the style sheet says
        with view.expect_response("**/openapi.json") as asking:
            view.get_by_role("link", name="openapi.json").click()
        assert asking.value.ok
        view.go_back()
        view.get_by_role("link", name="Try it").click()
        expect(view.locator("#about")).to_contain_text("green")


@contextmanager
def proxied(address: str, path: str) -> Iterator[str]:
    """The service's address through a proxy that passes on what is below `path`, and nothing else."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0))) or None
            headers = {"content-type": self.headers.get("content-type", "")}
            assert self.path.startswith(path)  # else closed without an answer, and the page complains
            with urllib.request.urlopen(
                urllib.request.Request(f"{address}{self.path.removeprefix(path)}", body, headers)
            ) as reply:
                self.send_response(reply.status)
                for name in ("content-type", "content-security-policy"):
                    self.send_header(name, reply.headers.get(name, ""))
                self.end_headers()
                self.wfile.write(reply.read())

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        Thread(target=server.serve_forever, args=(0.05,)).start()
        yield f"http://127.0.0.1:{server.server_port}{path}"
        server.shutdown()
