"""A score that is flattered is never praised."""

from dataclasses import replace

import pytest

from graft.data.records import ImageFacts, Manifest
from graft.report import cautions
from graft.report.data import ReportData
from graft.report.page import render_html
from graft.report.text import summary_text
from tests.report.factory import make_report
from tests.report.reading import read


def leaking(manifest: Manifest, source: str, target: str, n: int) -> Manifest:
    """The manifest where the first `n` photos of `target` have the bytes of a photo of the same class in `source`."""
    digests = {photo.label: photo.sha256 for photo in manifest.photos if photo.split == source}
    places = [place for place, photo in enumerate(manifest.photos) if photo.split == target][:n]
    photos = list(manifest.photos)
    for place in places:
        photos[place] = replace(photos[place], sha256=digests[photos[place].label])
    return replace(manifest, photos=tuple(photos))


@pytest.mark.parametrize(
    ("source", "split", "seen"),
    [("train", "test", 3), ("validation", "test", 3), ("test", "test", 0), ("train", "validation", 3)],
)
def test_scored_photos_that_it_learned_from_are_counted(source: str, split: str, seen: int) -> None:
    manifest = make_report(("a", "b"), per_class=60, split="test").manifest
    assert cautions.seen_photos(leaking(manifest, source, split, 3), split) == seen
    assert cautions.seen_photos(leaking(manifest, source, split, 3), "train") == 0


def test_scored_photos_that_look_like_one_it_learned_from_are_counted() -> None:
    manifest = make_report(("a", "b"), per_class=60, split="test").manifest
    of = {split: [photo.path for photo in manifest.photos if photo.split == split] for split in ("train", "test")}
    near = ((of["test"][0], of["train"][0], of["train"][1]), (of["test"][1], of["test"][2]))
    assert cautions.seen_photos(replace(manifest, near_duplicates=near), "test") == 1
    assert cautions.seen_photos(leaking(replace(manifest, near_duplicates=near), "train", "test", 1), "test") == 1
    assert cautions.seen_photos(replace(manifest, near_duplicates=near), "train") == 0


def test_neither_page_nor_terminal_praises_a_leak(report: ReportData) -> None:
    data = replace(report, manifest=leaking(report.manifest, "train", "test", 7))
    text = summary_text(data, report="r", bundle="b")
    expected = f"7 of these {data.evaluation.n} photos are also among those it learned from"
    assert "never saw" not in text
    assert f"of {data.evaluation.n} test photos" in text
    assert f"Mind              {expected}" in text
    page = read(render_html(data)).all("section", id="score")[0].text
    assert "never saw" not in page
    assert expected in page
    assert "Mind" not in summary_text(report, report="r", bundle="b")


def test_at_most_three_lines_are_to_mind() -> None:
    data = make_report(("a", "b", "c", "d", "e", "f"), per_class=60, skill=1.0)
    one, other = data.manifest.photos[0], data.manifest.photos[-1]
    photos = (*data.manifest.photos[:-1], replace(other, sha256=one.sha256))
    manifest = leaking(replace(data.manifest, photos=photos), "train", "test", 1)
    rows = tuple(replace(item, support=0) if item.name > "a" else item for item in data.evaluation.per_class)
    found = replace(data, manifest=manifest, evaluation=replace(data.evaluation, per_class=rows))
    lines = cautions.lines(found.manifest, found.evaluation)
    assert lines[0].startswith("1 of these ")
    assert lines[1:] == (
        "1 photo lies in two classes: one label is wrong.",
        "No photo was scored of “b”, “c” and “d” and 2 more.",
    )
    text = summary_text(found, report="r", bundle="b").split("\n")
    assert len(text) <= 15
    assert sum(line.startswith("Mind") for line in text) == 1


def test_photos_read_nearly_black_come_first() -> None:
    facts = ImageFacts(
        format="PNG", width=9, height=9, mode="I;16", highest_sample=4_000, flags=("low_range", "sixteen_bit")
    )
    data = make_report(("a", "b"), per_class=60)
    dark = replace(data.manifest, photos=tuple(replace(photo, facts=facts) for photo in data.manifest.photos))
    first = cautions.lines(dark, data.evaluation)[0]
    assert "nearly black" in first
    assert "--white 4095" in first
