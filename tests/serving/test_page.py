"""The page at `/` as visitors use it, in a real browser: every way in, every answer, every refusal."""

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from graft.data.sample import write_digits_sample
from graft.pipeline.api import train

sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright to use the page")
expect = sync_api.expect
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
ARGUMENTS = ("--no-sandbox", "--disable-gpu", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
SANTA = Path(__file__).resolve().parents[3] / "shared" / "data" / "santa"
PER_CLASS = 40
LONG = "a_class_with_a_very_long_name_without_any_space_" * 2
ARABIC = "\u0643\u0644\u0628 \u0635\u063a\u064a\u0631"
HTML = "<img src=x onerror=document.title='broken'><b>bold</b>"
SURE = (("santa", 0.93), ("not_santa", 0.07))
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
DROP = """([names, type, content]) => {
    const dropped = new DataTransfer();
    const bytes = Uint8Array.from(atob(content), sign => sign.charCodeAt(0));
    for (const name of names) dropped.items.add(new File([bytes], name, {type}));
    const say = kind => new DragEvent(kind, {dataTransfer: dropped, bubbles: true, cancelable: true});
    document.querySelector('h1').dispatchEvent(say('dragenter'));
    const lit = document.body.classList.contains('dragging');
    return [lit, document.querySelector('h1').dispatchEvent(say('drop')), document.body.classList.contains('dragging')];
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("needs chromium to use the page")
    with sync_api.sync_playwright() as control:
        browser = control.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of real photos: where there are none beside the repository, the sample's digits."""
    folder = tmp_path_factory.mktemp("photos")
    if not SANTA.is_dir():
        write_digits_sample(folder / "digits")
        return folder / "digits"
    for source in sorted(path for path in SANTA.iterdir() if path.is_dir()):
        (folder / source.name).mkdir()
        for photo in sorted(source.glob("*.jpg"))[:PER_CLASS]:
            shutil.copy(photo, folder / source.name / photo.name)
    return folder


@pytest.fixture(scope="module")
def address(browser: Any, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the service answers for a classifier that was trained on `photos`."""
    run = tmp_path_factory.mktemp("runs") / "run"
    train(photos, output=run, recipe="probe", quiet=True)
    command = [sys.executable, "-m", "graft", "serve", str(run), "--port", "0"]
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    service = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)
    try:
        told = ""
        for line in service.stdout or ():
            told += line
            if found := re.search(r"http://\S+:\d+", line):
                break
        assert found, told
        yield found.group().rstrip("/") + "/"
    finally:
        service.terminate()
        service.wait(30)


@pytest.fixture(scope="module")
def window(browser: Any) -> Any:
    """One window for the tests that need nothing special: opening one takes longer than most of them."""
    return new_window(browser)


@pytest.fixture
def view(window: Any, address: str) -> Iterator[Any]:
    """The page, freshly opened."""
    with watched(window, address):
        window.goto(address)
        yield window
    window.unroute_all()


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


def photo_files(photos: Path, count: int = 1) -> list[Path]:
    """So many photos of the last class."""
    return sorted(sorted(path for path in photos.iterdir() if path.is_dir())[-1].iterdir())[:count]


def some_files(*names: str, content: bytes = b"no photo") -> list[dict[str, Any]]:
    return [{"name": name, "mimeType": "image/jpeg", "buffer": content} for name in names]


def answer_with(view: Any, *guesses: tuple[str, float]) -> list[str]:
    """Let the service give this answer to every photo; the list fills with the requests' types."""
    top = [{"label": label, "probability": probability} for label, probability in guesses]
    return reply_with(view, {"json": {**top[0], "top": top}})


def reply_with(view: Any, *replies: dict[str, Any]) -> list[str]:
    """Let the service give these replies one after another, and the last one from then on."""
    types: list[str] = []

    def reply(route: Any) -> None:
        types.append(route.request.headers["content-type"])
        route.fulfill(**replies[min(len(types), len(replies)) - 1])

    view.route("**/predict*", reply)
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


# What it is


def test_it_says_first_what_it_is_and_how_good(view: Any, photos: Path) -> None:
    classes = sorted(path.name for path in photos.iterdir())
    opening = view.locator("header")
    expect(opening).to_contain_text(
        re.compile(r"Right on \d.* of \d+ (validation photos|photos it never saw) \(\d+–\d+\s%\)\.")
    )
    told = opening.inner_text()
    assert all(name in told for name in classes) if len(classes) <= 8 else f"{len(classes)} classes" in told


def test_it_works_where_nothing_is_known_of_the_classifier(browser: Any, address: str) -> None:
    with opened(browser, address, before=lambda page: page.route("**/about", lambda route: route.abort())) as view:
        expect(view.locator("#about")).to_contain_text("could not be read. Photos can be sent all the same.")
        answer_with(view, *SURE)
        view.set_input_files("#files", some_files("a.jpg"))
        expect(view.locator("#verdict")).to_have_text("santa")


def test_it_bears_with_an_odd_description(browser: Any, address: str) -> None:
    abouts: list[Any] = [[], {}, 7, {"classes": 3, "accuracy": "good", "limits": 4}, {"accuracy": {}}]
    before = abouts.copy()
    with opened(
        browser, address, before=lambda page: page.route("**/about", lambda route: route.fulfill(json=before.pop()))
    ) as view:
        for _ in abouts:
            expect(view.locator("#about")).to_have_text("This classifier says what is in a photo.")
            if before:
                view.reload()


def test_hundreds_of_classes_are_folded_up(browser: Any, address: str) -> None:
    known = {
        "classes": [f"class {number}" for number in range(300)],
        "accuracy": {"value": 0.96, "interval": [0.92, 0.98], "on": 180},
    }
    with opened(browser, address, before=lambda page: tell(page, known)) as view:
        expect(view.locator("#about")).to_have_text(
            "This classifier tells 300 classes apart. Right on 96\u00a0% of 180 photos it never saw (92–98\u00a0%)."
        )
        expect(view.get_by_text("class 299")).to_be_hidden()
        view.get_by_text("The 300 classes").click()
        expect(view.get_by_text("class 299")).to_be_visible()
        answer_with(view, *((f"class {number}", 0.9 / 10**number) for number in range(5)))
        view.set_input_files("#files", some_files("a.jpg"))
        expect(view.locator("#bars li")).to_have_count(5)
        expect(view.locator("#rest")).to_have_text("The other 295 classes share under 0.1\u00a0%.")


def tell(page: Any, about: Any) -> None:
    """Let the service describe itself so."""
    page.route("**/about", lambda route: route.fulfill(json=about))


# The ways in


def test_a_dropped_photo_is_answered_as_by_the_service_itself(view: Any, address: str, photos: Path) -> None:
    photo = photo_files(photos)[0]
    assert drop(view, ["found.jpg"], photo.read_bytes()) == [True, False, False]
    check_shown(view, asked_directly(address, photo))
    expect(view.get_by_role("img", name="The photo found.jpg")).to_be_visible()


def test_several_photos_can_be_dropped(view: Any) -> None:
    answer_with(view, *SURE)
    drop(view, ["one.jpg", "two.jpg"], b"x")
    expect(view.locator("#past li")).to_have_count(2)


def test_what_is_dropped_without_a_file_is_refused_in_words(view: Any) -> None:
    drop(view, [], b"")
    expect(view.get_by_role("alert")).to_have_text(
        "That is no file. Save the picture first, or copy it and paste it here."
    )


def drop(view: Any, names: list[str], content: bytes) -> Any:
    """Drag files over the page and let go; whether it lit up, went on to the browser, and stayed lit."""
    return view.evaluate(DROP, [names, "image/jpeg", base64.b64encode(content).decode()])


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_photos_are_chosen_by_keyboard(view: Any, address: str, photos: Path, key: str) -> None:
    view.on("filechooser", lambda chooser: None)  # from now on no dialog opens: waiting alone may begin too late
    view.keyboard.press("Tab")
    expect(view.get_by_role("button", name="Drop photos here, or choose them")).to_be_focused()
    with view.expect_file_chooser() as choosing:
        view.keyboard.press(key)
    assert choosing.value.is_multiple()
    choosing.value.set_files(photo_files(photos)[0])
    check_shown(view, asked_directly(address, photo_files(photos)[0]))


def test_the_same_file_can_be_chosen_twice(view: Any, photos: Path) -> None:
    for count in (1, 2):
        view.set_input_files("#files", photo_files(photos))
        expect(view.locator("#past li")).to_have_count(count)


def test_a_copied_picture_is_pasted(view: Any, address: str) -> None:
    view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.evaluate("""async () => {
        const canvas = Object.assign(document.createElement('canvas'), {width: 64, height: 48});
        canvas.getContext('2d').fillRect(8, 8, 40, 24);
        const picture = await new Promise(done => canvas.toBlob(done));
        await navigator.clipboard.write([new ClipboardItem({'image/png': picture})]);
    }""")
    view.keyboard.press("Control+v")
    expect(view.locator("#past li")).to_have_count(1)
    expect(view.locator("#bars li").first).to_be_visible()


def test_a_pasted_text_is_refused_in_words(view: Any) -> None:
    view.context.grant_permissions(["clipboard-read", "clipboard-write"])
    view.evaluate("navigator.clipboard.writeText('santa')")
    view.keyboard.press("Control+v")
    expect(view.get_by_role("alert")).to_have_text("There is no picture to paste. Copy one first.")


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


# Answers


def test_it_says_in_words_when_it_is_unsure(view: Any) -> None:
    for guesses, verdict in (
        ((("a", 0.93), ("b", 0.07)), "a"),
        ((("a", 0.55), ("b", 0.10)), "Not sure: maybe a or b"),
        ((("a", 0.62), ("b", 0.38)), "Not sure: maybe a or b"),
        ((("a", 0.30), ("b", 0.20)), "Not sure: maybe a or b, or something else"),
        ((("a", 0.50),), "Not sure: maybe a"),
        ((("a", 1.0), ("b", 0.0)), "a"),
    ):
        answer_with(view, *guesses)
        view.set_input_files("#files", some_files(f"{guesses[0][1]}.jpg"))
        expect(view.get_by_role("status")).to_contain_text(f"{guesses[0][1]}.jpg: {verdict}. ")
        expect(view.locator("#verdict")).to_have_text(verdict)
        unsure = verdict.startswith("Not sure")
        expect(view.locator("#verdict-note")).to_contain_text("Take it as a hint" if unsure else " sure.")
        expect(view.locator("#past .quiet").first).to_contain_text("not sure" if unsure else "%")


def test_a_share_is_never_rounded_to_certainty(view: Any) -> None:
    shares = {1.0: "over 99.9", 0.9991: "over 99.9", 0.996: "99.6", 0.97: "97", 0.004: "0.4", 1e-7: "under 0.1"}
    for share, shown in shares.items():
        answer_with(view, ("a", share))
        view.set_input_files("#files", some_files("a.jpg"))
        expect(view.locator("#bars .amount")).to_have_text(f"{shown}\u00a0%")


def test_names_from_outside_stay_text(browser: Any, address: str) -> None:
    about = {"name": HTML, "classes": [HTML, "b"], "accuracy": 0.9}
    with opened(browser, address, before=lambda page: tell(page, about)) as view:
        answer_with(view, (HTML, 0.5), ("\u202eb", 0.4))
        view.set_input_files("#files", some_files(HTML))
        expect(view.locator("#verdict")).to_have_text(f"Not sure: maybe {HTML} or \ufffdb")
        expect(view.locator("#bars bdi").first).to_have_text(HTML)
        expect(view.locator("#photo-name")).to_have_text(HTML)
        reply_with(view, refusal(422, HTML))
        view.set_input_files("#files", some_files(HTML))
        expect(view.get_by_role("alert")).to_have_text(f"{HTML}: {HTML}")
        assert view.locator("b b, img[src=x], [onerror]").count() == 0
        assert view.title() == "What is in this photo? – Graft"


def test_the_photo_of_a_kind_that_browsers_do_not_show_is_answered_too(view: Any) -> None:
    answer_with(view, *SURE)
    view.set_input_files("#files", some_files("scan.tiff"))
    expect(view.get_by_text("The browser cannot show this kind of picture.")).to_be_visible()
    expect(view.locator("#verdict")).to_have_text("santa")


# Many at once


def test_many_photos_go_one_after_another_with_a_count(view: Any) -> None:
    waiting: list[Any] = []
    view.route("**/predict*", lambda route: waiting.append(route))
    view.set_input_files("#files", some_files(*(f"{number}.jpg" for number in range(1, 5))))
    for number in range(1, 5):
        expect(view.locator("#progress-text")).to_have_text(f"Photo {number} of 4: {number}.jpg …")
        view.wait_for_timeout(50)
        assert len(waiting) == number
        top = [{"label": f"class {number}", "probability": 0.9}]
        waiting[-1].fulfill(json={**top[0], "top": top})
    expect(view.get_by_role("status")).to_have_text("4 photos answered.")
    assert view.locator("#past bdi").all_inner_texts() == [f"class {number}" for number in (4, 3, 2, 1)]


def test_the_rest_is_not_sent_after_stop(view: Any) -> None:
    waiting: list[Any] = []
    view.route("**/predict*", lambda route: waiting.append(route))
    view.set_input_files("#files", some_files("a.jpg", "b.jpg", "c.jpg"))
    view.get_by_role("button", name="Stop").click()
    expect(view.get_by_role("alert")).to_have_text("Stopped: 3 photos without an answer.")
    expect(view.get_by_role("button", name=re.compile("choose"))).to_be_focused()
    assert len(waiting) == 1


# Refusals


def test_what_is_no_photo_is_refused_by_the_service_in_words(view: Any) -> None:
    view.set_input_files("#files", [{"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no photo" * 99}])
    expect(view.get_by_role("alert")).to_have_text(re.compile(r"^notes\.txt: .* .*\.$"))
    expect(view.locator("#answer")).to_be_hidden()


def test_each_refusal_is_a_sentence(view: Any) -> None:
    for status, own, sentence in (
        (413, None, "This photo is larger than the service takes. A smaller copy will do."),
        (413, "The photo must be small.", "The photo must be small."),
        (422, None, "This file could not be read as a photo. It may be damaged, or no photo at all."),
        (422, "The image ends too early.", "The image ends too early."),
        (500, None, "The service answered with an error (status 500)."),
    ):
        reply_with(view, refusal(status, own))
        view.set_input_files("#files", some_files("a.jpg"))
        expect(view.get_by_role("alert")).to_have_text(f"a.jpg: {sentence}")
        expect(view.get_by_role("button", name="Try again")).to_be_visible(visible=status >= 500)
        view.get_by_role("button", name="Close the message").click()
        expect(view.get_by_role("alert")).to_be_hidden()


def test_a_busy_service_is_asked_again_when_it_said(view: Any) -> None:
    top = [{"label": "santa", "probability": 0.9}]
    asked = reply_with(view, refusal(429, "Busy.", **{"Retry-After": "2"}), {"json": {**top[0], "top": top}})
    began = time.monotonic()
    view.set_input_files("#files", some_files("a.jpg"))
    expect(view.locator("#progress-text")).to_have_text("The service is busy. Trying again in 2\u00a0s …")
    expect(view.get_by_role("status")).to_have_text("The service is busy. Trying again in 2 seconds.")
    expect(view.locator("#verdict")).to_have_text("santa")
    assert time.monotonic() - began >= 2
    assert len(asked) == 2
    expect(view.get_by_role("alert")).to_be_hidden()


def test_a_service_that_stays_busy_is_given_up(browser: Any, address: str) -> None:
    hurry = "const slow = setTimeout; window.setTimeout = (work, pause) => slow(work, pause / 100)"
    with opened(browser, address, before=lambda page: page.add_init_script(hurry)) as view:
        asked = reply_with(view, refusal(429, "Too many photos wait.", **{"Retry-After": "1"}))
        view.set_input_files("#files", some_files("a.jpg"))
        expect(view.get_by_role("alert")).to_have_text("a.jpg: Too many photos wait.")
        assert len(asked) == 10
        answer_with(view, *SURE)
        view.get_by_role("button", name="Try again").click()
        expect(view.locator("#verdict")).to_have_text("santa")
        expect(view.get_by_role("alert")).to_be_hidden()


def test_a_lost_service_is_told_and_the_rest_kept_for_another_try(view: Any) -> None:
    view.route("**/predict*", lambda route: route.abort())
    view.set_input_files("#files", some_files("a.jpg", "b.jpg"))
    expect(view.get_by_role("alert")).to_contain_text("a.jpg: The service cannot be reached. Is it still running?")
    expect(view.get_by_role("alert")).to_contain_text("b.jpg: It was not sent.")
    answer_with(view, *SURE)
    view.get_by_role("button", name="Try again").click()
    expect(view.locator("#past li")).to_have_count(2)


def test_a_photo_above_the_limit_is_never_sent(browser: Any, address: str) -> None:
    about = {"limits": {"max_body_bytes": 2_000_000}}
    with opened(browser, address, before=lambda page: tell(page, about)) as view:
        asked = answer_with(view, *SURE)
        view.set_input_files("#files", some_files("big.jpg", content=bytes(2_500_001)))
        expect(view.get_by_role("alert")).to_have_text(
            "big.jpg: This photo is too large. It has 2.5\u00a0MB, and the service takes at most 2.0\u00a0MB. "
            "A smaller copy will do."
        )
        assert asked == []


def test_an_empty_file_is_never_sent(view: Any) -> None:
    asked = answer_with(view, *SURE)
    view.set_input_files("#files", some_files("empty.jpg", content=b""))
    expect(view.get_by_role("alert")).to_have_text("empty.jpg: This file is empty.")
    assert asked == []


def test_many_refusals_do_not_fill_the_page(view: Any) -> None:
    reply_with(view, refusal(422, "No photo."))
    view.set_input_files("#files", some_files(*(f"{number}.jpg" for number in range(9))))
    expect(view.get_by_role("alert")).to_contain_text("4 more photos without an answer.")
    expect(view.locator("#alert p")).to_have_count(6)


# This visit


def test_this_visit_can_be_looked_back_on_and_cleared(view: Any, photos: Path) -> None:
    for number, photo in enumerate(photo_files(photos, 2)):
        answer_with(view, (f"class {number}", 0.9))
        view.set_input_files("#files", photo)
        expect(view.locator("#verdict")).to_have_text(f"class {number}")
    first, second = (photo.name for photo in photo_files(photos, 2))
    entry = view.get_by_role("list", name="This visit").get_by_role("button", name=f"class 0 90 % {first}")
    expect(entry.locator("img")).to_have_js_property("naturalWidth", 160)
    entry.press("Enter")
    expect(view.locator("#verdict")).to_have_text("class 0")
    expect(view.get_by_role("img", name=f"The photo {first}")).to_be_visible()
    expect(entry).to_have_attribute("aria-current", "true")
    expect(view.locator("[aria-current]")).to_have_count(1)
    view.get_by_role("button", name="Clear the list").click()
    expect(view.locator("#past li")).to_have_count(0)
    for name in (first, second):
        expect(view.get_by_text(name)).to_have_count(0)
    expect(view.locator("#answer")).to_be_hidden()
    expect(view.get_by_role("button", name=re.compile("choose"))).to_be_focused()
    assert view.evaluate("[localStorage.length, sessionStorage.length, document.cookie]") == [0, 0, ""]


def test_looking_back_is_not_disturbed_by_new_answers(view: Any) -> None:
    answer_with(view, ("old", 0.9))
    view.set_input_files("#files", some_files("a.jpg"))
    expect(view.locator("#verdict")).to_have_text("old")
    waiting: list[Any] = []
    view.route("**/predict*", lambda route: waiting.append(route))
    view.set_input_files("#files", some_files("b.jpg", "c.jpg"))
    for number in (1, 2):
        expect(view.locator("#progress-text")).to_contain_text(f"Photo {number} of 2")
        view.locator("#past button").last.click()
        view.wait_for_timeout(50)
        waiting[-1].fulfill(json={"label": "new", "probability": 0.9, "top": [{"label": "new", "probability": 0.9}]})
    expect(view.locator("#past li")).to_have_count(3)
    expect(view.locator("#verdict")).to_have_text("old")


# For everybody


@pytest.mark.parametrize("width_pixels", [320, 390, 820, 1280, 2200])
def test_nothing_sticks_out(browser: Any, address: str, width_pixels: int) -> None:
    about = {"name": LONG, "classes": [LONG, ARABIC, *(f"{LONG}{number}" for number in range(100))], "accuracy": 0.9}
    size = {"viewport": {"width": width_pixels, "height": 700}, "has_touch": width_pixels < 400}
    with opened(browser, address, before=lambda page: tell(page, about), **size) as view:
        assert view.evaluate(STICKS_OUT) == []
        answer_with(view, (LONG, 0.5), (ARABIC, 0.3), ("W" * 90, 0.1), ("猫", 0.05), ("b", 0.0001))
        view.set_input_files("#files", [*some_files(f"{LONG}.jpg"), *some_files("empty.jpg", content=b"")])
        expect(view.get_by_role("alert")).to_be_visible()
        view.locator("summary").click()
        view.get_by_role("button", name="Use the camera").click()
        expect(view.get_by_role("button", name="Take the picture")).to_be_focused()
        assert view.evaluate(STICKS_OUT) == []
        assert view.evaluate("document.documentElement.scrollWidth") <= width_pixels


def test_sabotage_what_sticks_out_is_noticed(view: Any) -> None:
    view.evaluate("document.querySelector('main').append(Object.assign(document.createElement('hr'), {id: 'wide'}))")
    view.locator("#wide").evaluate("rule => { rule.style.width = '3000px' }")
    assert len(view.evaluate(STICKS_OUT)) == 1


def test_on_a_phone_the_answer_comes_into_view(browser: Any, address: str, photos: Path) -> None:
    phone = {"viewport": {"width": 390, "height": 740}, "has_touch": True, "is_mobile": True}
    with opened(browser, address, reduced_motion="reduce", **phone) as view:
        expect(view.get_by_role("button", name="Choose photos")).to_be_visible()
        view.set_input_files("#files", photo_files(photos))
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


def test_the_page_is_strict(address: str) -> None:
    with urllib.request.urlopen(address) as reply:
        policy, text = reply.headers["content-security-policy"], reply.read().decode()
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert re.findall(r"<script(?![^>]* src=)|<style|\son\w+=|\sstyle=|https?:", text) == []
