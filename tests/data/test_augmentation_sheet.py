"""The contact sheet: a PNG that is known again, with all its pictures and captions."""

import numpy as np
import pytest

from graft.data.augmentation.sheet import (
    ANSWERS,
    GAP,
    HEAD_BYTES,
    MARGIN,
    TILE_PIXELS,
    TRAINING_VIEWS,
    WRONG,
    Tile,
    grid,
    is_sheet,
    make_sheet,
)
from graft.data.images import decode, encode_png
from tests.data.folders import RULES


def tile(level: int, side: int = 16, caption: str = "view 1", *, is_photo: bool = False) -> Tile:
    return Tile(np.full((side, side, 3), level, np.uint8), caption, "mirrored", is_photo=is_photo)


def sheet(rows: list[list[Tile]], title: str = "Views", lines: tuple[str, ...] = ("what", "how")) -> np.ndarray:
    return decode(make_sheet(rows, title=title, lines=lines), rules=RULES)


@pytest.mark.parametrize("side", [8, 104, 208, 500])
def test_each_picture_stands_in_its_place(side):
    made = sheet([[tile(10, side), tile(60, side)], [tile(110, side)]])
    assert made.shape[1] == 2 * MARGIN + 2 * TILE_PIXELS + GAP
    for level in (10, 60, 110):
        assert (made == level).all(axis=-1).sum() >= TILE_PIXELS**2
    first, second = (np.nonzero((made == level).all(axis=-1))[1].min() for level in (10, 60))
    assert (first, second) == (MARGIN, MARGIN + TILE_PIXELS + GAP)


def test_captions_are_written_and_the_photo_is_framed():
    plain, other, framed = (sheet([[each]]) for each in (tile(9), tile(9, caption="view 2"), tile(9, is_photo=True)))
    assert plain.shape == other.shape == framed.shape
    assert (plain != other).any()
    assert (plain != framed).sum() > 4 * TILE_PIXELS


def test_long_words_and_any_letters_fit():
    long = "Ünïcode 漢字 \x00\n" * 40
    made = make_sheet([[tile(9, caption=long)]], title=long, lines=[long, "x" * 500])
    image = decode(made, rules=RULES)
    edge = MARGIN - 3  # a round letter may stand out by a pixel
    assert (image[:, :edge] == 255).all()
    assert (image[:, -edge:] == 255).all()
    assert is_sheet(made[:HEAD_BYTES])


def test_a_sheet_is_known_again_and_nothing_else_is():
    made = make_sheet([[tile(9)]], title="Views", lines=[])
    assert is_sheet(made[:HEAD_BYTES])
    assert made == make_sheet([[tile(9)]], title="Views", lines=[])
    for other in (encode_png(np.zeros((9, 9, 3), np.uint8)), b"", b"Graft augmented views", made[8:]):
        assert not is_sheet(other)


def test_sheets_of_other_kinds_are_other_files():
    made = make_sheet([[tile(9)]], title="Answers", lines=[], generator=ANSWERS)[:HEAD_BYTES]
    assert is_sheet(made, ANSWERS)
    assert not is_sheet(made) and not is_sheet(made, TRAINING_VIEWS)


def test_a_wrong_answer_is_framed_and_its_words_are_coloured():
    right, wrong = (sheet([[Tile(tile(9).pixels, "is cat", "said dog", is_wrong=each)]]) for each in (False, True))
    marked = (wrong == WRONG).all(axis=-1)
    assert marked.sum() > 4 * TILE_PIXELS
    assert marked[-MARGIN - GAP - 30 :].any()  # below the picture
    assert not (right == WRONG).all(axis=-1).any()


@pytest.mark.parametrize(("height", "width"), [(40, 80), (80, 40), (1, 300)])
def test_a_picture_keeps_its_proportions(height, width):
    made = sheet([[Tile(np.full((height, width, 3), 7, np.uint8), "wide")]])
    rows, columns = np.nonzero((made == 7).all(axis=-1))
    shape = rows.max() - rows.min() + 1, columns.max() - columns.min() + 1
    assert shape == tuple(max(1, round(side * TILE_PIXELS / max(height, width))) for side in (height, width))


def test_grids():
    tiles = [tile(level) for level in range(5)]
    assert [len(row) for row in grid(tiles, 2)] == [2, 2, 1]
