"""Whether an exported network answers as the bundle does: the gate that every export passes before it is left."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from graft.bundle.export.formats import KINDS
from graft.bundle.export.records import Format, Numbers, Parity
from graft.bundle.golden import differences
from graft.core.errors import IntegrityProblem

# Of the bundle's accuracy on the photos an export must keep so much; where no labels are known, of its first classes.
LEAST_SHARE: Mapping[Numbers, float] = MappingProxyType({"float32": 0.999, "float16": 0.999, "int8": 0.99})
# Where they are known, of its first classes: wrong answers become right ones and the other way round where numbers are
# rounded, in float32 only where something is wrong. One photo proves nothing.
LEAST_AGREEMENT: Mapping[Numbers, float] = MappingProxyType({"float32": 0.999, "float16": 0.99, "int8": 0.95})
# The largest difference of a probability on the golden examples, and of a centred logarithm of one; the bundle's are
# computed without the rounding in between that exports do not have. int8 is never judged on them: it is calibrated for
# photos, and golden examples are patterns.
LARGEST: Mapping[Numbers, tuple[float, float]] = MappingProxyType(
    {"float32": (0.002, 0.02), "float16": (0.03, 0.5), "int8": (1.0, float("inf"))}
)


LARGER: Mapping[Numbers, tuple[Numbers, ...]] = MappingProxyType(
    {"float32": (), "float16": ("float32",), "int8": ("float16", "float32")}
)


@dataclass(frozen=True)
class Answers:
    """Probabilities `(photo, class)` of golden examples and of photos; `labels` of those, -1 where none is known."""

    golden: np.ndarray
    photos: np.ndarray
    labels: np.ndarray


def compare(native: Answers, exported: Answers) -> Parity:
    """What differs between the bundle's answers and an export's, on the same pixels."""
    if exported.golden.shape != native.golden.shape or exported.photos.shape != native.photos.shape:
        raise IntegrityProblem(
            f"The export must answer with {native.golden.shape[1]} probabilities for each photo, "
            f"got the shape {exported.golden.shape}.",
            code="golden_mismatch",
        )
    if not (np.isfinite(exported.golden).all() and np.isfinite(exported.photos).all()):
        raise IntegrityProblem(
            "The export must answer with probabilities, got values that are no numbers.",
            hint="Nothing was left. Please report it with the versions.",
            code="golden_mismatch",
        )
    plain, logit = differences(native.golden, exported.golden)
    count = len(native.photos)
    if not count:
        return Parity(n_golden=len(native.golden), golden_difference=plain, golden_logit_difference=logit, n_photos=0)
    own, other = native.photos.argmax(axis=1), exported.photos.argmax(axis=1)
    known = native.labels >= 0
    return Parity(
        n_golden=len(native.golden),
        golden_difference=plain,
        golden_logit_difference=logit,
        n_photos=count,
        agreement=float((own == other).mean()),
        largest_difference=float(np.abs(native.photos.astype(np.float64) - exported.photos).max()),
        accuracy=float((own == native.labels)[known].mean()) if known.any() else None,
        exported_accuracy=float((other == native.labels)[known].mean()) if known.any() else None,
    )


def check(parity: Parity, format: Format, numbers: Numbers) -> None:
    """Refuse (`IntegrityProblem` golden_mismatch) an export that does not answer as the bundle does."""
    wrong = problem(parity, numbers)
    if wrong:
        raise IntegrityProblem(
            f"The classifier as {KINDS[format].title} in {numbers} must answer as the bundle does, but {wrong}.",
            hint=f"Nothing was left. {_way_out(format, numbers, photos=parity.n_photos > 0)}",
            code="golden_mismatch",
        )


def _way_out(format: Format, numbers: Numbers, *, photos: bool) -> str:
    if numbers == "float32":
        return "Please report it with the versions."
    larger = [name for name in KINDS[format].numbers if name in LARGER[numbers]]
    given = "" if photos else "give --data, photos that it is compared on, or "
    words = f"{given}use --numbers {' or '.join(larger)}."
    return words[0].upper() + words[1:]


def problem(parity: Parity, numbers: Numbers) -> str:
    """What is wrong, as one clause; empty where nothing is.

    Smaller numbers are judged on photos where there are any: of the golden examples, patterns that no photo is like,
    their float32 form must have given the answers.
    """
    plain, logit = LARGEST[numbers]
    judged = numbers == "float32" or not parity.n_photos
    if judged and not (parity.golden_difference <= plain and parity.golden_logit_difference <= logit):
        return (
            f"on the golden examples its probabilities differ by {parity.golden_difference:.2g} (at most {plain:g}) "
            f"and their logarithms by {parity.golden_logit_difference:.2g} (at most {logit:g})"
        )
    share, agreement = LEAST_SHARE[numbers], parity.agreement
    if parity.accuracy is None or parity.exported_accuracy is None:
        least, spared = share, 0
    elif parity.exported_accuracy >= share * parity.accuracy:
        least, spared = LEAST_AGREEMENT[numbers], 1
    else:
        return (
            f"it is right on {parity.exported_accuracy:.1%} of {parity.n_photos:,} photos and the bundle on "
            f"{parity.accuracy:.1%}: at least {share:.1%} of that are asked for"
        )
    if agreement is not None and round((1 - agreement) * parity.n_photos) > max(spared, (1 - least) * parity.n_photos):
        return f"it names the same class for {agreement:.1%} of {parity.n_photos:,} photos (at least {least:.1%})"
    return ""
