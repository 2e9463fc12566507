"""`graft backbones`: the pretrained networks Graft knows."""

from argparse import Namespace
from typing import TYPE_CHECKING

from graft.cli.console import Console, columns
from graft.cli.parsing import Parser, one_of

if TYPE_CHECKING:
    from graft.backbones.records import BackboneRecord


def parser() -> Parser:
    """The words `graft backbones` understands."""
    words = Parser(
        "backbones",
        "list | show NAME",
        "List the pretrained networks Graft knows, or show one with where its weights are published.",
        (
            ("graft backbones list", "names for graft train --backbone"),
            ("graft backbones show mobilenet_1.0", "size, input, licence, weights"),
        ),
    )
    words.add_argument("action", metavar="list|show", type=one_of("list", "show"), help="what to do")
    words.add_argument("name", metavar="NAME", nargs="?", help="the network to show")
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """List or show."""
    from graft.backbones.catalogue import catalogue, find
    from graft.core.errors import BadInput
    from graft.core.records import to_value

    if arguments.action == "show":
        if arguments.name is None:
            raise BadInput("NAME must be given.", hint="graft backbones list names them.")
        record = find(arguments.name)
        if console.json:
            console.value(to_value(record))
        else:
            console.line("\n".join(describe(record)))
        return 0
    if arguments.name is not None:
        raise BadInput(f"Nothing may follow list, got {arguments.name!r}.", hint="Did you mean graft backbones show?")
    records, here = list(catalogue().values()), _weights_here()
    if console.json:
        values = [to_value(record) | {"weights_here": here.get(record.name)} for record in records]
        console.value({"backbones": values})
        return 0
    rows = [("name", "parameters", "side", "weights here", "licence of the weights")]
    rows += [
        (each.name, f"{each.parameters:,}", f"{each.side_pixels} px", here.get(each.name, ""), _licences(each))
        for each in records
    ]
    console.line("\n".join(columns(rows, right=(1, 2))))
    console.advise("graft backbones show NAME", "says where its weights are published")
    return 0


def describe(record: "BackboneRecord") -> list[str]:
    """One network for people."""
    order = record.preprocessing.channel_order.upper()
    rows = [
        ("name", record.name),
        ("family", record.family),
        ("parameters", f"{record.parameters:,} without the top"),
        ("input", f"{record.side_pixels} × {record.side_pixels} pixels, {order}, {record.preprocessing.geometry}"),
        ("smallest input", f"{record.min_side_pixels} pixels"),
        ("reads", f"{len(record.taps)} depths: {', '.join(record.taps)}"),
        ("code's licence", record.licence),
        ("paper", record.paper),
    ]
    lines = [record.title, *columns(rows)]
    for source in record.weights:
        lines += ["", f"weights  {source.url}", f"         file {source.file}, terms: {source.licence}"]
    return lines


def _weights_here() -> dict[str, str]:
    """The networks that need no --weights FILE on this machine, and why."""
    from graft.backbones.catalogue import BUILTIN
    from graft.backbones.weights import imported
    from graft.core.machine import cache_directory

    return {record.name: "imported before" for record, _ in imported(cache_directory())} | {BUILTIN: "built in"}


def _licences(record: "BackboneRecord") -> str:
    return ", ".join(dict.fromkeys(source.licence for source in record.weights)) or record.licence
