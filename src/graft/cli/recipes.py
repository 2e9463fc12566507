"""`graft recipes`: the systems that lectures and tutorials teach, each by its name."""

import shlex
from argparse import SUPPRESS, Namespace
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from graft.cli import train
from graft.cli.console import Console
from graft.cli.parsing import Parser, given, one_of, whole_number

if TYPE_CHECKING:
    from graft.training.recipes.records import Way

# Options of graft train that mean something to show.
SHOWN = ("backbone", "weights", "split", "image_size", "epochs", "batch", "head", "binary_head", "output")
SHOW_ONLY = ("classes", "every", "as_keras")


def parser() -> Parser:
    """The words `graft recipes` understands."""
    words = Parser(
        "recipes",
        "list | show NAME [--backbone NAME] [--epochs N] [--as-keras] | run NAME DATA [options of graft train]",
        "The systems that lectures and tutorials teach: list them, show one layer by layer, train one on photos.",
        (
            ("graft recipes list", "what each is, with published and measured results"),
            (
                "graft recipes show finetune-vgg16-block5",
                "the plan, every layer, the parameters, the time it takes here",
            ),
            ("graft recipes show santa-vgg19 --as-keras -o santa.py", "the same system as a script in plain Keras"),
            ("graft recipes run scratch-cnn photos/", "train it: the same as graft train photos/ --recipe scratch-cnn"),
            ("graft recipes run features-vgg16 photos/ --backbone mobilenet_v2_1.0", "on another network"),
            ("graft recipes run classify photos/", "one of the four ways to reuse a network: graft classify photos/"),
        ),
    )
    words.add_argument("action", metavar="|".join(ACTIONS), type=one_of(*ACTIONS), help="what to do")
    words.add_argument("names", metavar="NAME", nargs="*", default=[], help="the recipe; DATA to run it on")
    show = words.add_argument_group("show", argument_default=SUPPRESS)
    show.add_argument("--classes", metavar="N", type=whole_number(2), help="classes (default: those of its data)")
    show.add_argument("--all", dest="every", action="store_true", help="a row for each layer")
    show.add_argument("--as-keras", action="store_true", help="a script in plain Keras; -o FILE writes it there")
    train.add_options(words)
    return words.add_common()


def in_other_words(words: Sequence[str]) -> list[str]:
    """The command that a way to reuse a network stands for: `recipes run classify IMAGES` is `classify IMAGES`."""
    plain = [word for word in words if not word.startswith("-")]
    if plain[:1] != ["run"] or len(plain) < 2:
        return []
    from graft.pipeline.recipes.showing import is_recipe, way

    # Values of options may stand before the name.
    name = next((word for word in plain[1:] if way(word) or is_recipe(word)), "")
    found = way(name)
    if found is None:
        return []
    rest = list(words)
    rest.remove("run")
    rest.remove(name)
    return [*found.words[:1], *rest, *found.words[1:]]


def run(arguments: Namespace, console: Console) -> int:
    """Do the action that was asked for."""
    return ACTIONS[arguments.action](arguments, console)


def list_recipes(arguments: Namespace, console: Console) -> int:
    """All recipes, and the ways to reuse a network, one a line."""
    from graft.core.errors import BadInput

    _refuse(arguments, "list", ())
    if arguments.names:
        raise BadInput(f"Nothing may follow list, got {arguments.names[0]!r}.", hint="Did you mean graft recipes show?")
    from graft.pipeline.recipes.showing import listed
    from graft.training.recipes.catalogue import catalogue, ways

    if console.json:
        from graft.core.records import to_value

        recipes = [to_value(recipe) for recipe in catalogue().values()]
        console.value({"recipes": recipes, "ways": [to_value(way) for way in ways().values()]})
        return 0
    console.line(listed())
    console.advise("graft recipes show NAME", "a recipe layer by layer; a variant is typed as NAME@corrected")
    return 0


def show_recipe(arguments: Namespace, console: Console) -> int:
    """One recipe with everything that is known of it, or as a script."""
    _refuse(arguments, "show", (*SHOWN, *SHOW_ONLY))
    name = _only_name(arguments)
    from graft.core.errors import BadInput
    from graft.pipeline.recipes.showing import view, way
    from graft.training.recipes.catalogue import find

    if found := way(name):
        for option in (*SHOW_ONLY, *train.FIELDS):
            if hasattr(arguments, option):
                raise BadInput(f"A way to reuse a network is shown by its name alone, got {_typed(option)}.")
        return _tell_way(found, console)
    on = given(arguments, ("classes", *SHOWN[:-1]))
    if hasattr(arguments, "as_keras"):
        return _tell_script(name, on, getattr(arguments, "output", None), console)
    _refuse(arguments, "show --as-keras", (*SHOWN[:-1], *SHOW_ONLY))
    with console.progress().stage("Listing layers", 1, "networks") as stage:
        seen = view(name, **on)
        stage.advance()
    if console.json:
        from graft.core.records import to_value

        console.value(to_value(seen))
        return 0
    from graft.data.public.catalogue import public_data
    from graft.pipeline.recipes.showing import shown

    console.line(shown(seen, every=hasattr(arguments, "every")))
    recipe = find(name)
    its = f", or on its own: graft data fetch {recipe.data}" if public_data()[recipe.data].url else ""
    run = ["graft recipes run", name, "DATA", *_as_typed(on)]
    run += ["--split", recipe.split] if its and "/" in recipe.split and "split" not in on else []
    console.advise(" ".join(run), f"trains it on your photos{its}")
    return 0


def run_recipe(arguments: Namespace, console: Console) -> int:
    """Train a recipe on photos: `graft train DATA --recipe NAME`."""
    from graft.core.errors import BadInput
    from graft.training.recipes.catalogue import find

    for option in (*SHOW_ONLY, "recipe"):
        if hasattr(arguments, option):
            raise BadInput(f"{_typed(option)} means nothing to graft recipes run.", hint="Leave it out.")
    if not arguments.names:
        raise BadInput("NAME and DATA must be given.", hint="graft recipes list names them.")
    recipe = find(arguments.names[0])
    if len(arguments.names) != 2:
        raise BadInput(
            f"One folder of photos must follow {recipe.name}, got {len(arguments.names) - 1}.",
            hint="Name a folder with a folder for each class; graft data list tells of its own photos.",
        )
    arguments.recipe, arguments.data = recipe.name, arguments.names[1]
    return train.run(arguments, console)


ACTIONS: Mapping[str, Callable[[Namespace, Console], int]] = MappingProxyType(
    {"list": list_recipes, "show": show_recipe, "run": run_recipe}
)


def _refuse(arguments: Namespace, action: str, allowed: tuple[str, ...]) -> None:
    """Refuse options that mean nothing to an action."""
    from graft.core.errors import BadInput

    for option in (*SHOW_ONLY, *train.FIELDS):
        if option not in allowed and hasattr(arguments, option):
            owner = "run" if option in train.FIELDS and option not in SHOWN else "show"
            owner = action if option == "output" and action != "list" else owner
            raise BadInput(f"{_typed(option)} belongs to graft recipes {owner}, got {arguments.action}.")


def _typed(option: str) -> str:
    """An option as a person types it."""
    return "--all" if option == "every" else f"--{option.replace('_', '-')}"


def _as_typed(said: dict[str, Any]) -> list[str]:
    """The options that a training understands too, as words."""
    words: list[str] = []
    for option, value in said.items():
        if option in train.FIELDS:
            told = ",".join(map(str, value)) if isinstance(value, tuple) else shlex.quote(str(value))
            words += [_typed(option), told]
    return words


def _only_name(arguments: Namespace) -> str:
    from graft.core.errors import BadInput

    if len(arguments.names) != 1:
        raise BadInput(f"One NAME must be given, got {len(arguments.names)}.", hint="graft recipes list names them.")
    return str(arguments.names[0])


def _tell_way(found: "Way", console: Console) -> int:
    if console.json:
        from graft.core.records import to_value

        console.value(to_value(found))
        return 0
    from graft.pipeline.recipes.showing import way_shown

    console.line(way_shown(found))
    console.advise(found.command, "does it; IMAGES or DATA are your photos")
    return 0


def _tell_script(name: str, on: dict[str, Any], output: str | None, console: Console) -> int:
    """The script on standard output, or in a file that is not there yet."""
    from graft.pipeline.recipes.showing import script, write_script

    text = script(name, command=shlex.join(["graft", *console.words]), **on)
    if output is not None:
        write_script(Path(output), text)
    if console.json:
        console.value({"recipe": name, "script": text, "file": output})
    elif output is None:
        console.line(text.rstrip("\n"))
    else:
        console.line(f"{output}: {name} in plain Keras, {text.count(chr(10))} lines")
        console.advise(f"python {output} DATA", "trains it, without Graft")
    return 0
