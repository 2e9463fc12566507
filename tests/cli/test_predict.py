"""`graft predict`: three forms of answer, and paths from standard input."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.bundle.records import Failure, Prediction
from graft.cli.main import main
from graft.cli.predict import inputs

CAT = Prediction("a.jpg", "cat", 0.9, (("cat", 0.9), ("dog", 0.08), ("owl", 0.02)))
DOG = Prediction("new/long name.jpg", "dog, small", 0.6, (("dog, small", 0.6), ("cat", 0.4)))
BAD = Failure("b.jpg", "truncated", "the image ends before it should")


@pytest.fixture
def calls(pipeline):
    """Answers one photo each for `cat`, `dog` and `bad` in the inputs; notes what was asked."""
    seen: dict[str, object] = {}

    def predict(source, inputs, *, top, progress):
        seen.update(source=source, top=top, inputs=[])
        for path in inputs:
            seen["inputs"].append(path)
            yield {"cat": CAT, "dog": DOG, "bad": BAD}[path]

    pipeline("predict", predict=predict)
    return seen


def test_text_has_aligned_columns(calls, capsys):
    assert main(["predict", "run", "cat", "dog"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "a.jpg              cat         90.0 %  (dog 8.0 %, owl 2.0 %)",
        "new/long name.jpg  dog, small  60.0 %  (cat 40.0 %)",
    ]
    assert calls == {"source": Path("run"), "top": 3, "inputs": ["cat", "dog"]}


def test_a_bad_photo_is_told_and_the_rest_goes_on(calls, capsys):
    assert main(["predict", "run", "bad", "cat"]) == 2
    out, err = capsys.readouterr()
    assert "not used: truncated" in out.splitlines()[0]
    assert out.splitlines()[1].split()[:2] == ["a.jpg", "cat"]
    assert err == "1 of 2 files could not be used.\n"


def test_json_is_one_object_a_line(calls, capsys):
    assert main(["predict", "run", "cat", "bad", "--top", "2", "--json"]) == 2
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {
        "path": "a.jpg",
        "label": "cat",
        "probability": 0.9,
        "top": [
            {"label": "cat", "probability": 0.9},
            {"label": "dog", "probability": 0.08},
            {"label": "owl", "probability": 0.02},
        ],
    }
    assert second == {"path": "b.jpg", "error": {"code": "truncated", "message": "the image ends before it should"}}
    assert calls["top"] == 2


def test_csv_is_a_table_of_equal_rows(calls, capsys):
    assert main(["predict", "run", "cat", "dog", "bad", "--csv"]) == 2
    rows = list(csv.reader(io.StringIO(capsys.readouterr().out)))
    assert rows[0] == ["path", "label", "probability", "label_2", "probability_2", "label_3", "probability_3", "error"]
    assert rows[1] == ["a.jpg", "cat", "0.900000", "dog", "0.080000", "owl", "0.020000", ""]
    assert rows[2] == ["new/long name.jpg", "dog, small", "0.600000", "cat", "0.400000", "", "", ""]
    assert rows[3] == ["b.jpg", "", "", "", "", "", "", "truncated"]


def test_csv_and_json_exclude_each_other(calls, capsys):
    assert main(["predict", "run", "cat", "--csv", "--json"]) == 2
    assert "Only one of --json and --csv" in capsys.readouterr().err
    assert calls == {}


def test_a_dash_reads_paths_from_standard_input(calls, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"cat\r\n\ndog\ncat")))
    assert main(["predict", "run", "dog", "-", "--json"]) == 0
    assert calls["inputs"] == ["dog", "cat", "dog", "cat"]


def test_nothing_on_standard_input_is_no_failure(calls, monkeypatch, capsys):
    """A night without photos: whoever looks at the exit status is not called."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    assert main(["predict", "run", "-", "--csv"]) == 0
    out, err = capsys.readouterr()
    assert out == "path,label,probability,label_2,probability_2,label_3,probability_3,error\n"
    assert err == "Standard input named no photos: there is nothing to answer.\n"


def test_paths_are_an_iterator_only_where_their_number_is_unknown():
    """The pipeline shows how far it is where it can count."""
    assert inputs(["a", "b"]) == ["a", "b"]
    assert isinstance(inputs(["a", "-"]), Iterator)


def test_answers_come_while_work_goes_on(pipeline, monkeypatch, capsys):
    def predict(source, inputs, *, top, progress):
        yield CAT
        raise KeyboardInterrupt

    pipeline("predict", predict=predict)
    assert main(["predict", "run", "cat", "--json"]) == 130
    out, err = capsys.readouterr()
    assert json.loads(out)["label"] == "cat"
    assert err == "Interrupted. The answers above hold; the same command begins anew.\n"


@pytest.mark.parametrize("top", ["0", "-1", "x"])
def test_top_is_a_count(calls, top, capsys):
    assert main(["predict", "run", "cat", "--top", top]) == 2
    assert "--top must be a whole number of at least 1" in capsys.readouterr().err
