from dataclasses import replace

import pytest

from graft.data.records import Photo
from graft.report.sizes import MOST_BARS, SHAPES, length_edges, shape, size_charts, told
from tests.report.factory import make_manifest
from tests.report.reading import read


def photos(*sizes: tuple[int, int]) -> list[Photo]:
    first = make_manifest(("a", "b"), 8).photos[0]
    return [replace(first, facts=replace(first.facts, width=width, height=height)) for width, height in sizes]


@pytest.mark.parametrize(
    ("least", "greatest", "edges"),
    [
        (100, 3024, [64, 128, 256, 512, 1024, 2048, 4096]),
        (200, 500, [200, 250, 300, 350, 400, 450, 500, 550]),
        (31, 33, [31, 32, 33, 34]),
        (8, 12_000, [8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384][-11:]),
    ],
)
def test_lengths_are_told_in_few_steps(least: int, greatest: int, edges: list[int]) -> None:
    found = length_edges(least, greatest)
    assert found[0] <= least
    assert found[-1] > greatest
    assert found[1:] == edges[1:]
    assert 1 < len(found) <= MOST_BARS + 1


@pytest.mark.parametrize(
    ("width", "height", "name"), [(100, 100, "1:1"), (640, 480, "4:3"), (1080, 1920, "9:16"), (10, 900, "1:2")]
)
def test_shapes_are_the_familiar_ones(width: int, height: int, name: str) -> None:
    assert shape(width, height) == name
    assert name in SHAPES


def test_every_photo_is_in_both_charts() -> None:
    charts = size_charts(photos((100, 100), (640, 480), (640, 480), (480, 640), (4000, 100)))
    assert [heading for heading, _ in charts] == ["Longer side, pixels", "Width to height, about"]
    for _, chart in charts:
        told_counts = [int(title.text.split(": ")[1].split()[0]) for title in read(str(chart)).all("title")[1:]]
        assert sum(told_counts) == 5
        assert 0 not in told_counts


def test_there_is_no_chart_of_what_is_all_the_same() -> None:
    assert size_charts(photos((100, 100), (100, 100))) == []
    assert size_charts([]) == []
    assert [heading for heading, _ in size_charts(photos((100, 100), (100, 50)))] == ["Width to height, about"]


def test_the_commonest_size_in_words() -> None:
    assert told(photos((10, 20), (10, 20))) == "10 × 20 pixels"
    assert told(photos((10, 20), (10, 20), (9, 9))) == "mostly 10 × 20 pixels"
    assert told(photos((10, 20), (10, 20), (9, 9), (8, 8), (7, 7))).startswith("4 sizes, the commonest 10 × 20")
    assert told([]) == "none"
