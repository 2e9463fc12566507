"""`graft report`: a run's page, written again from its records."""

from argparse import Namespace
from pathlib import Path

from graft.cli.console import Console
from graft.cli.parsing import Parser


def parser() -> Parser:
    """The words `graft report` understands."""
    words = Parser(
        "report",
        "RUN [--open]",
        "Write a run's report again, as one HTML page that needs nothing beside it, and one JSON file.",
        (("graft report photos-run --open", "and show it in the browser"),),
    )
    words.add_argument("run", metavar="RUN", help="a run's folder")
    words.add_argument_group("options").add_argument("--open", action="store_true", help="show it in the browser")
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Write the report."""
    from graft.pipeline.report import rebuild_report

    page = rebuild_report(Path(arguments.run), progress=console.progress())
    if console.json:
        console.value({"report": str(page)})
    else:
        console.line(f"Report: {page}")
    if arguments.open:
        import webbrowser

        webbrowser.open(page.resolve().as_uri())
    return 0
