"""`graft backbones fetch` and `verify`: weights from their publisher, and whether those here are sound."""

from argparse import Namespace
from dataclasses import asdict
from typing import TYPE_CHECKING

from graft.cli.console import Console, columns, printable

if TYPE_CHECKING:
    from graft.backbones.fetching import Fetched
    from graft.pipeline.verify import Checked

STATUS_DAMAGED = 4


def fetch_weights(arguments: Namespace, console: Console) -> int:
    """Download a network's weights, unless they are here."""
    from graft.backbones.catalogue import find
    from graft.backbones.fetching import fetch
    from graft.cli.backbones import only_name
    from graft.core.machine import cache_directory

    record = find(only_name(arguments))
    fetched = fetch(
        record, top=arguments.top, cache=cache_directory(), progress=console.progress(), again=arguments.again
    )
    if console.json:
        console.value(_fetched_value(fetched))
        return 0
    if fetched.source is None:
        console.line(f"The weights of {record.title} are on this machine already. Nothing was downloaded.")
    else:
        top = " with its own classifier" if fetched.weights.top is not None else ""
        console.line(f"The weights of {record.title}{top} are on this machine now.")
        console.line(f"  from    {fetched.source.url}")
        console.line(f"  terms   {fetched.source.licence}")
        console.line(f"  checked {_checked(fetched)}")
    if arguments.top:
        console.advise(f"graft classify PHOTO --backbone {record.name}", "says what the network by itself sees")
    else:
        console.advise(f"graft train DATA --backbone {record.name}", "trains with it")
    return 0


def _checked(fetched: "Fetched") -> str:
    if fetched.checked:
        return f"{fetched.checked.upper()} as published"
    return "names, shapes and numbers of all layers; its publisher states no hash"


def _fetched_value(fetched: "Fetched") -> dict[str, object]:
    weights = fetched.weights
    return {
        "backbone": fetched.record.name,
        "downloaded": fetched.source is not None,
        "url": fetched.source.url if fetched.source else None,
        "checked": fetched.checked or ("structure" if fetched.source else None),
        "weights_sha256": weights.sha256,
        "top_sha256": weights.top.sha256 if weights.top else None,
    }


def verify_weights(arguments: Namespace, console: Console) -> int:
    """Check what is here; the exit status is 4 when anything is damaged."""
    from graft.pipeline.verify import verify

    found = verify(arguments.names, deep=arguments.deep, progress=console.progress())
    damaged = [checked for checked in found if not checked.sound]
    if console.json:
        items = [{**asdict(checked), "sound": checked.sound} for checked in found]
        console.value({"checked": len(found), "damaged": len(damaged), "items": items})
    else:
        _tell(found, damaged, console)
    return STATUS_DAMAGED if damaged else 0


def _tell(found: "list[Checked]", damaged: "list[Checked]", console: Console) -> None:
    if not found:
        console.line("Nothing of this is on this machine.")
        return
    rows = [("name", "what", "checked", "")]
    rows += [
        (each.backbone or "unknown", each.part, each.checks, "sound" if each.sound else "DAMAGED") for each in found
    ]
    console.line("\n".join(columns(rows)))
    for each in damaged:
        console.line(f"\n{printable(each.path)}\n  damaged: {printable(each.problem)}\n  {printable(each.hint)}")
