"""What fine-tuning did, in sentences and facts: what was kept and why, what was trained, what stayed as it was."""

from dataclasses import dataclass
from typing import Any, Final

from graft.evaluation.comparison import Comparison
from graft.report import curves, findings, words
from graft.report.data import ReportData
from graft.training.tuning.records import Schedule, TuningSummary

KEPT: Final = {"finetune": "The fine-tuned network was kept.", "probe": "The linear probe was kept."}
JUDGED_CHANGED: Final = (
    "As published, validation and test photos are changed as the training photos are, so these scores are of changed "
    "photos; of photos as they are, graft evaluate gives another figure."
)
BACKENDS: Final = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}
BATCH_NORMALIZATION: Final = "BatchNormalization stays as it was in every layer"


@dataclass(frozen=True)
class PhaseRow:
    """One phase as it is listed: the epochs it took and what they did."""

    place: int
    name: str
    epochs: str
    what: str


def verdict(data: ReportData, summary: TuningSummary) -> str:
    """What was kept, in one sentence."""
    if not summary.epochs:
        return f"Fine-tuning was {summary.reason}. The linear probe was kept."
    if summary.kept == "finetune" and data.is_reference:
        return f"The classifier of the recipe {data.recipe} was kept."
    return KEPT[summary.kept]


def reason(summary: TuningSummary) -> str:
    """Why it was kept, as a sentence of its own."""
    text = summary.reason.strip() if summary.epochs else ""  # without epochs the verdict says it
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!')) else '.'}" if text else ""


def comparison_sentence(comparison: Comparison, split: str) -> str:
    """The probe against the fine-tuned network on the same photos, photo by photo, in words with the interval."""
    photos = words.counted(comparison.n, f"{split} photo")
    both = (
        f"{words.percent(comparison.accuracy_second)}, the linear probe on {words.percent(comparison.accuracy_first)}"
    )
    interval = f"95 % interval {words.signed(comparison.low)} to {words.signed(comparison.high)}"
    told = f"On {photos} the fine-tuned network was right on {both}"
    if comparison.difference == 0:
        return f"{told}: no difference ({interval})."
    gain = f"{words.points(comparison.difference)} ({interval}; exact test, {p_words(comparison.p_value)})"
    if comparison.verdict == "no difference shown":
        return f"{told}: {gain}, which may be chance."
    return f"{told}: {comparison.verdict}, {gain}."


def p_words(p_value: float) -> str:
    """A p-value as "p = 0.021", and "p < 0.001" from there down."""
    sign, number = ("<", "0.001") if p_value < 0.001 else ("=", f"{p_value:.{3 if p_value < 0.1 else 2}f}")
    return f"p{words.NO_BREAK}{sign}{words.NO_BREAK}{number}"


def loss_sentence(summary: TuningSummary) -> str:
    """What became of the log loss on validation photos; empty where it was not measured."""
    before, after = summary.probe_validation_loss, summary.tuned_validation_loss
    if before is None or after is None:
        return ""
    return (
        f"Log loss on the validation photos, which punishes sure mistakes: {curves.loss_words(before)} for the linear "
        f"probe, {curves.loss_words(after)} fine-tuned."
    )


def course(data: ReportData) -> str:
    """How many epochs there were, which was best, and what ended them."""
    summary = data.tuning
    if summary is None or not summary.epochs:
        return ""
    done = len(summary.epochs)
    planned = sum(schedule.phase.epochs for schedule in data.schedules) or done
    if not summary.finished:
        told = f"Stopped after {done} of {words.counted(planned, 'epoch')}; the same command goes on from there"
    elif summary.stopped_early:
        told = f"Ended after {done} of {words.counted(planned, 'epoch')}: the validation loss no longer fell"
    else:
        told = words.counted(done, "epoch")
    return f"{told}. Best: epoch {summary.best_epoch}." if summary.best_epoch else f"{told}."


def lines(data: ReportData) -> tuple[str, ...]:
    """What was kept with the two figures it follows from, the phases and the course of training: two or three lines."""
    summary = data.tuning
    if summary is None:
        return ()
    if not summary.epochs:
        return (f"{summary.reason}; the linear probe was kept",)
    told = "not kept"
    if summary.kept == "finetune":
        told = "kept" if data.recipe == "auto" else "kept, as asked"
    comparison = summary.comparison
    if comparison:
        both = f"{words.percent(comparison.accuracy_second)}, probe {words.percent(comparison.accuracy_first)}"
        sure = "may be chance" if comparison.verdict == "no difference shown" else comparison.verdict
        photos = words.counted(comparison.n, "validation photo")
        told += f": {both} on {photos}: {sure} ({p_words(comparison.p_value)})"
    if data.is_reference:
        told = f"{data.recipe} {told}"
    after = ", ".join(f"{phase.name} {words.percent(phase.accuracy.value)}" for phase in summary.phases)
    changed = (JUDGED_CHANGED,) if data.asked and data.asked.augments == "all" else ()
    line = f"right after each phase, on {findings.photos_of(data)}: {after}"
    return (told, *((line,) if after else ()), course(data), *changed)


def what_trained(schedule: Schedule) -> str:
    """Which of the network's weights were trained."""
    if not schedule.trained:
        return "the classifier alone; the whole network stayed as it was"
    first, last = schedule.trained[0], schedule.trained[-1]
    layers = words.counted(len(schedule.trained), "layer")
    where = f"{first}" if first == last else f"{first} to {last}"
    return f"{words.count(schedule.n_trained_parameters)} weights in {layers}, {where}; and the classifier"


def what_stored(schedule: Schedule) -> str:
    """Where the network was cut, and what was computed only once."""
    if not schedule.cut:
        return "nothing was stored: each epoch computed the whole network from the pixels of fresh views"
    below = words.listed(list(schedule.cut))
    views = "each training photo" if schedule.views == 1 else f"{schedule.views} views of each training photo"
    return f"up to {below}, computed once for {views} and stored ({words.byte_size(schedule.store_bytes)})"


def what_views(data: ReportData, schedule: Schedule) -> str:
    """What was done to photos to make other views of them."""
    from graft.data.augmentation.wording import describe

    if data.asked is None or data.asked.augmentation.changes_nothing or (schedule.cut and schedule.views == 1):
        return "each photo as it is"
    photo = "the photo as it is, and others " if schedule.cut else ""
    return f"{photo}{describe(data.asked.augmentation)}"


def facts(data: ReportData) -> list[tuple[str, str]]:
    """(name, text) of what was trained, frozen, stored and how, for each phase; short without schedules."""
    told = course(data)
    rows = [("Course", told)] if told else []
    several = len(data.schedules) > 1
    for schedule in data.schedules:
        rows += [
            (f"{name}, {schedule.phase.name}" if several else name, text) for name, text in _phase_facts(data, schedule)
        ]
    return rows


def _phase_facts(data: ReportData, schedule: Schedule) -> list[tuple[str, str]]:
    frozen = words.count(schedule.n_frozen_parameters)
    still = f". {BATCH_NORMALIZATION}" if schedule.phase.batch_normalization == "frozen" else ""
    return [
        ("Trained", what_trained(schedule)),
        ("Frozen", f"{frozen} weights{still}"),
        ("Computed once", what_stored(schedule)),
        ("Views", what_views(data, schedule)),
        ("Batches", f"{words.counted(schedule.batch_images, 'photo')}, computed in {schedule.precision}{_with(data)}"),
        ("Planned", schedule.reason),
    ]


def _with(data: ReportData) -> str:
    """The library that trained."""
    return f" with {BACKENDS[data.asked.backend]}" if data.asked else ""


def phases(data: ReportData) -> list[PhaseRow]:
    """The phases that took place, with their epochs and their rates."""
    if data.tuning is None:
        return []
    planned = {schedule.phase.name: schedule for schedule in data.schedules}
    scored = {phase.name: phase.accuracy for phase in data.tuning.phases}
    rows = []
    for part in curves.stretches(data.tuning.epochs):
        first, last = part.epochs[0].number, part.epochs[-1].number
        told = f"epoch {first}" if first == last else f"epochs {first} to {last}"
        what = _phase_words(planned.get(part.name))
        if part.name in scored:
            right = words.percent(scored[part.name].value)
            what += f"; then right on {right} of the {data.evaluation.split} photos"
        rows.append(PhaseRow(part.place, part.name, told, what))
    return rows


def _phase_words(schedule: Schedule | None) -> str:
    if schedule is None:
        return ""
    phase = schedule.phase
    what = "the trained layers with the classifier" if schedule.trained else "the classifier alone"
    constant = phase.decay == "none" and not phase.warmup_epochs
    told = [what, f"{words.OPTIMIZERS[phase.optimizer]}, rate {'' if constant else 'up to '}{words.small(phase.rate)}"]
    if phase.layer_decay < 1:
        told.append(f"×{words.NO_BREAK}{phase.layer_decay:g} for each block further down")
    if phase.head_factor != 1:
        told.append(f"the classifier’s ×{words.NO_BREAK}{phase.head_factor:g}")
    return ", ".join(told)


def training_note(data: ReportData) -> str:
    """Why the dots and the line do not measure the same."""
    asked = data.asked
    harder = ["smoothed labels"] if asked and asked.label_smoothing else []
    harder += ["mixed photos"] if asked and asked.mixup else []
    more = f", with {words.listed(harder)}" if harder else ""
    if asked and asked.augments == "all":
        return (
            f"Training is measured on the views it learns from{more}, while the weights still change. {JUDGED_CHANGED}"
        )
    return (
        f"Training is measured on the views it learns from{more}, while the weights still change; validation on "
        "unchanged photos afterwards. Compare how the two run, not how high they stand."
    )


def other_score(data: ReportData) -> list[tuple[str, float]]:
    """(name, accuracy) of what was not kept, on the photos of the report's score; empty where it is not known there."""
    summary, evaluation = data.tuning, data.evaluation
    if summary is None:
        return []
    measured = {"test": summary.comparison_on_test, "validation": summary.comparison}.get(evaluation.split)
    if measured is None or measured.n != evaluation.n:
        return []
    if summary.kept == "finetune":
        return [("The linear probe, before fine-tuning", measured.accuracy_first)]
    return [("Fine-tuned, not kept", measured.accuracy_second)]


def other_events(data: ReportData) -> list[str]:
    """What happened on the way apart from fine-tuning, whose section tells its own."""
    told = data.tuning.events if data.tuning else ()
    return [event for event in data.events if event not in told]


def section(data: ReportData) -> dict[str, Any] | None:
    """Everything the section shows; None for a run without fine-tuning."""
    summary = data.tuning
    if summary is None:
        return None
    listed = phases(data)
    return {
        "verdict": verdict(data, summary),
        "calm": summary.kept == "finetune",
        "reason": reason(summary),
        "comparison": comparison_sentence(summary.comparison, "validation") if summary.comparison else "",
        "loss": loss_sentence(summary),
        "on_test": comparison_sentence(summary.comparison_on_test, "test") if summary.comparison_on_test else "",
        "curves": curves.learning_curves(summary),
        "validated": any(row.validation_loss is not None for row in summary.epochs),
        "n_epochs": words.counted(len(summary.epochs), "epoch"),
        "note": training_note(data),
        "phases": listed,
        "facts": facts(data),
        "stretches": curves.stretches(summary.epochs),
        "best_epoch": summary.best_epoch,
        "loss_words": curves.loss_words,
        "frozen_sha256": summary.frozen_sha256,
        "events": summary.events,
    }
