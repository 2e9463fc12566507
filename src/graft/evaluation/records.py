"""How good a classifier is, with how much doubt."""

from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from graft.core.records import record, to_value

Share = Annotated[float, Interval(ge=0, le=1)]


@record
class Score:
    """A figure with its 95 % interval and the method that gave it."""

    value: float
    low: float
    high: float
    method: Literal["wilson", "bootstrap"]


@record
class ClassScore:
    """One class: how many photos it has, and how they were classified."""

    name: str
    support: int
    predicted: int
    precision: Score | None  # None where nothing was predicted as this class
    recall: Score | None  # None where the class has no photo here
    f1: Score | None


@record
class Confusion:
    """Photos of class `true` that were taken for class `predicted`."""

    true: str
    predicted: str
    count: int


@record
class ReliabilityBin:
    """Predictions whose confidence lies in one interval: how sure they were and how often they were right."""

    low: float
    high: float
    count: int
    confidence: float
    accuracy: float


@record
class Evaluation:
    """A classifier measured on one split of one manifest."""

    SCHEMA: ClassVar[str] = "graft/evaluation/1"
    manifest_hash: str
    bundle_hash: str
    split: Literal["train", "validation", "test", "given"]
    n: int
    classes: tuple[str, ...]
    accuracy: Score
    top5: Score | None  # None below ten classes, where it says nothing
    balanced_accuracy: Score
    macro_f1: Score
    log_loss: Score
    ece: float  # expected calibration error, 15 bins of equal count
    ece_interval: tuple[float, float] = (0.0, 1.0)  # 95 %, bootstrap
    reliability: tuple[ReliabilityBin, ...]
    per_class: tuple[ClassScore, ...]
    confusion: tuple[tuple[int, ...], ...]  # rows: true class, columns: predicted class
    worst_confusions: tuple[Confusion, ...]  # off the diagonal, most first, at most 10
    majority_share: float  # the accuracy of always answering the commonest class
    n_quarantined: int = 0  # files of other data that could not be used
    n_seen_in_training: int = 0  # measured photos of other data that the classifier was trained or chosen on


def plain(evaluation: Evaluation) -> dict[str, Any]:
    """For programs: each score a number beside its interval, as in `accuracy` and `interval`."""
    values: dict[str, Any] = to_value(evaluation)
    for name in ("top5", "balanced_accuracy", "macro_f1", "log_loss"):
        score = values[name]
        values[name] = score and score["value"]
        values[f"{name}_interval"] = score and [score["low"], score["high"]]
    accuracy = values["accuracy"]
    return values | {"accuracy": accuracy["value"], "interval": [accuracy["low"], accuracy["high"]]}
