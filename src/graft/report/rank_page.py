"""A ranking of backbones as one self-contained HTML page, in the style of the report."""

from dataclasses import dataclass

from graft.evaluation.ranking import Ranking
from graft.report import frontier, ranking, words
from graft.report.page import render


@dataclass(frozen=True)
class RankPage:
    """What the page shows beside the ranking itself: names as the user typed them, and where it was measured."""

    name: str
    created: str  # ISO 8601
    command: str
    next_command: str
    ranking: Ranking
    versions: dict[str, str]
    machine: dict[str, str]


def render_ranking(page: RankPage) -> str:
    """The page: no script, no network, every value escaped, the same text for the same records."""
    item = page.ranking
    take, best = item.entry(item.recommended), item.entry(item.best)
    return render(
        "rank.html.jinja",
        {
            "data": page,
            "item": item,
            "created": words.date(page.created),
            "take": take,
            "best": best,
            "recommendation": ranking.recommendation(item),
            "photos": ranking.photos_sentence(item),
            "rows": ranking.rows(item),
            "chart": frontier.frontier(item),
            "method": ranking.method(item),
            "more": ranking.MORE if len(item.entries) == 1 else "",
        },
    )
