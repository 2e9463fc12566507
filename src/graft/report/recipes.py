"""A reference recipe for a terminal of 80 columns: what it is, what came of it, the plan and the layers."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from graft.backbones.catalogue import find
from graft.data.augmentation.wording import describe
from graft.report.columns import columns
from graft.report.text import typed
from graft.report.words import OPTIMIZERS, count, counted, duration, percent, rough_duration, shortened, small, span
from graft.training.heads.records import Activation, Convolution, Dense, Dropout, Layer
from graft.training.recipes.catalogue import catalogue
from graft.training.recipes.counting import PhaseFigures, SystemFigures, SystemLayer
from graft.training.recipes.records import Measured, Published, Recipe, Way
from graft.training.tuning.records import Phase

COLUMNS: Final = 80
LABEL_COLUMNS: Final = 12
MOST_ROWS: Final = 30  # of the layer table, unless every layer is wanted
END_ROWS: Final = 8  # of the backbone, shown at either end of a longer one
EVERY_LETTER: Final = (1000, 1000)
WIDTHS: Final = ((24, 22), (17, 18), (15, 14))  # letters of names and of kinds in the short table: the first that fits
PREPROCESSING: Final = {
    "none": "raw pixels, 0 to 255",
    "rescale_255": "pixels divided by 255",
    "backbone": "the network's own preprocessing",
}
NOT_REPRODUCED: Final = "not reproduced"

Row = tuple[str, ...]


def recipe_text(
    recipe: Recipe,
    figures: SystemFigures,
    variants: Sequence[str],
    seconds: float,
    *,
    weights_file: str = "",
    every: bool = False,
) -> str:
    """All that `graft recipes show` says of a recipe on one network.

    `recipe` is the one on that network, `seconds` what training it takes on this machine, about. With `every`, each
    layer has a row. `weights_file` is told in the place of the recipe's own weights.
    """
    lines = [
        f"{recipe.name}: {recipe.title}",
        "",
        *_results(recipe),
        *_system(recipe, figures, variants, weights_file),
        "",
        *layer_lines(figures, every=every),
        "",
        *_plan(recipe, figures),
        *_here(recipe, figures, seconds),
    ]
    return "\n".join(typed(line) for line in lines)


def list_lines(recipes: Sequence[Recipe], ways: Sequence[Way]) -> list[str]:
    """Each recipe with what it is, the best result published and measured, and its variants; then the ways."""
    lines: list[str] = []
    for plain, group in groupby(recipes, key=lambda each: each.name.partition("@")[0]):
        first, *variants = group
        lines += [f"{plain}: {first.title}", f"  published  {best_published(first)}"]
        lines.append(f"  measured   {measured_of((first, *variants))}")
        if variants:
            lines.append(f"  variants   {', '.join('@' + each.name.partition('@')[2] for each in variants)}")
    lines += ["", "Ways to reuse a pretrained network, each a command:"]
    lines += [f"  {line}" for line in columns([(way.name, way.command) for way in ways])]
    return [typed(line) for line in lines]


def way_text(way: Way) -> str:
    """All that `graft recipes show` says of a way to reuse a network."""
    lines = [f"{way.name}: {way.title}", "", *_wrapped("what", way.summary), *_wrapped("teaches", way.lesson)]
    lines += _wrapped("published", way.published) if way.published else []
    lines += _wrapped("command", way.command)
    lines += _wrapped("example", f"graft recipes show {way.recipe}") if way.recipe else []
    return "\n".join(typed(line) for line in lines)


def measured_lines(recipe: Recipe) -> list[str]:
    """What was measured, a sentence each; the last says where the recipe's own network on its own data was not."""
    own = catalogue()[recipe.name]
    lines = [measured_text(each) for each in recipe.measured]
    with_own = [each for each in recipe.measured if (each.backbone, each.data) == (own.backbone, own.data)]
    if any(each.epochs == _epochs_of(recipe) for each in with_own):
        return lines
    if with_own:
        return [*lines, f"{NOT_REPRODUCED} with its {_epochs_of(recipe)} epochs"]
    return [*lines, f"{NOT_REPRODUCED} with {find(own.backbone).title} on {own.data}" if lines else NOT_REPRODUCED]


def layer_lines(figures: SystemFigures, *, every: bool = False) -> list[str]:
    """The layer table; layers below the first one that any phase trains share a row, unless `every` one has its own."""
    runs = [[layer] for layer in figures.layers] if every else _runs(figures.layers)
    heading = ("", "layer", "kind", "output", "parameters", "trained")
    for widths in (EVERY_LETTER,) if every else WIDTHS:
        rows = [_layer_row(run, len(figures.phases), *widths) for run in runs]
        lines = columns([[typed(cell) for cell in row] for row in (heading, *rows)], right=(4,))
        if max(map(len, lines)) <= COLUMNS:
            break
    return lines


def _results(recipe: Recipe) -> Iterator[str]:
    """What it is for, and what came of it elsewhere and here."""
    own = catalogue()[recipe.name].backbone
    there = "" if own == recipe.backbone else f", with {find(own).title}"
    yield from _wrapped("what", recipe.summary)
    yield from _wrapped("teaches", recipe.lesson)
    for each in recipe.published:
        yield from _wrapped("published", published_text(each) + there)
    for line in measured_lines(recipe):
        yield from _wrapped("measured", line)
    for measured in recipe.measured:
        yield from _wrapped("command", measured.command)


def _system(recipe: Recipe, figures: SystemFigures, variants: Sequence[str], weights_file: str) -> Iterator[str]:
    """Data, network, head and augmentation, and what there is to say about them."""
    train, validation, test = recipe.photos
    own = catalogue()[recipe.name].backbone
    weights = "ImageNet's weights" if recipe.weights == "imagenet" else "random weights"
    weights = f"the weights of {weights_file}" if weights_file else weights
    instead = "" if own == recipe.backbone else f" in the place of {find(own).title}"
    augments = "of all photos" if recipe.augments == "all" else "of the training photos"
    told = f"{recipe.data}; as published {train:,} training, {validation:,} validation, {test:,} test photos"
    counts = "" if recipe.split == "as given" else f": --split {recipe.split}"
    yield from _wrapped("data", told + counts)
    size = f"at {figures.side_pixels} px, {PREPROCESSING[recipe.preprocessing]}"
    yield from _wrapped("network", f"{find(figures.backbone).title}{instead} with {weights}, {size}")
    units = figures.layers[-1].shape[0]
    last = "1 sigmoid unit" if units == 1 else f"{units} softmax units"
    below = ", ".join(map(layer_words, recipe.head.layers))
    yield from _wrapped("head", f"{below}, then {last}" if below else last)
    changed = "none" if recipe.augmentation.changes_nothing else f"{describe(recipe.augmentation)}; {augments}"
    yield from _wrapped("augmentation", changed)
    for note in recipe.ours:
        yield from _wrapped("note", note)
    if variants:
        plain = recipe.name.partition("@")[0]
        yield from _wrapped("variants", ", ".join((plain, *(f"{plain}@{each}" for each in variants))))


def _plan(recipe: Recipe, figures: SystemFigures) -> Iterator[str]:
    whole = f"{count(figures.parameters)} parameters, {figures.trainable_tensors} weight tensors that can be trained"
    yield from _wrapped("whole", whole)
    own = catalogue()[recipe.name].phases
    for number, (phase, counts) in enumerate(zip(recipe.phases, figures.phases, strict=True), 1):
        reach = f"from {counts.first_trained} up" if counts.first_trained else "the head alone"
        if phase.freeze != own[number - 1].freeze:
            reach += ", where the uppermost feature-map level begins here"
        how = f"{OPTIMIZERS[phase.optimizer]} at {_rate(phase)}, {_epochs(recipe, phase)}"
        yield from _wrapped(f"phase {number}", f"{phase.name}: {reach}, {how}; {_told(counts)}")


def _here(recipe: Recipe, figures: SystemFigures, seconds: float) -> list[str]:
    told = f"{rough_duration(seconds)} for all epochs, from the published number of photos and the speed of a "
    told += "convolution on this machine"
    if any(phase.prefix_multiply_adds for phase in figures.phases):
        told += (
            f"; what is frozen is computed once for each {'photo' if recipe.augmentation.changes_nothing else 'view'}"
        )
    return _wrapped("here", told)


def _rate(phase: Phase) -> str:
    if phase.decay == "inverse_time":
        return f"{small(phase.rate)} / (1 + {small(phase.decay_rate)} * step)"
    return small(phase.rate) + (" falling" if phase.decay == "cosine" else "")


def _epochs(recipe: Recipe, phase: Phase) -> str:
    steps = f" of {phase.steps_per_epoch} steps" if phase.steps_per_epoch else ""
    return f"{counted(phase.epochs, 'epoch')}{steps} in batches of {recipe.batch_images}"


def _told(phase: PhaseFigures) -> str:
    return (
        f"{count(phase.trainable_parameters)} trainable in {counted(phase.trainable_tensors, 'tensor')}, "
        f"{count(phase.frozen_parameters)} frozen"
    )


def _runs(layers: Sequence[SystemLayer]) -> list[list[SystemLayer]]:
    """The layers below the first trained one together, then one by one; of very many the middle together."""
    below = [layer for layer in layers if not layer.head]
    head = [[layer] for layer in layers if layer.head]
    first = _first(layers)
    runs = [below[:first]] if first else []
    runs += [[layer] for layer in below[first:]]
    if len(runs) + len(head) > MOST_ROWS:
        middle = [layer for run in runs[END_ROWS:-END_ROWS] for layer in run]
        runs[END_ROWS:-END_ROWS] = [middle]
    return runs + head


def _first(layers: Sequence[SystemLayer]) -> int:
    """Number of the first layer of the backbone that any phase trains, or of the head's first."""
    return next(layer.number for layer in layers if any(layer.trained) or layer.head)


def _layer_row(run: Sequence[SystemLayer], n_phases: int, most_name: int, most_kind: int) -> Row:
    first, last = run[0], run[-1]
    shape = "x".join(map(str, last.shape))
    parameters = count(sum(layer.parameters for layer in run))
    if len(run) == 1:
        name, kind = shortened(first.name, most_name), shortened(first.kind, most_kind)
        return (str(first.number), name, kind, shape, parameters, _when(first, n_phases))
    name = f"… {shortened(last.name, most_name - 2)}"
    return (f"{first.number}-{last.number}", name, counted(len(run), "layer"), shape, parameters, _share(run))


def _when(layer: SystemLayer, n_phases: int) -> str:
    if not any(layer.trained):
        return "frozen" if layer.parameters else ""
    if n_phases == 1:
        return "yes"
    return ", ".join(str(number) for number, trained in enumerate(layer.trained, 1) if trained)


def _share(run: Sequence[SystemLayer]) -> str:
    """What becomes of several layers together."""
    n_trained = sum(any(layer.trained) for layer in run)
    return f"{n_trained} of {len(run)}" if n_trained else "frozen"


def published_text(each: Published) -> str:
    """A published result with the digits that were published: `97 % test, after both phases`."""
    return f"{_accuracy(each)} {each.split}" + (f", {each.when}" if each.when else "")


def _accuracy(each: Published) -> str:
    return f"{_stated(each.low)} %" if each.low == each.high else f"{_stated(each.low)} to {_stated(each.high)} %"


def measured_text(each: Measured) -> str:
    """A measured result: on what, how good, how long, and what `graft train` reaches without being told a recipe."""
    scores = [
        f"{percent(share)} {split}"
        for split, share in (("validation", each.validation), ("test", each.test))
        if share is not None
    ]
    interval = f" ({span(*each.interval)})" if each.interval else ""
    text = f"{', '.join(scores)}{interval}, with {each.backbone} at {each.side_pixels} px on {each.data}"
    text += f", {each.epochs} epochs in {duration(each.seconds)} on {counted(each.cores, 'core')}"
    if each.auto_test is not None:
        other = f" with {each.auto_backbone}" if each.auto_backbone not in (None, each.backbone) else ""
        text += f"; graft train by itself{other}: {percent(each.auto_test)} test"
        text += f" in {duration(each.auto_seconds)}" if each.auto_seconds is not None else ""
    return text


def best_published(recipe: Recipe) -> str:
    """The best result published of this very training in a few words, of the test photos where there is one."""
    best = _best_published(recipe)
    return f"{_accuracy(best)} {best.split}" if best else "nothing"


def _best_published(recipe: Recipe) -> Published | None:
    own = [each for each in recipe.published if each.of_this]
    return max(own, key=lambda each: (each.split == "test", each.high), default=None)


def _epochs_of(recipe: Recipe) -> str:
    """As `Measured` tells them: `30 + 100`."""
    return " + ".join(str(phase.epochs) for phase in catalogue()[recipe.name].phases)


def best_measured(recipe: Recipe) -> str:
    """The best measured result in a few words, or `not reproduced`: of the split of which the best was published.

    With the network where it is not the recipe's, and the epochs where they are others.
    """
    plain = catalogue()[recipe.name.partition("@")[0]]
    published = _best_published(plain)
    splits = ("validation", "test") if published and published.split == "validation" else ("test", "validation")
    scores = [(split, getattr(each, split), each) for each in recipe.measured for split in splits]
    known = [(split, share, each) for split, share, each in scores if share is not None]
    if not known:
        return NOT_REPRODUCED
    split, share, best = max(known, key=lambda found: (found[0] == splits[0], found[1]))
    other = "" if best.backbone == plain.backbone else f" with {best.backbone}"
    epochs = "" if best.epochs == _epochs_of(recipe) else f", {best.epochs} epochs"
    return f"{percent(share)} {split}{other}{epochs}"


def measured_of(group: Sequence[Recipe]) -> str:
    """The best measured result of a recipe, or of the first of its variants that has one, which is named then."""
    for recipe in group:
        if recipe.measured:
            variant = recipe.name.partition("@")[2]
            return best_measured(recipe) + (f", @{variant}" if variant else "")
    return NOT_REPRODUCED


def layer_words(layer: Layer) -> str:
    """A layer in words for people."""
    if isinstance(layer, Convolution):
        side = layer.kernel_pixels
        return f"convolution of {counted(layer.filters, 'filter')} of {side} x {side}{_activated(layer, 'linear')}"
    if isinstance(layer, Dense):
        return f"dense {layer.units}{_activated(layer, 'relu')}"
    name = layer.kind.replace("_", " ")
    return f"{name} {layer.rate:g}" if isinstance(layer, Dropout) else name


def _activated(layer: Convolution | Dense, usual: Activation) -> str:
    return f" ({layer.activation})" if layer.activation != usual else ""


def _stated(share: float) -> str:
    """A share as a percentage with no more digits than it has: `97`, `88.96`."""
    return f"{100 * share:.4g}"


def _wrapped(label: str, text: str) -> list[str]:
    """A label and a text beside it, in lines of 80 columns."""
    indent = " " * (LABEL_COLUMNS + 2)
    return textwrap.wrap(
        text,
        COLUMNS,
        initial_indent=f"{label:<{LABEL_COLUMNS}}  ",
        subsequent_indent=indent,
        break_on_hyphens=False,  # names of recipes, layers and options are typed whole
    )
