"""`graft classify`: how answers are told."""

import json

import pytest

from graft.bundle.records import Failure
from graft.cli.classify import json_lines, text_lines
from graft.cli.main import main
from graft.pipeline.classify import Guess, Recognised

BEAR = Recognised("bear.jpg", (Guess("n02133161", "American_black_bear", 0.6), Guess("n02132136", "brown_bear", 0.15)))
BAD = Failure("b.jpg", "truncated", "the image ends before it should")


def test_text_has_bars_shares_and_names():
    assert list(text_lines([BEAR, BAD])) == [
        "bear.jpg",
        "  ############          60.0 %  American black bear  n02133161",
        "  ###                   15.0 %  brown bear           n02132136",
        "b.jpg",
        "  not used: truncated, the image ends before it should",
    ]


def test_json_is_one_object_a_line():
    first, second = map(json.loads, json_lines([BEAR, BAD]))
    assert first == {
        "path": "bear.jpg",
        "top": [
            {"id": "n02133161", "name": "American_black_bear", "probability": 0.6},
            {"id": "n02132136", "name": "brown_bear", "probability": 0.15},
        ],
    }
    assert second == {"path": "b.jpg", "error": {"code": "truncated", "message": "the image ends before it should"}}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--top", "0"], "--top must be a whole number of at least 1"),
        (["--geometry", "stretch"], "--geometry must be one of crop, squash"),
        (["--backbone", "vggg"], "The backbone must be one of the catalogue's, got 'vggg'."),
        (["--white", "100"], "--white must be a whole number from 255 to 65535, got '100'."),
        (["--weights", "nowhere.h5"], "The weights file must be a readable file"),
    ],
)
def test_wrong_words_are_one_sentence(words, message, capsys):
    assert main(["classify", "a.jpg", *words]) == 2
    assert message in capsys.readouterr().err
