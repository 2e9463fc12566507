"""By how much the features that a head reads move as a whole where they are computed in float32."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from graft.core import machine
from graft.core.randomness import stream
from graft.data.records import Manifest, Photo, Split
from graft.features.extraction import extract
from graft.features.records import Precision, Program
from graft.pipeline.planning import program_of
from graft.pipeline.scoring import Candidate
from graft.pipeline.work import Work
from graft.training.linear import features_matrix
from graft.training.records import Classifier

MOST_PHOTOS: Final = 64  # what they differ in on average errs by an eighth of what it differs in from photo to photo


def with_shift(work: Work, kept: Candidate) -> Classifier:
    """The candidate's classifier with its `shift`, measured on photos that it was fitted on.

    It comes as it is where it was fitted in float32. Raises what `extract` raises.
    """
    plan, weights, classifier = kept.resolved.plan, kept.resolved.weights, kept.classifier
    if plan.precision == "float32":
        return classifier
    program = program_of(plan, weights.sha256)  # all taps, for of a probe's photos the store has those
    if not set(classifier.outputs) <= set(program.outputs):
        program = replace(program, outputs=classifier.outputs)
    photos = drawn(work.intake.manifest, kept.fitted_on)
    own, exact = (_means(work, kept, photos, program, precision) for precision in (plan.precision, "float32"))
    return replace(classifier, shift=(exact - own).astype(np.float32))


def drawn(manifest: Manifest, fitted_on: Sequence[Split]) -> list[Photo]:
    """At most `MOST_PHOTOS` of the photos of these splits, by the manifest's seed."""
    fitted = [photo for photo in manifest.photos if photo.split in fitted_on]
    order = stream(manifest.seed, "shift").permutation(len(fitted))
    return [fitted[number] for number in order[:MOST_PHOTOS]]


def _means(work: Work, kept: Candidate, photos: Sequence[Photo], program: Program, precision: Precision) -> np.ndarray:
    """The mean of each feature of the head over the photos: (width,) float64."""
    weights = kept.resolved.weights
    found = extract(
        work.intake.root,
        photos,
        replace(program, precision=precision),
        weights,
        store=work.store_for(weights),
        scratch=work.scratch,
        cache=machine.cache_directory(),
        rules=work.intake.manifest.rules,
        workers=machine.threads(),
        threads=kept.resolved.plan.threads,
        progress=work.progress,
        kind=kept.resolved.plan.engine,
    )
    features = features_matrix(found.values, kept.classifier.outputs)
    return np.asarray(features.mean(axis=0, dtype=np.float64))
