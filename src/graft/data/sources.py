"""From what the user points at to a list of files with labels: nothing is opened as an image here.

Three layouts: a folder with one folder a class; the same below `train`, `validation` (or `valid`, `val`) and `test`; a
CSV table (`data.tables`). Classes are in natural order of their names (2 before 10), which no locale and no file system
changes.
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from graft.core.errors import BadInput
from graft.data.containers import HEAD_BYTES, forbidden_kind, kind_of
from graft.data.entries import SPLIT_NAMES, Entry, class_name
from graft.data.records import Quarantined, Split
from graft.data.tables import read_table

# Files with these endings are meant as photos, also those that will be refused: the user is told, never left to wonder.
PHOTO_SUFFIXES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".gif", ".tif", ".tiff"),
        *(".heic", ".heif", ".avif", ".jp2", ".j2k", ".jxl", ".psd", ".eps", ".ico", ".svg", ".ppm", ".pgm", ".pbm"),
        *(".pnm", ".tga", ".exr", ".dcm", ".dng", ".cr2", ".nef", ".arw"),
    )
)
_DOCUMENT_SUFFIXES = frozenset((".txt", ".csv", ".json", ".xml", ".md", ".html", ".py", ".zip", ".pdf"))
_IGNORED_FOLDERS = frozenset(("__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information"))
_IGNORED_FILES = frozenset(("thumbs.db", "desktop.ini", "ehthumbs.db", "icon\r"))
_RUN_LOCK, _RUN_PLAN, _RUN_MANIFEST, _RUN_MADE = ".lock", "plan.json", "manifest.json", "made.json"


@dataclass(frozen=True)
class Source:
    """What a data folder or table lists. `root` is absolute; everything else is the same on any machine."""

    root: Path
    entries: tuple[Entry, ...]  # sorted by path
    classes: tuple[str, ...]  # natural order, empty ones included
    origin: Literal["folder", "splits", "csv"]
    ignored: tuple[str, ...] = ()  # no photos by name, and folders of runs
    refused: tuple[Quarantined, ...] = ()  # could not even be listed, or are links to folders
    empty_classes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """What one walk over a class folder gave; paths are relative to the root."""

    photos: tuple[str, ...]
    ignored: tuple[str, ...]
    refused: tuple[Quarantined, ...]


def natural_key(name: str) -> tuple[tuple[tuple[int, int, str], ...], str]:
    """Sort key: numbers within names by value, everything else by code points; equal names by the raw text."""
    parts = re.split(r"([0-9]+)", name)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts if part), name


def read_source(data: Path, *, least_classes: int = 2, name: str = "") -> Source:
    """List files and labels of a data folder (which the user calls `name`) or CSV table; `BadInput` where it fails.

    Where one class is enough (`least_classes`), nothing is to be trained: no train split is asked for either.
    """
    if not data.exists():
        raise BadInput(f"The data must exist, got {str(data)!r}.", hint="Check the path.", code="not_found")
    root = data.resolve()
    source = _read_folder(root, name or root.name) if root.is_dir() else _read_file(root)
    _check_classes(source, least_classes)
    return source


def _read_file(path: Path) -> Source:
    name = path.name.lower()
    if name.endswith(".csv"):
        entries = read_table(path)
        classes = tuple(sorted({entry.label for entry in entries}, key=natural_key))
        return Source(root=path.parent, entries=entries, classes=classes, origin="csv")
    raise BadInput(
        f"The data must be a folder with one folder a class, a zip or tar of one, or a CSV table, "
        f"got the file {path.name!r}.",
        hint="Give the folder that holds the class folders. Archives of other kinds must be unpacked first.",
    )


# Folders


def _read_folder(root: Path, called: str) -> Source:
    folders, files, refused = list_folder(root, "")
    splits = _split_folders(root, folders)
    loose = files
    parts: list[tuple[str, Split | None, Found]] = []
    if splits is None:
        if not folders:
            _refuse_flat(called, files)
        parts += [(class_name(name), None, walk(root, name)) for name in folders]
    else:
        for name, split in splits:
            inner, inner_files, inner_refused = list_folder(root, name)
            loose, refused = loose + inner_files, refused + inner_refused
            parts += [(class_name(label), split, walk(root, f"{name}/{label}")) for label in inner]
    entries = [Entry(path, label, split) for label, split, found in parts for path in found.photos]
    labels = {label for label, _, _ in parts}
    return Source(
        root=root,
        entries=tuple(sorted(entries, key=lambda entry: entry.path)),
        classes=tuple(sorted(labels, key=natural_key)),
        origin="folder" if splits is None else "splits",
        ignored=tuple(sorted([*loose, *(path for _, _, found in parts for path in found.ignored)])),
        refused=tuple(sorted([*refused, *(item for *_, found in parts for item in found.refused)], key=_path_of)),
        empty_classes=tuple(sorted(labels - {entry.label for entry in entries}, key=natural_key)),
    )


def _path_of(item: Quarantined) -> str:
    return item.path


def list_folder(root: Path, inside: str) -> tuple[list[str], list[str], list[Quarantined]]:
    """Folder names, relative file paths and unlistable things directly in a folder; all sorted."""
    folders: list[str] = []
    files: list[str] = []
    refused: list[Quarantined] = []
    for item, path in _scan_folder(root, inside, refused):
        if item.is_dir(follow_symlinks=False):
            if is_ignored_folder(Path(item)):
                files.append(path)
            else:
                folders.append(item.name)
        elif _is_linked_folder(item):
            refused.append(_linked_folder(root, path))
        else:
            files.append(path)
    return sorted(folders), sorted(files), refused


def walk(root: Path, top: str) -> Found:
    """All files below a class folder. Links to folders are not followed: they may lead out, or in a circle."""
    photos: list[str] = []
    ignored: list[str] = []
    refused: list[Quarantined] = []
    pending = [top]
    while pending:
        for item, path in _scan_folder(root, pending.pop(), refused):
            if item.is_dir(follow_symlinks=False):
                (ignored if is_ignored_folder(Path(item)) else pending).append(path)
            elif _is_linked_folder(item):
                refused.append(_linked_folder(root, path))
            else:
                (photos if is_photo(Path(item)) else ignored).append(path)
    return Found(tuple(sorted(photos)), tuple(sorted(ignored)), tuple(refused))


def _scan_folder(root: Path, inside: str, refused: list[Quarantined]) -> Iterator[tuple[os.DirEntry[str], str]]:
    """The items of a folder with their relative paths; what cannot be listed or named goes to `refused`."""
    try:
        with os.scandir(root / inside) as items:
            found = sorted(items, key=lambda item: item.name)
    except OSError as error:
        reason = f"The folder must be readable, got: {error.strerror}."
        refused.append(Quarantined(path=_printable(inside) or ".", code="unreadable", reason=reason))
        return
    for item in found:
        path = f"{inside}/{item.name}" if inside else item.name
        if not is_unicode(path):
            refused.append(not_unicode(path))
        else:
            yield item, path


def is_unicode(path: str) -> bool:
    """Whether a path can be written down as text."""
    return _printable(path) == path


def not_unicode(path: str) -> Quarantined:
    """The outcome for a path that is not valid Unicode."""
    reason = "The name must be valid Unicode, got bytes that are not."
    return Quarantined(path=_printable(path), code="unreadable", reason=reason)


def _printable(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _is_linked_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_symlink() and item.is_dir()
    except OSError:
        return False  # a circle of links is no folder: the scan says what is wrong with it


def _linked_folder(root: Path, path: str) -> Quarantined:
    if (root / path).resolve().is_relative_to(root):
        reason = "Links to folders are not followed: put the photos, or links to them, in the class folder."
        return Quarantined(path=path, code="not_a_file", reason=reason)
    reason = "The folder must lie in the data folder, got a link that leads out of it."
    return Quarantined(path=path, code="outside_root", reason=reason)


def _is_ignored(name: str, names: frozenset[str]) -> bool:
    return name.startswith(".") or name.lower() in names


def is_ignored_folder(folder: Path) -> bool:
    """Whether a folder is left out unseen: hidden ones, those of operating systems, and runs."""
    return _is_ignored(folder.name, _IGNORED_FOLDERS) or is_run(folder)


def is_run(folder: Path) -> bool:
    """Whether a training wrote this folder, also one that was killed while it began."""
    try:
        if (folder / _RUN_MADE).is_file() or all((folder / name).is_file() for name in (_RUN_PLAN, _RUN_MANIFEST)):
            return True
        if not (folder / _RUN_LOCK).is_file():
            return False
        return all(item.name.startswith(".") or item.name == _RUN_PLAN for item in folder.iterdir())
    except OSError:
        return False  # the walk says that it cannot be read


def is_photo(path: Path) -> bool:
    """Whether a file is meant as a photo: by its ending, or where that says nothing, by its first bytes."""
    if _is_ignored(path.name, _IGNORED_FILES):
        return False
    suffix = os.path.splitext(path.name)[1].lower()  # noqa: PTH122 (a name, not a path)
    if suffix in PHOTO_SUFFIXES:
        return True
    if suffix in _DOCUMENT_SUFFIXES:
        return False
    try:
        if not path.is_file():
            return False  # never open what may be a pipe
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except OSError:
        return suffix == ""  # let the scan say what is wrong with it
    return kind_of(head) is not None or (suffix == "" and forbidden_kind(head) is not None)


def _split_folders(root: Path, folders: Sequence[str]) -> list[tuple[str, Split]] | None:
    """The folders that are splits, or None where the folders are classes."""
    named = [(name, SPLIT_NAMES[name.lower()]) for name in folders if name.lower() in SPLIT_NAMES]
    nested = [name for name, _ in named if list_folder(root, name)[0]]
    if not nested:
        return None  # a class may well be called "train"
    others = [name for name in folders if name not in dict(named)]
    if others:
        raise BadInput(
            f"The data must hold either class folders or split folders, got both: {named[0][0]!r} and {others[0]!r}.",
            hint="Move the class folders into the split folders, or the others out of the way.",
        )
    splits = [split for _, split in named]
    for split in sorted(set(splits)):
        if splits.count(split) > 1:
            twins = " and ".join(repr(name) for name, its in named if its == split)
            raise BadInput(f"There must be one {split} folder, got {twins}.", hint="Merge them, or move one away.")
    return named


def _refuse_flat(called: str, files: Sequence[str]) -> None:
    photos = [name for name in files if Path(name).suffix.lower() in PHOTO_SUFFIXES]
    if photos:
        raise BadInput(
            f"The data must hold its photos in one folder a class, got {len(photos)} without a class folder.",
            hint="Sort the photos into folders named after their classes, or give a CSV table of path,label.",
        )
    raise BadInput(
        f"The data folder must hold one folder a class, got none in {called!r}.",
        hint="Check the path.",
        code="no_photos",
    )


def _check_classes(source: Source, least_classes: int) -> None:
    if not source.entries and not source.refused:
        raise BadInput("The data must hold photos, got none.", hint="Check the path.", code="no_photos")
    by_folded: dict[str, str] = {}
    for name in source.classes:
        twin = by_folded.setdefault(unicodedata.normalize("NFKC", name).casefold(), name)
        if twin != name:
            raise BadInput(
                f"Class names must differ by more than upper and lower case, got {twin!r} and {name!r}.",
                hint="Merge or rename them: some file systems cannot tell them apart.",
            )
    if len(source.classes) < least_classes:
        name = source.classes[0] if source.classes else ""
        inner = list_folder(source.root, name)[0] if source.origin == "folder" and name else []
        hint = (
            f"Did you mean {str(source.root / name)!r}?"
            if len(inner) > 1
            else "Sort the photos into two or more folders."
        )
        raise BadInput(f"There must be two classes at least, got {len(source.classes)}: {name!r}.", hint=hint)
    if least_classes < 2:  # of one class nothing is trained: the photos are only looked at or measured
        return
    trained = {entry.label for entry in source.entries if entry.split in (None, "train")}
    if source.entries and not trained:
        found = ", ".join(sorted({str(entry.split) for entry in source.entries}))
        raise BadInput(f"The data must hold a train split, got only {found}.", hint="Add photos to train on.")
    missing = [name for name in source.classes if name not in trained and name not in source.empty_classes]
    if missing:
        raise BadInput(
            f"Every class must have photos in the train split, got none of {missing[0]!r}.", code="class_empty"
        )
