"""`graft inspect`: what is in a folder of photos, before anything is trained."""

import shlex
from argparse import SUPPRESS, Namespace
from pathlib import Path

from graft.cli.console import Console
from graft.cli.parsing import RULES, Parser, add_rules, given, one_of, rule_words, whole_number
from graft.cli.train import DUPLICATES, ON_BAD


def parser() -> Parser:
    """The words `graft inspect` understands."""
    words = Parser(
        "inspect",
        "DATA [options]",
        "Look at labelled photos without training: counts, bad files, copies, leaks, shortcuts, odd sizes.",
        (
            ("graft inspect photos/", "what graft train photos/ would see"),
            ("graft inspect photos/ -o inspect.html", "with a page that shows the photos"),
            (
                "graft inspect photos/ --on-bad fail",
                "look at all files, and fail with a list where any is no good photo",
            ),
        ),
    )
    words.add_argument("data", metavar="DATA", help="a folder of class folders, a zip or tar of one, or a CSV table")
    options = words.add_argument_group("options", argument_default=SUPPRESS)
    options.add_argument("-o", "--output", metavar="FILE", help="write one HTML page there, with thumbnails")
    options.add_argument("--split", metavar="A/B/C", help="training/validation/test (default: 70/15/15)")
    options.add_argument("--split-from", metavar="RUN", help="as for graft train: keep an earlier run's splits")
    options.add_argument(
        "--duplicates", metavar="WHAT", type=one_of(*DUPLICATES), help="copies to find: near (default) or exact"
    )
    options.add_argument("--seed", metavar="N", type=whole_number(0), help="for the split (default: 0)")
    options.add_argument("--on-bad", metavar="WHAT", type=one_of(*ON_BAD), help="quarantine (default) or fail")
    add_rules(words.add_argument_group("what a photo may be", argument_default=SUPPRESS))
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Inspect as `arguments` say."""
    from graft.pipeline.inspect import inspect
    from graft.report.text import inspection_text
    from graft.report.values import inspection_value

    options = given(arguments, ("split", "split_from", "duplicates", "seed", "on_bad", *RULES))
    page = Path(arguments.output) if hasattr(arguments, "output") else None
    if page:
        options |= {"output": page, "command": shlex.join(["graft", *console.words])}
    inspection = inspect(Path(arguments.data), progress=console.progress(), **options)
    if console.json:
        console.value(inspection_value(inspection) | ({"page": str(page)} if page else {}))
        return 0
    for line in inspection_text(inspection).splitlines():
        console.line(line)
    data = shlex.quote(arguments.data)
    rules = "".join(f" {word}" for word in rule_words(arguments))
    if page:
        console.line(f"\nPage: {page}")
    else:
        console.advise(f"graft inspect {data}{rules} -o inspect.html", "shows the photos and all this on one page")
    if not any(concern.first for concern in inspection.concerns):
        console.advise(f"graft train {data}{rules}", "trains a classifier on these photos and writes a report")
    return 0
