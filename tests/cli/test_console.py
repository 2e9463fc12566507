"""Texts: columns, percentages, names without control characters."""

import contextlib
import io
import json
import sys

import pytest

from graft.cli.console import Console, columns, percent, printable


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0.0 %"), (0.973, "97.3 %"), (0.99951, "99.9 %"), (1.0, "100.0 %"), (0.5, "50.0 %")]
)
def test_percent(share, text):
    assert percent(share) == text


def test_printable():
    assert printable("Straße 1/猫.png") == "Straße 1/猫.png"
    assert printable("a\x1b]0;x\x07\r\nb\t\u202e") == "a\\x1b]0;x\\x07\\r\\nb\\t\\u202e"
    assert printable("bad\udcff") == "bad\\udcff"


def test_columns():
    assert columns([("a", "1"), ("bbb", "22")], right=(1,)) == ["a     1", "bbb  22"]
    assert columns([("a", ""), ("bbb", "")]) == ["a", "bbb"]


def test_json_survives_any_console(capsys):
    Console(json=True).value({"path": "é\udcff😀"})
    out = capsys.readouterr().out
    assert out.isascii()
    assert out.count("\n") == 1
    assert json.loads(out) == {"path": "é\udcff😀"}


def test_advice_is_for_people(capsys):
    Console().advise("graft train x", "trains")
    assert "Next: graft train x" in capsys.readouterr().out
    Console(quiet=True).advise("graft train x", "trains")
    Console(json=True).advise("graft train x", "trains")
    assert capsys.readouterr().out == ""


def test_results_go_to_standard_output_while_bars_are_shown(capsys):
    """Rich replaces sys.stdout by a stand-in that writes where the bars are."""
    console = Console()
    with contextlib.redirect_stdout(sys.stderr):
        console.line("result")
    assert capsys.readouterr() == ("result\n", "")


def test_no_bars_among_lines_on_one_screen(monkeypatch):
    from graft.core.progress import SilentProgress, TerminalProgress

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert isinstance(Console(stream=terminal).progress(beside_lines=True), SilentProgress)
    assert isinstance(Console(stream=terminal).progress(), TerminalProgress)
    assert isinstance(Console(stream=io.StringIO()).progress(beside_lines=True), TerminalProgress)


def test_no_bars_for_programs(monkeypatch):
    from graft.core.progress import SilentProgress

    terminal = io.StringIO()
    monkeypatch.setattr(terminal, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(sys, "stderr", terminal)
    assert isinstance(Console(json=True).progress(), SilentProgress)


def test_progress_is_silent_without_a_terminal():
    from graft.core.progress import SilentProgress

    assert isinstance(Console().progress(), SilentProgress)
