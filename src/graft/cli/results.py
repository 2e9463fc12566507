"""How scores and the result of a training are told."""

from typing import TYPE_CHECKING

from graft.cli.console import Console, percent

if TYPE_CHECKING:
    from graft.pipeline.train import TrainResult


def tell_training(result: "TrainResult", console: Console) -> None:
    """The score first, then what was written, then what to do next; for programs one object."""
    if console.json:
        console.value(result.summary)
        return
    for line in result.text.splitlines():
        console.line(line)
    console.advise(*result.next_command)


def score_sentence(value: float, low: float, high: float, n: int, where: str) -> str:
    """`Right on 97.3 % of 300 test photos (95 % interval: 94.8 % to 98.6 %).`"""
    return f"Right on {percent(value)} of {n:,} {where} (95 % interval: {percent(low)} to {percent(high)})."
