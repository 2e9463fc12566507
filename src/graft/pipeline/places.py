"""Files that commands write where the user says: an earlier one of the kind is replaced, anything else left alone."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from graft.core.errors import BadInput, ResourceProblem
from graft.core.files import make_directory, write_atomic
from graft.data.augmentation import sheet

PAGE_HEAD_BYTES = 2_000  # of a page, in which its generator stands


class FileKind(NamedTuple):
    """A kind of file that one command writes, and how one is told from other files of the same format."""

    command: str
    noun: str
    form: str
    suffixes: tuple[str, ...]
    head_bytes: int
    is_ours: Callable[[bytes], bool]  # whether a file that begins so was written by this command
    writer: str  # of `write_atomic`


def _page(command: str, generator: str) -> FileKind:
    """An HTML page, whose head names its generator."""

    def is_ours(head: bytes) -> bool:
        from graft.report.page import is_page_of

        return is_page_of(generator, head)

    return FileKind(command, "page", "an HTML file", (".html", ".htm"), PAGE_HEAD_BYTES, is_ours, "report")


INSPECTION = _page("inspect", "Graft inspection")
RANKING = _page("backbones rank", "Graft ranking")
SCRIPT = FileKind(
    "recipes show",
    "script",
    "a Python file",
    (".py",),
    PAGE_HEAD_BYTES,
    lambda head: b"Written by: graft recipes show" in head,
    "report",
)
SHEET = FileKind("augment", "sheet", "a PNG file", (".png",), sheet.HEAD_BYTES, sheet.is_sheet, "sheet")


def check_place(path: Path, kind: FileKind) -> None:
    """Refuse a place that is no file of this kind's format, or that holds anything but an earlier file of this kind.

    Asked before anything is computed, and again before the file is written.
    """
    if path.suffix.lower() not in kind.suffixes:
        raise BadInput(
            f"The output must be {kind.form}, got {str(path)!r}.",
            hint=f"For example: -o {kind.command.split()[-1]}{kind.suffixes[0]}.",
        )
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
        raise ResourceProblem(
            f"The folder of {str(path)!r} must be one that can be written to, got one that cannot.",
            hint="Name another place.",
            code="cannot_write",
        )
    try:
        with path.open("rb") as file:
            ours = kind.is_ours(file.read(kind.head_bytes))
    except FileNotFoundError:
        return
    except OSError:
        ours = False
    if not ours:
        raise BadInput(
            f"The output must be a new file, or a {kind.noun} that graft {kind.command} wrote before, "
            f"got {str(path)!r}.",
            hint="Choose another name, or remove the file.",
            code="already_exists",
        )


def write_file(path: Path, data: bytes, kind: FileKind) -> None:
    """Write a file where `check_place` allows it."""
    check_place(path, kind)
    make_directory(path.parent)
    write_atomic(path, data, writer=kind.writer)
