"""`graft data`: the photos of the classic tutorials, from their public homes."""

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.cli.console import Console, byte_size, columns, printable
from graft.cli.parsing import Parser, one_of

if TYPE_CHECKING:
    from graft.data.public.records import PublicData
    from graft.pipeline.public_data import FetchedData

COLUMNS = 80
LABEL_COLUMNS = 9


def parser() -> Parser:
    """The words `graft data` understands."""
    words = Parser(
        "data",
        "list | fetch NAME [-o DIR] [--from FILE]",
        "List the photos that the classic tutorials were made with, or fetch some from their public home.",
        (
            ("graft data list", "names, sizes and terms"),
            ("graft data fetch cifar10", "download it, check it, and put it into the folder cifar10"),
            ("graft data fetch sign_digits -o digits", "into another folder"),
            ("graft data fetch cifar10 --from cifar-10-binary.tar.gz", "without a connection, from the file itself"),
        ),
    )
    words.add_argument("action", metavar="list|fetch", type=one_of("list", "fetch"), help="what to do")
    words.add_argument("names", metavar="NAME", nargs="*", default=[], help="the data to fetch")
    fetch = words.add_argument_group("fetch")
    fetch.add_argument(
        "-o", "--output", metavar="DIR", help="the folder to make (default: one of the data's name, here)"
    )
    fetch.add_argument(
        "--from", metavar="FILE", dest="archive", help="the published file, brought here: nothing is downloaded"
    )
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Do the action that was asked for."""
    return fetch(arguments, console) if arguments.action == "fetch" else list_data(arguments, console)


def list_data(arguments: Namespace, console: Console) -> int:
    """All data sets, one a line."""
    from graft.core.errors import BadInput
    from graft.core.records import to_value
    from graft.data.public.catalogue import public_data

    if arguments.names or arguments.output or arguments.archive:
        extra = arguments.names[0] if arguments.names else "an option of fetch"
        raise BadInput(f"Nothing may follow list, got {extra!r}.", hint="Did you mean graft data fetch?")
    known = public_data().values()
    if console.json:
        console.value({"data": [to_value(data) for data in known]})
        return 0
    rows = [("name", "photos", "classes", "download")]
    rows += [(each.name, f"{each.photos:,}", str(len(each.classes)), _size(each)) for each in known]
    console.line("\n".join(columns(rows, right=(1, 2, 3))))
    for each in known:
        console.line(f"\n{each.name}: {each.title}")
        facts = (("recipes", ", ".join(each.recipes)), ("terms", each.terms), ("home", each.home))
        for label, text in (*facts, ("folder", each.shape)):
            for line in _wrapped(label, text):
                console.line(line)
    console.advise("graft data fetch NAME", "downloads it, after showing its terms")
    return 0


def fetch(arguments: Namespace, console: Console) -> int:
    """Put one data set into a folder, telling its terms first."""
    from graft.core.errors import BadInput
    from graft.core.machine import cache_directory
    from graft.pipeline.public_data import fetch_data

    if len(arguments.names) != 1:
        raise BadInput(f"One NAME must be given, got {len(arguments.names)}.", hint="graft data list names them.")
    fetched = fetch_data(
        arguments.names[0],
        output=Path(arguments.output) if arguments.output else None,
        archive=Path(arguments.archive) if arguments.archive else None,
        cache=cache_directory(),
        tell=lambda data: announce(data, console),
        progress=console.progress(),
    )
    if console.json:
        console.value(_value(fetched))
        return 0
    shown = printable(str(Path(arguments.output) if arguments.output else Path(fetched.data.name)))
    count = f"{fetched.record.photos:,} photos"
    if not fetched.source:
        console.line(f"The {count} of {fetched.data.title} are in {shown} already. Nothing was downloaded.")
    else:
        console.line(f"The {count} are in {shown} now: {fetched.data.shape}")
        console.line(f"  checked {_checked(fetched)}")
    console.line(f"  terms   {printable(str(Path(shown) / fetched.terms.name))}")
    split = f" --split {fetched.data.split}" if fetched.data.split else ""
    recipe = fetched.data.recipes[0] if fetched.data.recipes else ""
    run = f"graft recipes run {recipe}" if recipe else "graft train"
    console.advise(f"{run} {_quoted(shown)}{split}", "trains on them, divided as in the tutorial")
    return 0


def announce(data: "PublicData", console: Console) -> None:
    """What is about to come and on which terms; said before anything is fetched, on standard error for programs."""
    say = console.note if console.json else console.line
    say(f"{data.title}: {data.photos:,} photos, {len(data.classes)} classes")
    say(f"  from    {data.url}")
    say(f"  size    {_size(data)}")
    say(f"  terms   {data.terms}")
    if data.cite:
        say(f"  cite    {data.cite}")
    console.flush()


def _wrapped(label: str, text: str) -> list[str]:
    """A label and a text beside it in lines of 80 columns; an address is never broken."""
    import textwrap

    first, indent = f"  {label:<{LABEL_COLUMNS}}", " " * (LABEL_COLUMNS + 2)
    return textwrap.wrap(
        text, COLUMNS, initial_indent=first, subsequent_indent=indent, break_on_hyphens=False, break_long_words=False
    )


def _size(data: "PublicData") -> str:
    if not data.url:
        return "bring your own"
    return byte_size(data.archive_bytes) if data.sha256 else f"below {byte_size(data.archive_bytes)}"


def _checked(fetched: "FetchedData") -> str:
    if fetched.checked == "archive":
        return "the archive has the SHA-256 that is known of it"
    return "each photo has the content that is known of it"


def _quoted(path: str) -> str:
    import shlex

    return shlex.quote(path)


def _value(fetched: "FetchedData") -> dict[str, object]:
    data = fetched.data
    return {
        "data": data.name,
        "folder": str(fetched.folder),
        "fetched": bool(fetched.source),
        "source": fetched.source or None,
        "photos": fetched.record.photos,
        "classes": list(data.classes),
        "checked": fetched.checked,
        "contents_sha256": fetched.record.contents_sha256,
        "terms": data.terms,
        "terms_file": str(fetched.terms),
        "split": data.split or None,
    }
