from dataclasses import replace
from itertools import pairwise

import pytest

from graft.data.inspection.summary import inspect_manifest
from graft.data.records import Manifest, Quarantined
from graft.report import page as page_module
from graft.report.inspection_page import SHEET_BYTES, render_inspection
from graft.report.page import is_page_of, render_html
from tests.report.factory import make_inspection, make_manifest, make_report
from tests.report.reading import Element, dangers, heading_levels, read

HOSTILE = "<script>alert(1)</script>"
HOSTILE_PATH = "\" onerror='alert(1)' x=\"><img src=http://example.org/x.png onload=alert(2)>.jpg"


def planted() -> Manifest:
    """Every fault at once: a leak, two labels, a shortcut, an empty class, files left out and passed over."""
    manifest = make_manifest(("a", "b", "empty"), 60)
    photos = [photo for photo in manifest.photos if photo.label != 2]
    turned = [
        replace(photo, facts=replace(photo.facts, orientation=6, width=60 + place % 9)) if photo.label == 0 else photo
        for place, photo in enumerate(photos)
    ]
    train, test = (
        [photo.path for photo in photos if photo.label == 0 and photo.split == split] for split in ("train", "test")
    )
    other = next(photo.path for photo in photos if photo.label == 1 and photo.split == "train")
    return replace(
        manifest,
        photos=tuple(turned),
        near_duplicates=((train[5], test[0]), (train[6], other)),
        ignored=("a/notes.txt",),
    )


def opened(manifest: Manifest) -> Element:
    return read(render_inspection(make_inspection(manifest)))


def test_what_is_wrong_comes_first_and_is_shown() -> None:
    page = opened(planted())
    assert "5 things to look at first" in page.all("section", id="verdict")[0].text
    first = page.all("section", id="first")[0]
    assert [item.all("h3")[0].text for item in first.all("ol")[0].all("li")] == [
        "Classes without photos",
        "Photos in two splits",
        "Photos with two labels",
        "The EXIF orientation gives “a” away",
        "The exact size gives “b” away",
    ]
    assert len(first.all("div", class_="side-by-side")) == 2
    assert all(len(pair.all("img")) == 2 for pair in first.all("div", class_="side-by-side"))
    groups = page.all("ul", class_="groups")[0].all("li")
    assert [("harm" in group.attributes.get("class", "")) for group in groups] == [True, True, False, False]
    assert "a/notes.txt" in page.all("section", id="data")[0].text
    assert page.all("span", class_="tag")


def test_clean_data_are_said_to_be_so() -> None:
    page = opened(make_manifest(("a", "b"), 60, quarantined=0, duplicates=0))
    assert "Nothing stands in the way" in page.all("section", id="verdict")[0].text
    assert "Looked for and not found" in page.all("section", id="first")[0].text
    assert "Every file could be read." in page.text
    assert "No photo is there twice." in page.text
    assert not page.all("span", class_="tag")
    assert len(page.all("figure", class_="sheet")) == 2


def test_it_is_self_contained_and_accessible() -> None:
    page = opened(planted())
    assert dangers(page) == []
    ids = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))
    assert {link.attributes["href"].removeprefix("#") for link in page.all("a")} <= set(ids)
    levels = heading_levels(page)
    assert levels.count(1) == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))
    assert all(image.attributes.get("alt") for image in page.all("img"))


def hostile() -> str:
    manifest = make_manifest((HOSTILE, HOSTILE_PATH, "{{ 7 * 7 }}", "</style>", "a\x1b\u202eb"), 30)
    photos = tuple(
        replace(photo, path=f"{HOSTILE_PATH}{place}" if place < 40 else photo.path)
        for place, photo in enumerate(manifest.photos)
    )
    left_out = (Quarantined(path=HOSTILE_PATH, code="corrupt", reason=HOSTILE),)
    manifest = replace(manifest, photos=photos, quarantined=left_out, ignored=(HOSTILE, HOSTILE_PATH))
    return render_inspection(make_inspection(manifest, name=HOSTILE, command=HOSTILE_PATH))


def test_everything_is_escaped() -> None:
    text = hostile()
    page = read(text)
    assert dangers(page) == []
    for expected in (HOSTILE, HOSTILE_PATH, "{{ 7 * 7 }}", "</style>"):
        assert expected in page.text
    assert not set("\x1b\u202e") & set(text)


def test_without_escaping_the_dangers_would_show(monkeypatch: pytest.MonkeyPatch) -> None:
    environment = page_module._environment()
    environment.autoescape = False
    monkeypatch.setattr(page_module, "_environment", lambda: environment)
    with pytest.raises(AssertionError):
        assert dangers(read(hostile())) == []


def test_the_data_section_is_that_of_the_report() -> None:
    manifest = make_manifest(("a", "b"), 60)
    report = read(render_html(make_report(("a", "b"), manifest=manifest, inspection=inspect_manifest(manifest))))
    page = opened(manifest)
    for table in ("counts", "files"):
        assert page.all("table", class_=table)[0].text == report.all("table", class_=table)[0].text
    for section in ("duplicates", "samples"):
        assert page.all("section", id=section)[0].all("img")
        assert len(page.all("section", id=section)[0].all("img")) == len(
            report.all("section", id=section)[0].all("img")
        )


def test_its_own_pages_are_known() -> None:
    page = render_inspection(make_inspection(make_manifest(("a", "b"), 20), name="x" * 255)).encode()
    assert is_page_of("Graft inspection", page)
    assert not is_page_of("Graft inspection", render_html(make_report(("a", "b"), per_class=20)).encode())
    assert not is_page_of("Graft inspection", b"")


def test_the_page_stays_small_and_the_same() -> None:
    heavy = b"\xff" * 20_000
    manifest = make_manifest(tuple(f"class {i:03}" for i in range(200)), 100, quarantined=900, duplicates=100)
    data = make_inspection(manifest, n_samples=1)
    pictures = replace(
        data.pictures,
        thumbnails={photo.path: heavy for photo in manifest.photos},
        sheet={name: paths * 4 for name, paths in data.pictures.sheet.items()},
    )
    text = render_inspection(replace(data, pictures=pictures))
    assert len(text) < (SHEET_BYTES + 200 * len(heavy)) * 4 / 3 + 1_500_000
    assert text == render_inspection(replace(data, pictures=pictures))


@pytest.mark.parametrize("classes", [("only",), ("a", "b")])
def test_a_page_without_any_photo_renders(classes: tuple[str, ...]) -> None:
    manifest = replace(make_manifest(classes, 8), photos=(), near_duplicates=())
    page = opened(manifest)
    assert "No file could be used as a photo." in page.text
    assert "No thumbnails were kept." in page.text
