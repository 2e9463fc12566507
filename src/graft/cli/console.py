"""What a command says: results on standard output, everything else on standard error."""

import contextlib
import errno
import io
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, TextIO

from graft.core.errors import GraftError
from graft.report.columns import columns as columns

if TYPE_CHECKING:
    from graft.core.progress import Progress


@dataclass(frozen=True)
class Console:
    """How one call of `graft` talks: as text for people, or with `json` as JSON for programs."""

    FLAGS: ClassVar[tuple[str, ...]] = ("--json", "--quiet", "--debug")
    json: bool = False
    quiet: bool = False
    debug: bool = False
    words: tuple[str, ...] = ()  # as typed after `graft`
    # Kept from the start: while bars are shown, rich puts a stand-in on standard error in sys.stdout's place.
    stream: TextIO | None = field(default_factory=lambda: sys.stdout)

    @classmethod
    def from_words(cls, words: Sequence[str]) -> "Console":
        """Read the flags before anything is parsed, so that errors in the other words are told the right way too."""
        given = set(words[: words.index("--")] if "--" in words else words)
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # a console may know fewer letters than file names have
        return cls(json="--json" in given, quiet="--quiet" in given, debug="--debug" in given, words=tuple(words))

    def line(self, text: str = "") -> None:
        """Write one line of the result."""
        with _pipe_errors():
            print(text, file=self.stream)

    def flush(self) -> None:
        """Send what is buffered, so that a reader who left is noticed here."""
        with _pipe_errors():
            if self.stream is not None:
                self.stream.flush()

    def value(self, value: Mapping[str, Any]) -> None:
        """Write one JSON object on one line."""
        self.line(json_line(value))

    def note(self, text: str) -> None:
        """Tell a person something beside the result."""
        if not self.quiet:
            print(text, file=sys.stderr)

    def advise(self, command: str, purpose: str) -> None:
        """Name the next command, below a result that a person reads."""
        if not (self.quiet or self.json):
            self.line(f"\nNext: {command}\n      {purpose}")

    def error(self, error: GraftError) -> None:
        """Tell an error: a sentence and a hint, and with `json` an object too."""
        print(f"error: {printable(error.message)}", file=sys.stderr)
        if error.hint:
            print(printable(error.hint), file=sys.stderr)
        if self.json:
            self.value({"error": {"code": error.code, "message": error.message, "hint": error.hint}})

    def progress(self, *, beside_lines: bool = False) -> "Progress":
        """Bars on standard error where a person watches; none for programs, or among results on one screen."""
        from graft.core.progress import make_progress

        crowded = beside_lines and self.stream is not None and self.stream.isatty()
        return make_progress(quiet=self.quiet or self.json or crowded)


def json_line(value: Mapping[str, Any]) -> str:
    """One JSON object on one line. ASCII, so that any console carries it unchanged."""
    import json

    return json.dumps(value, allow_nan=False)


def printable(text: str) -> str:
    """`text` without control characters, line breaks included: a file's name must not steer the terminal."""
    return "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text)


def percent(share: float) -> str:
    """A share as people read it: 0.973 -> 97.3 %. Only what is exactly everything reads 100.0 %."""
    shown = min(share, 0.999) if share < 1 else share
    return f"{100 * shown:.1f} %"


def byte_size(n_bytes: int) -> str:
    """Bytes as people read them: 8.4 MB."""
    value = float(n_bytes)
    for unit in ("bytes", "kB", "MB"):
        if value < 999.5:
            return f"{value:.3g} {unit}" if unit != "bytes" else f"{n_bytes} bytes"
        value /= 1000
    return f"{value:,.1f} GB"


@contextlib.contextmanager
def _pipe_errors() -> Iterator[None]:
    """One exception for a reader who left, on every system: Windows reports an invalid argument."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EINVAL and sys.platform == "win32":
            raise BrokenPipeError from error
        raise
