"""`graft inspect`: what is in a folder of photos, before anything is trained."""

from argparse import SUPPRESS, Namespace
from pathlib import Path

from graft.cli.console import Console
from graft.cli.parsing import Parser, given, one_of, whole_number
from graft.cli.train import ON_BAD


def parser() -> Parser:
    """The words `graft inspect` understands."""
    words = Parser(
        "inspect",
        "DATA [options]",
        "Look at labelled photos without training: counts, bad files, duplicates, leaks between splits, odd sizes.",
        (
            ("graft inspect photos/", "what graft train photos/ would see"),
            ("graft inspect photos/ --on-bad fail", "stop at the first file that is no good photo"),
        ),
    )
    words.add_argument("data", metavar="DATA", help="a folder of class folders, or a CSV table")
    options = words.add_argument_group("options", argument_default=SUPPRESS)
    options.add_argument("--split", metavar="A/B/C", help="training/validation/test (default: 70/15/15)")
    options.add_argument("--seed", metavar="N", type=whole_number(0), help="for the split (default: 0)")
    options.add_argument("--on-bad", metavar="WHAT", type=one_of(*ON_BAD), help="quarantine (default) or fail")
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Inspect as `arguments` say."""
    from graft.core.records import to_value
    from graft.pipeline.inspect import inspect
    from graft.report.text import inspection_text

    options = given(arguments, ("split", "seed", "on_bad"))
    inspection = inspect(Path(arguments.data), progress=console.progress(), **options)
    if console.json:
        console.value(to_value(inspection))
        return 0
    for line in inspection_text(inspection).splitlines():
        console.line(line)
    console.advise(f"graft train {arguments.data}", "trains a classifier on these photos and writes a report")
    return 0
