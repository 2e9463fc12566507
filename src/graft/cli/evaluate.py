"""`graft evaluate`: how good a classifier is, on a split of its own data or on other photos."""

from argparse import SUPPRESS, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.cli.console import Console, columns, percent, printable
from graft.cli.parsing import LIMITS, Parser, add_rules, given, one_of
from graft.cli.results import score_sentence

if TYPE_CHECKING:
    from graft.evaluation.records import Evaluation, Score

SPLITS = ("train", "validation", "test")


def parser() -> Parser:
    """The words `graft evaluate` understands."""
    words = Parser(
        "evaluate",
        "RUN [DATA] [options]",
        "Measure a trained classifier: on the run's own test photos, or on other labelled photos.",
        (
            ("graft evaluate photos-run", "on the test split"),
            ("graft evaluate photos-run later/", "on new photos, in folders named like the classes"),
        ),
    )
    words.add_argument("run", metavar="RUN", help="a run's folder")
    words.add_argument("data", metavar="DATA", nargs="?", help="other photos (default: those the run was made from)")
    words.add_argument_group("options").add_argument(
        "--split",
        metavar="NAME",
        type=one_of(*SPLITS),
        help="train, validation or test (default: test; all photos of DATA where it has no test split)",
    )
    add_rules(words.add_argument_group("what a photo of DATA may be", argument_default=SUPPRESS), white=False)
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Evaluate as `arguments` say."""
    from graft.evaluation.records import plain
    from graft.pipeline.evaluate import evaluate

    data, limits = Path(arguments.data) if arguments.data is not None else None, given(arguments, LIMITS)
    evaluation = evaluate(Path(arguments.run), data, split=arguments.split, progress=console.progress(), **limits)
    if console.json:
        console.value(plain(evaluation))
        return 0
    for line in describe(evaluation):
        console.line(line)
    if data is None:
        console.advise(f"graft report {arguments.run}", "shows the run's mistakes and everything else on one page")
    return 0


def describe(evaluation: "Evaluation") -> list[str]:
    """An evaluation for people: the score with its doubt, the classes, and what is mixed up most."""
    where = "photos" if evaluation.split == "given" else f"{evaluation.split} photos"
    accuracy = evaluation.accuracy
    lines = [
        score_sentence(accuracy.value, accuracy.low, accuracy.high, evaluation.n, where),
        f"Always answering the commonest class would be right on {percent(evaluation.majority_share)}.",
        *_doubts(evaluation),
        "",
    ]
    rows = [("class", "photos", "found", "right when named")]
    rows += [
        (printable(each.name), f"{each.support:,}", _share(each.recall), _share(each.precision))
        for each in evaluation.per_class
    ]
    lines += columns(rows, right=(1, 2, 3))
    if evaluation.worst_confusions:
        lines += ["", "Mixed up most:"]
        lines += [
            f"  {printable(each.true)} taken for {printable(each.predicted)}: {each.count:,}"
            for each in evaluation.worst_confusions[:5]
        ]
    return lines


def _doubts(evaluation: "Evaluation") -> list[str]:
    """What stands in the way of taking the score as it is."""
    lines = []
    if evaluation.n_quarantined:
        lines.append(f"{evaluation.n_quarantined:,} files of DATA could not be used and were left out.")
    if evaluation.n_seen_in_training:
        seen = f"{evaluation.n_seen_in_training:,} of {evaluation.n:,} photos"
        lines.append(f"{seen} were among those the classifier was trained on: the score is too good.")
    return lines


def _share(score: "Score | None") -> str:
    return "–" if score is None else percent(score.value)
