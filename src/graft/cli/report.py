"""`graft report`: a run's page, written again from its records."""

from argparse import Namespace
from pathlib import Path

from graft.cli.console import Console
from graft.cli.parsing import Parser


def parser() -> Parser:
    """The words `graft report` understands."""
    words = Parser(
        "report",
        "RUN [--open] [--plots DIR]",
        "Write a run's report again, as one HTML page that needs nothing beside it, and one JSON file.",
        (
            ("graft report photos-run --open", "and show it in the browser"),
            ("graft report photos-run --plots figures", "with learning curves, confusion matrix and more as files"),
        ),
    )
    words.add_argument("run", metavar="RUN", help="a run's folder")
    options = words.add_argument_group("options")
    options.add_argument("--open", action="store_true", help="show it in the browser")
    options.add_argument("--plots", metavar="DIR", help="write figures there: charts as SVG, photo grids as PNG")
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Write the report."""
    from graft.pipeline.report import rebuild_report

    plots = Path(arguments.plots) if arguments.plots is not None else None
    made = rebuild_report(Path(arguments.run), plots=plots, progress=console.progress())
    if console.json:
        console.value({"report": str(made.page), "figures": [str(path) for path in made.figures]})
    else:
        console.line(f"Report: {made.page}")
        for path in made.figures:
            console.line(f"Figure: {path}")
    if arguments.open:
        import webbrowser

        webbrowser.open(made.page.resolve().as_uri())
    return 0
