"""Golden examples: made when a bundle is, reproduced whenever one is loaded."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from graft.backbones.records import Geometry
from graft.backbones.weights import WeightsFile
from graft.bundle.records import Golden
from graft.core.errors import BadInput, GraftError, IntegrityProblem
from graft.data.images import load_pixels
from graft.data.records import ImageRules
from graft.features.engines import open_engine, run_pixels
from graft.features.records import Precision, Program
from graft.training.linear import classify, in_float32
from graft.training.records import Classifier

PHOTO = Path(__file__).parent / "assets" / "golden.jpg"
MARGIN = 4.0  # how far beyond the difference seen here another machine may go
# The least that is allowed. Features pass through float16, where the last bit may fall the other way in another
# engine: OpenVINO and TensorFlow differed by 6e-5 (logits 4e-4) on MobileNet, 128 photos. bfloat16 keeps three digits.
LEAST_TOLERANCE: Mapping[Precision, float] = MappingProxyType({"float32": 1e-3, "bfloat16": 2e-2})
LEAST_LOGIT_TOLERANCE: Mapping[Precision, float] = MappingProxyType({"float32": 1e-2, "bfloat16": 0.2})
LEAST_PROBABILITY = 1e-30
# Versions of one decoder differ by a level here and there; another resize or orientation by tens, in most places.
MEAN_LEVELS = 1.0
LARGEST_LEVELS = 32


@dataclass(frozen=True)
class GoldenExamples:
    """What goes into a bundle: a photo's file, pixels `(count, side, side, 3)` uint8, probabilities float32."""

    photo: bytes
    pixels: np.ndarray
    probabilities: np.ndarray
    golden: Golden


def make_golden(
    program: Program,
    weights: WeightsFile,
    classifier: Classifier,
    pixels: np.ndarray,
    *,
    threads: int,
    cache: Path,
) -> GoldenExamples:
    """Compute golden examples: Graft's own drawn photo, then `pixels` `(photo, side, side, 3)` uint8, at most 63.

    None of the user's photos is needed: they would be in every copy of the bundle. The reference runs in float32, with
    the classifier as it is there.
    """
    if len(pixels) > 63:
        raise BadInput(f"golden photos must be at most 63, got {len(pixels)}")
    photo = PHOTO.read_bytes()
    own = load_pixels(
        photo, side_pixels=program.side_pixels, geometry=program.preprocessing.geometry, rules=ImageRules()
    )
    pixels = np.concatenate([own[None], pixels]) if len(pixels) else own[None]

    def answers(precision: Precision, batch_images: int) -> np.ndarray:
        variant = replace(program, outputs=classifier.outputs, precision=precision, batch_images=batch_images)
        head = in_float32(classifier) if precision == "float32" else classifier
        with open_engine(variant, weights, threads=threads, cache=cache) as engine:
            return classify(head, run_pixels(engine, pixels))

    reference = answers("float32", program.batch_images)
    precisions: set[Precision] = {"float32", program.precision}
    # Batch 1 is what a loaded bundle begins with; it takes other paths through the engine than the reference.
    seen = {precision: differences(reference, answers(precision, 1)) for precision in sorted(precisions)}
    golden = Golden(
        count=len(pixels),
        tolerance={name: max(LEAST_TOLERANCE[name], _margin(plain)) for name, (plain, _) in seen.items()},
        logit_tolerance={name: max(LEAST_LOGIT_TOLERANCE[name], _margin(logit)) for name, (_, logit) in seen.items()},
    )
    return GoldenExamples(photo=photo, pixels=pixels, probabilities=reference, golden=golden)


def differences(reference: np.ndarray, answers: np.ndarray) -> tuple[float, float]:
    """The largest difference of a probability, and of a centred logarithm of one, between two `(photo, class)`."""
    plain = np.abs(reference.astype(np.float64) - answers).max()
    return float(plain), float(np.abs(_centred_logs(reference) - _centred_logs(answers)).max())


def check_answers(golden: Golden, reference: np.ndarray, answers: np.ndarray, precision: Precision) -> None:
    """Raise `IntegrityProblem` (`golden_mismatch`) where a bundle's answers leave the tolerance."""
    plain, logit = differences(reference, answers)
    allowed, logit_allowed = golden.tolerance[precision], golden.logit_tolerance[precision]
    if plain <= allowed and logit <= logit_allowed:  # NaN fails here, as it must
        return
    raise IntegrityProblem(
        f"The classifier must give its golden examples within {allowed:.2g} (logits {logit_allowed:.2g}) in "
        f"{precision}, got differences of {plain:.2g} (logits {logit:.2g}).",
        hint="It would answer wrongly on this machine. Delete the folder 'compiled' in Graft's cache and try again; "
        "if that does not help, report it with the versions of Graft, Python and OpenVINO.",
        code="golden_mismatch",
    )


def check_photo(photo: bytes, expected: np.ndarray, geometry: Geometry) -> None:
    """Raise `IntegrityProblem` (`golden_mismatch`) where this installation decodes or resizes differently.

    `expected` is `(side, side, 3)` uint8: what the photo's bytes gave when the bundle was made.
    """
    try:
        pixels = load_pixels(photo, side_pixels=len(expected), geometry=geometry, rules=ImageRules())
    except GraftError as error:
        raise IntegrityProblem(
            f"The golden photo must decode, got: {error.message}", hint=error.hint, code="golden_mismatch"
        ) from error
    levels = np.abs(pixels.astype(np.int16) - expected)
    if levels.mean() <= MEAN_LEVELS and levels.max() <= LARGEST_LEVELS:
        return
    raise IntegrityProblem(
        f"The golden photo must decode to within {MEAN_LEVELS:.0f} level of 255 in the mean and {LARGEST_LEVELS} at "
        f"most, got {levels.mean():.1f} and {levels.max()}.",
        hint="Pillow decodes or resizes otherwise than when the classifier was made; install the version of then.",
        code="golden_mismatch",
    )


def _centred_logs(chances: np.ndarray) -> np.ndarray:
    """Logits up to a constant, as far as probabilities tell: `(photo, class)` float64, each row with mean 0."""
    logs = np.log(np.clip(chances.astype(np.float64), LEAST_PROBABILITY, None))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def _margin(seen: float) -> float:
    """`MARGIN` times what was seen, rounded up to two digits: noise in the last bits must not change a bundle."""
    if seen == 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(seen * MARGIN)) - 1)
    return float(f"{math.ceil(seen * MARGIN / unit) * unit:.2g}")
