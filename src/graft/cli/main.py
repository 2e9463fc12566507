"""Entry point of the command `graft`: finds the command, runs it, turns errors into sentences and exit statuses.

Only the standard library is imported here, and a command's module when that command is called, so that help is instant.
"""

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

from graft.cli.console import Console
from graft.cli.signals import stoppable
from graft.core.errors import BadInput, GraftError, ResourceProblem
from graft.core.interrupts import Stopped
from graft.core.version import __version__

# Name, module and summary, in the order in which a newcomer needs them.
COMMANDS = (
    ("demo", "graft.cli.demo", "train on the built-in sample, offline, in under a minute"),
    ("inspect", "graft.cli.inspect", "look at a folder of photos: counts, bad files, duplicates, leaks"),
    ("train", "graft.cli.train", "make a classifier from a folder of photos, and a report on it"),
    ("predict", "graft.cli.predict", "say what is on photos"),
    ("classify", "graft.cli.classify", "say what is on photos with a pretrained network as it is"),
    ("evaluate", "graft.cli.evaluate", "measure a trained classifier on a split or on new photos"),
    ("show", "graft.cli.show", "say what a classifier's file is, how good, under which terms"),
    ("export", "graft.cli.export", "write a classifier for other programs: ONNX, OpenVINO, Keras, LiteRT, a folder"),
    ("serve", "graft.cli.serve", "answer for photos over HTTP, with a page to drop them on"),
    ("report", "graft.cli.report", "write a run's report page again"),
    ("features", "graft.cli.features", "write what a pretrained network sees on photos to a file"),
    ("augment", "graft.cli.augment", "show what fine-tuning may do to training photos, as a picture"),
    ("backbones", "graft.cli.backbones", "list the pretrained networks; fetch and check their weights"),
    ("recipes", "graft.cli.recipes", "the systems that lectures teach, each by name: list, show, run"),
    ("data", "graft.cli.data", "fetch the photos that the classic tutorials were made with"),
    ("cache", "graft.cli.cache", "show, verify or clear what Graft keeps to be fast"),
)
STATUS_INTERRUPTED = 130  # 128 + SIGINT
STATUS_BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 good, 2 bad input, 3 resource, 4 integrity, 1 a defect."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    console = Console.from_words(words)
    try:
        with stoppable():
            status = dispatch(words, console)
            console.flush()
    except SystemExit as end:  # argparse ends so after --help
        return end.code if isinstance(end.code, int) else 0
    except KeyboardInterrupt as stop:
        console.note(f"Interrupted. {_after_interruption(words)}")
        return stop.status if isinstance(stop, Stopped) else STATUS_INTERRUPTED
    except BrokenPipeError:
        silence_stdout()
        return STATUS_BROKEN_PIPE
    except GraftError as error:
        return fail(console, error)
    except MemoryError:
        problem = "Graft needs more memory than this machine has free."
        return fail(console, ResourceProblem(problem, hint="Close other programs, or use a smaller --image-size."))
    except Exception as error:  # noqa: BLE001 - the one place where a defect becomes a sentence
        problem = f"something unexpected happened in Graft ({type(error).__name__}: {_first_line(error)})."
        return fail(console, GraftError(problem, hint="Run again with --debug to see where."))
    return status


def dispatch(words: list[str], console: Console) -> int:
    """Find the command among `words` and run it. Flags that every command knows may stand before its name."""
    name, rest = split_command(words)
    if name in ("", "help") and not rest:
        console.line(overview())
        return 0
    if name == "--version":
        console.line(f"graft {__version__}")
        return 0
    if name == "help":
        name, rest = rest[0], ["--help"]
    from graft.cli.parsing import parse

    command = load_command(name)
    if hasattr(command, "in_other_words") and (other := command.in_other_words(rest)):
        return dispatch(other, console)
    return int(command.run(parse(command.parser(), rest), console))


def split_command(words: list[str]) -> tuple[str, list[str]]:
    """The command's name ("" for the overview) and the words that belong to it."""
    for place, word in enumerate(words):
        if word in ("-h", "--help"):
            return "", []
        if word in ("-V", "--version"):
            return "--version", []
        if not word.startswith("-"):
            return word, words[:place] + words[place + 1 :]
        if word not in Console.FLAGS:
            from graft.cli.parsing import nearest

            known = (*Console.FLAGS, "--help", "--version")
            raise BadInput(f"The option {word} is not known here.", hint=nearest(word, known, "graft --help"))
    return "", []


def load_command(name: str) -> ModuleType:
    """Import the module of one command."""
    for known, module, _ in COMMANDS:
        if name == known:
            return import_module(module)
    from graft.cli.parsing import nearest

    names = [known for known, _, _ in COMMANDS]
    raise BadInput(f"There is no command {name!r}.", hint=nearest(name, names, "graft --help"))


def overview() -> str:
    """What `graft --help` says."""
    commands = "\n".join(f"  {name:<12}{summary}" for name, _, summary in COMMANDS)
    return f"""Graft turns a folder of labelled photos into an image classifier, and says how good it is.

  graft demo                       see it work on a built-in sample
  graft train photos/              photos/ holds one folder of photos for each class
  graft predict photos-run new/    say what is on the photos in new/

Commands:
{commands}

For every command:
  --help      what it does, its options, examples
  --json      one JSON object on standard output, for programs
  --quiet     no progress, no advice
  --debug     where an error came from
  --version   graft {__version__}

Exit status: 0 good, 2 bad input, 3 disk, memory, network or permission, 4 damaged files, 1 a defect of Graft."""


def fail(console: Console, error: GraftError) -> int:
    """Tell an error and return its exit status. Call it while the error is handled: --debug prints the traceback."""
    if console.debug:
        import traceback

        traceback.print_exc()
    try:
        console.error(error)
        console.flush()
    except BrokenPipeError:
        silence_stdout()
    return error.exit_status


def _after_interruption(words: list[str]) -> str:
    """What the command's module says of what it leaves; most keep what they computed."""
    modules = {name: module for name, module, _ in COMMANDS}
    command = sys.modules.get(next((modules[word] for word in words if word in modules), ""))
    return str(getattr(command, "INTERRUPTED", "The same command goes on from here: what was computed is kept."))


def silence_stdout() -> None:
    """Let the interpreter's last flush go nowhere: whoever read our output has left."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):
        sys.stdout = None  # no descriptor to redirect: nothing is left to flush


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else "no message"
