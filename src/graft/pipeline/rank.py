"""Every backbone that is on this machine, on the user's photos: how right, how fast, how large.

The answers are out of fold (`graft.training.crossfit`): each photo's comes from a probe that saw neither it nor its
group. Photos that will measure the classifier later are never read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from graft.backbones.catalogue import BUILTIN, candidates, catalogue
from graft.backbones.records import BackboneRecord
from graft.backbones.weights import WeightsFile, builtin
from graft.core import machine
from graft.core.errors import BadInput, GraftError
from graft.core.progress import Progress
from graft.core.records import record_hash
from graft.core.version import __version__
from graft.data.depth import depth_note_of
from graft.data.records import Manifest, Photo
from graft.evaluation.comparison import compare
from graft.evaluation.intervals import wilson
from graft.evaluation.ranking import NotRanked, Ranked, Ranking, on_frontier, recommend
from graft.features.extraction import extract
from graft.pipeline.bundling import expected_bytes
from graft.pipeline.choosing import Chosen, all_here, data_key, pool_of, remember
from graft.pipeline.intake import Intake, earlier_splits, read_data
from graft.pipeline.options import TrainOptions
from graft.pipeline.planning import Resolved, make_plan, program_of
from graft.pipeline.timing import TimedPhotos, rates
from graft.pipeline.workspace import feature_store, scratch_folder, working
from graft.training.crossfit import CrossFit, cross_fit
from graft.training.probe import Rows, fold_numbers
from graft.training.taps import TapTable

# What is wrong with the data or the disk is wrong for every backbone: the first one says it, and that is the end.
COMMON_CODES = frozenset({"changed_since_scan", "disk_full", "cannot_write", "split_leak"})


@dataclass(frozen=True)
class _Pool:
    """The photos that are read. `labels` is -1 for a photo that must not be; `folds` are the same for all backbones."""

    root: Path
    manifest: Manifest
    photos: tuple[Photo, ...]
    labels: np.ndarray
    rows: Rows
    folds: np.ndarray


@dataclass(frozen=True)
class _Measured:
    """One backbone's answers."""

    resolved: Resolved
    fit: CrossFit
    classifier_bytes: int
    weights_bytes: int
    n_computed: int
    n_reused: int


@working()
def rank(
    options: TrainOptions,
    *,
    backbones: Sequence[str] = (),
    progress: Progress,
    tell: Callable[[str], None] | None = None,
) -> Ranking:
    """Measure backbones as trainings with `options` would use them, remember the result, and say which to take.

    `backbones` are names or families; none: every backbone whose weights are on this machine. `tell` is
    given what to mind about the photos, before they are read.
    Raises: `BadInput` for data or names that cannot be used, or where no backbone could be measured.
    """
    found, failed = _candidates(backbones, machine.cache_directory())
    intake = read_data(
        Path(options.data),
        split=options.split,
        seed=options.seed,
        on_bad=options.on_bad,
        split_from=earlier_splits(options.split_from),
        duplicates=options.duplicates,
        rules=options.rules(),
        progress=progress,
    )
    facts = (photo.facts for photo in intake.manifest.photos)
    note = depth_note_of(facts, intake.manifest.rules, "graft backbones rank and graft train")
    if note and tell:
        tell(f"Mind: {note}")
    pool = _pool(intake, options.seed)
    measured: list[_Measured] = []
    with progress.stage("Ranking backbones", len(found), "backbones") as stage:
        for record, weights in found:
            try:
                chosen = Chosen(record, weights, "to be ranked")
                plan = make_plan(options, pool.manifest, chosen, threads=machine.threads())
                measured.append(_measure(pool, Resolved(plan, record, weights), progress))
            except GraftError as error:
                if error.code in COMMON_CODES:
                    raise
                failed.append(_failure(record, weights.sha256, error))
            stage.advance()
    if not measured:
        raise _nothing_ranked(failed)
    timed = TimedPhotos(pool.root, pool.photos, pool.manifest.rules, seed=options.seed)
    speeds = rates([each.resolved for each in measured], timed, progress)
    ranking = _ranking(options, pool, measured, speeds, failed)
    if not backbones:  # one of some backbones only must not decide for all
        remember(ranking)
    return ranking


def _candidates(asked: Sequence[str], cache: Path) -> tuple[list[tuple[BackboneRecord, WeightsFile]], list[NotRanked]]:
    """Networks with weights here that were asked for, the built-in one first; and why others cannot be measured."""
    names = dict.fromkeys(name for each in asked for name in candidates(each)) or dict.fromkeys(catalogue())
    found = [pair for pair in all_here(cache) if pair[0].name in names]
    failed: list[NotRanked] = []
    if BUILTIN in names:
        record = catalogue()[BUILTIN]
        try:
            found.insert(0, (record, builtin(BUILTIN, cache)))
        except GraftError as error:
            failed.append(_failure(record, "", error))
    for each in asked:
        members = candidates(each)
        if not {record.name for record, _ in found} & set(members) and BUILTIN not in members:
            hint = (
                f"Fetch them with graft backbones fetch {members[0]}, or import a file with graft train --weights FILE."
            )
            missing = BadInput(
                f"The weights of {each} must be on this machine, got none.", hint=hint, code="weights_missing"
            )
            failed.append(_failure(catalogue()[members[0]], "", missing))
    if not found:
        raise _nothing_ranked(failed)
    return found, failed


def _failure(record: BackboneRecord, weights_sha256: str, error: GraftError) -> NotRanked:
    return NotRanked(
        backbone=record.name,
        title=record.title,
        weights_sha256=weights_sha256,
        code=error.code,
        reason=error.message,
        hint=error.hint,
    )


def _nothing_ranked(failed: Sequence[NotRanked]) -> BadInput:
    reasons = " ".join(f"{each.backbone}: {each.reason}" for each in failed)
    return BadInput(
        f"At least one backbone must be measurable, got none. {reasons}", hint=failed[0].hint, code=failed[0].code
    )


def _pool(intake: Intake, seed: int) -> _Pool:
    """The photos that may be read, in one order, and their folds: groups stay whole, classes are dealt out evenly."""
    photos = tuple(pool_of(intake.manifest))
    if len(photos) < 2:
        raise BadInput(f"DATA must have at least two photos to rank on, got {len(photos)}.", code="no_photos")
    labels = np.array([-1 if photo.split == "test" else photo.label for photo in photos])
    groups = np.unique([photo.group for photo in photos], return_inverse=True)[1]
    splits = np.array([photo.split for photo in photos])
    rows = Rows(np.flatnonzero(splits == "train"), np.flatnonzero(splits == "validation"), groups)
    return _Pool(intake.root, intake.manifest, photos, labels, rows, fold_numbers(labels, groups, seed))


def _measure(pool: _Pool, resolved: Resolved, progress: Progress) -> _Measured:
    """Read the photos with one backbone and answer each out of fold."""
    plan = resolved.plan
    with scratch_folder() as scratch:
        activations = extract(
            pool.root,
            pool.photos,
            program_of(plan),
            resolved.weights,
            store=feature_store(),
            scratch=scratch,
            cache=machine.cache_directory(),
            rules=pool.manifest.rules,
            workers=plan.threads,
            threads=plan.threads,
            progress=progress,
            kind=plan.engine,
        )
        table = TapTable(activations.values, plan.taps, readable=pool.labels >= 0)
        with progress.stage(f"Judging {resolved.record.title}", int(pool.folds.max()) + 1, "folds") as stage:
            fit = cross_fit(
                table,
                pool.labels,
                pool.rows,
                pool.folds,
                classes=len(pool.manifest.classes),
                plan=plan,
                advance=stage.advance,
            )
    size = expected_bytes(resolved, max(fit.classifiers, key=lambda one: one.kernel.size))
    weights_bytes = resolved.weights.path.stat().st_size
    return _Measured(resolved, fit, size, weights_bytes, activations.computed, activations.reused)


def _ranking(
    options: TrainOptions,
    pool: _Pool,
    measured: Sequence[_Measured],
    speeds: Sequence[float | GraftError],
    failed: Sequence[NotRanked],
) -> Ranking:
    timed = [(each, speed) for each, speed in zip(measured, speeds, strict=True) if isinstance(speed, float)]
    untimed = [
        _failure(each.resolved.record, each.resolved.weights.sha256, speed)
        for each, speed in zip(measured, speeds, strict=True)
        if isinstance(speed, GraftError)
    ]
    if not timed:
        raise _nothing_ranked([*failed, *untimed])
    entries = _entries(pool, timed)
    plan = timed[0][0].resolved.plan
    kept_back = [photo.split for photo in pool.manifest.photos if photo.split not in {p.split for p in pool.photos}]
    return Ranking(
        graft_version=__version__,
        manifest_hash=record_hash(pool.manifest),
        data_key=data_key(pool.manifest, options.image_size),
        n=len(pool.photos),
        n_validation=len(pool.rows.validation),
        n_kept_back=len(kept_back),
        kept_back=kept_back[0] if kept_back else "",
        classes=pool.manifest.classes,
        folds=int(pool.folds.max()) + 1,
        majority_share=float(np.bincount(pool.labels).max() / len(pool.labels)),
        precision=plan.precision,
        threads=plan.threads,
        timed_photos=TimedPhotos.count(plan.threads),
        seed=options.seed,
        entries=entries,
        not_ranked=(*failed, *untimed),
        best=entries[0].weights_sha256,
        recommended=recommend(entries).weights_sha256,
    )


def _entries(pool: _Pool, timed: Sequence[tuple[_Measured, float]]) -> tuple[Ranked, ...]:
    """The most accurate first; among equals the fastest."""
    right = [int(np.count_nonzero(each.fit.predicted == pool.labels)) for each, _ in timed]
    order = sorted(range(len(timed)), key=lambda place: (-right[place], -timed[place][1]))
    frontier = on_frontier([(right[place], timed[place][1]) for place in order])
    best = timed[order[0]][0].fit.predicted
    return tuple(
        _entry(pool, *timed[place], best if number else None, frontier[number]) for number, place in enumerate(order)
    )


def _entry(pool: _Pool, each: _Measured, speed: float, best: np.ndarray | None, frontier: bool) -> Ranked:
    right = int(np.count_nonzero(each.fit.predicted == pool.labels))
    plan = each.resolved.plan
    return Ranked(
        backbone=plan.backbone,
        title=each.resolved.record.title,
        weights_sha256=plan.weights_sha256,
        side_pixels=plan.side_pixels,
        accuracy=wilson(right, len(pool.labels)),
        against_best=None if best is None else compare(pool.labels, best, each.fit.predicted),
        photos_per_second=speed,
        weights_bytes=each.weights_bytes,
        classifier_bytes=each.classifier_bytes,
        taps=tuple((one.taps[0], one.taps[-1]) for one in each.fit.classifiers),
        frontier=frontier,
        n_computed=each.n_computed,
        n_reused=each.n_reused,
    )
