"""The photos that a user names to be answered for: files, and folders with all below them."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from graft.bundle.records import Failure
from graft.core.errors import BadInput
from graft.core.progress import Progress
from graft.data.sources import is_ignored_folder, is_photo

NAMED_IN_MESSAGE = 5
Answer = TypeVar("Answer", bound=Any)


def each_answer(
    inputs: Iterable[str], answer: Callable[[Iterable[Path]], Iterator[Answer | Failure]], progress: Progress
) -> Iterator[Answer | Failure]:
    """What `answer` gives for each photo, in order; folders are walked, names sorted, and no photos by name skipped.

    A folder that cannot be read becomes a `Failure`. Raises `BadInput` no_photos where there is none.
    """
    unreadable: dict[str, str] = {}
    names: list[str] = []
    found = _photos(inputs, names, unreadable)
    paths = found if isinstance(inputs, Iterator) else list(found)
    total = len(paths) if isinstance(paths, list) else None
    n = 0
    with progress.stage("Looking at photos", total, "photos") as stage:
        for each in answer(paths):
            n += 1
            stage.advance()
            if isinstance(each, Failure) and each.path in unreadable:
                each = replace(each, code="unreadable", message=unreadable[each.path])
            yield each
    if n == 0:
        raise BadInput(f"PHOTO must name at least one photo, got {_told(names)}.", code="no_photos")


def _told(names: list[str]) -> str:
    """What was given where no photo was found."""
    if not names:
        return "an empty list of paths"
    more = f" and {len(names) - NAMED_IN_MESSAGE:,} more" if len(names) > NAMED_IN_MESSAGE else ""
    return f"none in {', '.join(names[:NAMED_IN_MESSAGE])}{more}"


def _photos(inputs: Iterable[str], names: list[str], unreadable: dict[str, str]) -> Iterator[Path]:
    """The files that `inputs` mean; folders that were looked through go to `names`."""
    for name in inputs:
        path = Path(name)
        if _is_folder(path):
            names.append(name)
            yield from _walk(path, unreadable)
        else:
            yield path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # the answer for this path says what is wrong with it


def _walk(folder: Path, unreadable: dict[str, str]) -> Iterator[Path]:
    """All photos below a folder but hidden ones, in the order of their names; linked folders are not entered.

    A folder that cannot be read stands for itself, and the reason goes to `unreadable`.
    """
    failed: list[OSError] = []
    for place, folders, files in os.walk(folder, onerror=failed.append):
        yield from _failed(failed, unreadable)
        folders[:] = sorted(name for name in folders if not is_ignored_folder(Path(place, name)))
        paths = (Path(place, name) for name in sorted(files) if not name.startswith("."))
        yield from filter(is_photo, paths)
    yield from _failed(failed, unreadable)


def _failed(errors: list[OSError], unreadable: dict[str, str]) -> Iterator[Path]:
    while errors:
        error = errors.pop(0)
        path = Path(error.filename)
        unreadable[str(path)] = f"The folder must be readable, got: {error.strerror}."
        yield path
