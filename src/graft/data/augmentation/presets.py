"""Augmentations by name, and the words in which a user says one: `classic,rotation=30,flip=none`."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

from graft.core.errors import BadInput
from graft.data.augmentation.records import Augmentation, FillMode

PRESETS: Mapping[str, Augmentation] = MappingProxyType(
    {
        "none": Augmentation(),
        "light": Augmentation(
            rotation_degrees=10.0,
            width_shift=0.05,
            height_shift=0.05,
            zoom=(0.9, 1.1),
            horizontal_flip=True,
            brightness=(0.9, 1.1),
        ),
        "classic": Augmentation(
            rotation_degrees=40.0,
            width_shift=0.2,
            height_shift=0.2,
            shear_degrees=0.2,
            zoom=(0.8, 1.2),
            horizontal_flip=True,
        ),
        "strong": Augmentation(
            rotation_degrees=40.0,
            width_shift=0.2,
            height_shift=0.2,
            shear_degrees=15.0,
            zoom=(0.7, 1.3),
            horizontal_flip=True,
            brightness=(0.6, 1.4),
            channel_shift=20.0,
            fill_mode="reflect",
        ),
        # for signs, letters and digits: what is mirrored or upside down means something else
        "symbols": Augmentation(
            rotation_degrees=20.0,
            width_shift=0.1,
            height_shift=0.1,
            zoom=(0.85, 1.15),
            brightness=(0.8, 1.2),
        ),
    }
)
DEFAULT = "symbols"  # changes no photo's meaning, whatever is on it
MAX_TEXT = 1000
FLIPS: Mapping[str, tuple[bool, bool]] = MappingProxyType(
    {"none": (False, False), "horizontal": (True, False), "vertical": (False, True), "both": (True, True)}
)
_NUMBER = r"((?:\d{1,9}(?:\.\d{0,20})?|\.\d{1,20})(?:e-?\d{1,3})?)"
_RANGE = re.compile(rf"{_NUMBER}\s*[-:]\s*{_NUMBER}", re.ASCII)


class _Word(NamedTuple):
    """One word before an equals sign: the fields it sets, what may follow it, and how that is read and said."""

    fields: tuple[str, ...]
    wanted: str
    read: Callable[[str], tuple[Any, ...] | None]  # one value for each field; None: not what was wanted
    say: Callable[[tuple[Any, ...]], str]


def _number(field: str, most: float, unit: str) -> _Word:
    def read(text: str) -> tuple[float] | None:
        value = float(text) if re.fullmatch(_NUMBER, text, re.ASCII) else -1.0
        return (value,) if 0 <= value <= most else None

    return _Word((field,), f"{unit} from 0 to {most:g}", read, lambda values: _said(values[0]))


def _range(field: str, least: float, most: float) -> _Word:
    """A range of factors, or how far they may lie from 1."""

    def read(text: str) -> tuple[tuple[float, float]] | None:
        if match := _RANGE.fullmatch(text):
            low, high = float(match[1]), float(match[2])
        elif re.fullmatch(_NUMBER, text, re.ASCII):
            low, high = round(1 - float(text), 12), round(1 + float(text), 12)
        else:
            return None
        return ((low, high),) if least <= low <= high <= most else None

    wanted = f"a range of factors as 0.8-1.2, or 0.2 for the same, from {least:g} to {most:g}"
    return _Word((field,), wanted, read, lambda values: f"{_said(values[0][0])}-{_said(values[0][1])}")


def _choice(names: tuple[str, ...], choices: Mapping[str, tuple[Any, ...]]) -> _Word:
    said = {values: word for word, values in choices.items()}
    return _Word(names, f"one of {', '.join(choices)}", choices.get, lambda values: said[values])


def _both(first: str, second: str, most: float, unit: str) -> _Word:
    """One number for two fields; said only where they are equal, see `_changes`."""
    one = _number(first, most, unit)

    def read(text: str) -> tuple[Any, ...] | None:
        found = one.read(text)
        return found * 2 if found else None

    return _Word((first, second), one.wanted, read, one.say)


WORDS: Mapping[str, _Word] = MappingProxyType(
    {
        "rotation": _number("rotation_degrees", 180, "a number of degrees"),
        "shift": _both("width_shift", "height_shift", 0.5, "a share of the side"),
        "width-shift": _number("width_shift", 0.5, "a share of the width"),
        "height-shift": _number("height_shift", 0.5, "a share of the height"),
        "shear": _number("shear_degrees", 89, "a number of degrees"),
        "zoom": _range("zoom", 0.1, 2),
        "flip": _choice(("horizontal_flip", "vertical_flip"), FLIPS),
        "turn": _choice(("turn_degrees",), {str(degrees): (degrees,) for degrees in (0, 90, 180, 270)}),
        "quarter-turns": _choice(("quarter_turns",), {"no": (False,), "yes": (True,)}),
        "brightness": _range("brightness", 0, 10),
        "channel-shift": _number("channel_shift", 255, "a number of levels"),
        "fill": _choice(("fill_mode",), {mode: (mode,) for mode in get_args(FillMode)}),
        "fill-value": _Word(
            ("fill_value",),
            "a level, a whole number from 0 to 255",
            lambda text: (int(text),) if re.fullmatch(r"\d{1,3}", text, re.ASCII) and int(text) < 256 else None,
            lambda values: str(values[0]),
        ),
    }
)


def parse(text: str) -> Augmentation:
    """The augmentation that `text` says: a preset's name, then changes to it; `rotation=30` alone changes `none`.

    Raises: `BadInput` with one sentence that names the nearest word.
    """
    if len(text) > MAX_TEXT:
        raise BadInput(f"The augmentation must have at most {MAX_TEXT} letters, got {len(text):,}.")
    first, *rest = (part.strip().lower() for part in text.split(","))
    if "=" in first:
        found, rest = PRESETS["none"], [first, *rest]
    elif first in PRESETS:
        found = PRESETS[first]
    else:
        raise BadInput(
            f"The augmentation must begin with one of {', '.join(PRESETS)}, got {first[:40]!r}.",
            hint=_nearest(first, PRESETS, "Changes follow a comma, as in classic,rotation=30,flip=none."),
        )
    for part in rest:
        found = replace(found, **_change(part))
    return found


def to_words(augmentation: Augmentation) -> str:
    """The shortest words that `parse` reads back as this augmentation."""
    found = [",".join([name, *_changes(preset, augmentation)]) for name, preset in PRESETS.items()]
    return min(found, key=lambda words: (words.count(","), len(words)))


def _change(part: str) -> dict[str, Any]:
    """The fields that one `word=value` sets."""
    word, _, value = (piece.strip() for piece in part.partition("="))
    word = word.replace("_", "-")
    if word not in WORDS:
        raise BadInput(
            f"A change to an augmentation must be one of {', '.join(WORDS)}, got {part[:40]!r}.",
            hint=_nearest(word, WORDS, "For example: rotation=30."),
        )
    values = WORDS[word].read(value)
    if values is None:
        raise BadInput(f"{word} must be {WORDS[word].wanted}, got {value[:40]!r}.", hint=_example(word, value))
    return dict(zip(WORDS[word].fields, values, strict=True))


def _example(word: str, value: str) -> str:
    """A hint: the nearest value where some are named, or what a preset has."""
    choices = WORDS[word].wanted.removeprefix("one of ").split(", ")
    near = _nearest(value, choices, "")
    return near or f"For example: {word}={WORDS[word].say(_values(PRESETS['strong'], WORDS[word]))}."


def _changes(preset: Augmentation, wanted: Augmentation) -> list[str]:
    """What makes `wanted` of `preset`, in words."""
    changes: list[str] = []
    covered: set[str] = set()
    for name, word in WORDS.items():
        values = _values(wanted, word)
        differs = values != _values(preset, word) and not covered >= set(word.fields)
        if differs and not (name == "shift" and len(set(values)) > 1):
            changes.append(f"{name}={word.say(values)}")
            covered |= set(word.fields)
    return changes


def _values(augmentation: Augmentation, word: _Word) -> tuple[Any, ...]:
    return tuple(getattr(augmentation, field) for field in word.fields)


def _said(number: float) -> str:
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _nearest(word: str, known: Iterable[str], otherwise: str) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"Did you mean {near[0]}?" if near else otherwise
