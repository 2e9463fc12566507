"""What is common to all commands: finding them, errors, exit statuses, streams."""

import io
import json
import os
import subprocess
import sys

import pytest

from graft.cli import main as main_module
from graft.cli.main import COMMANDS, load_command, main, overview, split_command
from graft.core.errors import BadInput, GraftError, IntegrityProblem, ResourceProblem


@pytest.fixture
def failing(monkeypatch, pipeline):
    """Make `graft report x` raise an exception."""

    def install(error: BaseException) -> None:
        def rebuild_report(run, *, plots, progress):
            raise error

        pipeline("report", rebuild_report=rebuild_report)

    return install


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["--json", "--help"]])
def test_overview(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out == overview() + "\n"


@pytest.mark.parametrize("words", [["--version"], ["-V"], ["--quiet", "--version"]])
def test_version(words, capsys):
    assert main(words) == 0
    assert capsys.readouterr().out.startswith("graft 0.")


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_help_of_a_command(name, capsys):
    assert main([name, "--help"]) == 0
    first = capsys.readouterr().out
    assert main(["help", name]) == 0
    assert capsys.readouterr().out == first
    assert "examples:" in first
    assert first.rstrip().splitlines()[-1].strip().startswith("-h, --help")


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_each_option_is_explained(name):
    actions = load_command(name).parser()._actions
    assert all(action.help for action in actions)


@pytest.mark.parametrize(
    ("words", "message", "hint"),
    [
        (["trian", "x"], "There is no command 'trian'.", "Did you mean train? See graft --help."),
        (["zzz"], "There is no command 'zzz'.", "See graft --help."),
        (["--jsno", "train"], "The option --jsno is not known here.", "Did you mean --json? See graft --help."),
        (["report"], "RUN must be given.", "See graft report --help."),
        (["report", "a", "b"], "Nothing more may follow, got b.", "See graft report --help."),
        (
            ["report", "a", "--opne"],
            "graft report has no option --opne.",
            "Did you mean --open? See graft report --help.",
        ),
    ],
)
def test_wrong_words_are_one_sentence_and_a_hint(words, message, hint, capsys):
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"error: {message}\n{hint}\n")


def test_flags_may_stand_before_the_command():
    assert split_command(["--json", "--quiet", "train", "x", "--seed", "1"]) == (
        "train",
        ["--json", "--quiet", "x", "--seed", "1"],
    )


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (BadInput("X must be Y, got Z.", hint="Do W."), 2, "bad_input"),
        (ResourceProblem("The disk is full.", code="disk_full"), 3, "disk_full"),
        (IntegrityProblem("The bundle is damaged.", code="bundle_invalid"), 4, "bundle_invalid"),
        (GraftError("A defect."), 1, "internal"),
    ],
)
def test_errors_have_a_status_and_an_object(error, status, code, failing, capsys):
    failing(error)
    assert main(["report", "run"]) == status
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [f"error: {error.message}", *([error.hint] if error.hint else [])]
    assert main(["report", "run", "--json"]) == status
    out, err = capsys.readouterr()
    assert json.loads(out) == {"error": {"code": code, "message": error.message, "hint": error.hint}}
    assert err.startswith("error: ")


def test_an_error_in_the_words_is_an_object_too(capsys):
    assert main(["train", "--json", "--sede", "1"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "bad_input"
    assert main(["train", "x", "--seed", "y", "--", "--json"]) == 2
    assert capsys.readouterr().out == ""  # after -- it is a name


def test_an_unexpected_exception_is_one_sentence(failing, capsys):
    failing(KeyError("first line\nsecond"))
    assert main(["report", "run"]) == 1
    _, err = capsys.readouterr()
    assert "Traceback" not in err
    assert err.splitlines()[0].startswith("error: something unexpected happened in Graft (KeyError: ")
    assert err.splitlines()[1] == "Run again with --debug to see where."
    failing(ZeroDivisionError())
    assert main(["--json", "report", "run"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "internal"


@pytest.mark.parametrize("error", [BadInput("X must be Y."), KeyError("x")])
def test_debug_shows_the_traceback(error, failing, capsys):
    failing(error)
    main(["report", "run", "--debug"])
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_memory_is_a_resource(failing, capsys):
    failing(MemoryError())
    assert main(["report", "run"]) == 3
    assert "memory" in capsys.readouterr().err


def test_interruption(failing, capsys):
    failing(KeyboardInterrupt())
    assert main(["report", "run"]) == 130
    assert capsys.readouterr().err == "Interrupted. The same command goes on from here: what was computed is kept.\n"
    assert main(["report", "run", "--quiet"]) == 130
    assert capsys.readouterr().err == ""


def test_a_name_cannot_steer_the_terminal(failing, capsys):
    failing(BadInput("Not found: a\x1b[31m\nb."))
    main(["report", "run"])
    assert capsys.readouterr().err == "error: Not found: a\\x1b[31m\\nb.\n"


@pytest.mark.skipif(os.name == "nt", reason="the reader's end of a Windows pipe closes otherwise")
def test_a_reader_who_left_is_no_error():
    process = subprocess.Popen(
        [sys.executable, "-m", "graft", "--help"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    process.stdout.close()  # before Python has started
    assert process.wait(timeout=60) == 141
    assert process.stderr.read() == b""
    process.stderr.close()


def test_letters_the_console_lacks_are_written_as_escapes(failing, monkeypatch):
    failing(BadInput("Not found: фото."))
    narrow = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stderr", narrow)
    assert main(["report", "run"]) == 2
    narrow.flush()
    assert narrow.buffer.getvalue().startswith(b"error: Not found: \\u0444")


def test_commands_are_what_they_say():
    for name, module, summary in COMMANDS:
        command = load_command(name)
        assert command.__name__ == module
        assert command.parser().prog == f"graft {name}"
        assert callable(command.run)
        assert len(summary) < 80
    assert main_module.STATUS_INTERRUPTED == 130
