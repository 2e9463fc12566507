"""The page's tables as plain rows: what a table shows, in which order, and what it leaves to a fold or a file."""

import json
from dataclasses import dataclass, replace
from typing import Any, Final

from graft.backbones.catalogue import catalogue
from graft.backbones.records import BackboneRecord, Preprocessing
from graft.core.records import from_json
from graft.evaluation.records import ClassScore, Confusion, Evaluation
from graft.report import charts, words

MOST_MATRIX_CLASSES: Final = 24
ROOMY_CLASSES: Final = 5  # up to here each cell has room for its share, and each column for its name
MOST_CONFUSED: Final = 12
FIRST_CLASSES: Final = 12  # of more than UNFOLDED_CLASSES, these are shown and the rest is folded
UNFOLDED_CLASSES: Final = 24
MOST_PLAN_CHARACTERS: Final = 160
PLAIN_WAYS: Final = {
    "as they are, from 0 to 255": Preprocessing(),
    "divided by 255": Preprocessing(scale=(1 / 255, 1 / 255, 1 / 255)),
}
SWATCHES: Final = (
    ("right", tuple((f"{share:.0%}", charts.right_shade(share)) for share in (0.5, 0.8, 0.95, 1.0))),
    ("wrong", tuple((f"{share:.0%}", charts.wrong_shade(share)) for share in (0.01, 0.05, 0.2, 0.5))),
)


@dataclass(frozen=True)
class Folded:
    """Rows shown at once, and rows for a fold: empty where nothing was left out."""

    shown: list[Any]
    every: list[Any]


@dataclass(frozen=True)
class Cell:
    """One cell of the confusion matrix; `deep` asks for light text on a dark ground."""

    count: int
    share: float  # of its row
    kind: str
    shade: float
    deep: bool
    words: str


def figures(evaluation: Evaluation) -> list[tuple[str, str, str]]:
    """(name, figure with its interval, what it means) beside the accuracy."""
    rows = [
        ("Balanced accuracy", words.score(evaluation.balanced_accuracy), "the mean of all classes, large or small"),
        ("Macro F1", words.score(evaluation.macro_f1), "finding a class and not crying wolf, mean of all classes"),
    ]
    if evaluation.top5:
        rows.append(("Top 5", words.score(evaluation.top5), "the true class is among its first five answers"))
    loss = evaluation.log_loss
    rows.append(
        ("Log loss", f"{loss.value:.3f} ({loss.low:.3f} to {loss.high:.3f})", "0 is perfect; punishes sure mistakes")
    )
    return rows


def per_class(evaluation: Evaluation) -> Folded:
    """Each class with its scores; of many classes the weakest are shown first."""
    rows: list[ClassScore] = list(evaluation.per_class)
    if len(rows) <= UNFOLDED_CLASSES:
        return Folded(rows, [])
    return Folded(weakest_first(evaluation)[:FIRST_CLASSES], rows)


def weakest_first(evaluation: Evaluation) -> list[ClassScore]:
    """The classes by their F1, lowest first; those that were not scored come last."""
    return sorted(evaluation.per_class, key=lambda item: item.f1.value if item.f1 else 2.0)


def most_confused(evaluation: Evaluation) -> list[int]:
    """The classes with most mistakes from or to them, by their place, at most twelve, in the order of the classes."""
    table = evaluation.confusion
    wrong = [sum(row) + sum(other[index] for other in table) - 2 * row[index] for index, row in enumerate(table)]
    places = {name: index for index, name in enumerate(evaluation.classes)}
    chosen: list[int] = []
    for pair in evaluation.worst_confusions:
        chosen += [places[name] for name in (pair.true, pair.predicted) if places[name] not in chosen]
    chosen += [
        index for index in sorted(places.values(), key=lambda i: -wrong[i]) if wrong[index] and index not in chosen
    ]
    return sorted(chosen[:MOST_CONFUSED])


def matrix(evaluation: Evaluation, chosen: list[int]) -> dict[str, Any]:
    """The confusion matrix of the chosen classes; shades tell each cell's share of its whole row."""
    names = [evaluation.classes[index] for index in chosen]
    rows = []
    for true in chosen:
        row = evaluation.confusion[true]
        rows.append((evaluation.classes[true], [_cell(evaluation, true, said, sum(row)) for said in chosen]))
    roomy = len(names) <= ROOMY_CLASSES
    return {"names": names, "rows": rows, "roomy": roomy, "upright": roomy or all(len(name) <= 3 for name in names)}


def _cell(evaluation: Evaluation, true: int, said: int, total: int) -> Cell:
    n = evaluation.confusion[true][said]
    share = n / total if total else 0.0
    shade = charts.right_shade(share) if true == said else charts.wrong_shade(share)
    told = f"{evaluation.classes[true]} taken for {evaluation.classes[said]}: {n} of {total}"
    return Cell(n, share, "right" if true == said else "wrong", round(shade, 3), shade > 0.55, told)


def pairs(evaluation: Evaluation) -> list[tuple[Confusion, int]]:
    """The commonest mistakes, each with the number of scored photos of its true class."""
    support = {item.name: item.support for item in evaluation.per_class}
    return [(pair, support[pair.true]) for pair in evaluation.worst_confusions]


def stages(seconds: dict[str, float]) -> list[tuple[str, float, float]]:
    """(stage, seconds, share of the longest stage), the longest first."""
    longest = max(seconds.values(), default=0.0)
    rows = sorted(seconds.items(), key=lambda item: -item[1])
    return [(name, spent, spent / longest if longest > 0 else 0.0) for name, spent in rows]


def choices(plan: dict[str, Any]) -> list[tuple[str, str]]:
    """The plan's main decisions and their reasons, as far as the plan holds them."""
    rows = []
    for key, name in (("recipe", "Recipe"), ("backbone", "Backbone")):
        if key in plan:
            reason = plan.get(f"{key}_reason")
            rows.append((name, f"{plan[key]}: {reason}" if reason else str(plan[key])))
    if "side_pixels" in plan:
        rows.append(("Photos read at", f"{plan['side_pixels']} × {plan['side_pixels']} pixels"))
    if "preprocessing" in plan and plan.get("backbone") in catalogue():
        taken = from_json(Preprocessing, json.dumps(plan["preprocessing"]).encode(), source="the plan")
        rows.append(("Pixels", pixels_told(taken, catalogue()[plan["backbone"]])))
    if "precision" in plan:
        rows.append(("Precision", str(plan["precision"])))
    return rows


def pixels_told(taken: Preprocessing, network: BackboneRecord) -> str:
    """What is done to pixels before the network, and whether that is what its authors did."""
    fitted, plain = taken.normalization, replace(taken, normalization=None)
    told = "the network's own preprocessing"
    if plain != network.preprocessing:
        told = next((words for words, way in PLAIN_WAYS.items() if _same_pixels(plain, way)), "changed")
    if fitted:
        told += f", then {fitted.normalization.words}"
        told += ", fitted on training photos" if fitted.normalization.needs_fit else ""
    return (
        told if taken == network.preprocessing else f"{told}: not the preprocessing that {network.title} was made with"
    )


def _same_pixels(taken: Preprocessing, way: Preprocessing) -> bool:
    """Whether pixels are changed in this way, whatever the geometry."""
    same: bool = replace(taken, geometry=way.geometry) == way
    return same


def flat(value: Any, name: str = "") -> list[tuple[str, str]]:
    """Nested plain values as (name, text): keys joined by points, long lists and texts shortened."""
    if isinstance(value, dict) and value:
        return [row for key, item in value.items() for row in flat(item, f"{name}.{key}" if name else str(key))]
    if isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        return [row for index, item in enumerate(value) for row in flat(item, f"{name}.{index}")]
    return [(name, words.shortened(_text(value), MOST_PLAN_CHARACTERS))]


def _text(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value is None or value == {} else str(value)
