"""How scores and the result of a training are told."""

from typing import TYPE_CHECKING

from graft.cli.console import Console, percent

if TYPE_CHECKING:
    from graft.pipeline.train import TrainResult


def tell_training(result: "TrainResult", console: Console) -> None:
    """The score first, then what was written, then what to do next."""
    if console.json:
        console.value(result.summary)
        return
    n, test = result.summary["n"], result.summary["test"]
    if test is None:
        share = percent(result.summary["validation"]["accuracy"])
        console.line(f"Right on {share} of {n['validation']:,} validation photos, on which choices were made too.")
        console.line("There are no test photos: on new photos it may be less.")
    else:
        low, high = test["interval"]
        console.line(score_sentence(test["accuracy"], low, high, n["test"], "test photos it had never seen"))
    if n["quarantined"]:
        console.line(f"Left out: {n['quarantined']:,} files that are no good photos; the report lists them.")
    console.line(f"Report:     {result.report}")
    console.line(f"Classifier: {result.bundle}")
    console.advise(f"graft predict {result.run} PHOTO…", "says what is on other photos")


def score_sentence(value: float, low: float, high: float, n: int, where: str) -> str:
    """`Right on 97.3 % of 300 test photos (95 % interval: 94.8 % to 98.6 %).`"""
    return f"Right on {percent(value)} of {n:,} {where} (95 % interval: {percent(low)} to {percent(high)})."
