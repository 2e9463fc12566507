"""Columns line up as a terminal shows them."""

import unicodedata

import pytest

from graft.report.columns import columns, width


def test_columns_are_as_wide_as_their_widest_cell():
    assert columns([("name", "n"), ("a", "12"), ("bcdefg", "3")], right=(1,)) == [
        "name     n",
        "a       12",
        "bcdefg   3",
    ]


def test_no_line_ends_in_blanks():
    assert columns([("a", ""), ("bc", "d")]) == ["a", "bc  d"]


@pytest.mark.parametrize(
    ("text", "wide"), [("abc", 3), ("é", 1), (unicodedata.normalize("NFD", "é"), 1), ("漢字", 4), ("ﾊ", 1), ("", 0)]
)
def test_wide_signs_take_two_columns_and_combining_ones_none(text, wide):
    assert width(text) == wide


def test_wide_names_line_up():
    lines = columns([("漢字", "1"), ("cat", "2")])
    assert [width(line.removesuffix(line[-1])) for line in lines] == [6, 6]
