"""The page at `/` as visitors use it, in a real browser: every way in, every answer, every refusal."""

import re
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from tests.bundle.making import COLOURS
from tests.serving.browsing import (
    PREDICT,
    SURE,
    answer_with,
    answered,
    asked_directly,
    check_shown,
    drop,
    expect,
    opened,
    refusal,
    reply_with,
    some_files,
    tell,
)

pytestmark = pytest.mark.page

HTML = "<img src=x onerror=document.title='broken'><b>bold</b>"


# What it is


def test_it_says_first_what_it_is_and_how_good(view: Any) -> None:
    opening = view.locator("header")
    expect(opening).to_contain_text("Right on 90.0\u00a0% of 15 photos it never saw (70.0–97.0\u00a0%).")
    for name in COLOURS:
        expect(opening).to_contain_text(f"“{name}”")


def test_it_works_where_nothing_is_known_of_the_classifier(browser: Any, address: str) -> None:
    with opened(browser, address, before=lambda page: page.route("**/about", lambda route: route.abort())) as view:
        expect(view.locator("#about")).to_contain_text("could not be read. Photos can be sent all the same.")
        answer_with(view, *SURE)
        view.set_input_files("#files", some_files("a.jpg"))
        expect(view.locator("#verdict")).to_have_text("santa")


def test_a_service_that_was_not_ready_is_asked_again_what_it_knows(browser: Any, address: str) -> None:
    replies = [{"status": 503}, {"status": 503}, {"json": {"classes": ["santa", "not_santa"], "threshold": 0.95}}]

    def tell_late(page: Any) -> None:
        page.route("**/about", lambda route: route.fulfill(**replies.pop(0)))

    with opened(browser, address, before=tell_late) as view:
        expect(view.locator("#about")).to_contain_text("could not be read")
        answer_with(view, *SURE)
        view.set_input_files("#files", some_files("a.jpg"))
        expect(view.locator("#verdict")).to_have_text("Not sure: maybe santa or not_santa")
        expect(view.locator("#about")).to_have_text("This classifier tells “santa” and “not_santa” apart.")


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
        "accuracy": {"value": 0.988, "interval": [0.96, 0.9997], "on": 180},
    }
    with opened(browser, address, before=lambda page: tell(page, known)) as view:
        expect(view.locator("#about")).to_have_text(
            "This classifier tells 300 classes apart. Right on 98.8\u00a0% of 180 photos it never saw "
            "(96.0–99.9\u00a0%)."
        )
        expect(view.get_by_text("class 299")).to_be_hidden()
        view.get_by_text("The 300 classes").click()
        expect(view.get_by_text("class 299")).to_be_visible()
        answer_with(view, *((f"class {number}", 0.9 / 10**number) for number in range(5)))
        view.set_input_files("#files", some_files("a.jpg"))
        expect(view.locator("#bars li")).to_have_count(5)
        expect(view.locator("#rest")).to_have_text("The other 295 classes share under 0.1\u00a0%.")


# The ways in


def test_a_dropped_photo_is_answered_as_by_the_service_itself(view: Any, address: str, photos: list[Path]) -> None:
    photo = photos[0]
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


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_photos_are_chosen_by_keyboard(view: Any, address: str, photos: list[Path], key: str) -> None:
    view.on("filechooser", lambda chooser: None)  # from now on no dialog opens: waiting alone may begin too late
    view.keyboard.press("Tab")
    expect(view.get_by_role("button", name="Drop photos here, or choose them")).to_be_focused()
    with view.expect_file_chooser() as choosing:
        view.keyboard.press(key)
    assert choosing.value.is_multiple()
    choosing.value.set_files(photos[0])
    check_shown(view, asked_directly(address, photos[0]))


def test_the_same_file_can_be_chosen_twice(view: Any, photos: list[Path]) -> None:
    for count in (1, 2):
        view.set_input_files("#files", photos[0])
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


def test_an_answer_is_sure_from_the_classifiers_own_threshold(browser: Any, address: str) -> None:
    with opened(browser, address, before=lambda page: tell(page, {"classes": ["a", "b"], "threshold": 0.823})) as view:
        for probability, sentence in (
            (0.83, "It is 83\u00a0% sure."),
            (0.823, "It is 82\u00a0% sure."),
            (0.8229, f"Its best guess has just under 82\u00a0%. {why('82')}"),
            (0.76, f"Its best guess has 76\u00a0%. {why('82')}"),
        ):
            answer_with(view, ("a", probability), ("b", 1 - probability))
            view.set_input_files("#files", some_files(f"{probability}.jpg"))
            verdict = "a" if probability >= 0.823 else "Not sure: maybe a or b"
            expect(view.get_by_role("status")).to_have_text(f"{probability}.jpg: {verdict}. {sentence}")
            expect(view.locator("#verdict")).to_have_text(verdict)
            expect(view.locator("#verdict-note")).to_have_text(sentence)


def why(percent: str) -> str:
    return f"Answers below {percent}\u00a0% are too often wrong."


@pytest.mark.parametrize(
    ("threshold", "guesses", "sentence"),
    [
        (0, (("a", 0.4), ("b", 0.39)), "It is 40\u00a0% sure."),
        (0.4, (("a", 0.45), ("b", 0.44)), "It is 45\u00a0% sure."),
        (1, (("a", 0.9999), ("b", 0.0)), f"Its best guess has over 99.9\u00a0%. {why('100')}"),
        (0.9999, (("a", 0.999), ("b", 0.0)), f"Its best guess has 99.9\u00a0%. {why('100')}"),
        (None, (("a", 0.62), ("b", 0.38)), "Its best guess has 62\u00a0%. Take it as a hint, not as an answer."),
        (None, (("a", 0.62), ("b", 0.1)), "It is 62\u00a0% sure."),
        ("0.9", (("a", 0.62), ("b", 0.1)), "It is 62\u00a0% sure."),
        (1.5, (("a", 0.62), ("b", 0.1)), "It is 62\u00a0% sure."),
    ],
)
def test_odd_thresholds_and_none(view: Any, threshold: Any, guesses: Any, sentence: str) -> None:
    tell(view, {"classes": ["a", "b"], "threshold": threshold})
    view.reload()
    answer_with(view, *guesses)
    view.set_input_files("#files", some_files("a.jpg"))
    expect(view.locator("#verdict-note")).to_have_text(sentence)


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
    waiting = hold(view)
    with view.expect_request(PREDICT):
        view.set_input_files("#files", some_files(*(f"{number}.jpg" for number in range(1, 5))))
    for number in range(1, 5):
        expect(view.locator("#progress-text")).to_have_text(f"Photo {number} of 4: {number}.jpg …")
        assert len(waiting) == number
        with view.expect_request(PREDICT) if number < 4 else nullcontext():
            give(waiting[-1], f"class {number}")
    expect(view.get_by_role("status")).to_have_text("4 photos answered.")
    assert view.locator("#past bdi").all_inner_texts() == [f"class {number}" for number in (4, 3, 2, 1)]


def hold(view: Any) -> list[Any]:
    """Let photos wait for their answers; the list fills with their requests."""
    waiting: list[Any] = []
    view.route(PREDICT, lambda route: waiting.append(route))
    return waiting


def give(route: Any, label: str) -> None:
    route.fulfill(**answered((label, 0.9)))


def test_the_rest_is_not_sent_after_stop(view: Any) -> None:
    waiting = hold(view)
    with view.expect_request(PREDICT):
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


def test_a_busy_service_is_asked_again_when_it_said(browser: Any, address: str) -> None:
    with opened(browser, address, before=lambda page: page.clock.install()) as view:
        view.clock.pause_at(view.evaluate("Date.now() + 1000"))
        asked = reply_with(view, refusal(429, "Busy.", **{"Retry-After": "2"}), answered(*SURE))
        view.set_input_files("#files", some_files("a.jpg"))
        for left in (2, 1):
            expect(view.locator("#progress-text")).to_have_text(f"The service is busy. Trying again in {left}\u00a0s …")
            expect(view.get_by_role("status")).to_have_text("The service is busy. Trying again in 2 seconds.")
            assert len(asked) == 1
            view.clock.run_for(1000)
        expect(view.locator("#verdict")).to_have_text("santa")
        assert len(asked) == 2
        expect(view.get_by_role("alert")).to_be_hidden()


def test_a_service_that_stays_busy_is_given_up(browser: Any, address: str) -> None:
    with opened(browser, address, before=lambda page: page.clock.install()) as view:
        view.clock.pause_at(view.evaluate("Date.now() + 1000"))
        asked = reply_with(view, refusal(429, "Too many photos wait.", **{"Retry-After": "1"}))
        with view.expect_response(PREDICT):
            view.set_input_files("#files", some_files("a.jpg"))
        for number in range(1, 10):
            expect(view.locator("#progress-text")).to_contain_text("Trying again in 1\u00a0s …")
            assert len(asked) == number
            with view.expect_response(PREDICT):
                view.clock.run_for(1000)
        expect(view.get_by_role("alert")).to_have_text("a.jpg: Too many photos wait.")
        assert len(asked) == 10
        answer_with(view, *SURE)
        view.get_by_role("button", name="Try again").click()
        expect(view.locator("#verdict")).to_have_text("santa")
        expect(view.get_by_role("alert")).to_be_hidden()


def test_a_lost_service_is_told_and_the_rest_kept_for_another_try(view: Any) -> None:
    view.route(PREDICT, lambda route: route.abort())
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


def test_this_visit_can_be_looked_back_on_and_cleared(view: Any, photos: list[Path]) -> None:
    for number, photo in enumerate(photos):
        answer_with(view, (f"class {number}", 0.9))
        view.set_input_files("#files", photo)
        expect(view.locator("#verdict")).to_have_text(f"class {number}")
    first, second = (photo.name for photo in photos)
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
    waiting = hold(view)
    with view.expect_request(PREDICT):
        view.set_input_files("#files", some_files("b.jpg", "c.jpg"))
    for number in (1, 2):
        expect(view.locator("#progress-text")).to_contain_text(f"Photo {number} of 2")
        view.locator("#past button").last.click()
        with view.expect_request(PREDICT) if number < 2 else nullcontext():
            give(waiting[-1], "new")
    expect(view.locator("#past li")).to_have_count(3)
    expect(view.locator("#verdict")).to_have_text("old")
