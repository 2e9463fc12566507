"""What an augmentation does to photos, as a picture to look at."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.backbones.records import Preprocessing
from graft.core import machine
from graft.core.errors import BadInput, ImageRefused
from graft.core.hashing import sha256_bytes
from graft.core.progress import Progress
from graft.core.randomness import stream
from graft.core.records import to_value
from graft.data.archives.unpacking import is_archive, unpack
from graft.data.augmentation import wording
from graft.data.augmentation.normalization import (
    Normalization,
    Normalizer,
    fit,
    parse_normalization,
)
from graft.data.augmentation.presets import DEFAULT, parse, to_words
from graft.data.augmentation.records import Augmentation
from graft.data.augmentation.sheet import Tile, grid, make_sheet
from graft.data.augmentation.views import draw_view, make_view
from graft.data.images import load_pixels, read_bytes
from graft.data.limits import chosen_rules
from graft.data.records import ImageRules
from graft.data.sources import read_source
from graft.data.unlabelled import has_classes, read_unlabelled
from graft.features.preprocessing import network_input
from graft.pipeline.intake import read_data
from graft.pipeline.normalizing import fitted
from graft.pipeline.options import USUAL_SPLIT
from graft.pipeline.places import SHEET, check_place, write_file
from graft.pipeline.workspace import working

SIDE_PIXELS = 224
VIEWS_OF_ONE, COLUMNS_OF_ONE = 12, 4  # where one photo is shown
VIEWS_OF_EACH, MOST_ROWS = 6, 6
TRIES = 20  # bad files of a class before it is left out
FITTED_ON = 256  # training photos at most, which a picture needs no more of
UNIT = Preprocessing(scale=(1 / 255,) * 3)  # what is normalised: epsilons are for numbers from 0 to 1


@dataclass(frozen=True)
class Shown:
    """One photo of the sheet. `path` is as the user gave it, or relative to the data."""

    path: str
    label: str  # "" where there is none
    sha256: str
    pixels: np.ndarray  # (side, side, 3) uint8


@dataclass(frozen=True)
class AugmentResult:
    """A sheet that was written, and what it shows."""

    file: Path
    augmentation: Augmentation
    normalization: Normalization | None
    shown: tuple[Shown, ...]
    views: int  # of each photo, the photo itself among them
    seed: int
    side_pixels: int
    one_photo: bool  # a single photo was named, no data

    @property
    def words(self) -> str:
        """What to type to have this augmentation again."""
        return to_words(self.augmentation)

    @property
    def meaning(self) -> str:
        """The same for people."""
        return wording.describe(self.augmentation)

    def summary(self) -> dict[str, Any]:
        """For programs."""
        return {
            "file": str(self.file),
            "augment": self.words,
            "augmentation": to_value(self.augmentation),
            "meaning": self.meaning,
            "normalization": to_value(self.normalization) if self.normalization else None,
            "views": self.views,
            "seed": self.seed,
            "side_pixels": self.side_pixels,
            "photos": [{"path": each.path, "label": each.label, "sha256": each.sha256} for each in self.shown],
        }


@dataclass(frozen=True)
class _Candidates:
    """The photos that may be shown: relative paths and labels, and what a photo may be."""

    root: Path
    photos: tuple[tuple[str, str], ...]
    rules: ImageRules


@working(tidy=False)
def augment(
    path: Path,
    *,
    output: Path,
    words: str = DEFAULT,
    views: int | None = None,
    seed: int = 0,
    image_size: int = SIDE_PIXELS,
    normalize: str | None = None,
    max_megapixels: float | None = None,
    max_megabytes: float | None = None,
    min_side: int | None = None,
    white: int | None = None,
    progress: Progress,
) -> AugmentResult:
    """Write a PNG that shows views of one photo, or of a few photos of DATA, a row for each.

    The views are those of a training with the same augmentation, image size, seed and rules for photos; the first is
    the photo itself. `normalize` shows them centred, scaled or whitened; what has to be fitted for it is fitted on
    DATA's training photos. Raises `BadInput` for words, photos, or a place that holds anything but an earlier sheet.
    """
    augmentation = parse(words)
    normalization = parse_normalization(normalize) if normalize is not None else None
    check_place(output, SHEET)
    rules = chosen_rules(
        ImageRules(), max_megapixels=max_megapixels, max_megabytes=max_megabytes, min_side=min_side, white=white
    )
    one_photo = path.is_file() and path.suffix.lower() != ".csv" and not is_archive(path)
    choose = _one_photo if one_photo else _some_photos
    shown, normalizer = choose(path, normalization, image_size, seed, rules, progress)
    result = AugmentResult(
        file=output,
        augmentation=augmentation,
        normalization=normalization,
        shown=shown,
        views=views or (VIEWS_OF_ONE if one_photo else VIEWS_OF_EACH),
        seed=seed,
        side_pixels=image_size,
        one_photo=one_photo,
    )
    write_file(output, _sheet(result, normalizer), SHEET)
    return result


_Chosen = tuple[tuple[Shown, ...], Normalizer | None]


def _one_photo(
    path: Path, normalization: Normalization | None, side_pixels: int, seed: int, rules: ImageRules, progress: Progress
) -> _Chosen:
    """The photo that was named, and what needs no other photos to normalise it."""
    if normalization and normalization.needs_fit:
        raise BadInput("--normalize needs DATA to be fitted on for these words, got one photo.", hint="Name DATA.")
    normalizer = fit(normalization, ()) if normalization else None
    return (_read(path, path.name, "", side_pixels, rules),), normalizer


def _some_photos(
    path: Path, normalization: Normalization | None, side_pixels: int, seed: int, rules: ImageRules, progress: Progress
) -> _Chosen:
    """A few photos of DATA, and what its training photos fit."""
    if normalization is None or not normalization.needs_fit:
        shown = _choose(_listed(path, rules, progress), side_pixels, seed)
        return shown, fit(normalization, ()) if normalization else None
    # Only splits tell what training photos are.
    intake = read_data(
        path,
        split=USUAL_SPLIT,
        seed=seed,
        on_bad="quarantine",
        most_bad=1.0,
        least_photos=0,
        rules=rules,
        progress=progress,
    )
    manifest = intake.manifest
    kept = [photo for photo in manifest.photos if photo.split == "train"]
    found = _Candidates(intake.root, tuple((photo.path, manifest.classes[photo.label]) for photo in kept), rules)
    shown = _choose(found, side_pixels, seed)
    normalizer = fitted(
        normalization,
        intake,
        preprocessing=UNIT,
        side_pixels=side_pixels,
        seed=seed,
        most_photos=FITTED_ON,
        progress=progress,
    )
    return shown, normalizer


def _listed(path: Path, rules: ImageRules, progress: Progress) -> _Candidates:
    """The photos of DATA, without those that its own folders keep for validation and test; none is decoded."""
    data = unpack(path, machine.cache_directory(), progress=progress).root if is_archive(path) else path
    unlabelled = data.is_dir() and not has_classes(data)
    source = read_unlabelled(data) if unlabelled else read_source(data, least_classes=1, name=path.name)
    entries = [entry for entry in source.entries if entry.split in (None, "train")] or source.entries
    return _Candidates(source.root, tuple((entry.path, entry.label) for entry in entries), rules)


def _choose(found: _Candidates, side_pixels: int, seed: int) -> tuple[Shown, ...]:
    """A photo of each of a few classes, or a few photos where there is one class; bad files are passed over."""
    by_class: dict[str, list[str]] = {}
    for path, label in found.photos:
        by_class.setdefault(label, []).append(path)
    labels = list(by_class)
    draw = stream(seed, "sheet")
    chosen = sorted(draw.permutation(len(labels))[:MOST_ROWS].tolist())
    shown: list[Shown] = []
    for label in [labels[number] for number in chosen]:
        order = [by_class[label][number] for number in draw.permutation(len(by_class[label]))]
        wanted = MOST_ROWS if len(labels) == 1 else 1
        shown += _readable(found, order[: TRIES + wanted], label, side_pixels)[:wanted]
    if not shown:
        raise BadInput("DATA must hold photos that can be read, got none.", code="no_photos")
    return tuple(shown)


def _readable(found: _Candidates, paths: Sequence[str], label: str, side_pixels: int) -> list[Shown]:
    """Those of the photos that can be read, at most `MOST_ROWS`."""
    shown: list[Shown] = []
    for path in paths:
        if len(shown) == MOST_ROWS:
            break
        try:
            shown.append(_read(found.root / path, path, label, side_pixels, found.rules, root=found.root))
        except ImageRefused:
            continue  # graft inspect tells of bad files; here the next one will do
    return shown


def _read(file: Path, path: str, label: str, side_pixels: int, rules: ImageRules, *, root: Path | None = None) -> Shown:
    data = read_bytes(file, rules=rules, root=root)
    pixels = load_pixels(data, side_pixels=side_pixels, geometry="squash", rules=rules)
    return Shown(path, label, sha256_bytes(data), pixels)


def _sheet(result: AugmentResult, normalizer: Normalizer | None) -> bytes:
    """The picture: a grid of one photo's views, or a row for each of several photos."""
    about = f"Seed {result.seed}, {result.side_pixels} x {result.side_pixels} pixels"
    if normalizer is not None:
        about += f"; {normalizer.fitted.normalization.words}, each picture shown from its least to its greatest value"
    lines = [f"{result.meaning[:1].upper()}{result.meaning[1:]}.", f"{about}."]
    rows = [_tiles(each, result, normalizer) for each in result.shown]
    if result.one_photo:
        title = f"{result.shown[0].path}: views with {result.words}"
        return make_sheet(grid(rows[0], COLUMNS_OF_ONE), title=title, lines=lines)
    return make_sheet(rows, title=f"Views with {result.words}", lines=lines)


def _tiles(photo: Shown, result: AugmentResult, normalizer: Normalizer | None) -> list[Tile]:
    """The photo and its views, with what was done to each."""
    name = "" if result.one_photo else photo.path.rpartition("/")[2]
    tiles = [Tile(_visible(photo.pixels, normalizer), photo.label or "the photo", name, is_photo=True)]
    for view in range(1, result.views):
        keys: dict[str, Any] = {"sha256": photo.sha256, "view": view, "seed": result.seed}
        pixels = _visible(make_view(photo.pixels, result.augmentation, **keys), normalizer)
        moved, coloured = wording.describe_draw(draw_view(result.augmentation, **keys))
        tiles.append(Tile(pixels, ", ".join(filter(None, (f"view {view}", moved))), coloured))
    return tiles


def _visible(pixels: np.ndarray, normalizer: Normalizer | None) -> np.ndarray:
    """Pixels as they are, or normalised and stretched to what a screen shows."""
    if normalizer is None:
        return pixels
    values = normalizer.apply(network_input(pixels[None], UNIT))[0]
    low, high = float(values.min()), float(values.max())
    stretched: np.ndarray = np.rint((values - low) * (255 / max(high - low, 1e-12))).astype(np.uint8)
    return stretched
