"""Numbers and names as a person reads them: percentages, counts, durations, dates, ranges."""

import math
import re
from datetime import datetime, timedelta
from typing import Final

from graft.evaluation.records import Score

NO_BREAK: Final = "\u00a0"
OPTIMIZERS: Final = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}
_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufffe\uffff\ud800-\udfff]"
)
_MONTHS: Final = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)


def clean(text: str) -> str:
    """The text with control characters, direction overrides and lone surrogates made visible as one sign."""
    return _UNPRINTABLE.sub("\ufffd", text)


def plain(text: str) -> str:
    """The text on one line, for a terminal or a label: `clean`, and line breaks and tabs made visible too."""
    return clean(text).replace("\n", "\ufffd").replace("\t", "\ufffd")


def percent_number(share: float, digits: int = 1) -> str:
    """A share as a percentage without its sign; 99.97 is never shown as 100.0, nor 0.02 as 0.0."""
    for more in range(digits, digits + 4):
        text = f"{share * 100:.{more}f}"
        if (share >= 1.0 or float(text) < 100.0) and (share <= 0.0 or float(text) > 0.0):
            return text
    return text


def percent(share: float, digits: int = 1) -> str:
    """A share as "97.4 %"."""
    return f"{percent_number(share, digits)}{NO_BREAK}%"


def span(low: float, high: float, digits: int = 1) -> str:
    """Two shares as "95.0 to 98.7 %"."""
    return f"{percent_number(low, digits)} to {percent(high, digits)}"


def score(item: Score) -> str:
    """A figure with its interval: "97.4 % (95.0 to 98.7)"."""
    return f"{percent(item.value)} ({percent_number(item.low)} to {percent_number(item.high)})"


def outward(item: Score) -> str:
    """An interval in whole percent, rounded outwards so that it never claims too much: "92–100"."""
    return f"{math.floor(item.low * 100 + 1e-9)}–{math.ceil(item.high * 100 - 1e-9)}"


def points(difference: float) -> str:
    """A difference of two shares in percentage points, always with its sign."""
    return f"{signed(difference)} points"


def signed(difference: float) -> str:
    """A difference of two shares in percentage points as a bare number: "+5.1", "−0.3", "0.0"."""
    text = f"{abs(difference) * 100:.1f}"
    if float(text) == 0.0:
        return text
    return f"{'+' if difference > 0 else '−'}{text}"


def count(number: int) -> str:
    """A whole number with its thousands apart: "20,062"."""
    return f"{number:,}"


def counted(number: int, singular: str, plural: str = "") -> str:
    """A whole number with its noun: "1 photo", "2,062 photos"."""
    return f"{count(number)} {singular if number == 1 else plural or singular + 's'}"


def out_of(share: float) -> str:
    """A share as a person would say it: "9 times in 10", "97 times in 100"; never better than it is."""
    if share >= 1.0:
        return "every time"
    if share <= 0.0:
        return "never"
    tenths = round(share * 10)
    if abs(share * 10 - tenths) < 0.25 and 0 < tenths < 10:
        return f"about {tenths} times in 10" if tenths > 1 else "about once in 10"
    if 0.005 <= share < 0.995:
        hundredths = round(share * 100)
        return f"{hundredths} times in 100" if hundredths > 1 else "once in 100"
    return f"{min(999, round(share * 1000))} times in 1,000" if share > 0.5 else "less than once in 100"


def byte_size(number: int) -> str:
    """A size in bytes as "5.2 MB" (1 MB = 1,000,000 bytes)."""
    size = float(number)
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f}{NO_BREAK}{unit}" if unit == "bytes" or size >= 100 else f"{size:.1f}{NO_BREAK}{unit}"
        size /= 1000
    return f"{size:.1f}{NO_BREAK}GB"


def duration(seconds: float) -> str:
    """A duration as "0.42 s", "12 s", "3 min 20 s" or "1 h 4 min"."""
    if seconds < 10:
        return f"{seconds:.2f} s" if seconds < 1 else f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
    return f"{whole // 3600} h" + (f" {whole % 3600 // 60} min" if whole % 3600 >= 60 else "")


def rough_duration(seconds: float) -> str:
    """An estimate of a duration as "under a minute", "about 12 min", "about 9 h" or "about 3 days"."""
    minutes, hours = seconds / 60, seconds / 3600
    if minutes < 1:
        return "under a minute"
    if hours < 2:
        return f"about {round(minutes) if minutes < 10 else 5 * round(minutes / 5)} min"
    return f"about {round(hours)} h" if hours < 48 else f"about {round(hours / 24)} days"


def date(text: str) -> str:
    """An ISO 8601 time as "22 November 2026, 10:17 UTC"; what is none is shown as given."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return plain(text)
    offset = moment.utcoffset()
    zone = "" if offset is None else " UTC" if offset == timedelta(0) else f" UTC{moment:%z}"
    return f"{moment.day} {_MONTHS[moment.month - 1]} {moment.year}, {moment:%H:%M}{zone}"


def listed(items: list[str], *, last: str = "and") -> str:
    """Items as a sentence has them: "a", "a and b", "a, b and c"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def shortened(text: str, characters: int) -> str:
    """The text cut in its middle to at most `characters`, so that both its start and its end can be read."""
    if len(text) <= characters:
        return text
    head = (characters - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (characters - 1 - head) :]}"


def small(number: float) -> str:
    """A learning rate as lectures write it: `1e-4`, `2e-5`, `0.01`."""
    digits, _, exponent = f"{number:e}".partition("e")
    return f"{float(digits):g}e{int(exponent)}" if number < 1e-2 else f"{number:g}"
