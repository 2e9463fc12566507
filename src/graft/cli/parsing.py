"""Parsing words: argparse with whole sentences for errors, and the nearest name for a mistyped one."""

import argparse
import difflib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from graft.core.errors import BadInput


class Parser(argparse.ArgumentParser):
    """The parser of one command: examples before options, no abbreviations, errors as `BadInput`."""

    def __init__(self, command: str, usage: str, purpose: str, examples: Iterable[tuple[str, str]]) -> None:
        lines = "\n".join(f"  {line}\n      {meaning}" for line, meaning in examples)
        super().__init__(
            prog=f"graft {command}",
            usage=f"graft {command} {usage}",
            description=f"{purpose}\n\nexamples:\n{lines}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
            add_help=False,
        )

    def add_common(self) -> "Parser":
        """Add the options every command has; called last, so that help shows them last."""
        group = self.add_argument_group("for every command")
        group.add_argument("--json", action="store_true", help="one JSON object on standard output, for programs")
        group.add_argument("--quiet", action="store_true", help="no progress, no advice")
        group.add_argument("--debug", action="store_true", help="show where an error came from")
        group.add_argument("-h", "--help", action="help", help="show this and end")
        return self

    def error(self, message: str) -> NoReturn:
        """Raise argparse's complaint as one sentence."""
        raise BadInput(_sentence(message), hint=f"See {self.prog} --help.")

    def option_names(self) -> tuple[str, ...]:
        """Every option this command knows."""
        return tuple(self._option_string_actions)


def parse(parser: Parser, words: Sequence[str]) -> argparse.Namespace:
    """Parse all `words`; options and arguments may be mixed. A mistyped option names the nearest known one."""
    known = parser.option_names()
    for word in words:
        if word == "--":
            break
        if not is_known(word, known):
            name = word.split("=")[0]
            raise BadInput(f"{parser.prog} has no option {name}.", hint=nearest(name, known, f"{parser.prog} --help"))
    return parser.parse_intermixed_args(words)


def is_known(word: str, options: Sequence[str]) -> bool:
    """False for what looks like an option and is none. `-`, `-5` and `-oRUN` are no mistakes."""
    if not word.startswith("-") or word == "-":
        return True
    if word.startswith("--"):
        return word.split("=")[0] in options
    return word[:2] in options or word[1].isdigit()


def nearest(word: str, known: Iterable[str], see: str) -> str:
    """A hint: the nearest known name if one is near, and where to read on."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"Did you mean {near[0]}? See {see}." if near else f"See {see}."


def whole_number(least: int, most: int | None = None) -> Callable[[str], int]:
    """An argparse type: a whole number of at least `least`, and of at most `most` where that is given."""

    def convert(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least or (most is not None and number > most):
            bounds = f"of at least {least}" if most is None else f"from {least} to {most}"
            raise argparse.ArgumentTypeError(f"must be a whole number {bounds}, got {text!r}")
        return number

    return convert


def whole_numbers(text: str) -> int | tuple[int, ...]:
    """An argparse type: a whole number above 0, or several with commas between."""
    convert = whole_number(1)
    found = tuple(convert(part) for part in text.split(","))
    return found if len(found) > 1 else found[0]


def number(least: float, most: float) -> Callable[[str], float]:
    """An argparse type: a number from `least` to `most`."""

    def convert(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"must be a number from {least:g} to {most:g}, got {text!r}")
        return value

    return convert


def text(least: int, most: int) -> Callable[[str], str]:
    """An argparse type: a text of so many characters."""

    def convert(given: str) -> str:
        if not least <= len(given) <= most:
            count = f"{len(given):,}" if given else "none"
            raise argparse.ArgumentTypeError(f"must have {least} to {most} characters, got {count}")
        return given

    return convert


def one_of(*choices: str) -> Callable[[str], str]:
    """An argparse type: one of a few words."""

    def convert(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"must be one of {', '.join(choices)}, got {text!r}")
        return text

    return convert


LIMITS = ("max_megapixels", "max_megabytes", "min_side")
RULES = (*LIMITS, "white")  # what `add_rules` adds, as names of values


def add_rules(words: "argparse._ArgumentGroup", *, white: bool = True) -> None:
    """Add the options that say what a photo may be, and with `white` how samples of 16 bits are read."""
    unless = "" if white else ", or as in training"
    words.add_argument(
        "--max-megapixels", metavar="N", type=number(0.001, 178), help=f"larger photos are left out (50{unless})"
    )
    words.add_argument(
        "--max-megabytes", metavar="N", type=number(0.001, 2000), help=f"larger files are left out (25{unless})"
    )
    words.add_argument(
        "--min-side",
        metavar="N",
        type=whole_number(1, 2048),
        help=f"photos with a shorter side are left out (8{unless})",
    )
    if white:
        words.add_argument(
            "--white",
            metavar="N",
            type=whole_number(255, 65_535),
            help="16-bit photos: the sample that is white (65535; 4095 where they hold 12 bits)",
        )


def rule_words(arguments: argparse.Namespace) -> list[str]:
    """The options of `add_rules` that were typed, for the command that is advised next."""
    chosen = given(arguments, RULES)
    return [word for name, value in chosen.items() for word in (f"--{name.replace('_', '-')}", f"{value:g}")]


def given(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """The values of those `names` that were typed, where the parser's defaults are suppressed."""
    return {name: getattr(arguments, name) for name in names if hasattr(arguments, name)}


def _sentence(message: str) -> str:
    """`argument --seed: expected one argument` -> `--seed must be followed by a value.`"""
    message = message.replace("expected one argument", "must be followed by a value")
    if message.startswith("the following arguments are required: "):
        return f"{message.removeprefix('the following arguments are required: ')} must be given."
    if message.startswith("unrecognized arguments: "):
        return f"Nothing more may follow, got {message.removeprefix('unrecognized arguments: ')}."
    if message.startswith("argument "):
        name, _, problem = message.removeprefix("argument ").partition(": ")
        message = f"{name} {problem}"
    return message if message.endswith(".") else f"{message}."
