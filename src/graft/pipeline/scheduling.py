"""From what was asked to what is done: cut, views and epochs, from the profile, the disk and the time there is."""

import math
import time
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

import numpy as np

from graft.backbones.freezing import lower_cuts
from graft.core import machine
from graft.core.errors import IntegrityProblem
from graft.data.stream import PhotoReader, stream_views
from graft.features.engines import run_pixels
from graft.features.extraction import opened_engine
from graft.features.sources import StoredSource
from graft.pipeline.layouts import Layout, asked, count_of, draft, layouts, most_views, usual_batch
from graft.pipeline.leaving import Work
from graft.pipeline.scoring import Probed
from graft.pipeline.views import task_of
from graft.report.words import byte_size, counted, duration
from graft.training.tuning.loop import seconds_per_step
from graft.training.tuning.records import Schedule

EPOCHS: Final = 12
VIEWS: Final = 8
LEAST_VIEWS: Final = 2  # below which storing does not pay: the same pixels again and again
LEAST_STEPS: Final = 300  # in all: a few photos are seen more often
MOST_STRETCH: Final = 3
# (epochs, views) under a time budget, from the most to the least that is worth its time
LADDER: Final = ((16, 8), (12, 8), (10, 6), (8, 4), (6, 3))
FINISH_SECONDS: Final = 20.0  # to compile, measure and write the classifier
MARGIN: Final = 1.15  # estimates are of a quiet moment
TIMED_PHOTOS: Final = 16


def schedule_for(work: Work, probed: Probed) -> tuple[Layout, Schedule] | str:
    """Where to cut and what to do: as the plan decided before, or decided now; or why nothing is to be done."""
    earlier = work.resolved.plan.schedule
    if earlier is not None:
        for layout in layouts(work, probed):
            if layout.freezing.trained == earlier.trained:
                return layout.cut_at(earlier.cut), earlier
        raise IntegrityProblem(
            f"The plan's schedule must fit its network, got training from {earlier.trained[:1]} up.",
            hint="Train into another folder, or without --config.",
            code="record_invalid",
        )
    tuning = asked(work)
    budget = tuning.time_budget_seconds
    if budget is None or (tuning.epochs and (tuning.views or tuning.storing == "never")):
        return _unhurried(work, probed, next(layouts(work, probed)))
    return _within(work, probed, budget)


def _unhurried(work: Work, probed: Probed, layout: Layout) -> tuple[Layout, Schedule]:
    """What is asked, or usual, as far as the disk has room."""
    tuning = asked(work)
    epochs = tuning.epochs or _stretched(EPOCHS, work)
    layout, views, remark = _fitting(work, layout, tuning.views or VIEWS)
    return _told(work, probed, layout, epochs, views, remark)


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
    if room >= LEAST_VIEWS or asked(work).storing == "always":
        return layout, max(1, room), f"the free disk has room for {counted(max(1, room), 'view')}"
    needed = byte_size(layout.view_bytes() * count_of(work, "train") * LEAST_VIEWS)
    return layout.cut_at(()), views, f"storing would take {needed} or more, which the disk has not"


@dataclass(frozen=True)
class _Costs:
    """Seconds on this machine, measured for one place to cut; scaled for others by their multiply-adds."""

    step: float
    forward: float
    opening: float
    view: float  # to decode, change, and run through the prefix
    suffix_work: int
    prefix_work: int

    def of(self, work: Work, layout: Layout, epochs: int, views: int, batch: int) -> float:
        """Seconds from now to the end."""
        above = max(0.05, layout.freezing.suffix_multiply_adds / max(1, self.suffix_work))
        below = layout.freezing.prefix_multiply_adds / max(1, self.prefix_work)
        steps = math.ceil(count_of(work, "train") / batch)
        checks = math.ceil(count_of(work, "validation") / batch)
        stored = count_of(work, "train") * views + count_of(work, "validation") if layout.cut else 0
        training = epochs * (steps * self.step + checks * self.forward) * above
        return (training + stored * self.view * below) * MARGIN + self.opening + FINISH_SECONDS


def _within(work: Work, probed: Probed, budget: float) -> tuple[Layout, Schedule] | str:
    """The most that the budget allows: fewer epochs and views first, then a higher cut, then larger batches.

    Why not, where nothing fits. How long it will take is told, and not kept: the plan says what is done, on whatever
    machine.
    """
    tuning = asked(work)
    usual = tuning.batch_images or usual_batch(work)
    for batch in (usual,) if tuning.batch_images else (usual, 2 * usual):
        found, seconds, left = _tried(work, probed, budget, batch)
        told = f"{duration(max(0.0, left))} of the {duration(budget)} are left"
        if seconds <= left:
            work.progress.say(f"Fine-tuning will take about {duration(seconds)}; {told}.")
            return found
    if work.resolved.plan.recipe == "auto":
        return f"left out, for it would take about {duration(seconds)}, and {told}"
    work.progress.say(f"Mind: fine-tuning will take about {duration(seconds)}, but {told}.")
    layout, schedule = found
    least = f"the least there is, more than the budget of {duration(budget)} allows"
    return layout, replace(schedule, reason=schedule.reason.replace(_allowed(budget), least))


def _tried(work: Work, probed: Probed, budget: float, batch: int) -> tuple[tuple[Layout, Schedule], float, float]:
    """With batches of this size: the first rung that fits, or the last of all; its seconds, and those that are left."""
    tuning = asked(work)
    candidates = list(layouts(work, probed))
    costs = _measure(work, probed, candidates[0], batch)
    left = budget - work.clock.seconds()["total"]
    for layout in candidates:
        for rung_epochs, rung_views in LADDER:
            epochs = tuning.epochs or _stretched(rung_epochs, work)
            fitted, views, remark = _fitting(work, layout, tuning.views or rung_views)
            seconds = costs.of(work, fitted, epochs, views, batch)
            why = "; ".join(filter(None, (remark, _allowed(budget))))
            found = _told(work, probed, fitted, epochs, views, why, batch)
            if seconds <= left:
                return found, seconds, left
    return found, seconds, left


def _allowed(budget: float) -> str:
    return f"as the budget of {duration(budget)} allows"


def _measure(work: Work, probed: Probed, layout: Layout, batch: int) -> _Costs:
    """Time a few steps and a few views, on nothing but zeros and the first training photos."""
    schedule = draft(work, probed, layout, epochs=1, views=1, batch=batch)
    side = work.resolved.plan.side_pixels
    with work.progress.stage("Timing a few steps", None, ""):
        photos = min(batch, count_of(work, "train"))
        if layout.cut:
            whole = [layout.table.find(each.layer).shape for each in layout.outputs if each.pooling == "none"]
            flat = [layout.table.find(each.layer).shape[-1:] for each in layout.outputs if each.pooling == "avg"]
        else:
            whole, flat = [(side, side, 3)], []
        source = StoredSource(
            *([np.zeros((1, photos, *shape), np.float32) for shape in each] for each in (whole, flat))
        )
        task = task_of(work, layout, schedule, source, None, class_weighted=probed.result.summary.class_weighted)
        times = seconds_per_step(replace(task, train_labels=task.train_labels[:photos]))
        view = _view_seconds(work, layout) if layout.cut else 0.0
    freezing = layout.freezing
    return _Costs(
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
        augmentation=asked(work).augmentation,
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


def _told(
    work: Work, probed: Probed, layout: Layout, epochs: int, views: int, remark: str, batch: int | None = None
) -> tuple[Layout, Schedule]:
    """The schedule with its line for people."""
    schedule = draft(work, probed, layout, epochs=epochs, views=views, batch=batch)
    where = layout.freezing.first_trained or "nothing but the classifier"
    size = byte_size(schedule.store_bytes)
    from_what = f"{counted(schedule.views, 'view')} of each photo stored at {' + '.join(layout.cut)} ({size})"
    stored = from_what if layout.cut else "from pixels, new views each epoch"
    reason = f"Training from {where} up, {stored}, {counted(epochs, 'epoch')}"
    line = f"{reason}: {remark}." if remark else f"{reason}."
    return layout, replace(schedule, reason=line)


def _stretched(epochs: int, work: Work) -> int:
    """More epochs where there are few photos, so that there are enough steps."""
    steps = EPOCHS * math.ceil(count_of(work, "train") / usual_batch(work))
    return math.ceil(epochs * min(MOST_STRETCH, max(1.0, LEAST_STEPS / steps)))
