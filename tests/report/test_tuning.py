import json
from dataclasses import replace
from itertools import pairwise

import pytest

from graft.core.errors import IntegrityProblem
from graft.core.records import from_json, to_json, to_value
from graft.data.augmentation.records import Augmentation
from graft.report import findings, tuning
from graft.report.data import ReportData
from graft.report.page import render_html, render_json
from graft.report.text import summary_text
from graft.training.tuning.records import TuningSummary
from tests.report.factory import make_asked, make_epochs, make_schedule, make_tuning
from tests.report.reading import Element, dangers, heading_levels, read


@pytest.fixture(scope="module")
def section(tuned: ReportData) -> Element:
    return read(render_html(tuned)).all("section", id="tuning")[0]


def with_schedule(data: ReportData, **changes: object) -> ReportData:
    return replace(data, plan=data.plan | {"schedules": [to_value(make_schedule(**changes))]})


def asked(data: ReportData, **changes: object) -> ReportData:
    return replace(data, plan=data.plan | {"tuning": to_value(make_asked(**changes))})


def shown(data: ReportData) -> str:
    return " ".join(read(render_html(data)).all("section", id="tuning")[0].text.split())


def test_the_verdict_comes_first_with_why_and_the_comparison(section: Element) -> None:
    paragraphs = [p.text for p in section.all("div", class_="body")[0].all("p")]
    assert paragraphs[0] == "The fine-tuned network was kept."
    assert paragraphs[1] == "Its log loss on the validation photos is lower."
    assert paragraphs[2] == (
        "On 309 validation photos the fine-tuned network was right on 99.7\u00a0%, the linear probe on 97.1\u00a0%: "
        "better, +2.6 points (95 % interval +0.6 to +5.1; exact test, p\u00a0=\u00a00.021)."
    )
    assert "0.112 for the linear probe, 0.0310 fine-tuned" in paragraphs[3]
    assert paragraphs[4].startswith("On 310 test photos")
    assert paragraphs[4].endswith("Test photos had no part in the choice.")


def test_what_was_frozen_and_trained_is_counted_and_proved(tuned: ReportData, section: Element) -> None:
    facts = {row.all("dt")[0].text: row.all("dd")[0].text for row in section.all("dl")[0].all("div")}
    assert (
        facts["Trained, upper layers"] == "2,663,424 weights in 14 layers, conv_dw_7 to conv_pw_13; and the classifier"
    )
    assert facts["Frozen, upper layers"] == "565,440 weights. BatchNormalization stays as it was in every layer"
    assert facts["Computed once, upper layers"] == (
        "up to conv_pw_6_relu, computed once for 8 views of each training photo and stored (757 MB)"
    ).replace("757 MB", "757\u00a0MB")
    assert facts["Planned, upper layers"] == tuned.schedules[1].reason
    assert facts["Course"] == "12 epochs. Best: epoch 11."
    assert tuned.tuning.frozen_sha256 in section.text


def test_every_epoch_stands_in_the_table_with_its_phase(tuned: ReportData, section: Element) -> None:
    table = section.all("table", class_="epochs")[0]
    assert [row.text for row in table.all("th", scope="rowgroup")] == ["Phase 1, head", "Phase 2, upper layers"]
    cells = [[cell.text for cell in row.children] for row in table.all("tr") if row.all("th", scope="row")]
    assert [row[0] for row in cells] == [*map(str, range(1, 11)), "11 (best)", "12"]
    assert cells[0][1:] == ["0.001", "1.21", "81.7", "0.120", "95.8"]


def test_the_page_stays_safe_and_accessible(tuned: ReportData) -> None:
    page = read(render_html(tuned))
    assert dangers(page) == []
    levels = heading_levels(page)
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    ids = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert "#tuning" in {link.attributes["href"] for link in page.all("nav")[0].all("a")}
    for chart in page.all("section", id="tuning")[0].all("svg"):
        assert all(name in ids for name in chart.attributes["aria-labelledby"].split())


def test_markup_in_names_is_shown_not_obeyed(tuned: ReportData) -> None:
    bad = "<script>alert(1)</script>"
    epochs = tuple(replace(row, phase=bad) for row in make_epochs())
    data = with_schedule(
        replace(tuned, tuning=make_tuning(epochs=epochs, reason=bad, events=(bad,), frozen_sha256=bad)),
        cut=(bad,), trained=(bad,), reason=bad,
    )  # fmt: skip
    page = read(render_html(data))
    assert dangers(page) == []
    assert page.all("section", id="tuning")[0].text.count(bad) >= 6


def test_a_run_without_fine_tuning_has_no_such_section(report: ReportData, page: Element) -> None:
    assert page.all("section", id="tuning") == []
    assert "#tuning" not in {link.attributes["href"] for link in page.all("a")}
    assert json.loads(render_json(report))["fine_tuning"] is None


def test_no_difference_and_worse_are_called_so() -> None:
    same = make_tuning(lost=0, won=0).comparison
    assert "97.1\u00a0%: no difference (95 % interval −" in tuning.comparison_sentence(same, "validation")
    chance = make_tuning(lost=2, won=3).comparison
    assert tuning.comparison_sentence(chance, "validation").endswith("which may be chance.")
    worse = make_tuning(lost=40, won=0).comparison
    told = tuning.comparison_sentence(worse, "validation")
    assert ": worse, −12.9 points" in told
    assert "p\u00a0<\u00a00.001" in told


def test_a_probe_that_was_kept_is_said_to_be(tuned: ReportData) -> None:
    summary = make_tuning(lost=3, won=2, kept="probe", reason="it is not shown to be better on the validation photos.")
    text = shown(replace(tuned, tuning=summary))
    assert "The linear probe was kept. It is not shown to be better on the validation photos. On 309" in text


def test_a_training_that_was_stopped_says_how_to_go_on(tuned: ReportData) -> None:
    summary = make_tuning(epochs=make_epochs(2, 3), best_epoch=5, finished=False)
    assert "Stopped after 5 of 12 epochs; the same command goes on from there. Best: epoch 5." in shown(
        replace(tuned, tuning=summary)
    )
    why = "stopped before its first epoch had ended"
    nothing = make_tuning(epochs=(), best_epoch=0, finished=False, comparison=None, kept="probe", reason=why)
    data = replace(tuned, tuning=nothing)
    assert "stopped before its first epoch had ended. The linear probe was kept." in shown(data)
    assert read(render_html(data)).all("section", id="tuning")[0].all("svg") == []
    assert "stopped before its first epoch had ended" in summary_text(data, report="r", bundle="b")


def test_a_fine_tuning_that_was_left_out_says_why(tuned: ReportData) -> None:
    why = "left out, for the probe was right on all 138 validation photos"
    summary = make_tuning(epochs=(), best_epoch=0, comparison=None, kept="probe", reason=why)
    data = replace(tuned, tuning=summary)
    assert f"Fine-tuning was {why}. The linear probe was kept." in shown(data)
    assert why in summary_text(data, report="r", bundle="b")


def test_early_stopping_is_told(tuned: ReportData) -> None:
    summary = make_tuning(epochs=make_epochs(2, 6), best_epoch=6, stopped_early=True)
    assert "Ended after 8 of 12 epochs: the validation loss no longer fell. Best: epoch 6." in shown(
        replace(tuned, tuning=summary)
    )


def test_training_from_pixels_and_of_the_head_alone_is_told(tuned: ReportData) -> None:
    assert "nothing was stored: each epoch computed the whole network from the pixels" in shown(
        with_schedule(tuned, cut=(), store_bytes=0)
    )
    assert "the classifier alone; the whole network stayed as it was" in shown(
        with_schedule(tuned, trained=(), n_trained_parameters=0)
    )
    assert "computed once for each training photo and stored" in shown(with_schedule(tuned, views=1))


def test_views_are_told_in_words(tuned: ReportData) -> None:
    views = dict(tuning.facts(with_schedule(tuned)))["Views"]
    assert views.startswith("the photo as it is, and others turned by up to 20°, ")
    assert dict(tuning.facts(with_schedule(tuned, cut=())))["Views"].startswith("turned by up to 20°")
    for plain in (with_schedule(tuned, views=1), asked(with_schedule(tuned), augmentation=Augmentation())):
        assert dict(tuning.facts(plain))["Views"] == "each photo as it is"


def test_what_is_told_elsewhere_is_not_told_twice(tuned: ReportData) -> None:
    data = replace(tuned, tuning=replace(tuned.tuning, events=("of tuning",)), events=("of tuning", "another"))
    page = read(render_html(data))
    assert [item.text for item in page.all("section", id="tuning")[0].all("ul", class_="notes")[0].all("li")] == [
        "of tuning"
    ]
    assert [item.text for item in page.all("section", id="making")[0].all("ul", class_="notes")[0].all("li")] == [
        "another"
    ]


def test_phases_are_listed_with_what_they_trained(section: Element) -> None:
    told = [item.text for item in section.all("ol", class_="phases")[0].all("li")]
    assert told == [
        "1 head, epochs 1 to 2: the classifier alone, Adam, rate up to 1e-3",
        "2 upper layers, epochs 3 to 12: the trained layers with the classifier, Adam, rate up to 1e-3, "
        "×\u00a00.9 for each block further down",
    ]


def test_the_note_names_what_makes_training_harder(tuned: ReportData) -> None:
    assert "learns from, with smoothed labels, while" in tuning.training_note(tuned)
    assert "with smoothed labels and mixed photos, while" in tuning.training_note(asked(tuned, mixup=0.2))
    assert "learns from, while" in tuning.training_note(asked(tuned, label_smoothing=0.0))
    assert "learns from, while" in tuning.training_note(replace(tuned, plan=tuned.plan | {"tuning": None}))


def test_the_opening_compares_with_what_was_not_kept(tuned: ReportData) -> None:
    opening = read(render_html(tuned)).all("section", id="score")[0].text
    assert "The linear probe, before fine-tuning97.1" in opening
    not_kept = replace(tuned, tuning=replace(tuned.tuning, kept="probe"))
    assert tuning.other_score(not_kept) == [("Fine-tuned, not kept", pytest.approx(308 / 310))]
    other_photos = replace(tuned.tuning.comparison_on_test, n=309)
    assert tuning.other_score(replace(tuned, tuning=replace(tuned.tuning, comparison_on_test=other_photos))) == []
    assert tuning.other_score(replace(tuned, tuning=replace(tuned.tuning, comparison_on_test=None))) == []


def test_the_depth_profile_is_said_to_be_the_probes(tuned: ReportData) -> None:
    assert "was right before fine-tuning on" in findings.reading_sentence(tuned.probe, before=findings.is_tuned(tuned))
    depth = read(render_html(tuned)).all("section", id="depth")[0].text
    assert "was right before fine-tuning on" in depth
    kept_probe = replace(tuned, tuning=replace(tuned.tuning, kept="probe"))
    assert "before fine-tuning" not in read(render_html(kept_probe)).all("section", id="depth")[0].text


def test_under_a_time_budget_only_the_plan_promises_the_same_bytes(tuned: ReportData, report: ReportData) -> None:
    assert findings.again_sentence(tuned).startswith("Under a time budget")
    assert findings.again_sentence(asked(tuned, time_budget_seconds=None)).startswith("The same command")
    assert findings.again_sentence(report).startswith("The same command")


def test_the_summary_says_it_in_two_lines(tuned: ReportData) -> None:
    text = summary_text(tuned, report="runs/x/report.html", bundle="runs/x/classifier.graft")
    lines = text.split("\n")
    assert len(lines) <= 18
    start = next(i for i, line in enumerate(lines) if line.startswith("Fine-tuning"))
    assert lines[start].endswith("kept: 99.7 %, probe 97.1 % on 309 validation photos: better (p = 0.021)")
    assert lines[start + 1].strip() == "12 epochs. Best: epoch 11."
    assert text.isascii()
    unfinished = make_tuning(lost=3, won=2, kept="probe", epochs=make_epochs(2, 3), best_epoch=4, finished=False)
    text = summary_text(replace(tuned, tuning=unfinished), report="r", bundle="b")
    assert "not kept: 96.8 %, probe 97.1 % on 309 validation photos: may be chance (p = 1.00)" in text
    assert all(len(line) <= 100 for line in text.split("\n"))


def test_the_json_holds_the_whole_record(tuned: ReportData) -> None:
    value = json.loads(render_json(tuned))
    assert value["fine_tuning"]["schema"] == "graft/tuning/1"
    again = from_json(TuningSummary, json.dumps(value["fine_tuning"]).encode(), source="report.json")
    assert to_json(again) == to_json(tuned.tuning)
    assert value["plan"]["schedules"][1]["cut"] == ["conv_pw_6_relu"]


def test_a_schedule_that_is_none_is_refused(tuned: ReportData) -> None:
    with pytest.raises(IntegrityProblem, match=r"plan\.schedules"):
        replace(tuned, plan=tuned.plan | {"schedules": [{"cut": []}]})


def test_without_a_schedule_the_section_is_shorter(tuned: ReportData) -> None:
    data = replace(tuned, plan={key: value for key, value in tuned.plan.items() if key != "schedules"})
    assert [name for name, _ in tuning.facts(data)] == ["Course"]
    assert "The fine-tuned network was kept." in shown(data)
