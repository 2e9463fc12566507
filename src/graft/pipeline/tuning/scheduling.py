"""From what was asked to what is done: cuts, views and epochs, from the profile, the disk and the time there is."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np

from graft.backbones.freezing import lower_cuts
from graft.core import machine
from graft.data.stream import PhotoReader, stream_views
from graft.features.engines import run_pixels
from graft.features.extraction import opened_engine
from graft.features.sources import StoredSource
from graft.pipeline.scoring import Probed
from graft.pipeline.tuning.layouts import (
    Layout,
    count_of,
    draft,
    head_phase,
    layouts,
    main_phase,
    most_views,
    phase_layout,
    usual_batch,
)
from graft.pipeline.tuning.views import task_of
from graft.pipeline.work import Work
from graft.report.words import byte_size, counted, duration
from graft.training.tuning.loop import seconds_per_step
from graft.training.tuning.records import USUAL_VIEWS, Phase, Schedule, usual_views

EPOCHS: Final = 12
LEAST_VIEWS: Final = 2  # below which storing does not pay: the same pixels again and again
LEAST_STEPS: Final = 300  # in all: a few photos are seen more often
MOST_STRETCH: Final = 3
# (epochs, views) under a time budget, from the most to the least that is worth its time
LADDER: Final = ((16, 8), (12, 8), (10, 6), (8, 4), (6, 3))
FINISH_SECONDS: Final = 8.0  # to compile, measure and write the classifier
MARGIN: Final = 1.15  # estimates are of a quiet moment
TIMED_PHOTOS: Final = 16


@dataclass(frozen=True)
class Step:
    """One phase as it will be trained: where the network is cut, and what is done."""

    layout: Layout
    schedule: Schedule


def schedule_for(work: Work, probed: Probed) -> tuple[Step, ...] | str:
    """What to do, phase by phase: as the plan decided before, or decided now; or why nothing is to be done."""
    if work.resolved.plan.schedules:
        return _together(tuple(_as_decided(work, probed, each) for each in work.resolved.plan.schedules))
    tuning = work.tuning
    if tuning.phases:
        return _together(tuple(_as_named(work, probed, phase) for phase in tuning.phases))
    budget = tuning.time_budget_seconds
    if budget is None or (tuning.epochs and (tuning.views or tuning.storing == "never")):
        return _unhurried(work, probed)
    return _within(work, probed, budget)


def _as_decided(work: Work, probed: Probed, earlier: Schedule) -> Step:
    return Step(phase_layout(work, probed, earlier.phase).cut_at(earlier.cut), earlier)


def _as_named(work: Work, probed: Probed, phase: Phase) -> Step:
    """A phase of a recipe: each photo in as many views as there are epochs to see them in."""
    layout = phase_layout(work, probed, phase)
    batch, n_train = work.tuning.batch_images or usual_batch(work), count_of(work, "train")
    usual = usual_views(work.tuning.augmentation, phase, batch_images=batch, n_train=n_train)
    layout, views, remark = _fitting(work, layout, work.tuning.views or usual)
    return _told(work, layout, phase, views, remark)


def _together(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Phases that read the same views of the same frozen weights read them together."""
    n_alike = next((place for place, step in enumerate(steps, 1) if step.schedule.trained), len(steps))
    alike = [step for step in steps[:n_alike] if step.layout.cut]
    if len({step.schedule.views for step in alike}) != 1:
        return steps
    shared = tuple(dict.fromkeys(output for step in alike for output in step.layout.outputs))
    return tuple(replace(step, layout=replace(step.layout, shared=shared)) if step in alike else step for step in steps)


def _unhurried(work: Work, probed: Probed) -> tuple[Step, ...]:
    """What is asked, or usual, as far as the disk has room."""
    tuning = work.tuning
    layout, views, remark = _fitting(work, next(layouts(work, probed)), tuning.views or USUAL_VIEWS)
    return _phases(work, probed, layout, tuning.epochs or _stretched(EPOCHS, work), views, remark)


def _fitting(work: Work, layout: Layout, views: int) -> tuple[Layout, int, str]:
    """The views that the disk has room for, or a lower cut that needs less of it; from pixels where all is too much.

    And what there is to say.
    """
    room = most_views(work, layout) if layout.cut else views
    if views <= room:
        return layout, views, ""
    for lower in lower_cuts(layout.table, layout.freezing):
        if views <= most_views(work, smaller := replace(layout, freezing=lower)):
            return smaller, views, f"the free disk has no room for those at {' + '.join(layout.cut)}"
    if room >= LEAST_VIEWS or work.tuning.storing == "always":
        return layout, max(1, room), f"the free disk has room for {counted(max(1, room), 'view')}"
    needed = byte_size(layout.view_bytes() * count_of(work, "train") * LEAST_VIEWS)
    return layout.cut_at(()), views, f"storing would take {needed} or more, which the disk has not"


@dataclass(frozen=True)
class Costs:
    """Seconds on this machine, measured for one place to cut; scaled for others by their multiply-adds."""

    step: float
    forward: float
    opening: float
    view: float  # to decode, change, and run through the prefix
    suffix_work: int
    prefix_work: int

    def of(self, work: Work, steps: Sequence[Step]) -> float:
        """Seconds from now to the end."""
        return sum(self._phase(work, step) for step in steps) + FINISH_SECONDS

    def _phase(self, work: Work, step: Step) -> float:
        layout, schedule = step.layout, step.schedule
        above = max(0.05, layout.freezing.suffix_multiply_adds / max(1, self.suffix_work))
        below = layout.freezing.prefix_multiply_adds / max(1, self.prefix_work)
        steps = math.ceil(count_of(work, "train") / schedule.batch_images)
        checks = math.ceil(count_of(work, "validation") / schedule.batch_images)
        # The first view is what the probe has read already, where nothing but the classifier is trained.
        views = schedule.views if schedule.trained else schedule.views - 1
        stored = count_of(work, "train") * views + count_of(work, "validation") if layout.cut else 0
        training = schedule.phase.epochs * (steps * self.step + checks * self.forward) * above
        return (training + stored * self.view * below) * MARGIN + self.opening


def _within(work: Work, probed: Probed, budget: float) -> tuple[Step, ...] | str:
    """The most that the budget allows: fewer epochs and views first, then a higher cut, then larger batches.

    Why not, where nothing fits. How long it will take is told, and not kept: the plan says what is done, on whatever
    machine.
    """
    candidates = tuple(layouts(work, probed))
    usual = work.tuning.batch_images or usual_batch(work)
    for batch in (usual,) if work.tuning.batch_images else (usual, 2 * usual):
        costs = _measure(work, probed, candidates[0], batch)
        left = budget - work.clock.seconds()["total"]
        steps, seconds = _tried(work, probed, candidates, costs, left, batch)
        told = f"{duration(max(0.0, left))} of the {duration(budget)} are left"
        if seconds <= left:
            work.progress.say(f"Fine-tuning will take about {duration(seconds)}; {told}.")
            larger = f"batches of {batch} photos, " if batch > usual else ""
            return _because(steps, f"{larger}as the budget of {duration(budget)} allows")
    if work.resolved.plan.recipe == "auto":
        return f"left out, for it would take about {duration(seconds)}, and {told}"
    work.progress.say(f"Mind: fine-tuning will take about {duration(seconds)}, but {told}.")
    return _because(steps, f"the least there is, more than the budget of {duration(budget)} allows")


def _tried(
    work: Work, probed: Probed, candidates: Sequence[Layout], costs: Costs, left: float, batch: int
) -> tuple[tuple[Step, ...], float]:
    """With batches of this size: the first rung that fits into the seconds left, or the last of all; and its own."""
    tuning = work.tuning
    for layout in candidates:
        for rung_epochs, rung_views in LADDER:
            epochs = tuning.epochs or _stretched(rung_epochs, work)
            fitted, views, remark = _fitting(work, layout, tuning.views or rung_views)
            steps = _phases(work, probed, fitted, epochs, views, remark, batch)
            seconds = costs.of(work, steps)
            if seconds <= left:
                return steps, seconds
    return steps, seconds


def _measure(work: Work, probed: Probed, layout: Layout, batch: int) -> Costs:
    """Time a few steps and a few views, on nothing but zeros and the first training photos."""
    schedule = draft(work, layout, main_phase(work, probed, layout, 1), views=1, batch=batch)
    side = work.resolved.plan.side_pixels
    with work.progress.stage("Timing a few steps", None, ""):
        photos = min(batch, count_of(work, "train"))
        if layout.cut:
            whole = [layout.table.find(each.layer).shape for each in layout.outputs if each.pooling == "none"]
            flat = [layout.table.find(each.layer).shape[-1:] for each in layout.outputs if each.pooling == "avg"]
        else:
            whole, flat = [(side, side, work.resolved.plan.preprocessing.channels)], []
        source = StoredSource(
            *([np.zeros((1, photos, *shape), np.float32) for shape in each] for each in (whole, flat))
        )
        task = task_of(work, layout, schedule, source, None, class_weighted=probed.result.summary.class_weighted)
        times = seconds_per_step(replace(task, train_labels=task.train_labels[:photos]))
        view = _view_seconds(work, layout) if layout.cut else 0.0
    freezing = layout.freezing
    return Costs(
        times.train, times.forward, times.opening, view, freezing.suffix_multiply_adds, freezing.prefix_multiply_adds
    )


def _view_seconds(work: Work, layout: Layout) -> float:
    """Of one view of one training photo, from its file to what is stored."""
    plan, resolved = work.resolved.plan, work.resolved
    program = layout.program(plan)
    train = [photo for photo in work.intake.manifest.photos if photo.split == "train"]
    reader = PhotoReader(
        root=work.intake.root,
        side_pixels=plan.side_pixels,
        geometry=plan.preprocessing.geometry,
        rules=work.intake.manifest.rules,
        augmentation=work.tuning.augmentation,
        seed=plan.seed,
    )
    wanted = [(photo, (1, 2)) for photo in islice(train, TIMED_PHOTOS)]
    cache = machine.cache_directory()
    with opened_engine(program, resolved.weights, plan.engine, plan.threads, cache, work.progress) as engine:
        run_pixels(engine, np.zeros((program.batch_images, plan.side_pixels, plan.side_pixels, 3), np.uint8))
        began = time.perf_counter()
        batches = list(stream_views(reader, wanted, batch_images=program.batch_images, workers=plan.threads))
        run_pixels(engine, np.concatenate([pixels for _, pixels in batches]))
        return (time.perf_counter() - began) / (2 * len(wanted))


def _phases(
    work: Work, probed: Probed, layout: Layout, epochs: int, views: int, remark: str, batch: int | None = None
) -> tuple[Step, ...]:
    """The main phase; before it, where a new head is asked for and layers are trained, that of the head."""
    main = _told(work, layout, main_phase(work, probed, layout, epochs), views, remark, batch)
    if work.tuning.head == "probe" or not layout.freezing.trained:
        return (main,)
    on_last = phase_layout(work, probed, head_phase())
    return _told(work, on_last, head_phase(), 1, "", batch), main


def _told(work: Work, layout: Layout, phase: Phase, views: int, remark: str = "", batch: int | None = None) -> Step:
    """The step with its line for people."""
    schedule = draft(work, layout, phase, views=views, batch=batch)
    where = layout.freezing.first_trained or "nothing but the classifier"
    size = byte_size(schedule.store_bytes)
    from_what = f"{counted(schedule.views, 'view')} of each photo stored at {' + '.join(layout.cut)} ({size})"
    stored = from_what if layout.cut else "from pixels, new views each epoch"
    reason = f"Training from {where} up, {stored}, {counted(phase.epochs, 'epoch')}"
    if not layout.freezing.trained:
        reason = f"Training {where}, {stored}, {counted(phase.epochs, 'epoch')}"
    return Step(layout, replace(schedule, reason=f"{reason}: {remark}." if remark else f"{reason}."))


def _because(steps: tuple[Step, ...], why: str) -> tuple[Step, ...]:
    """The same, and why the last one, which trains most, is not longer."""
    last = steps[-1]
    line = last.schedule.reason.rstrip(".")
    told = f"{line}{'; ' if ': ' in line else ': '}{why}."
    return (*steps[:-1], replace(last, schedule=replace(last.schedule, reason=told)))


def _stretched(epochs: int, work: Work) -> int:
    """More epochs where there are few photos, so that there are enough steps."""
    steps = EPOCHS * math.ceil(count_of(work, "train") / usual_batch(work))
    return math.ceil(epochs * min(MOST_STRETCH, max(1.0, LEAST_STEPS / steps)))
