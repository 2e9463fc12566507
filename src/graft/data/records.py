"""What is known about the user's photos: the scan's findings, and the manifest that a training follows."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Interval, Len

from graft.core.records import record

Split = Literal["train", "validation", "test"]
Duplicates = Literal["near", "exact"]  # copies by their look, or only those with equal bytes
SPLITS: tuple[Split, ...] = ("train", "validation", "test")
Sha256 = Annotated[str, Len(64, 64)]


# What no setting allows more of. Pillow refuses bombs above 179 megapixels; so large an image takes 2 GB to read, or 4
# with samples of 16 bits.
MOST_PIXELS = 178_000_000
MOST_BYTES = 2_000_000_000


@record
class ImageRules:
    """What an image may be at most, checked before anything is decoded, and how samples of 16 bits are read.

    Written into the manifest and the bundle: scan, training and prediction follow the same ones.
    """

    max_bytes: Annotated[int, Interval(ge=1, le=MOST_BYTES)] = 25_000_000
    max_pixels: Annotated[int, Interval(ge=64, le=MOST_PIXELS)] = 50_000_000
    min_side_pixels: Annotated[int, Interval(ge=1, le=2048)] = 8
    sixteen_bit_white: Annotated[int, Interval(ge=255, le=65_535)] = 65_535  # the sample that is white: 4095 of 12 bits


@record
class ImageFacts:
    """What decoding one image showed. `width` and `height` are pixels after EXIF orientation was applied."""

    format: str  # JPEG, PNG, WEBP, BMP, GIF, TIFF: by content, never by name
    width: int
    height: int
    mode: str  # Pillow's name of the stored colour mode: RGB, L, CMYK, P, I;16 ...
    orientation: int = 1  # the EXIF tag, 1..8
    bytes: int = 0
    highest_sample: int = 0  # the largest of 16-bit colour samples as stored; 0 for other images
    flags: tuple[str, ...] = ()  # trailing_bytes, frames_ignored, extension_mismatch, icc_profile, low_range ...


@record
class Photo:
    """One good photo. `path` is relative to the data folder, with forward slashes; `label` indexes `classes`."""

    path: str
    label: Annotated[int, Ge(0)]
    split: Split
    sha256: Sha256
    group: str  # photos of one group (duplicates, or the user's group column) share a split
    facts: ImageFacts


@record
class Quarantined:
    """One file that was left out, and why (`code` is one of `graft.core.errors.CODES`)."""

    path: str
    code: str
    reason: str
    sha256: str = ""


@record
class Manifest:
    """Everything a training may know about the data. The order of `classes` is fixed here, once and for all.

    Holds no absolute path and no time: the same photos give the same manifest on any machine.
    """

    SCHEMA: ClassVar[str] = "graft/manifest/1"
    classes: tuple[str, ...]
    photos: tuple[Photo, ...]  # sorted by path
    quarantined: tuple[Quarantined, ...] = ()
    ignored: tuple[str, ...] = ()  # files that are no photos by name (Thumbs.db, notes.txt)
    duplicates: Duplicates = "exact"  # what was looked for
    # Groups of photos that look the same: at least two different contents each, with all exact copies of these; paths
    # sorted, groups by their first path. A photo of several pairs is in one group with all of them.
    near_duplicates: tuple[tuple[str, ...], ...] = ()
    split_origin: Literal["given", "made"]
    split_fractions: tuple[float, float, float]  # train, validation, test as asked for; of given splits as found
    seed: int
    rules: ImageRules = ImageRules()
