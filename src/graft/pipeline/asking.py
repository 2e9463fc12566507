"""What was asked about fine-tuning: from the words a user typed to the part of the plan that keeps them."""

import os
import re
from dataclasses import replace
from typing import Literal

from graft.backbones.freezing import Freeze
from graft.core.errors import BadInput
from graft.data.augmentation.presets import DEFAULT, parse
from graft.data.records import Manifest
from graft.pipeline.options import TrainOptions, TuningOptions
from graft.pipeline.recipes.reference import recipe_tuning
from graft.training.heads.records import Head
from graft.training.heads.words import parse as parse_head
from graft.training.recipes.catalogue import find
from graft.training.recipes.records import OWN_RECIPES
from graft.training.records import Plan
from graft.training.tuning import backend
from graft.training.tuning.records import Tuning

BUDGET_VARIABLE = "GRAFT_TIME_BUDGET"
DEFAULT_BUDGET = "5m"  # of --recipe auto: what people wait for without going away
UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
# What a `Tuning` calls as the options do, and has a default for.
SAME = ("optimizer", "layer_decay", "label_smoothing", "mixup", "averaging", "dropout")
LONGEST_SECONDS = 30 * 24 * 3600.0


def asked_tuning(options: TrainOptions, manifest: Manifest) -> tuple[Tuning | None, str]:
    """The fine-tuning that the options ask for, None where the probe is to be all; and why, in a few words.

    Raises: `BadInput` for words that exclude each other, extra_missing where `--recipe finetune` finds no backend.
    """
    if options.recipe == "probe":
        _check_none(options, "With --recipe probe nothing must be said about fine-tuning", "Use another recipe.")
        return None, "as asked"
    if options.recipe not in OWN_RECIPES:
        return recipe_tuning(options, backend.choose(options.backend)), f"as asked{_last_layer(options, manifest)}"
    budget, undecided = _budget(options), _tuning(options)
    if options.recipe == "finetune":
        if budget == 0:
            raise BadInput(
                f"With --recipe finetune --time-budget must be more than nothing, got {options.time_budget!r:.40}."
            )
        return replace(undecided, backend=backend.choose(options.backend), time_budget_seconds=budget), "as asked"
    if budget == 0:
        return None, "auto is the linear probe where the time budget is 0"
    if not any(photo.split == "validation" for photo in manifest.photos):
        return None, "auto is the linear probe where no validation photos could tell whether fine-tuning is better"
    try:
        chosen = backend.choose(options.backend)
    except BadInput as problem:
        if options.backend != "auto":
            raise
        return None, f"auto is the linear probe where nothing can fine-tune: {problem.message} {problem.hint}"
    reason = "auto: the linear probe first, then fine-tuning, and the better of both is kept"
    return replace(undecided, backend=chosen, time_budget_seconds=budget), reason


def _last_layer(options: TrainOptions, manifest: Manifest) -> str:
    """What becomes of a recipe's last layer where the photos have another number of classes than its own data."""
    own, here = find(options.recipe).classes, len(manifest.classes)
    units = "one sigmoid unit" if here == 2 and options.binary_head == "sigmoid" else f"a softmax of {here} units"
    return f"; with {here} classes, not {own}, it ends in {units}" if own != here else ""


def check_followed(options: TrainOptions, given: Plan) -> None:
    """Refuse words that a plan to follow has already said: `BadInput`, naming them."""
    _check_none(options, "With --config nothing must be said about fine-tuning", "The plan says all of it.")
    if options.recipe not in (given.recipe, "auto"):
        raise BadInput(
            f"The recipe must be that of the plan to follow, {given.recipe}, got {options.recipe}.",
            hint="Leave --recipe out.",
        )


def freeze_words(options: TuningOptions) -> Freeze:
    """What was said about freezing; `BadInput` where it was said in two ways."""
    given = {
        "--freeze": options.freeze,
        "--freeze-until": options.freeze_until,
        "--freeze-level": options.freeze_level,
        "--unfreeze-last": options.unfreeze_last,
        "--unfreeze": options.unfreeze,
    }
    said = [name for name, value in given.items() if value is not None]
    if len(said) > 1:
        raise BadInput(f"Freezing must be said in one way, got {' and '.join(said)}.", hint="Leave one out.")
    if options.freeze_until is not None:
        return Freeze(kind="until", layer=options.freeze_until)
    if options.freeze_level is not None:
        return Freeze(kind="level", count=options.freeze_level)
    if options.unfreeze_last is not None:
        return Freeze(kind="last", count=options.unfreeze_last)
    return Freeze(kind=options.unfreeze or "auto")


def seconds_of(text: str, name: str) -> float:
    """`90s`, `5m`, `1.5h` or a plain number of seconds; `name` is what the error speaks of."""
    match = re.fullmatch(r"(\d{1,7}(?:\.\d{1,3})?)\s*([smh]?)", text.strip().lower())
    seconds = float(match[1]) * UNIT_SECONDS[match[2] or "s"] if match else -1.0
    if not 0 <= seconds <= LONGEST_SECONDS:
        raise BadInput(f"{name} must be a time as 90s, 5m or 1h, at most 30 days, got {text[:40]!r}.")
    return seconds


def _check_none(options: TrainOptions, rule: str, hint: str) -> None:
    if words := ", ".join(f"--{name.replace('_', '-')}" for name in options.said()):
        raise BadInput(f"{rule}, got {words}.", hint=hint)


def _budget(options: TrainOptions) -> float | None:
    """Seconds that the whole training may take; None where nobody set a bound."""
    if options.time_budget is not None:
        return seconds_of(options.time_budget, "--time-budget")
    if options.recipe != "auto":
        return None
    return seconds_of(os.environ.get(BUDGET_VARIABLE, "").strip() or DEFAULT_BUDGET, BUDGET_VARIABLE)


def _tuning(options: TrainOptions) -> Tuning:
    """All but backend and budget; `BadInput` for words that say nothing, or two things."""
    return Tuning(
        freeze=freeze_words(options),
        head=_head(options.head),
        augmentation=parse(DEFAULT if options.augment in (None, "auto") else options.augment),
        views=options.views,
        epochs=_epochs(options.epochs),
        batch_images=options.batch,
        rate=options.learning_rate,
        precision=options.train_precision,
        storing=options.store,
        **{name: getattr(options, name) for name in SAME if getattr(options, name) is not None},
    )


def _epochs(asked: int | tuple[int, ...] | None) -> int | None:
    if isinstance(asked, tuple):
        raise BadInput(
            f"--epochs must be one number, got {','.join(map(str, asked))}.",
            hint="Several are for the phases of a reference recipe: see graft recipes list.",
        )
    return asked


def _head(words: str | None) -> Literal["probe", "trained"] | Head:
    """What the classifier begins as: one of the two names, or layers of its own."""
    if words in (None, "probe"):
        return "probe"
    return "trained" if words == "trained" else parse_head(words)
