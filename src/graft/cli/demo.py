"""`graft demo`: the whole way on a sample that comes with Graft."""

from argparse import Namespace
from pathlib import Path

from graft.cli.console import Console
from graft.cli.parsing import Parser
from graft.cli.results import tell_training

FOLDER = "graft-demo"


def parser() -> Parser:
    """The words `graft demo` understands."""
    words = Parser(
        "demo",
        "[-o FOLDER]",
        "Train on a built-in sample of handwritten digits with the built-in network, and write a report. Offline.",
        (("graft demo", f"writes photos, classifier and report to {FOLDER}"),),
    )
    words.add_argument_group("options").add_argument(
        "-o", "--output", metavar="FOLDER", default=FOLDER, help=f"folder to write (default: {FOLDER})"
    )
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Train on the sample."""
    from graft.pipeline.demo import demo

    tell_training(demo(Path(arguments.output), progress=console.progress()), console)
    return 0
