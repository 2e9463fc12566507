"""Properties of the files that tell the class although they say nothing about what the photos show.

Two sorts are looked for. A *value* gives a class away where all or nearly all photos that have it are of one class
(every PNG is a cat); a *property* gives classes away where one who sees nothing else, and knows what the other photos
show, guesses well (cats are small files, dogs large ones). Both must be beyond chance, with the bar raised for the
number of questions asked, and strong enough to matter.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np

from graft.core.records import record
from graft.data.records import Manifest, Photo

CHANCE_OF_COINCIDENCE: Final = 1e-3  # for all questions about one data set together
MIN_TELLING_PHOTOS: Final = 8
MIN_SHARE_OF_CLASS: Final = 0.01  # fewer photos of a large class change nothing
NEARLY_ALL: Final = 0.95
ECHO: Final = 0.1  # a value whose photos are nearly all told by another one says nothing new
STRONG: Final = 0.3  # of the way from always guessing the commonest class to knowing: 65 % of two equal classes
STRONG_FOR_A_CLASS: Final = 0.5  # correlation of "would be taken for this class" with "is of it"
MOST_VALUES: Final = 3  # of one property, the commonest
PHOTOS_A_BIN: Final = 25
MOST_BINS: Final = 12


@record
class Shortcut:
    """One property by which a classifier may cheat.

    With a `value`, `n_photos` photos have it and `share` of them are in `classes[0]`, which holds `chance` of all
    photos. Without one, `share` of all `n_photos` photos get the right class from the property alone (`chance`: from
    always guessing the commonest class); with one class named, `share` of its `n_photos` photos are found.
    """

    property: str  # format, mode, orientation, size, flag, width, height, aspect, bytes, bytes_per_pixel
    value: str = ""
    classes: tuple[str, ...]  # those given away; empty where all are, more or less
    n_photos: int
    share: float
    chance: float
    strength: float  # 0 no better than guessing, 1 gives it away entirely
    p_value: float  # that chance does as well, for all questions asked together
    sentence: str
    remedy: str


@dataclass(frozen=True)
class _Column:
    """One property of all photos as small numbers; `values` names them, and is empty for ranges of a measure."""

    name: str
    codes: np.ndarray  # (photo,) int, from 0
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Measure:
    """One number of each photo, and how it is spoken of."""

    name: str
    words: str
    unit: str
    remedy: str
    of: Callable[[Photo], float]


_MAY_LEARN = "a classifier may learn that instead of what they show"
_SAVED = "Save the photos of all classes in the same way, best from the originals."
_FRAMED = "Check where the photos come from: each class should have the same mix of sizes and shapes."
_TAKEN = "Check where these photos come from: each class should have such photos, or none."

_FLAG_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "icc_profile": "with a colour profile of their own",
        "icc_profile_ignored": "with a colour profile that cannot be used",
        "sixteen_bit": "of 16 bits a sample",
        "low_range": "of 16 bits of which only the lower are used",
        "trailing_bytes": "with more bytes after the image's end",
        "frames_ignored": "with several frames",
        "extension_mismatch": "that are named as another format",
        "exif_unreadable": "with damaged EXIF data",
    }
)
_VALUES: Mapping[str, tuple[str, str, Callable[[Photo], str]]] = MappingProxyType(
    {
        "orientation": (
            "turned by their EXIF orientation",
            _TAKEN,
            lambda photo: "turned" if photo.facts.orientation != 1 else "",
        ),
        "format": ("of format {}", _SAVED, lambda photo: photo.facts.format),
        "mode": ("of colour mode {}", _SAVED, lambda photo: photo.facts.mode),
        "size": ("of exactly {} pixels", _FRAMED, lambda photo: f"{photo.facts.width}×{photo.facts.height}"),
    }
)
# Measures of one row follow from each other: only the most telling one of a row is named.
_MEASURES: Final = (
    (
        _Measure("width", "The width", "{:,.0f} pixels", _FRAMED, lambda photo: photo.facts.width),
        _Measure("height", "The height", "{:,.0f} pixels", _FRAMED, lambda photo: photo.facts.height),
        _Measure(
            "aspect",
            "The ratio of width to height",
            "{:.2f}",
            _FRAMED,
            lambda photo: photo.facts.width / photo.facts.height,
        ),
    ),
    (
        _Measure("bytes", "The size of the file", "{:,.0f} bytes", _SAVED, lambda photo: photo.facts.bytes),
        _Measure(
            "bytes_per_pixel",
            "The number of bytes for each pixel",
            "{:.2f}",
            _SAVED,
            lambda photo: photo.facts.bytes / (photo.facts.width * photo.facts.height),
        ),
    ),
)


def find_shortcuts(manifest: Manifest) -> tuple[Shortcut, ...]:
    """All shortcuts of the manifest's photos, those that tell most first; needs no photo itself."""
    labels = np.array([photo.label for photo in manifest.photos], np.int64)
    sizes = np.bincount(labels, minlength=len(manifest.classes))
    if np.count_nonzero(sizes) < 2:
        return ()
    columns = list(_columns(manifest.photos))
    tables = {column.name: _table(column.codes, labels, len(sizes)) for column in columns}
    n_questions = sum(len(_asked(table)) for table in tables.values()) + sum(len(row) for row in _MEASURES) + 1
    told = np.zeros(len(labels), bool)  # photos whose class a value has already given away
    by_value: list[Shortcut] = []
    for column in columns:
        for code, shortcut in _telling_values(manifest.classes, column, tables[column.name], sizes, n_questions):
            having = column.codes == code
            if np.count_nonzero(having & ~told) > ECHO * np.count_nonzero(having):
                by_value.append(shortcut)
            told |= having
    by_measure = _telling_measures(manifest, labels, told, n_questions)
    if any(shortcut.remedy == _FRAMED for shortcut in by_measure):  # says the same of more photos
        by_value = [shortcut for shortcut in by_value if shortcut.property != "size"]
    return tuple(sorted([*by_value, *by_measure], key=lambda shortcut: -shortcut.strength * shortcut.n_photos))


def _columns(photos: Sequence[Photo]) -> Iterator[_Column]:
    """Every property that has values; a photo without one gets the code 0 and the value ""."""
    for name, (_, _, value_of) in _VALUES.items():
        yield _coded(name, [value_of(photo) for photo in photos])
    for flag in sorted({flag for photo in photos for flag in photo.facts.flags}):
        yield _coded(f"flag {flag}", [flag if flag in photo.facts.flags else "" for photo in photos])


def _coded(name: str, values: Sequence[str]) -> _Column:
    places = {"": 0}
    codes = np.array([places.setdefault(value, len(places)) for value in values], np.int64)
    return _Column(name, codes, tuple(places))


def _table(codes: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Photos by code and class: (code, class)."""
    rows = int(codes.max(initial=0)) + 1
    return np.bincount(codes * k + labels, minlength=rows * k).reshape(rows, k)


def _asked(table: np.ndarray) -> list[int]:
    """The values with enough photos to be asked about."""
    return [code for code in range(1, len(table)) if table[code].sum() >= MIN_TELLING_PHOTOS]


def _telling_values(
    classes: Sequence[str], column: _Column, table: np.ndarray, sizes: np.ndarray, n_questions: int
) -> list[tuple[int, Shortcut]]:
    """The values of one property that are (nearly) only found in one class, as (code, shortcut)."""
    found = []
    n = int(sizes.sum())
    for code in _asked(table):
        label = int(table[code].argmax())
        n_value, inside, size = int(table[code].sum()), int(table[code, label]), int(sizes[label])
        if inside < NEARLY_ALL * n_value or inside < MIN_SHARE_OF_CLASS * size:
            continue
        p_value = min(1.0, n_questions * _tail(inside, n_value, size, n))
        if p_value < CHANCE_OF_COINCIDENCE:
            found.append((code, _value_shortcut(column, code, classes[label], (inside, n_value), size / n, p_value)))
    found.sort(key=lambda item: (-item[1].n_photos, item[1].value))
    return found[:MOST_VALUES]


def _value_shortcut(
    column: _Column, code: int, name: str, counts: tuple[int, int], chance: float, p_value: float
) -> Shortcut:
    inside, n_value = counts
    kind, _, flag = column.name.partition(" ")
    value = column.values[code]
    wording, remedy, _ = _VALUES.get(kind, (_FLAG_WORDS.get(flag, "with the flag {}"), _SAVED, None))
    how_many = f"All {n_value:,}" if inside == n_value else f"{inside:,} of {n_value:,}"
    return Shortcut(
        property=kind,
        value=value,
        classes=(name,),
        n_photos=n_value,
        share=inside / n_value,
        chance=chance,
        strength=(inside / n_value - chance) / (1 - chance),
        p_value=p_value,
        sentence=(f"{how_many} photos {wording.format(value)} are in {name!r}: {_MAY_LEARN}."),
        remedy=remedy,
    )


def _tail(inside: int, drawn: int, size: int, n: int) -> float:
    """Chance that at least `inside` of `drawn` photos are of a class that has `size` of all `n` (hypergeometric)."""
    most = min(drawn, size)
    every = _log_choose(n, drawn)
    return min(
        1.0,
        sum(
            math.exp(_log_choose(size, hits) + _log_choose(n - size, drawn - hits) - every)
            for hits in range(inside, most + 1)
            if drawn - hits <= n - size
        ),
    )


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def _telling_measures(manifest: Manifest, labels: np.ndarray, told: np.ndarray, n_questions: int) -> list[Shortcut]:
    """Of each row of measures the most telling one, if it also tells the classes of photos not told by a value."""
    found = []
    for row in _MEASURES:
        best: Shortcut | None = None
        for measure in row:
            values = np.array([measure.of(photo) for photo in manifest.photos], float)
            made = _measured(manifest.classes, measure, values, labels, n_questions)
            if made is None or (best is not None and made.strength <= best.strength):
                continue
            if told.any() and _measured(manifest.classes, measure, values[~told], labels[~told], 1) is None:
                continue
            best = made
        found += [best] if best else []
    return found


def _measured(
    classes: Sequence[str], measure: _Measure, values: np.ndarray, labels: np.ndarray, n_questions: int
) -> Shortcut | None:
    """What a measure alone tells about all classes or, failing that, about one; None where that is too little."""
    table = _table(_binned(values), labels, len(classes))
    sizes = table.sum(axis=0)
    if len(table) < 2 or np.count_nonzero(sizes) < 2:
        return None
    n, largest, hits = int(sizes.sum()), int(sizes.argmax()), _hits(table)
    share, chance = int(hits.sum()) / n, int(sizes[largest]) / n
    strength, p_value = (share - chance) / (1 - chance), min(1.0, n_questions * _independence(table))
    told: tuple[str, ...] = ()
    sentence = (
        f"{measure.words} alone gives {_percent(share)} of the photos their right class (always guessing "
        f"{classes[largest]!r}: {_percent(chance)})"
    )
    if strength < STRONG:
        label, strength = _best_class(table, hits)
        told, share, chance = (classes[label],), int(hits[:, label].sum()) / max(int(sizes[label]), 1), sizes[label] / n
        n = int(sizes[label])
        of_class = np.stack([table[:, label], table.sum(axis=1) - table[:, label]], axis=1)
        p_value = min(1.0, n_questions * len(classes) * _independence(of_class))
        sentence = f"{measure.words} alone tells {_percent(share)} of the photos of {classes[label]!r} from the rest"
    if strength < (STRONG_FOR_A_CLASS if told else STRONG) or p_value >= CHANCE_OF_COINCIDENCE:
        return None
    return Shortcut(
        property=measure.name,
        classes=told,
        n_photos=n,
        share=share,
        chance=float(chance),
        strength=float(strength),
        p_value=p_value,
        sentence=f"{sentence}{_middles(classes, measure, values, labels, told)}: {_MAY_LEARN}.",
        remedy=measure.remedy,
    )


def _middles(
    classes: Sequence[str], measure: _Measure, values: np.ndarray, labels: np.ndarray, told: tuple[str, ...]
) -> str:
    """The middle value of the two classes that lie furthest apart, or of the class told and of the rest."""
    if told:
        inside = labels == classes.index(told[0])
        ends = [(float(np.median(values[inside])), told[0]), (float(np.median(values[~inside])), "")]
    else:
        present = np.unique(labels).tolist()
        middles = sorted((float(np.median(values[labels == label])), classes[label]) for label in present)
        ends = [middles[0], middles[-1]]
    texts = [measure.unit.format(middle) for middle, _ in ends]
    if texts[0] == texts[1]:
        return ""
    return ", about " + ", ".join(
        f"{text} in {name!r}" if name else f"{text} elsewhere" for text, (_, name) in zip(texts, ends, strict=True)
    )


def _binned(values: np.ndarray) -> np.ndarray:
    """Values as ranges that hold about equally many photos; equal values stay together."""
    n_bins = min(MOST_BINS, len(values) // PHOTOS_A_BIN)
    if n_bins < 2:
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(values, np.arange(1, n_bins) / n_bins, method="higher"))
    codes = np.searchsorted(edges, values, side="left")
    return np.unique(codes, return_inverse=True)[1].astype(np.int64)


def _hits(table: np.ndarray) -> np.ndarray:
    """Photos (code, class) that the commonest class among the *other* photos of their code would get right."""
    ordered = np.sort(table, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] >= 2  # leaving the photo out must not make it a tie
    hits = np.zeros_like(table)
    rows = np.flatnonzero(clear)
    tops = table[rows].argmax(axis=1)
    hits[rows, tops] = table[rows, tops]
    return hits


def _best_class(table: np.ndarray, hits: np.ndarray) -> tuple[int, float]:
    """The class that is told best from the rest, and how well (Matthews correlation)."""
    n = float(table.sum())
    own = table.sum(axis=0).astype(float)
    right = hits.sum(axis=0).astype(float)
    taken = np.where(hits > 0, table.sum(axis=1, keepdims=True), 0).sum(axis=0).astype(float)
    spread = np.sqrt(own * (n - own) * taken * (n - taken))
    correlation = np.divide(right * n - own * taken, spread, out=np.zeros_like(own), where=spread > 0)
    label = int(correlation.argmax())
    return label, float(correlation[label])


def _independence(table: np.ndarray) -> float:
    """Chance of a table at least as uneven if rows and columns had nothing to do with each other (chi-square test).

    The tail follows Wilson and Hilferty (1931): the cube root of chi-square is nearly normal.
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0].astype(float)
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    if freedom < 1:
        return 1.0
    expected = table.sum(axis=1, keepdims=True) * table.sum(axis=0) / table.sum()
    uneven = float(((table - expected) ** 2 / expected).sum())
    spread = 2 / (9 * freedom)
    return 0.5 * math.erfc(((uneven / freedom) ** (1 / 3) - (1 - spread)) / math.sqrt(2 * spread))


def _percent(share: float) -> str:
    return f"{100 * min(share, 0.999) if share < 1 else 100:.0f} %"
