"""`graft predict`: what is on photos, as text, JSON lines or CSV."""

import csv
import io
import os
import sys
from argparse import SUPPRESS, Namespace
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from graft.cli.console import Console, columns, json_line, percent, printable
from graft.cli.parsing import LIMITS, Parser, add_rules, given, whole_number

if TYPE_CHECKING:
    from graft.bundle.records import Failure, Prediction

LINES_ALIGNED_TOGETHER = 40  # answers appear while work goes on: widths come from so many lines at a time
STATUS_SOME_FAILED = 2
INTERRUPTED = "The answers above hold; the same command begins anew."
Answer = TypeVar("Answer")


def parser() -> Parser:
    """The words `graft predict` understands."""
    words = Parser(
        "predict",
        "RUN PHOTO… [options]",
        "Say what is on photos, with a trained classifier.",
        (
            ("graft predict photos-run cat.jpg", "the class, how sure, and the next likely ones"),
            ("graft predict classifier.graft new/ --csv > answers.csv", "a folder with all below it, as a table"),
            ("find new -name '*.png' | graft predict photos-run - --json", "paths from standard input, JSON lines out"),
        ),
    )
    words.add_argument("source", metavar="RUN", help="a run's folder, or its file classifier.graft")
    words.add_argument("photos", metavar="PHOTO", nargs="+", help="files and folders; - reads paths, one on a line")
    options = words.add_argument_group("options")
    options.add_argument("--top", metavar="N", type=whole_number(1), default=3, help="classes to name (default: 3)")
    options.add_argument("--csv", action="store_true", help="a table with a header line")
    add_rules(words.add_argument_group("what a photo may be", argument_default=SUPPRESS), white=False)
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Predict; the exit status is 2 when any photo could not be used."""
    from graft.core.errors import BadInput
    from graft.pipeline.predict import predict

    if arguments.csv and console.json:
        raise BadInput("Only one of --json and --csv can be given.", hint="Leave one out.")
    source, top = Path(arguments.source), arguments.top
    progress = console.progress(beside_lines=True)
    answers = predict(source, inputs(arguments.photos), top=top, progress=progress, **given(arguments, LIMITS))
    counted = Counted(answers)
    lines = json_lines(counted) if console.json else csv_lines(counted, top) if arguments.csv else text_lines(counted)
    for line in lines:
        console.line(line)
    return finish(counted, console)


def finish(counted: "Counted[Answer]", console: Console) -> int:
    """Tell of what has no answer, and return the exit status."""
    if not counted.n:
        console.note("Standard input named no photos: there is nothing to answer.")
    if counted.n_failed:
        console.note(f"{counted.n_failed:,} of {counted.n:,} files could not be used.")
    return STATUS_SOME_FAILED if counted.n_failed else 0


def inputs(words: Sequence[str]) -> Iterable[str]:
    """The paths as given; where `-` is among them an iterator, in which lines of standard input take its place."""
    return _with_standard_input(words) if "-" in words else words


def _with_standard_input(words: Sequence[str]) -> Iterator[str]:
    for word in words:
        if word == "-":
            yield from filter(None, (os.fsdecode(line.rstrip(b"\r\n")) for line in sys.stdin.buffer))
        else:
            yield word


class Counted(Generic[Answer]):
    """Answers, counted while they pass."""

    def __init__(self, answers: "Iterable[Answer | Failure]") -> None:
        self.n = 0
        self.n_failed = 0
        self._answers = answers

    def __iter__(self) -> "Iterator[Answer | Failure]":
        from graft.bundle.records import Failure

        for answer in self._answers:
            self.n += 1
            self.n_failed += isinstance(answer, Failure)
            yield answer


def json_lines(answers: "Iterable[Prediction | Failure]") -> Iterator[str]:
    """One object a line."""
    from graft.bundle.records import Failure

    for answer in answers:
        if isinstance(answer, Failure):
            yield json_line({"path": answer.path, "error": {"code": answer.code, "message": answer.message}})
            continue
        likely = [{"label": label, "probability": share} for label, share in answer.top]
        first = {"path": answer.path, "label": answer.label, "probability": answer.probability}
        sure = {} if answer.sure is None else {"sure": answer.sure}
        yield json_line({**first, **sure, "top": likely})


def csv_lines(answers: "Iterable[Prediction | Failure]", top: int) -> Iterator[str]:
    """A table with a header; rows of fewer classes than `top` have empty cells."""
    from graft.bundle.records import Failure

    more = [name for place in range(2, top + 1) for name in (f"label_{place}", f"probability_{place}")]
    yield _csv_line(["path", "label", "probability", *more, "error"])
    for answer in answers:
        if isinstance(answer, Failure):
            yield _csv_line([answer.path, "", "", *[""] * len(more), answer.code])
            continue
        cells = [cell for label, share in answer.top[1:top] for cell in (label, f"{share:.6f}")]
        cells += [""] * (len(more) - len(cells))
        yield _csv_line([answer.path, answer.label, f"{answer.probability:.6f}", *cells, ""])


def text_lines(answers: "Iterable[Prediction | Failure]") -> Iterator[str]:
    """Aligned columns: path, class, how sure, the next likely classes."""
    waiting = iter(answers)
    while some := list(islice(waiting, LINES_ALIGNED_TOGETHER)):
        yield from columns([_text_row(answer) for answer in some], right=(2,))


def _text_row(answer: "Prediction | Failure") -> tuple[str, str, str, str]:
    from graft.bundle.records import Failure

    path = printable(answer.path)
    if isinstance(answer, Failure):
        return path, f"not used: {answer.code}", "", printable(answer.message)
    others = ", ".join(f"{printable(label)} {percent(share)}" for label, share in answer.top[1:])
    said = [*(["unsure"] if answer.sure is False else []), *([f"({others})"] if others else [])]
    return path, printable(answer.label), percent(answer.probability), " ".join(said)


def _csv_line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()
