"""`graft backbones rank`: the backbones on this machine, measured on the user's photos."""

import shlex
from argparse import Namespace
from pathlib import Path

from graft.cli.console import Console
from graft.cli.parsing import RULES, given

FIELDS = ("image_size", "seed", "split", "split_from", "duplicates", *RULES)  # of TrainOptions


def rank_backbones(arguments: Namespace, console: Console) -> int:
    """Measure, tell, and write the page where one is asked for."""
    from graft.core.records import construct
    from graft.pipeline.options import TrainOptions
    from graft.pipeline.places import RANKING, check_place
    from graft.pipeline.rank import rank
    from graft.pipeline.rank_report import ranking_value, train_command, write_rank_page
    from graft.report.ranking import ranking_text

    chosen = {name: value for name, value in given(arguments, FIELDS).items() if value is not None}
    command = shlex.join(["graft", *console.words])
    options = construct(TrainOptions, data=_data(arguments), command=command, **chosen)
    page = Path(arguments.output) if arguments.output else None
    if page:
        check_place(page, RANKING)
    names = _names(arguments.backbones)
    ranking = rank(options, backbones=names, progress=console.progress(), tell=console.note)
    following = train_command(ranking, options)
    if not console.json:
        console.line(ranking_text(ranking))  # first: a page that cannot be written must not take the result with it
    if page:
        write_rank_page(page, ranking, options)
    if console.json:
        console.value(ranking_value(ranking, page, following))
        return 0
    if page:
        console.line(f"\nPage: {page}")
    console.advise(following, "trains a classifier with it; what was computed is reused")
    return 0


def _data(arguments: Namespace) -> str:
    from graft.core.errors import BadInput

    if len(arguments.names) != 1:
        got = f"got {len(arguments.names)} names" if arguments.names else "got none"
        raise BadInput(f"rank must be followed by DATA, {got}.", hint="For example: graft backbones rank photos/")
    return str(arguments.names[0])


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(filter(None, (name.strip() for name in (text or "").split(","))))
