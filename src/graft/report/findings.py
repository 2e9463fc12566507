"""What the records say, in sentences: how good, how sure, on what data, at which depth."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from graft.data.inspection.summary import Inspection, Quantiles
from graft.data.records import SPLITS, Manifest
from graft.data.scan import meaning
from graft.evaluation.comparison import Comparison
from graft.evaluation.records import Evaluation, ReliabilityBin
from graft.report import cautions, words
from graft.report.data import ReportData
from graft.training.records import Depth, ProbeSummary

PHOTOS_OF = {
    "test": "photos it never saw",
    "validation": "validation photos",
    "train": "photos it was trained on",
    "given": "photos it was given to judge",
}
FEW_SCORED = 50  # fewer do not show whether percentages can be believed
SURER = "It is surer of itself than it should be."
FEW_ANSWERS = 30  # fewer are told one by one: "2 of 6 times"
CHOSEN_ON = {
    "out-of-fold": "training photos, each judged without having learned from it",
    "validation": "validation photos",
}
SCORE_NAME = {
    "test": "Test accuracy",
    "validation": "Validation accuracy",
    "train": "Training accuracy",
    "given": "Accuracy on the given photos",
}
SCORE_MEANS = {
    "test": "",
    "validation": (
        "This is a validation score: no test photos were held back, and these photos may have helped to choose the "
        "settings. Expect new photos to do a little worse."
    ),
    "train": "These are the photos it learned from: the score says nothing about new ones.",
    "given": "",
}


@dataclass(frozen=True)
class Band:
    """Answers of similar confidence, pooled: how sure they were on average and how often they were right."""

    count: int
    confidence: float
    accuracy: float


@dataclass(frozen=True)
class Calibration:
    """Whether the classifier's percentages can be believed: one verdict, its reason, the bands behind it."""

    verdict: str
    reason: str
    bands: tuple[Band, ...]  # most confident first


def photos_of(data: ReportData) -> str:
    """What the scored photos are called: those it never saw, only where that is so."""
    split = data.evaluation.split
    if split == "test" and cautions.seen_photos(data.manifest, split):
        return "test photos"
    return PHOTOS_OF[split]


def correct(evaluation: Evaluation) -> int:
    """How many of the scored photos were classified correctly."""
    return sum(row[index] for index, row in enumerate(evaluation.confusion))


def commonest_class(evaluation: Evaluation) -> str:
    """The class with most scored photos; empty where it is not the one that `majority_share` is about."""
    top = max(evaluation.per_class, key=lambda item: item.support)
    share = top.support / evaluation.n if evaluation.n else 0.0
    return top.name if math.isclose(share, evaluation.majority_share, abs_tol=1e-6) else ""


def split_counts(manifest: Manifest) -> dict[str, int]:
    """Photos in each split, in the order train, validation, test."""
    found = Counter(photo.split for photo in manifest.photos)
    return {split: found[split] for split in SPLITS}


def train_counts(inspection: Inspection) -> dict[str, int]:
    """Training photos of each class."""
    return {item.name: item.train for item in inspection.classes}


def data_sentence(manifest: Manifest, scored: str) -> str:
    """How many photos there are and what each part was used for; `scored` is the part that gave the score."""
    purposes = {"train": "to learn from", "validation": "to choose settings with", "test": "held back"}
    if scored in ("validation", "test"):
        purposes[scored] += " and to score it on" if scored == "validation" else " for the score"
    parts = [f"{words.count(n)} {purposes[split]}" for split, n in split_counts(manifest).items() if n]
    photos = words.counted(len(manifest.photos), "photo")
    return f"{photos} in {words.counted(len(manifest.classes), 'class', 'classes')}: {words.listed(parts)}."


def split_sentence(manifest: Manifest) -> str:
    """Where the splits come from, and what keeps them apart."""
    if manifest.split_origin == "given":
        return "The splits were given with the data and kept as they are."
    asked = " / ".join(f"{share * 100:.3g}" for share in manifest.split_fractions)
    return (
        f"Graft made the split ({asked} %, seed {manifest.seed}): each class is spread over all parts in proportion, "
        "and copies stay on one side."
    )


def file_facts(inspection: Inspection) -> list[tuple[str, str]]:
    """What kind of files the photos are: (name, text), only what there is something to say about."""
    turned = sum(n for orientation, n in inspection.orientations.items() if orientation != "1")
    rows = [
        ("Format", _counts(inspection.formats)),
        ("Colour mode", _counts(inspection.modes)),
        ("Width", _side(inspection.width)),
        ("Height", _side(inspection.height)),
        ("Turned by EXIF", words.count(turned) if turned else ""),
        ("Flags", _counts(inspection.flags)),
        ("Not photos", words.counted(len(inspection.ignored), "file") if inspection.ignored else ""),
    ]
    return [(name, text) for name, text in rows if text]


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {words.count(n)}" for name, n in counts.items())


def _side(quantiles: Quantiles) -> str:
    """A side of the photos: "100 to 3024 pixels, half of them 100 to 120"."""
    if quantiles.least == quantiles.greatest:
        return f"{quantiles.least} pixels"
    some = f"half of them {quantiles.lower} to {quantiles.upper}"
    some = f"most of them {quantiles.lower}" if quantiles.lower == quantiles.upper else some
    return f"{quantiles.least} to {quantiles.greatest} pixels, {some}"


def quarantine_by_code(manifest: Manifest) -> list[tuple[str, str, int]]:
    """(code, what it means, how many files), the commonest first."""
    found = Counter(item.code for item in manifest.quarantined)
    return [(code, meaning(code), n) for code, n in sorted(found.items(), key=lambda pair: (-pair[1], pair[0]))]


def bands(bins: tuple[ReliabilityBin, ...]) -> tuple[Band, ...]:
    """Pool the reliability bins into answers that were sure, fairly sure and unsure; empty bands are left out."""
    pooled = []
    for low, high in ((0.95, 1.01), (0.75, 0.95), (0.0, 0.75)):
        members = [item for item in bins if item.count and low <= item.confidence < high]
        n = sum(item.count for item in members)
        if n:
            confidence = sum(item.count * item.confidence for item in members) / n
            pooled.append(Band(n, confidence, sum(item.count * item.accuracy for item in members) / n))
    return tuple(pooled)


def chance_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """The calibration error that a perfectly calibrated classifier would show by chance with bins this small.

    In a bin of n answers of confidence c the observed share strays from c by sqrt(2 c (1 - c) / (pi n)) on average.
    """
    n = sum(item.count for item in bins)
    strays = (
        item.count * math.sqrt(2 * item.confidence * (1 - item.confidence) / (math.pi * item.count))
        for item in bins
        if item.count
    )
    return sum(strays) / n if n else 0.0


def calibration(evaluation: Evaluation) -> Calibration:
    """Judge the percentages: a verdict is harsher only where the error exceeds what chance explains."""
    bins = evaluation.reliability
    pooled = bands(bins)
    n = sum(band.count for band in pooled)
    gap = sum(band.count * (band.confidence - band.accuracy) for band in pooled) / n if n else 0.0
    off = f"On average its percentages are off by {evaluation.ece * 100:.1f} points"
    if n < FEW_SCORED:
        verdict = "Too few photos to tell whether its percentages can be believed."
        reason = f"It was scored on {words.counted(n, 'photo')}; from {FEW_SCORED} on they are judged."
    elif evaluation.ece <= max(0.02, 1.5 * chance_error(bins)):
        verdict = "Its percentages can be taken at face value."
        reason = f"{off}{', no more than chance explains with this many photos' if evaluation.ece > 0.02 else ''}."
    elif abs(gap) < 0.6 * evaluation.ece:
        verdict, reason = "Its percentages are only roughly right.", f"{off}, in both directions."
    elif gap > 0:
        verdict, reason = SURER, f"{off}: it claims more than it keeps."
    else:
        verdict, reason = "It is right more often than it says.", f"{off}: it claims less than it keeps."
    return Calibration(verdict, reason, pooled)


def band_sentence(band: Band) -> str:
    """One band in plain words."""
    says = words.percent(band.confidence, 0 if band.confidence < 0.995 else 1)
    if band.count < FEW_ANSWERS:
        return f"When it said {says}, it was right {round(band.accuracy * band.count)} of {band.count} times"
    return f"When it says {says}, it is right {words.out_of(band.accuracy)}"


def depth_sentence(data: ReportData) -> str:
    """What the depth profile shows: where the backbone's knowledge fits these photos best."""
    profile = data.probe.depth_profile
    best = max(profile, key=lambda depth: depth.accuracy.value)
    last = profile[-1]
    if data.random_weights:
        return (
            "The network's weights are random, so it had learned nothing yet: this is what a linear classifier finds "
            f"in chance features, {words.percent(best.accuracy.value)} at best, at {best.layer}."
        )
    if best.accuracy.value == last.accuracy.value:
        return (
            f"Accuracy is highest at the last layer, {last.layer} ({words.percent(last.accuracy.value)}): what the "
            "network learned before fits your photos to the end."
        )
    steps = words.counted(len(profile) - 1 - profile.index(best), "step")
    versus = f"{words.percent(best.accuracy.value)} against {words.percent(last.accuracy.value)} for the last layer"
    if best.accuracy.low > last.accuracy.high:
        return (
            f"{best.layer}, {steps} before the end, knows most about your photos: {versus}. Beyond it the network is "
            "specialised in what it was first trained for."
        )
    return f"{best.layer}, {steps} before the end, does best alone: {versus}. The intervals overlap: they may be equal."


def reading_sentence(probe: ProbeSummary, *, before: bool = False) -> str:
    """Which layers the classifier reads, and how good they were together where it was chosen; `before` fine-tuning."""
    chosen = probe.chosen
    layers = [depth.layer for depth in probe.depth_profile]
    shaded = " (shaded)" if {chosen.first, chosen.last} <= set(layers) else ""
    what = f"{chosen.last} alone" if chosen.first == chosen.last else f"{chosen.first} to {chosen.last} together"
    right = "was right before fine-tuning" if before else "was right"
    return (
        f"The classifier reads {what}{shaded}, {words.counted(chosen.width, 'number')} for each photo, and {right} "
        f"on {words.percent(chosen.accuracy)} of {words.count(probe.n_chosen_on)} {CHOSEN_ON[probe.chosen_on]}."
    )


def is_tuned(data: ReportData) -> bool:
    """Whether the classifier is the fine-tuned network."""
    return data.tuning is not None and data.tuning.kept == "finetune"


def again_sentence(data: ReportData) -> str:
    """What gives the same classifier again. Under a time budget the machine's speed helped to make the plan."""
    if data.asked and data.asked.time_budget_seconds is not None:
        return (
            "Under a time budget the machine’s speed has a part in the plan. The same plan on the same photos, machine "
            "and versions gives the same classifier, byte for byte."
        )
    return "The same command on the same photos, machine and versions gives the same classifier, byte for byte."


def chosen_span(probe: ProbeSummary) -> tuple[int, int] | None:
    """First and last position in the depth profile that the classifier reads; None where a name is not in it."""
    layers = [depth.layer for depth in probe.depth_profile]
    if probe.chosen.first not in layers or probe.chosen.last not in layers:
        return None
    return layers.index(probe.chosen.first), layers.index(probe.chosen.last)


def best_depth(profile: tuple[Depth, ...]) -> int:
    """Position of the best single depth."""
    return max(range(len(profile)), key=lambda index: profile[index].accuracy.value)


def comparison_sentence(comparison: Comparison) -> str:
    """What reading several depths gained over the last layer alone, and whether that is shown."""
    low, high = words.signed(comparison.low), words.signed(comparison.high)
    gain = f"{words.points(comparison.difference)} (95 % interval {low} to {high}) on the same photos"
    if comparison.difference == 0:
        return f"Reading only the last layer does the same on these photos (95 % interval {low} to {high})."
    if comparison.verdict == "no difference shown":
        return (
            f"No difference from reading only the last layer is shown: {gain} may be chance (exact test, "
            f"p = {comparison.p_value:.2f})."
        )
    return f"{comparison.verdict.capitalize()} than reading only the last layer: {gain}."
