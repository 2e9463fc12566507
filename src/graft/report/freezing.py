"""What is trained and what stays as it is, as a table of layers for a terminal."""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Final

from graft.backbones.catalogue import find
from graft.backbones.freezing import NORMALIZATION, Freezing
from graft.backbones.layers import Layer, LayerTable
from graft.report.columns import columns
from graft.report.text import typed
from graft.report.words import NO_BREAK, count, counted, shortened

HEADINGS: Final = ("", "layer", "kind", "output", "parameters", "")
RIGHT: Final = (4,)
MOST_ROWS: Final = 30  # of the short table
END_ROWS: Final = 10  # shown at either end of a longer one
MOST_NAME: Final = 36  # characters of its names; the long table has them whole

Row = tuple[str, str, str, str, str, str]
State = Callable[[Layer], str]  # what becomes of a layer, in words


def freezing_text(table: LayerTable, freezing: Freezing, *, every: bool = False) -> str:
    """Where training begins, the layers, the totals, and what BatchNormalization does.

    Frozen layers that follow each other share one line unless `every` layer is to have its own.
    """
    state = _states(freezing)
    if every:
        rows = [_row([layer], state(layer)) for layer in table.without_top()]
    else:
        rows = _short(table.without_top(), state)
    cells = [[typed(cell) for cell in row] for row in (HEADINGS, *rows)]
    lines = [_heading(table, freezing), "", *columns(cells, right=RIGHT), "", *_totals(table, freezing)]
    return "\n".join(typed(line) for line in lines)


def normalization_policy(table: LayerTable, freezing: Freezing) -> str:
    """What BatchNormalization does while this network is trained, in one sentence."""
    n = sum(layer.kind == NORMALIZATION for layer in table.without_top())
    if not n:
        return f"{_title(table)} has no BatchNormalization."
    if freezing.normalizes and freezing.trained:
        return f"BatchNormalization is trained from {freezing.first_trained} up, its statistics too."
    above = len(freezing.normalizations)
    also = f", also the {count(above)} above the first trained layer" if 0 < above < n else ""
    return f"All {count(n)} BatchNormalization layers stay frozen (statistics, gamma, beta){also}."


def _states(freezing: Freezing) -> State:
    trained, prefix, again = map(frozenset, (freezing.trained, freezing.prefix, freezing.recomputed))

    def state(layer: Layer) -> str:
        if layer.name in trained:
            return "trained"
        if layer.name in prefix:
            return "frozen, computed once"
        if layer.name in again:
            return "frozen, in each step" if freezing.cut else "frozen"
        return "frozen" if layer.parameters else ""

    return state


def _short(layers: Sequence[Layer], state: State) -> list[Row]:
    """One row for each trained layer and each run of others; of very many, the lowest and the uppermost."""
    runs = list(_runs(layers, state))
    rows = [_row(run, _told(run, state)) for run in runs]
    if len(runs) > MOST_ROWS:
        middle = [layer for run in runs[END_ROWS:-END_ROWS] for layer in run]
        n_trained = sum(state(layer) == "trained" for layer in middle)
        rows[END_ROWS:-END_ROWS] = [_row(middle, f"{count(n_trained)} of them trained")]
    return [(row[0], shortened(row[1], MOST_NAME), *row[2:]) for row in rows]


def _runs(layers: Sequence[Layer], state: State) -> Iterator[list[Layer]]:
    """Trained layers one by one; other neighbours together, as far as their outputs are computed equally often."""

    def kind(layer: Layer) -> str:
        told = state(layer)
        return layer.name if told == "trained" else told or "frozen"

    for _, run in groupby(layers, key=kind):
        yield list(run)


def _told(run: Sequence[Layer], state: State) -> str:
    return next((told for told in map(state, run) if told), "")


def _row(run: Sequence[Layer], told: str) -> Row:
    first, last = run[0], run[-1]
    shape = " × ".join(map(str, last.shape))
    parameters = count(sum(layer.parameters for layer in run))
    if len(run) == 1:
        return (str(first.number), first.name, first.kind, shape, parameters, told)
    between = "," if len(run) == 2 else " …"
    names = f"{first.name}{between} {last.name}"
    return (f"{first.number}–{last.number}", names, counted(len(run), "layer"), shape, parameters, told)


def _heading(table: LayerTable, freezing: Freezing) -> str:
    if not freezing.trained:
        return f"{_title(table)} stays as it is: the new classifier alone is trained."
    first = table.find(freezing.first_trained)
    chosen = ", as the depth profile advises" if freezing.freeze.kind == "auto" else ""
    return f"Training of {_title(table)} begins at {first.name}, layer {first.number}{chosen}."


def _totals(table: LayerTable, freezing: Freezing) -> list[str]:
    total = freezing.n_trained_parameters + freezing.n_frozen_parameters
    trained = "the new classifier"
    if freezing.trained:
        n_layers = counted(len(freezing.trained), "layer")
        trained = f"{count(freezing.n_trained_parameters)} of {count(total)} parameters, in {n_layers}, and {trained}"
    frozen = f"{count(freezing.n_frozen_parameters)} parameters"
    if freezing.cut:
        work = freezing.prefix_multiply_adds + freezing.suffix_multiply_adds
        share = f"{freezing.prefix_multiply_adds / work:.0%}".replace("%", f"{NO_BREAK}%")
        frozen += f"; {share} of the work is done once for each view, up to {' and '.join(freezing.cut)}"
    return [f"trained  {trained}", f"frozen   {frozen}", normalization_policy(table, freezing)]


def _title(table: LayerTable) -> str:
    return find(table.backbone).title
