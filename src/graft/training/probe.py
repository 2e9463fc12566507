"""The linear probe: read every depth, choose the run of taps and the strength, fit one linear head.

1. A ridge in closed form scores each tap alone (the depth profile) and each run of taps at each shrinkage.
2. On the best run, whitened, a multinomial logistic regression is fitted at each strength.
3. Held-out log-loss after temperature chooses the strength; the temperature is kept.
4. With everything chosen, the head is fitted once more on training and validation photos together, if the plan says so.

The ridge is scored on training photos left out one by one together with the validation photos; the strength on the
validation photos, or on predictions of folds left out where photos are few. Test photos never come here.
Related: Evci et al., "Head2Toe", arXiv 2201.03529.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.progress import Progress
from graft.core.randomness import stream
from graft.evaluation.calibration import softmax, temperature
from graft.evaluation.intervals import wilson
from graft.evaluation.metrics import photo_losses
from graft.evaluation.rejection import sure_threshold
from graft.training.linear import as_softmax
from graft.training.logistic import ClassWeight, Fit, fit_strengths
from graft.training.records import Choice, Classifier, Depth, Plan, ProbeSummary
from graft.training.ridge import RidgeScore, TapKernels, score_in_threads, tap_kernels
from graft.training.taps import TapTable, runs_of_taps
from graft.training.whitening import Whitening, fit_whitening, whiten

RIDGE_PHOTOS = 1500  # most photos of a split that the ridge compares on: its cost grows with their cube
FOLDS = 5
IMBALANCE = 2.0  # largest class against smallest, from which classes are weighted


@dataclass(frozen=True)
class Rows:
    """Which rows of the table the probe may use: disjoint, and none of the test split.

    `groups` has a number for each row of the table; rows of one group are left out together. None: each is its own.
    """

    train: np.ndarray
    validation: np.ndarray
    groups: np.ndarray | None = None

    def groups_of(self, rows: np.ndarray) -> np.ndarray:
        """The group of each of `rows`."""
        return rows if self.groups is None else self.groups[rows]


@dataclass(frozen=True)
class ProbeResult:
    """The head that ships, the same for the last tap alone, and how they came about.

    `held_out` and `held_out_last_layer` are the same two before they were refitted: they have not seen the validation
    photos. `validation_logits`, `(validation photo, class)`, are those of `held_out`, before its temperature.
    """

    classifier: Classifier
    last_layer: Classifier
    held_out: Classifier
    held_out_last_layer: Classifier
    summary: ProbeSummary
    validation_logits: np.ndarray


@dataclass(frozen=True)
class _Candidate:
    """A run of taps with its tuned head, fitted on the training rows."""

    run: RidgeScore
    choices: tuple[Choice, ...]
    chosen: Choice
    classifier: Classifier
    validation_logits: np.ndarray


@dataclass(frozen=True)
class _Task:
    """What every step needs: the features, the truth, the rows and the plan."""

    table: TapTable
    labels: np.ndarray
    classes: int
    rows: Rows
    plan: Plan
    class_weight: ClassWeight

    @property
    def out_of_fold(self) -> bool:
        few = len(self.rows.train) < self.plan.out_of_fold_below
        return few or not len(self.rows.validation)


def train_probe(
    table: TapTable, labels: np.ndarray, rows: Rows, *, classes: int, plan: Plan, progress: Progress
) -> ProbeResult:
    """Choose and fit the head. `labels` has one class index for each row of the table, in [0, classes)."""
    task = _task(table, labels, rows, classes, plan)
    scores, profile = _compare_depths(task, progress)
    last_tap = (len(plan.taps) - 1, len(plan.taps))
    with progress.stage("Fitting the head", total=3, unit="steps") as stage:
        best = _tune(task, _best(scores))
        stage.advance()
        last = _tune(task, _best([score for score in scores if (score.first, score.stop) == last_tap]))
        stage.advance()
        result = _finish(task, best, last, profile, scores)
        stage.advance()
    return result


def fit_probe(table: TapTable, labels: np.ndarray, rows: Rows, *, classes: int, plan: Plan) -> Classifier:
    """The classifier of `train_probe` alone: chosen and fitted the same way, without profile and comparison."""
    task = _task(table, labels, rows, classes, plan)
    runs = [(run, plan.shrinkages) for run in runs_of_taps(plan.widths, max_width=plan.max_width)]
    scores = [score for scores in score_in_threads(_kernels(task), runs, threads=plan.threads) for score in scores]
    best = _tune(task, _best(scores))
    return _refit(task, best) if _refits(task) else best.classifier


def _task(table: TapTable, labels: np.ndarray, rows: Rows, classes: int, plan: Plan) -> _Task:
    counts = _class_counts(labels, rows, classes)
    return _Task(table, labels, classes, rows, plan, "balanced" if counts.max() > IMBALANCE * counts.min() else None)


def _class_counts(labels: np.ndarray, rows: Rows, classes: int) -> np.ndarray:
    """Training photos of each class; labels that were kept back (negative) and empty classes are refused."""
    if np.any(labels[np.concatenate([rows.train, rows.validation])] < 0):
        raise IntegrityProblem(
            "Training must use training and validation photos only, got rows of the test split.",
            hint="This is a defect of Graft: please report it.",
            code="split_leak",
        )
    counts = np.bincount(labels[rows.train], minlength=classes)
    if counts.min() < 1:
        raise BadInput(f"Each class must have a training photo, class number {int(counts.argmin())} has none.")
    return counts


def _compare_depths(task: _Task, progress: Progress) -> tuple[tuple[RidgeScore, ...], tuple[Depth, ...]]:
    """Ridge scores of the runs of taps at each shrinkage, and the profile: each tap alone at one shrinkage."""
    plan = task.plan
    runs = [(run, plan.shrinkages) for run in runs_of_taps(plan.widths, max_width=plan.max_width)]
    alone = [((index, index + 1), (plan.profile_shrinkage,)) for index in range(len(plan.taps))]
    with progress.stage("Comparing depths", total=len(runs) + len(alone), unit="runs") as stage:
        kernels = _kernels(task)
        found: list[tuple[RidgeScore, ...]] = []
        for scores in score_in_threads(kernels, [*alone, *runs], threads=plan.threads):
            found.append(scores)
            stage.advance()
    profile = (
        Depth(layer=layer, width=width, accuracy=wilson(score.correct, score.n))
        for layer, width, (score,) in zip(plan.taps, plan.widths, found, strict=False)
    )
    compared = tuple(score for scores in found[len(alone) :] for score in scores)
    return compared, tuple(profile)


def _kernels(task: _Task) -> TapKernels:
    train = _at_most(task, task.rows.train, "train")
    held_out = _at_most(task, task.rows.validation, "validation")
    numbers, sizes = np.unique(task.rows.groups_of(train), return_counts=True)
    groups = tuple(np.flatnonzero(task.rows.groups_of(train) == number) for number in numbers[sizes > 1])
    return tap_kernels(task.table, task.labels, train, held_out, classes=task.classes, groups=groups)


def _at_most(task: _Task, rows: np.ndarray, name: str) -> np.ndarray:
    """A seeded sample of at most `RIDGE_PHOTOS` rows with the classes in their proportions."""
    if len(rows) <= RIDGE_PHOTOS:
        return rows
    order = stream(task.plan.seed, "ridge", name).permutation(len(rows))
    by_class = order[np.argsort(task.labels[rows[order]], kind="stable")]
    picks = np.linspace(0, len(rows) - 1, RIDGE_PHOTOS).round().astype(int)
    return np.sort(rows[by_class[picks]])


def _best(scores: Sequence[RidgeScore]) -> RidgeScore:
    """Most right answers; among equals the fewest taps, then the stronger shrinkage."""
    return max(scores, key=lambda score: (score.correct / score.n, score.first - score.stop, score.shrinkage))


def _tune(task: _Task, run: RidgeScore) -> _Candidate:
    """Fit the run of taps at each strength and keep the one with the least held-out log-loss."""
    plan, rows = task.plan, task.rows
    whitening = fit_whitening(task.table, run.first, run.stop, rows.train, shrinkage=run.shrinkage)
    features = whiten(whitening, task.table, run.first, run.stop, rows.train)
    validation = whiten(whitening, task.table, run.first, run.stop, rows.validation)
    labels = task.labels[rows.train]
    fits = tuple(fit_strengths(features, labels, plan.strengths, class_weight=task.class_weight))
    if task.out_of_fold:
        held_out, truth = _out_of_fold(task, run), labels
    else:
        held_out, truth = [fit.logits(validation) for fit in fits], task.labels[rows.validation]
    choices, temperatures = [], []
    for fit, logits in zip(fits, held_out, strict=True):
        softness = temperature(logits, truth)
        temperatures.append(softness)
        choices.append(_choice(task, run, fit.strength, softmax(logits, softness), truth))
    pick = min(range(len(fits)), key=lambda index: (choices[index].log_loss, fits[index].strength))
    chances = softmax(held_out[pick], temperatures[pick])
    classifier = _classifier(task, run, whitening, fits[pick], temperatures[pick], sure_threshold(chances, truth))
    return _Candidate(run, tuple(choices), choices[pick], classifier, fits[pick].logits(validation))


def _out_of_fold(task: _Task, run: RidgeScore) -> list[np.ndarray]:
    """Logits of every training photo from a head that did not see its fold, for each strength.

    The whitening is learned without the fold too: photos it has seen get other logits than new ones, and a temperature
    chosen on those would make the classifier far too sure of itself. All zero where nothing but one class is left.
    """
    rows, labels = task.rows.train, task.labels[task.rows.train]
    logits = [np.zeros((len(rows), task.classes), np.float32) for _ in task.plan.strengths]
    folds = fold_numbers(labels, task.rows.groups_of(rows), task.plan.seed)
    for fold in range(folds.max() + 1):
        inside, outside = np.flatnonzero(folds != fold), np.flatnonzero(folds == fold)
        present, local = np.unique(labels[inside], return_inverse=True)
        if len(present) < 2:
            continue
        whitening = fit_whitening(task.table, run.first, run.stop, rows[inside], shrinkage=run.shrinkage)
        seen, unseen = (whiten(whitening, task.table, run.first, run.stop, rows[part]) for part in (inside, outside))
        fits = fit_strengths(seen, local, task.plan.strengths, class_weight=task.class_weight)
        for values, fit in zip(logits, fits, strict=True):
            values[outside] = _spread(fit, unseen, present, task.classes)
    return logits


def _spread(fit: Fit, features: np.ndarray, present: np.ndarray, classes: int) -> np.ndarray:
    """Logits over all classes where a fold lacked some: an absent class gets the least logit of the row."""
    local = fit.logits(features)
    if len(present) == classes:
        return local
    logits = np.repeat(local.min(axis=1, keepdims=True), classes, axis=1)
    logits[:, present] = local
    return logits


def fold_numbers(labels: np.ndarray, groups: np.ndarray, seed: int) -> np.ndarray:
    """A fold number for each row; groups stay whole, the classes are dealt out evenly, in a seeded order."""
    _, firsts, member = np.unique(groups, return_index=True, return_inverse=True)
    order = stream(seed, "folds").permutation(len(firsts))
    by_class = order[np.argsort(labels[firsts[order]], kind="stable")]
    folds = np.empty(len(firsts), int)
    folds[by_class] = np.arange(len(firsts)) % min(FOLDS, len(firsts))
    return folds[member]


def _choice(task: _Task, run: RidgeScore, strength: float, chances: np.ndarray, truth: np.ndarray) -> Choice:
    ridge = _ridge_choice(task.plan, run)
    accuracy = float((chances.argmax(axis=1) == truth).mean())
    return replace(ridge, strength=strength, accuracy=accuracy, log_loss=float(photo_losses(chances, truth).mean()))


def _ridge_choice(plan: Plan, run: RidgeScore) -> Choice:
    return Choice(
        first=plan.taps[run.first],
        last=plan.taps[run.stop - 1],
        width=sum(plan.widths[run.first : run.stop]),
        shrinkage=run.shrinkage,
        strength=None,
        accuracy=run.accuracy,
        log_loss=None,
    )


def _classifier(
    task: _Task, run: RidgeScore, whitening: Whitening, fit: Fit, softness: float, threshold: float | None
) -> Classifier:
    """Fold the whitening into the regression: one kernel on standardised features."""
    classifier = Classifier(
        taps=task.plan.taps[run.first : run.stop],
        mean=whitening.scaler.mean,
        scale=whitening.scaler.scale,
        kernel=np.ascontiguousarray(whitening.map @ fit.kernel, np.float32),
        bias=fit.bias,
        temperature=softness,
        threshold=threshold,
    )
    return as_softmax(classifier) if task.plan.binary_units == 2 else classifier


def _refit(task: _Task, candidate: _Candidate) -> Classifier:
    """The chosen head once more, on training and validation photos together; temperature and threshold stay."""
    run, strength = candidate.run, candidate.chosen.strength
    if strength is None:
        raise BadInput("a head must have a strength before it is fitted again, got none")
    rows = np.sort(np.concatenate([task.rows.train, task.rows.validation]))
    whitening = fit_whitening(task.table, run.first, run.stop, rows, shrinkage=run.shrinkage)
    features = whiten(whitening, task.table, run.first, run.stop, rows)
    fit = next(fit_strengths(features, task.labels[rows], [strength], class_weight=task.class_weight))
    chosen = candidate.classifier
    return _classifier(task, run, whitening, fit, chosen.temperature, chosen.threshold)


def _refits(task: _Task) -> bool:
    return task.plan.refit and len(task.rows.validation) > 0


def _finish(
    task: _Task, best: _Candidate, last: _Candidate, profile: tuple[Depth, ...], scores: Sequence[RidgeScore]
) -> ProbeResult:
    refit = _refits(task)
    classifier = _refit(task, best) if refit else best.classifier
    last_layer = _refit(task, last) if refit else last.classifier
    truth = task.labels[task.rows.validation]
    right = int(np.count_nonzero(best.validation_logits.argmax(axis=1) == truth))
    runs = sorted({(score.first, score.stop) for score in scores})
    by_run = [_best([score for score in scores if (score.first, score.stop) == run]) for run in runs]
    summary = ProbeSummary(
        chosen_on="out-of-fold" if task.out_of_fold else "validation",
        n_chosen_on=len(task.rows.train if task.out_of_fold else task.rows.validation),
        n_compared_on=scores[0].n,
        depth_profile=profile,
        choices=tuple(_ridge_choice(task.plan, score) for score in by_run) + best.choices,
        chosen=best.chosen,
        last_layer=last.chosen,
        taps=classifier.taps,
        class_weighted=task.class_weight is not None,
        temperature=classifier.temperature,
        refitted=refit,
        validation_accuracy=wilson(right, len(truth)) if len(truth) else None,
    )
    return ProbeResult(classifier, last_layer, best.classifier, last.classifier, summary, best.validation_logits)
