"""Pages that commands write where the user says: an earlier one is replaced, anything else is left alone."""

import os
from pathlib import Path
from typing import NamedTuple

from graft.core.errors import BadInput, ResourceProblem
from graft.core.files import make_directory, write_atomic


class PageKind(NamedTuple):
    """The command that writes a kind of page, and the generator that the page's head names."""

    command: str
    generator: str


INSPECTION = PageKind("inspect", "Graft inspection")
RANKING = PageKind("backbones rank", "Graft ranking")
SUFFIXES = (".html", ".htm")
HEAD_BYTES = 2_000  # of a page, in which its generator stands


def check_page(path: Path, kind: PageKind) -> None:
    """Refuse a place that is no HTML file, or that holds anything but a page of this kind.

    Asked before anything is computed, and again before the page is written.
    """
    from graft.report.page import is_page_of

    if path.suffix.lower() not in SUFFIXES:
        raise BadInput(
            f"The output must be an HTML file, got {str(path)!r}.",
            hint=f"For example: -o {kind.command.split()[-1]}.html.",
        )
    if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
        raise ResourceProblem(
            f"The folder of {str(path)!r} must be one that can be written to, got one that cannot.",
            hint="Name another place.",
            code="cannot_write",
        )
    try:
        with path.open("rb") as file:
            known = is_page_of(kind.generator, file.read(HEAD_BYTES))
    except FileNotFoundError:
        return
    except OSError:
        known = False
    if not known:
        raise BadInput(
            f"The output must be a new file, or a page that graft {kind.command} wrote before, got {str(path)!r}.",
            hint="Choose another name, or remove the file.",
            code="already_exists",
        )


def write_page(path: Path, page: str, kind: PageKind) -> None:
    """Write a page where `check_page` allows it."""
    check_page(path, kind)
    make_directory(path.parent)
    write_atomic(path, page.encode(), writer="report")
