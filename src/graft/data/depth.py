"""Samples of 16 bits: which one is white, how they become 8 bits, and how to notice that fewer bits are in use.

Cameras and scanners store 10, 12 or 14 bits in files of 16. Nothing in such a file tells, and read as 16 bits the photo
is nearly black. The level that is white is therefore a rule (`ImageRules.sixteen_bit_white`) that the user states, and
where all photos of a data set stay below a power of two, the user is told what to state.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from graft.data.records import ImageFacts, ImageRules, Manifest, Photo

FULL = 65_535
LIKELY_WHITES = (255, 1_023, 4_095, 16_383)  # of 8, 10, 12 and 14 bits
DARK = 4_095
COMMANDS = "graft inspect and graft train"
BLOCK_SAMPLES = 1 << 20  # translated at once: an index of 8 bytes a sample is made on the way


def to_eight_bits(samples: np.ndarray, *, rules: ImageRules, colours: int = 0, inverted: bool = False) -> np.ndarray:
    """Samples `(height, width[, channel])` uint16 as uint8: `round(min(sample, white) * 255 / white)`, halves up.

    With `colours` channels only the first so many hold light; what follows is opacity, of which 65,535 is always the
    whole. Of `inverted` samples zero is white and `white` black.
    """
    white = rules.sixteen_bit_white
    if not colours:
        return _translated(samples, _table(white, inverted))
    opacity = _translated(samples[..., colours:], _table(FULL, False))
    return np.concatenate([_translated(samples[..., :colours], _table(white, inverted)), opacity], axis=-1)


def depth_flags(highest: int, rules: ImageRules) -> tuple[str, ...]:
    """What the largest sample of a photo says: `low_range` below a quarter of white, `over_white` above it."""
    white = rules.sixteen_bit_white
    return (
        "sixteen_bit",
        *(("low_range",) if highest <= white // 4 else ()),
        *(("over_white",) if highest > white else ()),
    )


@dataclass(frozen=True)
class DepthNote:
    """What to mind about photos stored with 16 bits, and what to type or do about it."""

    sentence: str
    remedy: str
    lowest: int  # the photos meant are those whose largest sample lies between these two, both included
    highest: int
    grave: bool  # all such photos are read wrongly

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}"


def depth_note(manifest: Manifest) -> DepthNote | None:
    """Whether the white level fits the photos stored with 16 bits; None where nothing speaks against it."""
    return depth_note_of([photo.facts for photo in manifest.photos], manifest.rules)


def depth_note_of(facts: Iterable[ImageFacts], rules: ImageRules, commands: str = COMMANDS) -> DepthNote | None:
    """As `depth_note`, for photos that are in no manifest; `commands` are those to give the option to."""
    deep = [each.highest_sample for each in facts if is_deep(each)]
    white = rules.sixteen_bit_white
    top = max(deep, default=0)
    if top > white:
        return _over_note(deep, white, top)
    return _dark_note(deep, top, commands) if deep and white == FULL else None  # who stated a level knows the photos


def is_deep(facts: ImageFacts) -> bool:
    """Whether a photo is stored with 16 bits."""
    return "sixteen_bit" in facts.flags


def meant(note: DepthNote, photos: Iterable[Photo]) -> tuple[Photo, ...]:
    """Those of `photos` that the note speaks of."""
    deep = (photo for photo in photos if is_deep(photo.facts))
    return tuple(photo for photo in deep if note.lowest <= photo.facts.highest_sample <= note.highest)


def _over_note(deep: Sequence[int], white: int, top: int) -> DepthNote:
    over = [sample for sample in deep if sample > white]
    level = min(each for each in (*LIKELY_WHITES, FULL) if each >= top)
    return DepthNote(
        f"Of {_stored(deep)}, {len(over)} {'has' if len(over) == 1 else 'have'} samples up to {top}: all above {white} "
        "were cut to white.",
        f"Unless that is glare, use --white {level} instead of --white {white}.",
        lowest=white + 1,
        highest=FULL,
        grave=len(over) == len(deep),
    )


def _dark_note(deep: Sequence[int], top: int, commands: str) -> DepthNote | None:
    for level in LIKELY_WHITES:
        if top <= level:
            return DepthNote(
                f"{'All ' if len(deep) > 1 else ''}{_stored(deep)} {'stay' if len(deep) > 1 else 'stays'} at or below "
                f"{level}, as {level.bit_length()}-bit data do: read as 16 bits they are nearly black.",
                f"Add --white {level} to {commands}.",
                lowest=0,
                highest=FULL,
                grave=True,
            )
    dark = [sample for sample in deep if sample <= DARK]
    if not dark:
        return None
    return DepthNote(
        f"Of {_stored(deep)}, {len(dark)} {'stays' if len(dark) == 1 else 'stay'} at or below {DARK} while others "
        f"reach {top}: 12-bit data among them are read nearly black.",
        "Bring all to one range, then state it with --white.",
        lowest=0,
        highest=DARK,
        grave=False,
    )


def _stored(deep: Sequence[int]) -> str:
    return f"{len(deep)} photo{'s' if len(deep) > 1 else ''} stored with 16 bits"


@lru_cache(maxsize=4)
def _table(white: int, inverted: bool) -> np.ndarray:
    """The 8-bit sample of each 16-bit one: (65536,) uint8."""
    levels = np.minimum(np.arange(FULL + 1, dtype=np.int64), white)
    levels = white - levels if inverted else levels
    table = ((levels * 510 + white) // (2 * white)).astype(np.uint8)
    table.flags.writeable = False
    return table


def _translated(samples: np.ndarray, table: np.ndarray) -> np.ndarray:
    found = np.empty(samples.shape, np.uint8)
    rows = max(1, BLOCK_SAMPLES * len(samples) // max(samples.size, 1))
    for start in range(0, len(samples), rows):
        found[start : start + rows] = table[samples[start : start + rows]]
    return found
