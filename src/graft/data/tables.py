"""CSV tables of photos: the columns path, label and, if wanted, split and group.

Columns are separated by commas, or as spreadsheets write them where the comma is the decimal sign, by semicolons or
tabs: the first line tells which.
"""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from graft.core.errors import BadInput
from graft.data.entries import SPLIT_NAMES, Entry, class_name

MAX_TABLE_BYTES = 256 << 20
SEPARATORS = (",", ";", "\t")
COLUMNS = ("path", "label", "split", "group")  # any others are left alone
_TOLD_SEPARATOR = re.compile(r"sep=([,;\t])\r?\n")  # a line that spreadsheets put first, and hide


def read_table(path: Path) -> tuple[Entry, ...]:
    """The rows of a table, sorted by path; raises `BadInput` for a table that is not what it must be."""
    if path.stat().st_size > MAX_TABLE_BYTES:
        raise BadInput(f"A table must have at most {MAX_TABLE_BYTES} bytes, got {path.stat().st_size}.")
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        hint = "Save it as CSV UTF-8."
        raise BadInput(f"The table must be UTF-8 text, got other bytes at {error.start}.", hint=hint) from None
    told = _TOLD_SEPARATOR.match(text)
    if told:
        text = text[told.end() :]
    try:
        separator = told[1] if told else _separator(text)
        lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
        entries = tuple(sorted(_rows(lines, path.parent, first=2 if told else 1), key=lambda row: row.path))
    except csv.Error as error:
        raise BadInput(f"The table must be valid CSV: {error}.") from None
    _check_rows(entries)
    return entries


def _separator(text: str) -> str:
    """What separates the columns' names: whatever makes `path` and `label` two of them."""
    head = io.StringIO(text, newline="").readline()
    found = (
        each for each in SEPARATORS if {"path", "label"} <= set(_names(next(csv.reader([head], delimiter=each), [])))
    )
    return next(found, SEPARATORS[0])


def _names(cells: Iterable[str]) -> list[str]:
    return [name.strip().lower() for name in cells]


def _rows(lines: Iterable[list[str]], root: Path, *, first: int) -> Iterator[Entry]:
    """`first` is the number of the line that names the columns."""
    rows = enumerate(lines, start=first)
    columns = _names(next(rows, (0, []))[1])
    if "path" not in columns or "label" not in columns or len(set(columns)) != len(columns):
        raise BadInput(
            f"A table's first line must name the columns path,label[,split][,group], got {','.join(columns)[:80]!r}.",
            hint="Separate the columns by commas, semicolons or tabs.",
        )
    for number, row in rows:
        if not any(row):
            continue
        if len(row) != len(columns):
            raise BadInput(f"Row {number} of the table must have {len(columns)} columns, got {len(row)}.")
        value = {name: cell.strip() for name, cell in zip(columns, row, strict=True) if name in COLUMNS}
        if not value["path"] or not value["label"] or "\x00" in value["path"]:
            raise BadInput(f"Row {number} of the table must have a path and a label, got {row!r:.80}.")
        split = value.get("split", "").lower()
        if split and split not in SPLIT_NAMES:
            raise BadInput(f"Row {number}: the split must be train, validation or test, got {split!r:.40}.")
        yield Entry(
            _relative(value["path"], root),
            class_name(value["label"]),
            SPLIT_NAMES.get(split),
            value.get("group") or None,
        )


def _relative(path: str, root: Path) -> str:
    """The path as the manifest names it; one that leads out of the root is left for the scan to refuse."""
    path = path.replace("\\", "/") if os.sep == "\\" else path
    if Path(path).is_absolute() and Path(path).is_relative_to(root):
        return Path(path).relative_to(root).as_posix()
    return path.removeprefix("./")


def _check_rows(entries: Sequence[Entry]) -> None:
    for earlier, later in pairwise(entries):
        if earlier.path == later.path:
            raise BadInput(
                f"A table must name each photo once, got {later.path!r} twice ({earlier.label!r}, {later.label!r})."
            )
    without = [entry.path for entry in entries if entry.split is None]
    if without and len(without) < len(entries):
        raise BadInput(f"Either all rows must name a split or none, got none for {without[0]!r}.")
