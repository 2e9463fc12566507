"""Aligned columns for a terminal, whatever the letters."""

import unicodedata
from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[str]:
    """Rows as aligned lines; the columns numbered in `right` are aligned to the right."""
    widths = [max(map(width, cells)) for cells in zip(*rows, strict=True)]
    return [
        "  ".join(
            _padded(cell, wide, right=place in right)
            for place, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def width(text: str) -> int:
    """Columns a terminal needs: wide signs take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) else 2 if unicodedata.east_asian_width(sign) in "WF" else 1 for sign in text
    )


def _padded(text: str, wide: int, *, right: bool = False) -> str:
    """`text` with blanks behind it, or before it, up to so many columns."""
    blanks = " " * (wide - width(text))
    return blanks + text if right else text + blanks
