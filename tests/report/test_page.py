import hashlib
import json
import subprocess
import sys
import time
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from graft.core.errors import IntegrityProblem
from graft.data.inspection.concerns import Concern
from graft.data.inspection.summary import inspect_manifest
from graft.data.records import Quarantined
from graft.report import page as page_module
from graft.report import words
from graft.report.data import Answered, Pictures, ReportData, Viewed
from graft.report.overview import SHEET_BYTES
from graft.report.page import render_html, render_json
from tests.report.factory import make_report, make_tuned_report, make_tuning
from tests.report.reading import Element, dangers, heading_levels, read

ROOT = Path(__file__).resolve().parents[2]
SECTIONS = (
    "score", "trust", "basis", "next", "data", "left-out", "duplicates", "depth", "confusion", "classes", "calibration",
    "answers", "mistakes", "samples", "making",
)  # fmt: skip
HOSTILE = "<script>alert(1)</script>"
HOSTILE_ATTRIBUTE = "\" onerror='alert(1)' x=\"><img src=http://example.org/x.png onload=alert(2)>"


def hostile_report() -> ReportData:
    """Markup in every text that a user or a file may bring in."""
    classes = (HOSTILE, HOSTILE_ATTRIBUTE, "{{ 7 * 7 }}{% for x in y %}", "</title></style><b>", "&lt;i&gt;")
    data = make_report(classes, per_class=60, skill=3.0, name=HOSTILE)
    left_out = (Quarantined(path=f"{HOSTILE}/a.jpg", code="corrupt", reason=HOSTILE_ATTRIBUTE),)
    manifest = replace(data.manifest, quarantined=left_out)
    paths = tuple(photo.path for photo in manifest.photos[:3])
    return replace(
        data,
        manifest=manifest,
        inspection=replace(
            inspect_manifest(manifest),
            concerns=(Concern(kind="copies", first=True, sentence=HOSTILE, remedy=HOSTILE_ATTRIBUTE),),
        ),
        command=f"graft train {HOSTILE_ATTRIBUTE}",
        created=HOSTILE,
        plan={HOSTILE: {HOSTILE_ATTRIBUTE: [HOSTILE]}, "recipe": HOSTILE, "recipe_reason": HOSTILE_ATTRIBUTE},
        mistakes=(Answered(HOSTILE_ATTRIBUTE, HOSTILE, HOSTILE_ATTRIBUTE, 0.9, b"\xff\xd8"),),
        answers=(Answered(HOSTILE_ATTRIBUTE, HOSTILE, HOSTILE_ATTRIBUTE, 0.9, b"\xff\xd8"),),
        tuning=make_tuning(reason=HOSTILE),
        views=(Viewed(HOSTILE_ATTRIBUTE, HOSTILE, ((b"\xff\xd8", HOSTILE_ATTRIBUTE),)),),
        pictures=Pictures({path: b"\xff\xd8" for path in paths}, {HOSTILE: paths[:2], HOSTILE_ATTRIBUTE: paths[2:]}),
        seconds={HOSTILE: 1.0},
        versions={HOSTILE: HOSTILE_ATTRIBUTE},
        machine={HOSTILE_ATTRIBUTE: HOSTILE},
        bundle_name=HOSTILE,
        licences=((HOSTILE, HOSTILE_ATTRIBUTE),),
        events=(HOSTILE,),
        next_commands=((f"graft predict {HOSTILE}", HOSTILE_ATTRIBUTE),),
    )


def test_every_section_is_there_and_every_link_leads_to_one(page: Element) -> None:
    ids = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert set(SECTIONS) <= set(ids)
    links = [link.attributes["href"] for link in page.all("a")]
    assert len(links) > 8
    assert {link.removeprefix("#") for link in links} <= set(ids)


def test_the_page_is_self_contained(report: ReportData, page: Element) -> None:
    assert dangers(page) == []
    text = render_html(report)
    assert "http" not in text.replace("http-equiv", "")
    policy = page.all("meta", **{"http-equiv": "Content-Security-Policy"})[0].attributes["content"]
    assert policy.startswith("default-src 'none'; img-src data:;")


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("</main>", "<script>1</script></main>"),
        lambda text: text.replace("data:image/jpeg;base64,", "https://example.org/", 1),
        lambda text: text.replace("<h1>", "<h1 onclick='x()'>"),
        lambda text: text.replace("</style>", "@import 'x';</style>"),
    ],
)
def test_what_looks_for_dangers_finds_them(report: ReportData, change) -> None:
    assert dangers(read(change(render_html(report))))


def test_everything_is_escaped() -> None:
    data = hostile_report()
    page = read(render_html(data))
    assert dangers(page) == []
    assert page.all("h1")[0].text == HOSTILE
    assert page.all("title")[0].text.startswith(HOSTILE)
    for text in (HOSTILE, HOSTILE_ATTRIBUTE, "{{ 7 * 7 }}", "</title></style><b>", "&lt;i&gt;"):
        assert text in page.text
    mistake = page.all("section", id="mistakes")[0].all("img")[0]
    assert mistake.attributes["alt"] == HOSTILE_ATTRIBUTE


def test_without_escaping_the_dangers_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = page_module._environment()
    environment.autoescape = False
    monkeypatch.setattr(page_module, "_environment", lambda: environment)
    with pytest.raises(AssertionError):
        assert dangers(read(render_html(hostile_report()))) == []


def test_control_signs_and_direction_overrides_do_not_reach_the_page() -> None:
    data = make_report(("a\x1b[31m", "b\u202egpj.exe", "c\nd"), per_class=40, skill=2.0, name="x\x00\udc80")
    text = render_html(data)
    assert not set("\x00\x1b\u202e\udc80") & set(text)
    text.encode("utf-8")
    assert "b\ufffdgpj.exe" in read(text).text


def test_the_figures_come_from_the_records(report: ReportData, page: Element) -> None:
    evaluation = report.evaluation
    opening = page.all("section", id="score")[0].text
    assert words.percent_number(evaluation.accuracy.value) in opening
    assert words.span(evaluation.accuracy.low, evaluation.accuracy.high) in opening
    right = sum(evaluation.confusion[i][i] for i in range(10))
    assert f"{right} of {evaluation.n} photos it never saw" in opening
    assert words.percent(report.comparison.accuracy_first) in opening
    assert words.percent(evaluation.majority_share) in opening
    classes = page.all("table", class_="classes")[0].text
    for item in evaluation.per_class:
        assert words.percent_number(item.recall.value) in classes
    cells = [row.all("td") for row in page.all("table", class_="matrix")[0].all("tbody")[0].all("tr")]
    assert tuple(tuple(int(cell.text) for cell in row) for row in cells) == evaluation.confusion
    counts = page.all("table", class_="counts")[0]
    first = report.inspection.classes[0]
    expected = [str(n) for n in (first.train, first.validation, first.test, first.total)]
    assert [cell.text for cell in counts.all("tbody")[0].all("tr")[0].all("td")][:4] == expected
    making = page.all("section", id="making")[0].text
    for text in (report.command, *report.versions.values(), evaluation.manifest_hash, "Read photos", "Apache-2.0"):
        assert text in making


def test_a_changed_figure_changes_the_page(report: ReportData) -> None:
    worse = replace(report.evaluation, accuracy=replace(report.evaluation.accuracy, value=0.4321, low=0.4))
    opening = read(render_html(replace(report, evaluation=worse))).all("section", id="score")[0].text
    assert "43.2" in opening


def test_left_out_files_and_copies_are_listed(report: ReportData, page: Element) -> None:
    data = page.all("section", id="data")[0].text
    for item in report.manifest.quarantined:
        assert item.path in data
        assert item.code in data
        assert item.reason in data
    copies = page.all("section", id="duplicates")[0].text
    for group in report.inspection.exact_duplicates:
        assert all(path in copies for path in group.paths)


def test_mistakes_show_both_classes_and_the_probability(report: ReportData, page: Element) -> None:
    shown = page.all("section", id="mistakes")[0].all("li")
    assert len(shown) == len(report.mistakes) > 3
    for item, mistake in zip(shown, report.mistakes, strict=True):
        assert f"said {mistake.predicted}" in item.text
        assert f"is {mistake.true}" in item.text
        assert words.percent(mistake.probability, 0) in item.text
        assert item.all("img")[0].attributes["alt"] == mistake.path


def test_answers_stand_in_a_grid_and_the_wrong_ones_are_marked(report: ReportData, page: Element) -> None:
    section = page.all("section", id="answers")[0]
    shown = section.all("li")
    assert len(shown) == len(section.all("img")) == 25
    for item, element in zip(report.answers, shown, strict=True):
        wrong = item.true != item.predicted
        assert ("wrong" in element.attributes.get("class", "").split()) == wrong
        assert element.all("span", class_="truth")[0].text == f"is {item.true}"
        assert element.all("span", class_="said")[0].text == f"{'✗' if wrong else '✓'} said {item.predicted}"
    assert "2 are wrong, and framed." in section.text
    assert f"25 of the {report.evaluation.n} photos it never saw" in section.text


def test_runs_without_kept_answers_have_no_such_section(report: ReportData) -> None:
    page = read(render_html(replace(report, answers=())))
    assert page.all("section", id="answers") == []
    assert "#answers" not in [link.attributes["href"] for link in page.all("a")]


def test_augmented_views_stand_beside_their_photo() -> None:
    data = make_tuned_report()
    rows = read(render_html(data)).all("section", id="tuning")[0].all("figure", class_="views")
    assert [len(row.all("img")) for row in rows] == [6] * 4
    assert rows[0].all("img")[1].attributes["title"] == "+1°, mirrored"
    assert data.views[0].path in rows[0].text
    assert read(render_html(replace(data, views=()))).all("figure", class_="views") == []


def test_a_validation_score_is_called_one() -> None:
    data = make_report(split="validation", per_class=60)
    page = read(render_html(data))
    opening = page.all("section", id="score")[0].text
    assert opening.strip().startswith("Validation accuracy")
    assert "no test photos were held back" in opening
    assert "never saw" not in page.text
    assert "--split 70/15/15" in page.all("section", id="next")[0].text


def test_it_is_accessible(page: Element) -> None:
    assert page.all("html")[0].attributes["lang"] == "en"
    levels = heading_levels(page)
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert all("alt" in image.attributes for image in page.all("img"))
    ids = {element.attributes["id"]: element for element in page.all() if "id" in element.attributes}
    for chart in page.all("svg"):
        if chart.attributes.get("aria-hidden") == "true":
            continue
        assert chart.attributes["role"] == "img"
        assert all(ids[name].text.strip() for name in chart.attributes["aria-labelledby"].split())
    assert len(page.all("svg", role="img")) == 2  # all photos are of one size: there is no chart of sizes
    for table in page.all("table"):
        assert table.all("caption")[0].text.strip()
        assert table.all("th", scope="col")
    assert len(page.all("main")) == len(page.all("header")) == len(page.all("footer")) == 1


@pytest.mark.parametrize("k", [2, 24, 25, 200])
def test_confusions_can_be_read_for_any_number_of_classes(k: int) -> None:
    data = make_report(tuple(f"class_{i}" for i in range(k)), per_class=40, skill=4.0, n_samples=1, n_mistakes=1)
    section = read(render_html(data)).all("section", id="confusion")[0]
    rows = section.all("table", class_="matrix")[0].all("tbody")[0].all("tr")
    assert len(rows) == (k if k <= 24 else 12)
    assert len(section.all("svg", role="img")) == (k > 24)
    if k > 24:
        drawn = sum(n > 0 for row in data.evaluation.confusion for n in row)
        assert len(section.all("svg")[0].all("path")) == drawn


def test_a_perfect_score_has_nothing_to_show_as_mistake() -> None:
    page = read(render_html(make_report(("cat", "dog"), skill=4000.0, per_class=100)))
    assert "100.0" in page.all("section", id="score")[0].text
    assert "It made none" in page.all("section", id="mistakes")[0].text
    assert "No photo was taken for another class" in page.all("section", id="confusion")[0].text


def test_a_report_with_little_in_it_renders() -> None:
    page = read(
        render_html(
            make_report(
                ("a", "b"), per_class=20, comparison_with_last_layer=None, mistakes=(), pictures=Pictures(), seconds={},
                plan={}, licences=(), next_commands=(), events=(), versions={}, machine={}, quarantined=0,
            )
        )
    )  # fmt: skip
    assert "Every file could be read." in page.text
    assert "No thumbnails were kept." in page.text


def test_twenty_thousand_photos_make_a_small_page_fast() -> None:
    picture = bytes(range(256)) * 16
    data = make_report(
        tuple(f"class {i:03}" for i in range(200)),
        per_class=100,
        skill=6.0,
        picture=lambda *_: picture,
        quarantined=900,
    )
    assert len(data.manifest.photos) > 19_000
    start = time.process_time()
    text = render_html(data)
    assert time.process_time() - start < 2
    assert len(text) < SHEET_BYTES * 4 / 3 + 1_500_000
    assert sum(photo.path in text for photo in data.manifest.photos[:500]) < 30


def test_the_same_records_give_the_same_bytes(report: ReportData) -> None:
    assert render_html(report) == render_html(report)
    assert render_json(report) == render_json(report)


@pytest.mark.slow
def test_another_process_gives_the_same_bytes(report: ReportData) -> None:
    program = (
        "import hashlib; from tests.report.factory import make_report; from graft.report.page import *\n"
        "d = make_report(); print(hashlib.sha256(render_html(d).encode() + render_json(d)).hexdigest())"
    )
    expected = hashlib.sha256(render_html(report).encode() + render_json(report)).hexdigest()
    for seed, zone in (("1", "Asia/Tokyo"), ("2", "America/Lima")):
        environment = {"PYTHONHASHSEED": seed, "TZ": zone, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "LC_ALL": "C"}
        done = subprocess.run(
            [sys.executable, "-c", program], env=environment, cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == expected


def test_the_json_file_holds_the_records(report: ReportData) -> None:
    value = json.loads(render_json(report))
    assert value["schema"] == "graft/report/1"
    assert value["evaluation"]["accuracy"]["value"] == report.evaluation.accuracy.value
    assert value["evaluation"]["schema"] == "graft/evaluation/1"
    assert sum(value["photos"].values()) == len(report.manifest.photos)
    assert value["photos"]["test"] == report.evaluation.n
    assert value["manifest_hash"] == report.evaluation.manifest_hash
    assert [item["path"] for item in value["mistakes"]] == [item.path for item in report.mistakes]
    assert "photos" not in value["inspection"]


def test_the_json_file_survives_names_that_are_no_text(report: ReportData) -> None:
    assert json.loads(render_json(replace(report, name="caf\udce9")))["name"] == "caf\udce9"


def test_records_that_do_not_belong_together_are_refused(report: ReportData) -> None:
    other = make_report(("a", "b"), per_class=20)
    with pytest.raises(IntegrityProblem, match="must have the manifest's 10 classes"):
        replace(report, evaluation=other.evaluation)
    with pytest.raises(IntegrityProblem, match="one row and one column"):
        replace(report, evaluation=replace(report.evaluation, confusion=report.evaluation.confusion[:-1]))
    with pytest.raises(IntegrityProblem, match="comparison"):
        replace(report, comparison_with_last_layer={"difference": 0.1})
