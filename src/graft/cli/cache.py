"""`graft cache`: what Graft keeps on this machine so that nothing is computed twice."""

import time
from argparse import Namespace
from typing import TYPE_CHECKING, Any

from graft.cli.console import Console, byte_size, columns, printable
from graft.cli.parsing import Parser, one_of

if TYPE_CHECKING:
    from graft.pipeline.cache import CacheFacts, Cleared, Verified

ACTIONS = ("show", "verify", "clear")
STATUS_DAMAGED = 4
MEANINGS = {
    "activations": "what networks gave for photos",
    "compiled": "networks made ready for this machine",
    "weights": "weights that were given as files, converted",
    "scans": "which photos were good, and how they look in small",
    "archives": "unpacked zips and tars",
    "tables": "layers of networks, rankings of backbones",
    "downloads": "weights and photos of which a part has come",
    "keras": "settings of Keras",
    "scratch": "of commands that run now",
    "other": "not of Graft: never removed",
}


def parser() -> Parser:
    """The words `graft cache` understands."""
    words = Parser(
        "cache",
        "show | verify [--repair] | clear KIND",
        "Show, verify or clear what Graft keeps on this machine so that nothing is computed twice.",
        (
            ("graft cache show", "what is kept, how large, where"),
            ("graft cache verify --repair", "read everything against its hash; remove what is damaged"),
            ("graft cache clear all", "everything but imported weights; KIND is one of the kinds that show names"),
        ),
    )
    words.add_argument("action", metavar="show|verify|clear", type=one_of(*ACTIONS), help="what to do")
    words.add_argument("kind", metavar="KIND", nargs="?", help="what to clear; all spares weights: name them to go too")
    options = words.add_argument_group("options")
    options.add_argument("--repair", action="store_true", help="for verify: remove what is damaged")
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Show, verify or clear."""
    from graft.core.errors import BadInput
    from graft.pipeline import cache

    action = arguments.action
    if arguments.kind is not None and action != "clear":
        raise BadInput(f"Nothing may follow {action}, got {arguments.kind!r}.", hint="See graft cache --help.")
    if arguments.repair and action != "verify":
        raise BadInput("--repair must follow verify.", hint="See graft cache --help.")
    if action == "show":
        return _show(cache.show_cache(), console)
    if action == "verify":
        return _verify(cache.verify_cache(repair=arguments.repair, progress=console.progress()), console)
    if arguments.kind is None:
        raise BadInput("KIND must be given.", hint=f"It is one of {', '.join(cache.CLEARABLE)}.")
    return _clear(cache.clear_cache(arguments.kind), console)


def _show(facts: "CacheFacts", console: Console) -> int:
    if console.json:
        console.value(
            {
                "cache": str(facts.path),
                "cap_bytes": facts.cap_bytes,
                "free_bytes": facts.free_bytes,
                "kinds": [vars(kind) for kind in facts.kinds],
                "networks": [vars(network) for network in facts.networks],
            }
        )
        return 0
    from graft.pipeline.kept import CAPPED

    total = sum(kind.size_bytes for kind in facts.kinds)
    free = f"{byte_size(facts.free_bytes)} are free on its disk"
    console.line(f"{printable(str(facts.path))}: {byte_size(total)}, {free}")
    console.line(
        f"{', '.join(CAPPED[:-1])} and {CAPPED[-1]} may take {byte_size(facts.cap_bytes)} together, "
        "what was used longest ago goes first;\nweights do not count, nor does what is in use "
        "(GRAFT_CACHE_CAP=5GB would change the size)\n"
    )
    rows = [("kind", "things", "size", "last used", "what")]
    rows += [
        (kind.name, f"{kind.count:,}", byte_size(kind.size_bytes), _ago(kind.used_seconds), MEANINGS[kind.name])
        for kind in facts.kinds
    ]
    console.line("\n".join(columns(rows, right=(1, 2))))
    _show_networks(facts, console)
    console.advise("graft cache verify", "reads everything against its hash; graft cache clear KIND gives space back")
    return 0


def _show_networks(facts: "CacheFacts", console: Console) -> None:
    if not facts.networks:
        return
    rows = [("network", "side", "kept", "photos", "size", "last used", "outputs")]
    for each in facts.networks:
        side = f"{each.side_pixels} px" if each.side_pixels else ""
        photos = f"{each.rows:,}" if each.rows else ""
        size, used = byte_size(each.size_bytes), _ago(each.used_seconds)
        rows.append((each.backbone, side, each.kind, photos, size, used, each.read))
    console.line("\n" + "\n".join(columns(rows, right=(1, 3, 4))))


def _verify(verified: "Verified", console: Console) -> int:
    left = verified.left()
    if console.json:
        damaged: list[dict[str, Any]] = [{**vars(each), "path": str(each.path)} for each in verified.damaged]
        console.value({"count": verified.count, "bytes": verified.size_bytes, "damaged": damaged})
        return STATUS_DAMAGED if left else 0
    sound = verified.count - len(verified.damaged)
    console.line(f"{sound:,} of {verified.count:,} things are sound ({byte_size(verified.size_bytes)} read).")
    for each in verified.damaged:
        done = "removed" if each.removed else "damaged"
        console.line(f"{done}: {each.kind} {printable(str(each.path))}: {printable(each.problem)}")
    if any(each.kind == "weights" and each.removed for each in verified.damaged):
        console.line("Give the removed weights again with --weights FILE.")
    if left:
        console.advise("graft cache verify --repair", "removes what is damaged; it is made again when it is needed")
    return STATUS_DAMAGED if left else 0


def _clear(cleared: "Cleared", console: Console) -> int:
    if console.json:
        kinds = [vars(kind) for kind in cleared.kinds]
        console.value({"removed": kinds, "in_use": cleared.in_use, "weights_kept": cleared.weights_kept})
        return 0
    gone = [f"{kind.count:,} {kind.name} ({byte_size(kind.size_bytes)})" for kind in cleared.kinds if kind.count]
    console.line(f"Removed {', '.join(gone)}." if gone else "There was nothing to remove.")
    if cleared.in_use:
        console.line(f"{cleared.in_use:,} stayed: another graft process works now and may need them.")
    if cleared.weights_kept:
        console.line(
            f"{cleared.weights_kept:,} imported weights stayed: you would have to give them again. "
            "To remove them too: graft cache clear weights"
        )
    return 0


def _ago(used_seconds: float | None) -> str:
    """`3 hours ago`."""
    if used_seconds is None:
        return ""
    seconds = max(0.0, time.time() - used_seconds)
    for length, name in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= length:
            count = int(seconds // length)
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"
