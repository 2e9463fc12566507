"""What a trained network answers, run like any other: from the photos' files, on the engine that predicts."""

from dataclasses import dataclass, replace

import numpy as np

from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.tensors import tensors_sha256, write_tensors
from graft.evaluation.calibration import softmax, temperature
from graft.evaluation.rejection import sure_threshold
from graft.features.extraction import extract_views
from graft.pipeline.planning import Resolved, program_of
from graft.pipeline.scoring import Candidate, Probed, classify, judged_rows, measure, rows_of
from graft.pipeline.work import Work
from graft.training.records import Classifier
from graft.training.tuning.task import Tuned

WRITER = "tuned_weights"


@dataclass(frozen=True)
class Answers:
    """The trained classifier, calibrated, and its probabilities for the validation and the judged photos."""

    resolved: Resolved  # with the trained weights
    classifier: Classifier
    validation: np.ndarray
    judged: np.ndarray


def trained_weights(work: Work, tuned: Tuned, name: str) -> WeightsFile:
    """The backbone's tensors as a training left them, in a file of the scratch folder."""
    path = work.scratch / f"{name}.safetensors"
    write_tensors(path, tuned.tensors, metadata={}, writer=WRITER)
    return WeightsFile(path, "", tensors_sha256(tuned.tensors), whitening=work.resolved.weights.whitening)


def answers_of(work: Work, classifier: Classifier, weights: WeightsFile) -> Answers:
    """Calibrate `classifier`, on top of the network with these weights, on the validation photos, and let it answer."""
    manifest, resolved = work.intake.manifest, replace(work.resolved, weights=weights)
    _, judged = judged_rows(manifest)
    validation = rows_of(manifest, "validation")
    rows = np.union1d(validation, judged)
    found = extract_views(
        work.intake.root,
        [manifest.photos[row] for row in rows],
        replace(program_of(resolved.plan, weights.sha256), outputs=classifier.outputs),
        weights,
        augmentation=work.tuning.augmentation,
        seed=resolved.plan.seed,
        views=1,
        store=work.store_for(weights),
        scratch=work.scratch,
        cache=machine.cache_directory(),
        rules=manifest.rules,
        workers=machine.threads(),
        threads=resolved.plan.threads,
        progress=work.progress,
        kind=resolved.plan.engine,
        judged_augmented=work.judged_augmented,
    )
    values = {name: array[0] for name, array in found.values.items()}
    labels = np.array([photo.label for photo in manifest.photos])
    held_out = np.zeros((0, len(manifest.classes)), np.float32)
    if len(validation):
        chances = classify(values, classifier, np.searchsorted(rows, validation))
        logits = np.log(np.maximum(chances, np.finfo(np.float32).tiny))
        classifier = replace(classifier, temperature=temperature(logits, labels[validation]))
        held_out = softmax(logits, classifier.temperature)
        classifier = replace(classifier, threshold=sure_threshold(held_out, labels[validation]))
    return Answers(
        resolved=resolved,
        classifier=classifier,
        validation=held_out,
        judged=classify(values, classifier, np.searchsorted(rows, judged)),
    )


def measured(work: Work, probed: Probed, answers: Answers) -> Candidate:
    """The trained classifier, measured beside a probe on the untrained network's last layer."""
    manifest = work.intake.manifest
    _, rows = judged_rows(manifest)
    last_layer = classify(probed.activations.values, probed.result.last_layer, rows).argmax(axis=1)
    recipe = work.resolved.plan.recipe
    name = "finetune" if recipe == "auto" else recipe
    return measure(name, answers.resolved, manifest, answers.classifier, answers.judged, last_layer)
