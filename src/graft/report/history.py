"""The epochs of fine-tuning as a table for other programs."""

import csv
import io
from dataclasses import fields

from graft.training.tuning.records import Epoch, TuningSummary


def history_csv(summary: TuningSummary) -> bytes:
    """One row for each epoch, one column for each field of `Epoch`; empty where nothing was measured.

    Numbers stand with as many digits as they need to be read back exactly; lines end in a single line feed, UTF-8.
    """
    names = [field.name for field in fields(Epoch)]
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in summary.epochs)
    return buffer.getvalue().encode("utf-8", "backslashreplace")


def _cell(value: str | int | float | None) -> str:
    return "" if value is None else value if isinstance(value, str) else repr(value)
