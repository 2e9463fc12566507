"""A ranking of backbones in words: what stands in its table, which one to take and why, how it was measured."""

from dataclasses import dataclass
from typing import Final

from graft.evaluation.ranking import EQUALLY_FAST, Ranked, Ranking
from graft.report import words
from graft.report.columns import columns
from graft.report.text import typed

MORE: Final = (
    "To compare more: graft backbones fetch NAME brings published weights to this machine, "
    "and graft train DATA --weights FILE imports a file you have."
)


@dataclass(frozen=True)
class Row:
    """One backbone as the table shows it."""

    entry: Ranked
    number: int
    name: str  # told apart by its weights where two have one name
    points: str  # against the best, with interval and p-value; "" for the best itself
    verdict: str


def rows(ranking: Ranking) -> list[Row]:
    """The table, the most accurate first."""
    names = [each.backbone for each in ranking.entries]
    return [
        Row(
            entry=each,
            number=number,
            name=each.backbone if names.count(each.backbone) == 1 else f"{each.backbone} {each.weights_sha256[:6]}",
            points=_points(each),
            verdict=verdict(each),
        )
        for number, each in enumerate(ranking.entries, 1)
    ]


def verdict(entry: Ranked) -> str:
    """What may be said of a backbone against the most accurate one."""
    against = entry.against_best
    if against is None:
        return "the best"
    if against.only_first_right == against.only_second_right == 0:
        return "right on the same photos"
    if against.verdict == "worse":
        return f"worse by {abs(against.difference) * 100:.1f} points"
    return "not told apart from the best"


def recommendation(ranking: Ranking) -> str:
    """Which backbone to take, and what that may cost."""
    take, best = ranking.entry(ranking.recommended), ranking.entry(ranking.best)
    if len(ranking.entries) == 1:
        return f"{take.title} is the only backbone that was measured."
    if take == best:
        reason = "the most accurate, and no clearly faster one is shown to be within a point of it"
        return f"Take {take.title}: {reason}."
    against = take.against_best
    risk = f" (at worst {abs(min(0.0, against.low)) * 100:.1f} points less, by the 95 % interval)" if against else ""
    return (
        f"Take {take.title}: the fastest that is shown to be within a point of the most accurate, {best.title}{risk}."
    )


def photos_sentence(ranking: Ranking) -> str:
    """What was read, and what was not."""
    classes = words.counted(len(ranking.classes), "class", "classes")
    kinds = "training and validation photos" if ranking.n_validation else "training photos"
    read = f"{words.count(ranking.n)} {kinds} of {classes}"
    if not ranking.n_kept_back:
        return f"{read}."
    kept = words.counted(ranking.n_kept_back, f"{ranking.kept_back} photo")
    return f"{read}; the {kept} that will measure the classifier were not read."


def method(ranking: Ranking) -> list[tuple[str, str]]:
    """(heading, sentence): how the figures came about, and what they do not say."""
    return [
        (
            "Right",
            f"Each photo was answered by a classifier that had seen neither it nor its copies: {ranking.folds} folds, "
            "the same for every backbone. Depths, regularisation and head were chosen anew for each fold, so nothing "
            "was chosen on the photos that are counted. The score is that of graft train's procedure on "
            f"{100 * (ranking.folds - 1) // ranking.folds} % of these photos; with all of them it is a little better.",
        ),
        (
            "Against the best",
            "On the same photos, one by one: McNemar's exact test and Newcombe's paired interval. Each comparison "
            "stands for itself at 95 %; among many, one in twenty may mislead. Folds share training photos, so the "
            "intervals speak of the photos and not of other training sets.",
        ),
        (
            "Photos/s",
            f"{words.count(ranking.timed_photos)} photos that lay decoded in memory, through the network with all its "
            f"depths, in {ranking.precision} on {words.counted(ranking.threads, 'thread')}; every backbone in turn, "
            "there and back twice, the quickest pass counts. Decoding comes on top, the same for all of one size. "
            f"Speeds within {1 - EQUALLY_FAST:.0%} of each other count as equal.",
        ),
        ("MB", "About the size of the classifier file: the backbone's weights, the head, the golden examples."),
    ]


def ranking_text(ranking: Ranking) -> str:
    """The ranking for a terminal."""
    table = [["", "backbone", "side", "right", "95 % interval", "against the best", "", "photos/s", "MB"]]
    for row in rows(ranking):
        entry = row.entry
        interval = f"{words.percent_number(entry.accuracy.low)} to {words.percent_number(entry.accuracy.high)}"
        table.append(
            [
                "*" if entry.frontier else "",
                row.name,
                f"{entry.side_pixels} px",
                words.percent(entry.accuracy.value),
                interval,
                row.points,
                row.verdict,
                f"{entry.photos_per_second:,.0f}",
                f"{entry.classifier_bytes / 1e6:.1f}",
            ]
        )
    blocks = [photos_sentence(ranking), "\n".join(columns(table, right=(3, 7, 8)))]
    blocks.append("* no other here is as accurate and as fast; photos/s on this machine, decoding excluded")
    blocks += [_not_ranked(ranking)] if ranking.not_ranked else []
    blocks.append(recommendation(ranking))
    blocks += [MORE] if len(ranking.entries) == 1 else []
    return "\n".join(map(typed, "\n\n".join(blocks).split("\n")))


def next_command(ranking: Ranking, data: str, weights: str | None = None) -> str:
    """What to type to train with the recommended backbone; `weights` where its name alone would not do."""
    entry = ranking.entry(ranking.recommended)
    return f"graft train {data} --backbone {entry.backbone}" + (f" --weights {weights}" if weights else "")


def _points(entry: Ranked) -> str:
    against = entry.against_best
    if against is None:
        return ""
    p = against.p_value
    chance = "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.01 else f"p = {p:.2f}"
    gain, low, high = map(words.signed, (against.difference, against.low, against.high))
    return f"{gain} ({low} to {high}), {chance}"


def _not_ranked(ranking: Ranking) -> str:
    lines = [f"  {each.backbone}: {each.reason} {each.hint}".rstrip() for each in ranking.not_ranked]
    return "\n".join(["Not measured", *map(words.plain, lines)])
