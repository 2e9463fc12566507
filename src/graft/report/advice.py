"""What to do next, drawn from the records: the most useful step first."""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median

from graft.backbones.catalogue import BUILTIN
from graft.evaluation.records import ClassScore
from graft.report import findings, words
from graft.report.data import ReportData

MOST = 5  # a longer list is read by nobody
WIDE_INTERVAL = 0.08
FEW_PHOTOS = 20
STANDS_OUT = 0.05  # of all mistakes, from which a pair of classes is worth naming
STRONG_IMBALANCE = 5.0
GOOD_ENOUGH = 0.97  # accuracy from which a larger network is no longer the first thing to try


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
    _no_test_split,
    _larger_network,
    _confused,
    _weakest,
    _too_few,
    _too_sure,
    _imbalance,
    _wide_interval,
    _quarantine,
    _collect_elsewhere,
)
