"""What a ranking leaves: its page, and the command that follows."""

import datetime
from pathlib import Path
from typing import Any

from graft.core import machine
from graft.core.records import to_value
from graft.evaluation.ranking import Ranking
from graft.pipeline.choosing import all_here
from graft.pipeline.options import TrainOptions
from graft.pipeline.places import RANKING, write_file
from graft.pipeline.reporting import quoted
from graft.report.rank_page import RankPage, render_ranking

# Options of a ranking that a training on its result needs too: with others it would read other photos, or otherwise.
FOLLOWED = (
    *("image_size", "seed", "split", "split_from", "duplicates", "precision"),
    *("max_megapixels", "max_megabytes", "min_side", "white"),
)


def write_rank_page(path: Path, ranking: Ranking, options: TrainOptions) -> Path:
    """Write the page; an earlier one is replaced, anything that is no page is left alone (`BadInput`)."""
    page = RankPage(
        name=Path(options.data).resolve().name,
        created=datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        command=options.command,
        next_command=train_command(ranking, options),
        ranking=ranking,
        versions=machine.versions(),
        machine=machine.facts(),
    )
    write_file(path, render_ranking(page).encode(), RANKING)
    return path


def train_command(ranking: Ranking, options: TrainOptions) -> str:
    """What to type to train with the recommended backbone on the same photos."""
    entry = ranking.entry(ranking.recommended)
    words = ["graft", "train", options.data, "--backbone", entry.backbone]
    files = {
        weights.sha256: weights.path
        for record, weights in all_here(machine.cache_directory())
        if record.name == entry.backbone
    }
    if len(files) > 1:
        words += ["--weights", str(files[entry.weights_sha256])]
    for name in FOLLOWED:
        value = getattr(options, name)
        if value != getattr(TrainOptions(data=""), name):
            words += [f"--{name.replace('_', '-')}", f"{value:g}" if isinstance(value, float) else str(value)]
    return " ".join(map(quoted, words))


def ranking_value(ranking: Ranking, page: Path | None, command: str) -> dict[str, Any]:
    """The ranking for programs."""
    return {**to_value(ranking), "page": str(page) if page else None, "next": command}
