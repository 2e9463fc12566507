"""Parsing: mixed order, types, nearest names."""

import pytest

from graft.cli.parsing import Parser, given, is_known, nearest, one_of, parse, whole_number
from graft.core.errors import BadInput


@pytest.fixture
def parser() -> Parser:
    words = Parser("try", "RUN FILE… [options]", "Tries.", (("graft try a b", "tries b"),))
    words.add_argument("run", metavar="RUN", help="a run")
    words.add_argument("files", metavar="FILE", nargs="+", help="files")
    words.add_argument("-n", "--number", metavar="N", type=whole_number(0), default=7, help="a number")
    words.add_argument("--kind", metavar="KIND", type=one_of("good", "bad"), help="a kind")
    return words.add_common()


@pytest.mark.parametrize(
    ("line", "run", "files", "number"),
    [
        ("a b c", "a", ["b", "c"], 7),
        ("--number 3 a b", "a", ["b"], 3),
        ("a --number 3 b c", "a", ["b", "c"], 3),
        ("a b --number=3 c", "a", ["b", "c"], 3),
        ("a b -n3 --json", "a", ["b"], 3),
        ("a -", "a", ["-"], 7),
        ("a -- -odd.jpg --number", "a", ["-odd.jpg", "--number"], 7),
    ],
)
def test_options_and_arguments_may_be_mixed(parser, line, run, files, number):
    found = parse(parser, line.split())
    assert (found.run, found.files, found.number) == (run, files, number)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a b --number", "-n/--number must be followed by a value."),
        ("a b --number x", "-n/--number must be a whole number of at least 0, got 'x'."),
        ("a b --number -1", "-n/--number must be a whole number of at least 0, got '-1'."),
        ("a b --kind ugly", "--kind must be one of good, bad, got 'ugly'."),
        ("a", "FILE must be given."),
        ("", "RUN, FILE must be given."),
        ("a b --num 3", "graft try has no option --num."),  # no abbreviations: they break when options are added
        ("a b -x", "graft try has no option -x."),
        ("a b --json=1", "--json ignored explicit argument '1'."),
    ],
)
def test_wrong_words_are_refused_in_one_sentence(parser, line, message):
    with pytest.raises(BadInput) as caught:
        parse(parser, line.split())
    assert caught.value.message == message
    assert "graft try --help" in caught.value.hint


def test_nearest():
    assert nearest("--bakcbone", ["--backbone", "--seed"], "x") == "Did you mean --backbone? See x."
    assert nearest("--zzz", ["--backbone", "--seed"], "x") == "See x."


def test_is_known():
    assert [is_known(word, ("-o", "--output")) for word in ("a", "-", "-5", "-o", "-oX", "--output=x")] == [True] * 6
    assert [is_known(word, ("-o", "--output")) for word in ("-x", "--out", "--outputs")] == [False] * 3


def test_given_leaves_out_what_was_not_typed(parser):
    from graft.cli.train import parser as train_parser

    found = parse(train_parser(), ["photos", "--seed", "3"])
    assert given(found, ("data", "seed", "split")) == {"data": "photos", "seed": 3}
