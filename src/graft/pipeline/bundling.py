"""From a fitted head to the file that ships."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from graft.backbones.weights import open_weights
from graft.bundle.bundle import save_bundle
from graft.bundle.golden import PHOTO, make_golden
from graft.bundle.records import Provenance
from graft.core import machine
from graft.core.randomness import stream
from graft.core.records import record_hash
from graft.core.version import __version__
from graft.data.images import resize
from graft.pipeline.planning import Resolved, program_of
from graft.pipeline.scoring import Candidate
from graft.pipeline.shifting import with_shift
from graft.pipeline.work import Work
from graft.training.records import Classifier

GOLDEN_PATTERNS = 7  # beside the drawn photo: eight examples fill one batch


def write_classifier(path: Path, work: Work, kept: Candidate) -> str:
    """Write a bundle; returns the SHA-256 of the file. No photo of the user's goes into it.

    Raises: as `extract`, of the photos that are read for what the classifier needs to know of another precision.
    """
    plan, weights, evaluation = kept.resolved.plan, kept.resolved.weights, kept.evaluation
    manifest, classifier = work.intake.manifest, with_shift(work, kept)
    program = replace(program_of(plan, weights.sha256), outputs=classifier.outputs)
    golden = make_golden(
        program,
        weights,
        classifier,
        patterns(plan.side_pixels),
        threads=plan.threads,
        cache=machine.cache_directory(),
    )
    provenance = Provenance(
        graft_version=__version__,
        recipe=kept.recipe,
        manifest_hash=plan.manifest_hash,
        plan_hash=record_hash(plan),
        n_train=sum(photo.split in kept.fitted_on for photo in manifest.photos),
        scored_on="test" if evaluation.split == "test" else "validation",
        n_scored=evaluation.n,
        accuracy=evaluation.accuracy.value,
        accuracy_interval=(evaluation.accuracy.low, evaluation.accuracy.high),
    )
    return save_bundle(
        path,
        program=program,
        weights=weights,
        classifier=classifier,
        classes=manifest.classes,
        golden=golden,
        provenance=provenance,
        licences=licences(kept.resolved),
        rules=manifest.rules,
    )


def expected_bytes(resolved: Resolved, classifier: Classifier) -> int:
    """About how large the file will be: weights, head and golden examples; what is left is its description."""
    head = (classifier.mean, classifier.scale, classifier.kernel, classifier.bias)
    golden = (1 + GOLDEN_PATTERNS) * resolved.plan.side_pixels**2 * 3 + PHOTO.stat().st_size
    with open_weights(resolved.weights) as tensors:
        return golden + sum(array.nbytes for array in (*tensors.values(), *head))


def licences(resolved: Resolved) -> tuple[tuple[str, str], ...]:
    """What is inside, under which terms: the head is the user's, the backbone's weights carry their own."""
    return ((f"backbone {resolved.record.title}", resolved.record.licence), ("head and labels", "yours"))


def patterns(side_pixels: int) -> np.ndarray:
    """Smooth patterns `(pattern, side, side, 3)` uint8, the same for everyone: golden inputs that show nobody."""
    coarse = stream(0, "golden patterns").integers(0, 256, (GOLDEN_PATTERNS, 8, 8, 3), dtype=np.uint8)
    return np.stack([resize(image, side_pixels, "squash") for image in coarse])
