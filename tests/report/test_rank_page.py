"""The page of a ranking, and its chart."""

import random
from dataclasses import replace
from itertools import combinations

import pytest

from graft.evaluation.ranking import NotRanked
from graft.report import page as page_module
from graft.report.frontier import NAMED_BOX, NUMBERED_BOX, Spot, place_labels, speed_ticks
from graft.report.rank_page import RankPage, render_ranking
from tests.report.rankings import make_ranking
from tests.report.reading import dangers, heading_levels, read
from tests.report.test_page import HOSTILE, HOSTILE_ATTRIBUTE

NETWORKS = {"large": (0.97, 50.0), "middle": (0.965, 200.0), "beaten": (0.93, 40.0), "small": (0.9, 900.0)}


def page_of(ranking, **changes) -> RankPage:
    values = {
        "name": "photos",
        "created": "2026-11-22T10:17:00+00:00",
        "command": "graft backbones rank photos -o rank.html",
        "next_command": "graft train photos --backbone middle",
        "ranking": ranking,
        "versions": {"python": "3.13"},
        "machine": {"threads": "2"},
    }
    return RankPage(**(values | changes))


def hostile() -> RankPage:
    broken = NotRanked(
        backbone=HOSTILE, title=HOSTILE, weights_sha256="", code="x", reason=HOSTILE_ATTRIBUTE, hint=HOSTILE
    )
    ranking = make_ranking(NETWORKS, not_ranked=(broken,))
    first, *rest = ranking.entries
    entries = (replace(first, title=HOSTILE_ATTRIBUTE, backbone=HOSTILE), *rest)
    return page_of(
        replace(ranking, entries=entries),
        name=HOSTILE,
        command=HOSTILE_ATTRIBUTE,
        next_command=HOSTILE,
        versions={HOSTILE: HOSTILE_ATTRIBUTE},
        machine={HOSTILE_ATTRIBUTE: HOSTILE},
    )


def test_the_page_is_whole_and_self_contained():
    text = render_ranking(page_of(make_ranking(NETWORKS)))
    page = read(text)
    assert dangers(page) == []
    assert "http" not in text.replace("http-equiv", "")
    assert heading_levels(page)[0] == 1 and heading_levels(page).count(1) == 1
    for words in ("Take Middle", "graft train photos --backbone middle", "97.0", "90 test photos"):
        assert words in page.text
    ids = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(ids) == len(set(ids))


def test_the_chart_has_every_backbone_twice_labelled_and_one_ring():
    page = read(render_ranking(page_of(make_ranking(NETWORKS))))
    chart = page.all("div", class_="frontier")[0]
    assert [each.text for each in chart.all("span", class_="named")] == ["Large", "Middle", "Beaten", "Small"]
    assert [each.text for each in chart.all("span", class_="numbered")] == ["1", "2", "3", "4"]
    assert len(chart.all("path", class_="behind")) == 1
    assert len(chart.all("path", class_="ring")) == 2
    assert chart.all("svg")[0].attributes["role"] == "img"
    assert "900 photos/s" in chart.all("desc")[0].text


def test_one_backbone_alone_makes_a_page():
    page = read(render_ranking(page_of(make_ranking({"sprout": (1.0, 100.0)}))))
    assert "graft backbones fetch NAME" in page.text


def test_everything_is_escaped():
    page = read(render_ranking(hostile()))
    assert dangers(page) == []
    assert page.all("h1")[0].text == HOSTILE
    assert HOSTILE_ATTRIBUTE in page.text


def test_sabotage_without_escaping_the_dangers_show(monkeypatch):
    environment = page_module._environment()
    environment.autoescape = False
    monkeypatch.setattr(page_module, "_environment", lambda: environment)
    with pytest.raises(AssertionError):
        assert dangers(read(render_ranking(hostile()))) == []


@pytest.mark.parametrize("box", [NAMED_BOX, NUMBERED_BOX])
@pytest.mark.parametrize("seed", range(8))
def test_labels_keep_out_of_each_other_s_way(box, seed):
    draw = random.Random(seed)
    spots = []
    for _ in range(8):
        y = draw.uniform(0.15, 0.85)
        spots.append(Spot(draw.uniform(0.05, 0.95), y, y - 0.08, y + 0.08))
    texts = [f"MobileNetV2 {number}" if box == NAMED_BOX else str(number) for number in range(8)]
    placed = place_labels(spots, [], texts, *box)
    assert all(one.overlap(other) == 0 for one, other in combinations(placed, 2))
    assert all(one.outside(*box) == 0 for one in placed)


def test_sabotage_labels_beside_their_dots_would_collide():
    spots = [Spot(0.5, 0.5, 0.4, 0.6), Spot(0.51, 0.5, 0.4, 0.6)]
    first, second = place_labels(spots, [], ["MobileNet 1.0", "sprout"], *NAMED_BOX)
    assert first.overlap(second) == 0
    moved = replace(second, left=first.left, right=first.right, top=first.top, bottom=first.bottom)
    assert first.overlap(moved) > 0


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(30, 1200, [50, 100, 200, 500, 1000]), (0.7, 1.3, [1]), (1, 90_000, [1, 10, 100, 1000, 10_000])],
)
def test_speed_ticks_are_round(low, high, expected):
    assert speed_ticks(low, high) == pytest.approx(expected)
