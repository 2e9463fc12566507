"""The photos that a user names to be answered for: files, and folders with all below them."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from graft.bundle.records import Failure
from graft.core.errors import BadInput
from graft.core.progress import Progress
from graft.data.reading import leads_out
from graft.data.records import Quarantined
from graft.data.sources import is_unicode, not_unicode, walk

NAMED_IN_MESSAGE = 5
LEADS_OUT = "The file must lie in the folder that was named, got a link that leads out of it. Name the link itself."
Answer = TypeVar("Answer", bound=Any)


def each_answer(
    inputs: Iterable[str], answer: Callable[[Iterable[Path]], Iterator[Answer | Failure]], progress: Progress
) -> Iterator[Answer | Failure]:
    """What `answer` gives for each photo, in order; folders are walked as the scan of a training walks its data.

    So names are sorted, no photos by name skipped, and what the scan would refuse unread becomes a `Failure` of the
    same code: folders that cannot be read, links to folders, links that lead out of the folder, and names that are not
    valid Unicode. Of these only the last is refused too where the user names the file itself: no answer could be
    written beside such a name. Raises `BadInput` no_photos where there is none, but for an iterator that is empty:
    whoever makes a list by a program may find nothing new.
    """
    names: list[str] = []
    found = _photos(inputs, names)
    items = found if isinstance(inputs, Iterator) else list(found)
    total = len(items) if isinstance(items, list) else None
    n = 0
    with progress.stage("Looking at photos", total, "photos") as stage:
        for each in _in_order(items, answer):
            n += 1
            stage.advance()
            yield each
    if n == 0 and (names or not isinstance(inputs, Iterator)):
        raise BadInput(f"PHOTO must name at least one photo, got {_told(names)}.", code="no_photos")


def _in_order(
    items: Iterable[Path | Failure], answer: Callable[[Iterable[Path]], Iterator[Answer | Failure]]
) -> Iterator[Answer | Failure]:
    """The answers for the paths among `items`, and the failures among them at their places."""
    refused: deque[tuple[int, Failure]] = deque()  # with the number of paths before each

    def paths() -> Iterator[Path]:
        n = 0
        for item in items:
            if isinstance(item, Failure):
                refused.append((n, item))
            else:
                n += 1
                yield item

    for number, each in enumerate(answer(paths())):
        while refused and refused[0][0] <= number:
            yield refused.popleft()[1]
        yield each
    yield from (failure for _, failure in refused)


def _told(names: list[str]) -> str:
    """What was given where no photo was found."""
    if not names:
        return "an empty list of paths"
    more = f" and {len(names) - NAMED_IN_MESSAGE:,} more" if len(names) > NAMED_IN_MESSAGE else ""
    return f"none in {', '.join(names[:NAMED_IN_MESSAGE])}{more}"


def _photos(inputs: Iterable[str], names: list[str]) -> Iterator[Path | Failure]:
    """The files that `inputs` mean, or why one is refused; folders that were looked through go to `names`."""
    for name in inputs:
        path = Path(name)
        if not is_unicode(name):
            yield _failure(not_unicode(name), Path())
        elif _is_folder(path):
            names.append(name)
            yield from _walk(path)
        else:
            yield path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False  # the answer for this path says what is wrong with it


def _walk(folder: Path) -> Iterator[Path | Failure]:
    """All photos below a folder but hidden ones, and what is refused there, in the order of their paths."""
    root = folder.resolve()
    found = walk(root, "")
    refused = {item.path: item for item in found.refused}
    for path in sorted([*found.photos, *refused]):
        yield _failure(refused[path], folder) if path in refused else _inside(folder, path, root)


def _inside(folder: Path, path: str, root: Path) -> Path | Failure:
    """The photo `path` of `folder`, or that it leads out of it; `root` is the folder with its links followed."""
    try:
        out = leads_out(root / path, root)
    except (OSError, RuntimeError):
        out = False  # reading it says what is wrong with it
    return Failure(path=str(folder / path), code="outside_root", message=LEADS_OUT) if out else folder / path


def _failure(item: Quarantined, folder: Path) -> Failure:
    return Failure(path=str(folder / item.path), code=item.code, message=item.reason)
