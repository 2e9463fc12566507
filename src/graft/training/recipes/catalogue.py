"""The reference recipes by name."""

import difflib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from graft.core.errors import BadInput
from graft.training.recipes import (
    cifar10_efficientnetb0,
    features_vgg16,
    features_vgg16_augmented,
    finetune_vgg16_block5,
    santa_vgg19,
    scratch_cnn,
    scratch_cnn_augmented,
    sign_digits_vgg16,
)
from graft.training.recipes.records import Recipe, Way
from graft.training.recipes.ways import WAYS

PUBLISHED: Final = "@published"  # what each recipe without a variant's name is

_RECIPES = (
    *sign_digits_vgg16.RECIPES,
    *scratch_cnn.RECIPES,
    *scratch_cnn_augmented.RECIPES,
    *features_vgg16.RECIPES,
    *features_vgg16_augmented.RECIPES,
    *finetune_vgg16_block5.RECIPES,
    *santa_vgg19.RECIPES,
    *cifar10_efficientnetb0.RECIPES,
)
_CATALOGUE: Mapping[str, Recipe] = MappingProxyType({recipe.name: recipe for recipe in _RECIPES})
_WAYS: Mapping[str, Way] = MappingProxyType({way.name: way for way in WAYS})


def catalogue() -> Mapping[str, Recipe]:
    """Every recipe by name, in the order of the lectures; a recipe's variants stand behind it."""
    return _CATALOGUE


def ways() -> Mapping[str, Way]:
    """The four ways to reuse a network, each a command, by name."""
    return _WAYS


def variants(name: str) -> tuple[str, ...]:
    """The variants of a recipe that differ from what was published: `("corrected",)`."""
    plain = name.partition("@")[0]
    return tuple(each.partition("@")[2] for each in _CATALOGUE if each.startswith(f"{plain}@"))


def find(name: str) -> Recipe:
    """The recipe of this name; `NAME@published` is `NAME` itself.

    Raises:
        BadInput: `not_found`, naming the nearest, or the command that a way to reuse a network is.
    """
    plain = name.strip().lower().replace("_", "-").removesuffix(PUBLISHED)
    if plain in _CATALOGUE:
        return _CATALOGUE[plain]
    if plain in _WAYS:
        raise BadInput(
            f"The recipe must be one to train, got {plain}, a command of its own.", hint=_WAYS[plain].command
        )
    base, _, variant = plain.partition("@")
    if base in _CATALOGUE:
        known = ", ".join(f"@{each}" for each in ("published", *variants(base)))
        raise BadInput(
            f"The variant of {base} must be one of {known}, got @{variant[:40]}.",
            hint=f"See: graft recipes show {base}.",
            code="not_found",
        )
    raise BadInput(
        f"The recipe must be one of the reference recipes, got {name[:80]!r}.", hint=nearest(plain), code="not_found"
    )


def nearest(name: str) -> str:
    """A hint for a mistyped name: what is known and near, or where to look."""
    near = difflib.get_close_matches(name.lower(), (*_CATALOGUE, *_WAYS), n=3, cutoff=0.5)
    return f"Nearest: {', '.join(near)}." if near else "See: graft recipes list."
