"""What a bundle must keep: classes, description and tensors that fit each other and the catalogue."""

import itertools
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NoReturn

import numpy as np

from graft.backbones.catalogue import catalogue
from graft.backbones.records import BackboneRecord, Preprocessing
from graft.bundle.records import BundleManifest, HeadSpec
from graft.core.errors import IntegrityProblem
from graft.core.version import UPDATE

BACKBONE, WHITENING = "backbone/", "whitening/"
SHIFT = "head/shift"
DIRECTIONS, GAINS = f"{WHITENING}directions", f"{WHITENING}gains"
WEIGHT_NAME = re.compile(r"backbone/[A-Za-z0-9_.-]{1,120}/[A-Za-z0-9_.-]{1,120}")
WEIGHT_DTYPES = ("float32", "float16")
MAX_CLASSES = 10_000
MAX_CLASS_LETTERS = 255
MAX_PHOTO_BYTES = 1 << 20
MARKUP = re.compile(r"<[A-Za-z/!?]")  # "<5 mm" is a class name, "<script>" is none
BIDIRECTIONAL = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def class_problem(classes: Sequence[str]) -> str:
    """What is wrong with a list of class names, as one clause; empty where nothing is.

    Names travel into pages, tables and logs of other people: at most 255 letters, no control characters, no opening
    of a markup tag, no blank ends, and none twice, also not after Unicode normalisation.
    """
    if not 2 <= len(classes) <= MAX_CLASSES:
        return f"classes must be 2 to {MAX_CLASSES}, got {len(classes)}"
    for name in classes:
        if not 1 <= len(name) <= MAX_CLASS_LETTERS or name != name.strip():
            return f"a class must have 1 to {MAX_CLASS_LETTERS} letters and no blank ends, got {name[:80]!r}"
        if MARKUP.search(name):
            return f"a class must not hold a markup tag, got {name[:80]!r}"
        if any(letter in BIDIRECTIONAL or unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in name):
            return f"a class must not hold control characters or line ends, got {name[:80]!r}"
    twice = [
        name for name, count in Counter(unicodedata.normalize("NFC", name) for name in classes).items() if count > 1
    ]
    return f"classes must differ, got {twice[0][:80]!r} twice" if twice else ""


def check_manifest(manifest: BundleManifest, source: str) -> BackboneRecord:
    """Check the description by itself and return the backbone it names. Raises `IntegrityProblem`."""
    problem = class_problem(manifest.classes)
    if problem:
        refuse(source, problem)
    record = catalogue().get(manifest.backbone)
    if record is None:
        refuse(
            source,
            f"backbone must be in the catalogue, got {manifest.backbone[:80]!r}",
            hint=f"A newer one may know it. {UPDATE}",
        )
    least, most = record.min_side_pixels, record.max_side_pixels
    if manifest.side_pixels < least or (most is not None and manifest.side_pixels > most):
        wanted = f"{least} to {most}" if most else f"at least {least}"
        refuse(source, f"side_pixels must be {wanted} for {record.name}, got {manifest.side_pixels}")
    _check_head(manifest.head, record, source)
    _check_normalization(manifest.preprocessing, source)
    for tolerances in (manifest.golden.tolerance, manifest.golden.logit_tolerance):
        if not {manifest.precision, "float32"} <= tolerances.keys():
            refuse(source, f"tolerances must be given for float32 and {manifest.precision}, got {sorted(tolerances)}")
    return record


def _check_head(head: HeadSpec, record: BackboneRecord, source: str) -> None:
    """What it reads: taps of the network, or its last layer in one of the ways."""
    taps = head.taps
    if head.hidden or head.pooling != "avg" or taps == (record.last,):
        if taps != (record.last,):
            refuse(source, f"a head with layers must read {record.last}, {record.name}'s last, got {str(taps)[:200]}")
    elif list(taps) != [tap for tap in record.taps if tap in taps]:
        refuse(source, f"taps must be those of {record.name}, from the lowest up, got {', '.join(taps)[:200]!r}")
    if head.pooling != "none" and head.positions != (1, 1):
        refuse(source, f"positions must be 1 x 1 where the head reads no map, got {head.positions}")


def _check_normalization(preprocessing: Preprocessing, source: str) -> None:
    """Numbers for each channel, or none."""
    fitted = preprocessing.normalization
    if fitted is None:
        return
    for name, numbers in (("mean", fitted.mean), ("deviation", fitted.deviation)):
        if len(numbers) not in (0, preprocessing.channels):
            refuse(source, f"{name} must have {preprocessing.channels} numbers or none, got {len(numbers)}")
    if min(fitted.deviation, default=1.0) <= 0:
        refuse(source, f"deviation must be above 0, got {min(fitted.deviation):g}")


def check_layout(
    manifest: BundleManifest, record: BackboneRecord, tensors: Mapping[str, np.ndarray], source: str
) -> None:
    """Check names, shapes and dtypes of the tensors, and the number of weights, without reading a value."""
    expected = expected_layout(manifest, record)
    for name, (dtype, shapes) in expected.items():
        if name == SHIFT and name not in tensors:
            continue  # as in files from before there was one
        if name not in tensors:
            refuse(source, f"tensor {name} must be there, got none")
        array = tensors[name]
        if array.dtype != dtype or array.shape not in shapes:
            wanted = " or ".join(str(shape) for shape in shapes)
            refuse(source, f"tensor {name} must have shape {wanted} and type {dtype}, got {array.shape} {array.dtype}")
    if tensors["head/kernel"].shape[1:] != tensors["head/bias"].shape:
        refuse(source, "head/kernel and head/bias must have the same number of units")
    photo = tensors.get("golden/photo", np.empty(0))
    if photo.dtype != "uint8" or photo.ndim != 1 or not 1 <= photo.size <= MAX_PHOTO_BYTES:
        refuse(source, f"golden/photo must have 1 to {MAX_PHOTO_BYTES} bytes, got {photo.shape} {photo.dtype}")
    _check_whitening(manifest, tensors, source)
    known = {*expected, "golden/photo", *(DIRECTIONS, GAINS) * bool(manifest.preprocessing.whitening_sha256)}
    weights = {name: array for name, array in tensors.items() if name not in known}
    for name, array in weights.items():
        if not WEIGHT_NAME.fullmatch(name) or array.dtype.name not in WEIGHT_DTYPES:
            refuse(source, f"tensors must be weights, head or golden examples, got {name[:80]!r} of type {array.dtype}")
    count = sum(array.size for array in weights.values())
    if count != record.parameters:
        refuse(source, f"{record.name} must have {record.parameters} weights, got {count}")


def _check_whitening(manifest: BundleManifest, tensors: Mapping[str, np.ndarray], source: str) -> None:
    """Both matrices where photos are whitened, of photos of this size; as many gains as directions."""
    if not manifest.preprocessing.whitening_sha256:
        return
    numbers = manifest.side_pixels**2 * manifest.preprocessing.channels
    gains = tensors.get(GAINS, np.empty(0))
    for name, shape in ((GAINS, (gains.size,)), (DIRECTIONS, (numbers, gains.size))):
        array = tensors.get(name, np.empty(0))
        if array.dtype != "float32" or array.shape != shape or not 1 <= gains.size <= numbers:
            wanted = "(directions,)" if name == GAINS else f"({numbers}, {gains.size})"
            refuse(source, f"tensor {name} must have shape {wanted} and type float32, got {array.shape} {array.dtype}")


def expected_layout(
    manifest: BundleManifest, record: BackboneRecord
) -> dict[str, tuple[str, tuple[tuple[int, ...], ...]]]:
    """Dtype and allowed shapes of every tensor that is no weight of the backbone, save `golden/photo`.

    All must be there but `head/shift`, which files from before it was kept are without.
    """
    classes, side, count = len(manifest.classes), manifest.side_pixels, manifest.golden.count
    head = manifest.head
    width = sum(size for tap, size in zip(record.taps, record.tap_widths, strict=True) if tap in head.taps)
    if head.taps == (record.last,):
        width = _last_width(head, record)
    units = (classes, 1) if classes == 2 else (classes,)  # two classes may have one sigmoid unit
    widths = (width, *(each.units for each in head.hidden))
    beside: dict[str, tuple[str, tuple[tuple[int, ...], ...]]] = {}
    for number, (below, above) in enumerate(itertools.pairwise(widths)):
        beside[f"head/hidden_{number}/kernel"] = ("float32", ((below, above),))
        beside[f"head/hidden_{number}/bias"] = ("float32", ((above,),))
    if manifest.precision != "float32":
        beside[SHIFT] = ("float32", ((width,),))
    return beside | {
        "head/mean": ("float32", ((width,),)),
        "head/scale": ("float32", ((width,),)),
        "head/kernel": ("float32", tuple((widths[-1], unit) for unit in units)),
        "head/bias": ("float32", tuple((unit,) for unit in units)),
        "golden/pixels": ("uint8", ((count, side, side, 3),)),
        "golden/probabilities": ("float32", ((count, classes),)),
    }


def _last_width(head: HeadSpec, record: BackboneRecord) -> int:
    """How many numbers the head reads of the last layer: a transformer's tap is wider than one of its tokens."""
    if head.pooling == "none":
        return record.width * math.prod(head.positions)
    return dict(zip(record.taps, record.tap_widths, strict=True)).get(record.last, record.width)


def check_values(tensors: Mapping[str, np.ndarray], source: str) -> None:
    """Refuse NaN and infinity in any tensor, and golden probabilities that are none."""
    for name, array in tensors.items():
        # Minimum and maximum carry NaN and infinity along and, unlike isfinite, allocate nothing.
        if array.dtype.kind == "f" and array.size and not (math.isfinite(array.min()) and math.isfinite(array.max())):
            refuse(source, f"tensor {name[:80]} must be finite, got NaN or infinity", code="weights_not_finite")
    golden = tensors["golden/probabilities"]
    if golden.min() < 0 or not (np.abs(golden.sum(axis=1) - 1) <= 1e-3).all():
        refuse(source, "golden/probabilities must be at least 0 and each row must sum to 1")


def refuse(source: str, problem: str, *, hint: str = "", code: str = "bundle_invalid") -> NoReturn:
    """Raise the `IntegrityProblem` of a bundle that breaks a rule."""
    raise IntegrityProblem(f"{source}: {problem}.", hint=hint, code=code)
