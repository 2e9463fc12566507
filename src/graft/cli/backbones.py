"""`graft backbones`: the pretrained networks Graft knows, and their weights on this machine."""

from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from itertools import groupby
from types import MappingProxyType
from typing import TYPE_CHECKING

from graft.cli.console import Console, columns
from graft.cli.parsing import RULES, Parser, add_rules, one_of, whole_number
from graft.cli.train import DUPLICATES

if TYPE_CHECKING:
    from graft.backbones.records import BackboneRecord, WeightsSource


# Action -> module and function that does it; a module is imported when its action is asked for.
ACTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "list": ("graft.cli.backbones", "list_networks"),
        "show": ("graft.cli.backbones", "show_network"),
        "fetch": ("graft.cli.weights", "fetch_weights"),
        "verify": ("graft.cli.weights", "verify_weights"),
        "rank": ("graft.cli.rank", "rank_backbones"),
    }
)
# Options that mean something to one action only.
OWNERS: Mapping[str, str] = MappingProxyType(
    {"top": "fetch", "again": "fetch", "deep": "verify"}
    | dict.fromkeys(("output", "backbones", "image_size", "seed", "split", "split_from", "duplicates", *RULES), "rank")
)


def parser() -> Parser:
    """The words `graft backbones` understands."""
    words = Parser(
        "backbones",
        "list | show NAME | fetch NAME [--top] [--again] | verify [NAME…] [--deep] | rank DATA [-o rank.html]",
        "List the pretrained networks Graft knows, show one, fetch or check their weights, measure them on photos.",
        (
            ("graft backbones list", "names for graft train --backbone"),
            ("graft backbones show mobilenet_1.0", "size, input, licence, weights"),
            ("graft backbones fetch mobilenet_v2_1.0", "take its published weights into the cache"),
            ("graft backbones fetch mobilenet_v2_1.0 --top", "with its 1,000 classes, for graft classify"),
            ("graft backbones verify", "check all weights on this machine"),
            ("graft backbones rank photos/ -o rank.html", "how right, fast and large each one here is on your photos"),
        ),
    )
    words.add_argument("action", metavar="|".join(ACTIONS), type=one_of(*ACTIONS), help="what to do")
    words.add_argument(
        "names", metavar="NAME", nargs="*", default=[], help="what to show, fetch or verify; DATA to rank on"
    )
    fetch = words.add_argument_group("fetch")
    fetch.add_argument("--top", action="store_true", help="with the network's own classifier")
    fetch.add_argument("--again", action="store_true", help="also where the weights are on this machine already")
    verify = words.add_argument_group("verify")
    verify.add_argument("--deep", action="store_true", help="also compare the compiled network with Keras, on pixels")
    add_rank_options(words)
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Do the action that was asked for."""
    from graft.core.errors import BadInput

    for option, owner in OWNERS.items():
        if getattr(arguments, option) and arguments.action != owner:
            raise BadInput(f"--{option.replace('_', '-')} belongs to graft backbones {owner}, got {arguments.action}.")
    module, name = ACTIONS[arguments.action]
    action: Callable[[Namespace, Console], int] = getattr(import_module(module), name)
    return action(arguments, console)


def only_name(arguments: Namespace) -> str:
    """The one name that an action needs."""
    from graft.core.errors import BadInput

    if not arguments.names:
        raise BadInput("NAME must be given.", hint="graft backbones list names them.")
    if len(arguments.names) > 1:
        raise BadInput(f"One NAME must be given, got {len(arguments.names)}: {', '.join(arguments.names)[:200]}.")
    return str(arguments.names[0])


def add_rank_options(words: Parser) -> None:
    """The options of `rank`, which mean what they mean to `graft train`."""
    rank = words.add_argument_group("rank")
    rank.add_argument("-o", "--output", metavar="FILE", help="write a page with a chart too, as rank.html")
    rank.add_argument("--backbones", metavar="NAME,NAME", help="these only (default: all whose weights are here)")
    rank.add_argument("--image-size", metavar="N", type=whole_number(8), help="one side for all (default: their own)")
    rank.add_argument("--seed", metavar="N", type=whole_number(0), help="for splits, folds and all chance (default: 0)")
    rank.add_argument("--split", metavar="A/B/C", help="training/validation/test: test photos are not read")
    rank.add_argument("--split-from", metavar="RUN", help="as for graft train: keep an earlier run's splits")
    rank.add_argument(
        "--duplicates", metavar="WHAT", type=one_of(*DUPLICATES), help="copies to keep in one split: near or exact"
    )
    add_rules(words.add_argument_group("rank: what a photo may be"))


def show_network(arguments: Namespace, console: Console) -> int:
    """One network with everything its record says; the members of a family one a line."""
    from graft.backbones.catalogue import candidates, catalogue
    from graft.core.records import to_value

    records = [catalogue()[name] for name in candidates(only_name(arguments))]
    if len(records) > 1:
        return _tell_networks(records, console)
    (record,) = records
    here = _weights_here().get(record.name)
    if console.json:
        console.value(to_value(record) | {"weights_here": here})
    else:
        console.line("\n".join(describe(record, here)))
    return 0


def list_networks(arguments: Namespace, console: Console) -> int:
    """All networks, one a line."""
    from graft.backbones.catalogue import catalogue
    from graft.core.errors import BadInput

    if arguments.names:
        raise BadInput(
            f"Nothing may follow list, got {arguments.names[0]!r}.", hint="Did you mean graft backbones show?"
        )
    return _tell_networks(list(catalogue().values()), console)


def _tell_networks(records: "Sequence[BackboneRecord]", console: Console) -> int:
    from graft.core.records import to_value

    here = _weights_here()
    if console.json:
        values = [to_value(record) | {"weights_here": here.get(record.name)} for record in records]
        console.value({"backbones": values})
        return 0
    rows: list[tuple[str, ...]] = [("name", "parameters", "ImageNet", "side", "weights here", "licence of the weights")]
    for _, members in groupby(records, key=lambda record: record.family):
        rows.append(("",) * len(rows[0]))
        shown = ""
        for each in members:
            licence = _licences(each)
            accuracy = f"{each.imagenet_top1:.1%}" if each.imagenet_top1 else ""
            same = "" if licence == shown else licence
            rows.append(
                (each.name, f"{each.parameters:,}", accuracy, str(each.side_pixels), here.get(each.name, ""), same)
            )
            shown = licence
    console.line("\n".join(line.rstrip() for line in columns(rows, right=(1, 2, 3))))
    console.note("ImageNet: share of its validation photos that the published weights name rightly at first.")
    console.advise("graft backbones show NAME", "says where its weights are published")
    return 0


def describe(record: "BackboneRecord", here: str | None = None) -> list[str]:
    """One network for people. `here`: how its weights came to this machine."""
    from graft.backbones.layouts import learned_parameters

    order = "grey" if record.preprocessing.channel_order == "grey" else record.preprocessing.channel_order.upper()
    with_top = f", {record.parameters_with_top:,} with it" if record.parameters_with_top else ""
    learned = f"{learned_parameters(record):,} without the top"
    learned += f", {learned_parameters(record, top=True):,} with it" if with_top else ""
    only = ", no other" if record.max_side_pixels == record.min_side_pixels else ""
    tensors = ", where up to two tensors carry everything" if record.cut_tensors > 1 else ""
    rows = [
        ("name", record.name),
        ("family", record.family),
        ("parameters", f"{record.parameters:,} without the top{with_top}"),
        ("of them learned", learned),
        (
            "work",
            f"{_work(record.multiply_adds)} multiply-adds an image" if record.multiply_adds else "",
        ),
        ("ImageNet", f"{record.imagenet_top1:.1%} right at first, as published" if record.imagenet_top1 else ""),
        ("input", f"{record.side_pixels} × {record.side_pixels} pixels, {order}, {record.preprocessing.geometry}"),
        ("smallest input", f"{record.min_side_pixels} pixels{only}"),
        ("reads", f"{len(record.taps)} depths: {', '.join(record.taps)}"),
        ("can be cut", f"at {record.cut_count} places{tensors}" if record.cut_count else ""),
        ("code's licence", record.licence),
        ("paper", record.paper),
        ("weights here", here or "no"),
    ]
    lines = [record.title, *columns([row for row in rows if row[1]])]
    for source in record.weights:
        lines += [
            "",
            f"weights  {source.url}",
            f"         file {source.file}, {_hash(source)}",
            f"         terms: {source.licence}",
        ]
    return lines


def _hash(source: "WeightsSource") -> str:
    """What the publisher states of the file: a whole hash, or the first digits of one."""
    from graft.core.hashing import SHA256_CHARACTERS

    if source.sha256:
        return f"SHA-256 {source.sha256}{'' if len(source.sha256) == SHA256_CHARACTERS else '…'}"
    return f"MD5 {source.md5}" if source.md5 else "no hash published"


def _work(multiply_adds: int) -> str:
    """`15.35 billion`, or for the smallest networks `0.4 million`."""
    billions = multiply_adds / 1e9
    return f"{billions:.2f} billion" if billions >= 0.01 else f"{multiply_adds / 1e6:.1f} million"


def _weights_here() -> dict[str, str]:
    """The networks that need no --weights FILE on this machine, and why."""
    from graft.backbones.catalogue import BUILTIN
    from graft.backbones.weights import imported
    from graft.core.machine import cache_directory

    return {record.name: "imported before" for record, _ in imported(cache_directory())} | {BUILTIN: "built in"}


def _licences(record: "BackboneRecord") -> str:
    return ", ".join(dict.fromkeys(source.licence for source in record.weights)) or record.licence
