"""A ranking of backbones as one self-contained HTML page, in the style of the report."""

from dataclasses import dataclass
from importlib.resources import files

from markupsafe import Markup

from graft.evaluation.ranking import Ranking
from graft.report import frontier, ranking, words
from graft.report.page import _environment


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
    text = (
        _environment()
        .get_template("rank.html.jinja")
        .render(
            {
                "style": Markup((files("graft.report") / "assets" / "style.css").read_text(encoding="utf-8")),
                "page": page,
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
            }
        )
    )
    return words.clean("\n".join(line for line in map(str.rstrip, text.split("\n")) if line)) + "\n"
