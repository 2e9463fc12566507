"""The part of a plain-Keras script that trains: its main function, phase by phase, and its options."""

from collections.abc import Iterator
from typing import Final

from graft.backbones.freezing import resolve
from graft.backbones.layers import LayerTable
from graft.training.recipes.records import Recipe
from graft.training.tuning.records import Phase

OPTIMIZERS: Final = {"adam": "Adam", "rmsprop": "RMSprop"}


def main_text(recipe: Recipe, table: LayerTable, *, one_unit: bool, stores: bool) -> str:
    """The function `main`: reads the photos, trains each phase, measures on the test photos, saves.

    With `stores` the base is run once over each photo, and the head is trained on what it gave.
    """
    loss = "binary_crossentropy" if one_unit else "sparse_categorical_crossentropy"
    lines = [
        "def main(arguments):",
        '    """Train, measure, save."""',
        "    train, validation, test = splits(arguments.data)",
        "    model = build_model(arguments.weights)",
        "    model.summary()",
        f'    how = {{"loss": "{loss}", "metrics": ["accuracy"]}}',
    ]
    phases = _on_features(recipe) if stores else _on_photos(recipe, table)
    lines += [f"    {line}" if line else "" for line in phases]
    held_out = ", augment=True" if recipe.augments == "all" else ""
    lines += [
        "",
        f"    loss, accuracy = model.evaluate(Photos(test{held_out}), verbose=0)",
        '    print(f"test: accuracy {accuracy:.4f}, loss {loss:.4f}")',
        "    model.save(arguments.output)",
    ]
    return "\n".join(lines) + "\n"


def ending_text(recipe: Recipe, *, weights: str) -> str:
    """The options, and the call of `main`; without `weights` nothing but random ones can be had."""
    line = 'parser.set_defaults(weights="random")'
    if weights:
        line = f'parser.add_argument("--weights", default={weights!r}, help="imagenet, random, or a file")'
    return f'''\
if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="{recipe.title}")
    parser.add_argument("data", type=Path, metavar="DATA", help="a folder of class folders, or of such splits")
    {line}
    parser.add_argument("--epochs", type=int, help="at most so many in each phase")
    parser.add_argument("--steps", type=int, help="at most so many in each epoch, for a first try")
    output = Path("{recipe.name.replace("@", "-")}.keras")
    parser.add_argument("--output", type=Path, default=output, help="where the model is saved; *.h5 makes it HDF5")
    main(parser.parse_args())
'''


def _on_photos(recipe: Recipe, table: LayerTable) -> Iterator[str]:
    """The phases, each end to end from photos."""
    augments = "" if recipe.augmentation.changes_nothing else ", augment=True"
    yield f"validation = Photos(validation{augments if recipe.augments == 'all' else ''})"
    for number, phase in enumerate(recipe.phases, 1):
        yield ""
        yield f"# Phase {number}: {phase.name}"
        if number > 1:
            yield f'before = arguments.output.with_stem(f"{{arguments.output.stem}}-phase-{number - 1}")'
            yield "model.save(before)"
            yield "model = keras.models.load_model(before)  # a copy: the file stays as the phase before left it"
        if recipe.weights != "random":
            yield _freezing(phase, table)
        yield "tell(model)"
        yield from _rate(phase)
        yield f"model.compile({_optimizer(phase)}, **how)"
        yield "model.fit("
        steps = f"at_most(arguments.steps, {phase.steps_per_epoch})"
        yield f"    Photos(train, shuffle=True{augments}, steps={steps}),"
        yield "    validation_data=validation,"
        yield f"    epochs=at_most(arguments.epochs, {phase.epochs}),"
        yield ")"


def _on_features(recipe: Recipe) -> Iterator[str]:
    """The phases, all of the head alone, on features that are computed once."""
    yield "base = model.get_layer(BASE)"
    yield 'features, labels = features_of(base, train, arguments.output.with_suffix(".train.npz"))'
    yield 'held_out = features_of(base, validation, arguments.output.with_suffix(".validation.npz"))'
    yield "head = head_of(model)"
    for number, phase in enumerate(recipe.phases, 1):
        normalization = phase.batch_normalization == "trained"
        yield ""
        yield f"# Phase {number}: {phase.name}, on the stored features"
        yield f"freeze(model, 0, normalization={normalization})"
        yield "tell(model)"
        yield from _rate(phase)
        yield f"head.compile({_optimizer(phase)}, **how)"
        yield "head.fit("
        yield "    features,"
        yield "    labels,"
        yield "    batch_size=BATCH,"
        yield f"    steps_per_epoch=at_most(arguments.steps, {phase.steps_per_epoch}),"
        yield "    validation_data=held_out,"
        yield f"    epochs=at_most(arguments.epochs, {phase.epochs}),"
        yield ")"
    yield "model.compile(**how)"


def _freezing(phase: Phase, table: LayerTable) -> str:
    """The call that freezes what this phase does not train, counted from the base's last layer."""
    normalization = phase.batch_normalization == "trained"
    if phase.freeze.kind == "all":
        return f"freeze(model, None, normalization={normalization})"
    layers = [layer.name for layer in table.without_top()]
    first = resolve(table, phase.freeze).first_trained
    if not first:
        return f"freeze(model, 0, normalization={normalization})  # the head alone is trained"
    n_last = len(layers) - layers.index(first)
    return f"freeze(model, {n_last}, normalization={normalization})  # trained from {first} up"


def _rate(phase: Phase) -> Iterator[str]:
    """The line that makes the course of the learning rate, where it is not constant."""
    if phase.warmup_epochs or phase.decay == "cosine":
        raise ValueError(f"a script's learning rate must be constant or fall by inverse time, got {phase.name}'s")
    if phase.decay == "inverse_time":
        schedule = "keras.optimizers.schedules.InverseTimeDecay"
        yield f"rate = {schedule}({phase.rate:g}, decay_steps=1, decay_rate={phase.decay_rate:g})"


def _optimizer(phase: Phase) -> str:
    rate = "rate" if phase.decay == "inverse_time" else f"{phase.rate:g}"
    return f"keras.optimizers.{OPTIMIZERS[phase.optimizer]}({rate})"
