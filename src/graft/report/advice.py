"""What to do next, drawn from the records: the most useful step first."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from graft.backbones.catalogue import BUILTIN
from graft.evaluation.records import ClassScore
from graft.report import curves, findings, words
from graft.report.data import ReportData
from graft.training.tuning.records import TuningSummary

MOST = 5  # a longer list is read by nobody
WIDE_INTERVAL = 0.08
FEW_PHOTOS = 20
STANDS_OUT = 0.05  # of all mistakes, from which a pair of classes is worth naming
STRONG_IMBALANCE = 5.0
GOOD_ENOUGH = 0.97  # accuracy from which a larger network is no longer the first thing to try
STILL_FALLING = 0.02  # share of the validation loss lost over the last quarter of the epochs, from which more pay
ROSE = 0.05  # share by which the validation loss rose after the first epoch, from which the rate was too high
BY_HEART = 0.05  # training accuracy above validation accuracy, from which the training photos were learned by heart
OF_OUR_OWN = "stronger changes (--augment strong) and more of them (--views), or fewer trained layers"
OF_A_RECIPE = (
    "more views of each (--views); stronger changes or fewer trained layers are another training than the recipe's: "
    "--recipe finetune"
)


@dataclass(frozen=True)
class Advice:
    """One thing to do: a short heading and the figures it rests on."""

    heading: str
    detail: str


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes and how often one was taken for the other, in both directions."""

    first: str
    second: str
    mistakes: int
    photos: int  # scored photos of the two classes


def advise(data: ReportData) -> tuple[Advice, ...]:
    """At most five pieces of advice; never empty."""
    return tuple(item for step in _STEPS for item in step(data))[:MOST]


def worst_pair(data: ReportData) -> ConfusedPair | None:
    """The two classes that are confused most, both directions added; None without a mistake or a choice."""
    if len(data.evaluation.per_class) < 3:
        return None
    table, scores = data.evaluation.confusion, data.evaluation.per_class
    best: ConfusedPair | None = None
    for one, row in enumerate(table):
        for other in range(one + 1, len(row)):
            mistakes = row[other] + table[other][one]
            if mistakes > (best.mistakes if best else 0):
                photos = scores[one].support + scores[other].support
                best = ConfusedPair(scores[one].name, scores[other].name, mistakes, photos)
    return best


def _no_better_than_guessing(data: ReportData) -> Iterator[Advice]:
    evaluation = data.evaluation
    if evaluation.accuracy.low > evaluation.majority_share:
        return
    yield Advice(
        "Do not use it yet",
        f"It is not shown to be better than always guessing the commonest class "
        f"({words.percent(evaluation.majority_share)}). Check that the folders hold what their names say, then add "
        "photos.",
    )


def _leaks(data: ReportData) -> Iterator[Advice]:
    leaks = data.inspection.leaks
    if leaks:
        yield Advice(
            "Remove photos that are in two splits",
            f"{words.counted(len(leaks), 'photo is', 'photos are')} in more than one of the given splits, for instance "
            f"{words.shortened(leaks[0].paths[0], 60)}: the score is flattered.",
        )
    conflicts = data.inspection.conflicts
    if conflicts:
        yield Advice(
            "Decide which label is right",
            f"{words.counted(len(conflicts), 'photo lies', 'photos lie')} in two classes at once, for instance "
            f"{words.shortened(conflicts[0].paths[0], 60)} "
            f"({words.listed(sorted(set(conflicts[0].classes)))}).",
        )


def _shortcut(data: ReportData) -> Iterator[Advice]:
    if data.inspection.shortcuts:
        shortcut = data.inspection.shortcuts[0]
        yield Advice("Rule out a shortcut", f"{shortcut.sentence} {shortcut.remedy}")


def _no_test_split(data: ReportData) -> Iterator[Advice]:
    if data.evaluation.split in ("validation", "train"):
        yield Advice(
            "Hold back test photos",
            "Photos that had no part in the training give the figure to rely on: add a folder “test”, or let Graft "
            "hold some back with --split 70/15/15.",
        )


def _larger_network(data: ReportData) -> Iterator[Advice]:
    if data.plan.get("backbone") == BUILTIN and data.evaluation.accuracy.value < GOOD_ENOUGH:
        yield Advice(
            "Use a larger network",
            "The built-in one is small. With weights you have as a file, results are usually better: add --backbone "
            "mobilenet --weights FILE to the command. graft backbones list names what can be used, fetch brings it.",
        )


def _unfinished(data: ReportData) -> Iterator[Advice]:
    if data.tuning and not data.tuning.finished:
        done = len(data.tuning.epochs)
        when = f"after {words.counted(done, 'epoch')}" if done else "in its first epoch"
        yield Advice(
            "Let fine-tuning end",
            f"It was stopped {when}. The same command goes on where it stopped and loses nothing.",
        )


def _fine_tuning(data: ReportData) -> Iterator[Advice]:
    if data.tuning is None and data.plan.get("recipe") == "probe" and data.evaluation.accuracy.value < GOOD_ENOUGH:
        yield Advice(
            "Let it fine-tune",
            "Only the classifier on top was fitted. Fine-tuning trains the network’s upper layers on your photos too "
            "and takes minutes rather than seconds: --recipe auto keeps the better of both.",
        )


def _longer(data: ReportData) -> Iterator[Advice]:
    summary = data.tuning
    if summary is None or not summary.finished or summary.stopped_early or not _still_falling(summary):
        return
    budget = data.asked and data.asked.time_budget_seconds
    n = len(summary.epochs)
    more = "A larger --time-budget buys more" if budget else f"Try --epochs {2 * n}"
    yield Advice(
        "Fine-tune for longer",
        f"The validation loss still fell in the last of {words.counted(n, 'epoch')}. {more}.",
    )


def _still_falling(summary: TuningSummary) -> bool:
    """Whether the last epoch was the best and the validation loss had not levelled out before it."""
    losses = [row.validation_loss for row in summary.epochs]
    last, earlier = losses[-1:], losses[-1 - max(1, len(losses) // 4) : -1][:1]
    if not last or not earlier or last[0] is None or earlier[0] is None:
        return False
    return summary.best_epoch == summary.epochs[-1].number and last[0] < (1 - STILL_FALLING) * earlier[0]


def _gentler(data: ReportData) -> Iterator[Advice]:
    rows = data.tuning.epochs if data.tuning else ()
    if len(rows) < 3 or data.tuning is None or data.tuning.best_epoch != rows[0].number:
        return
    first, last = rows[0].validation_loss, rows[-1].validation_loss
    if first is not None and last is not None and last > (1 + ROSE) * first:
        yield Advice(
            "Fine-tune more gently",
            f"The validation loss was lowest after the first of {words.counted(len(rows), 'epoch')} and rose from "
            f"there. Try a smaller step: --learning-rate {max(row.rate for row in rows) / 3:.1g}.",
        )


def _by_heart(data: ReportData) -> Iterator[Advice]:
    best = curves.best_epoch(data.tuning) if data.tuning else None
    if best is None or best.validation_accuracy is None or best.accuracy - best.validation_accuracy < BY_HEART:
        return
    yield Advice(
        "Show it more variety",
        f"In its best epoch it was right on {words.percent(best.accuracy)} of the training views, but on "
        f"{words.percent(best.validation_accuracy)} of the validation photos: it learned its photos by heart. More "
        f"photos help most; then {OF_A_RECIPE if data.is_reference else OF_OUR_OWN}.",
    )


def _confused(data: ReportData) -> Iterator[Advice]:
    wrong = data.evaluation.n - findings.correct(data.evaluation)
    pair = worst_pair(data)
    if pair is None:
        if wrong:
            yield Advice(
                "Check the labels of its mistakes",
                f"It made {words.counted(wrong, 'mistake')}, shown below. If their labels are right, add such photos.",
            )
        return
    counts = findings.train_counts(data.inspection)
    trained = f"{words.count(counts.get(pair.first, 0))} and {words.count(counts.get(pair.second, 0))}"
    if pair.mistakes < max(2, STANDS_OUT * wrong):
        yield Advice(
            "Check the labels of its mistakes",
            f"No two classes stand out: the most confused, “{pair.first}” and “{pair.second}”, have {pair.mistakes} "
            f"of the {words.counted(wrong, 'mistake')}. If their labels are right, add photos like them.",
        )
        return
    yield Advice(
        f"Look at “{pair.first}” and “{pair.second}”",
        f"They are confused most: {words.count(pair.mistakes)} of their {words.counted(pair.photos, 'scored photo')}. "
        f"They have {trained} photos to learn from. Check the labels of these mistakes below, then add photos of both.",
    )


def _weakest(data: ReportData) -> Iterator[Advice]:
    overall = data.evaluation.accuracy
    weak = [item for item in data.evaluation.per_class if item.recall and item.recall.high < overall.low]
    if not weak:
        return
    worst = min(weak, key=_recall)
    counts = findings.train_counts(data.inspection)
    middle = int(median(counts.values()))
    yield Advice(
        f"Add photos of “{worst.name}”",
        f"It is found in {words.percent(_recall(worst))} of its {words.counted(worst.support, 'photo')}, less often "
        f"than the rest. It has {words.count(counts.get(worst.name, 0))} photos to learn from; the middle class has "
        f"{words.count(middle)}.",
    )


def _recall(item: ClassScore) -> float:
    return item.recall.value if item.recall else 1.0


def _too_few(data: ReportData) -> Iterator[Advice]:
    few = [item for item in data.inspection.classes if item.train < FEW_PHOTOS]
    if few:
        few.sort(key=lambda item: (item.train, item.name))
        names = words.listed([f"“{item.name}” ({item.train})" for item in few[:3]])
        more = f" and {words.count(len(few) - 3)} more" if len(few) > 3 else ""
        yield Advice(
            f"Collect at least {FEW_PHOTOS} photos of each class",
            f"{words.counted(len(few), 'class has', 'classes have')} fewer to learn from: {names}{more}.",
        )


def _too_sure(data: ReportData) -> Iterator[Advice]:
    if findings.calibration(data.evaluation).verdict == findings.SURER:
        yield Advice(
            "Add photos so that it learns how sure to be",
            "It claims more than it keeps. More training photos, and a larger validation share where it is small, make "
            "its percentages fit.",
        )


def _imbalance(data: ReportData) -> Iterator[Advice]:
    ratio = data.inspection.imbalance
    if ratio >= STRONG_IMBALANCE:
        weighted = "Small classes were given more weight. " if data.probe.class_weighted else ""
        yield Advice(
            "Even out the classes",
            f"The largest class has {ratio:.0f} times as many photos as the smallest. {weighted}Judge it by the "
            f"balanced accuracy ({words.percent(data.evaluation.balanced_accuracy.value)}) and class by class.",
        )


def _wide_interval(data: ReportData) -> Iterator[Advice]:
    accuracy = data.evaluation.accuracy
    if accuracy.high - accuracy.low > WIDE_INTERVAL:
        yield Advice(
            "Score it on more photos",
            f"{words.counted(data.evaluation.n, 'photo')} leave the true accuracy anywhere from "
            f"{words.span(accuracy.low, accuracy.high)}. More photos, or a larger share held back, narrow it.",
        )


def _quarantine(data: ReportData) -> Iterator[Advice]:
    left_out = len(data.manifest.quarantined)
    if left_out:
        yield Advice(
            f"See to {words.counted(left_out, 'file')} left out",
            f"{'It' if left_out == 1 else 'They'} could not be used. Under “Data” each is listed with its reason and "
            "with what helps: repairing it, removing it, or another limit.",
        )


def _collect_elsewhere(data: ReportData) -> Iterator[Advice]:
    if findings.correct(data.evaluation) == data.evaluation.n:
        yield Advice(
            "Try it on photos from elsewhere",
            f"It made no mistake on {words.counted(data.evaluation.n, 'photo')}. Photos taken on another day, by "
            "another camera or in another place are the next real test.",
        )


_STEPS = (
    _no_better_than_guessing,
    _leaks,
    _shortcut,
    _unfinished,
    _no_test_split,
    _larger_network,
    _fine_tuning,
    _longer,
    _gentler,
    _by_heart,
    _confused,
    _weakest,
    _too_few,
    _too_sure,
    _imbalance,
    _wide_interval,
    _quarantine,
    _collect_elsewhere,
)
