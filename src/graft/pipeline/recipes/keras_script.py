"""A recipe as a plain-Keras script that runs by itself: for lectures, and to compare Graft with."""

import math
import re
from collections.abc import Iterator
from typing import Final

from graft.backbones.builders.applications import FUNCTIONS
from graft.backbones.catalogue import find as find_backbone
from graft.backbones.families.efficientnet import VARIANTS as EFFICIENTNETS
from graft.backbones.layers import LayerTable
from graft.backbones.records import BackboneRecord
from graft.core.errors import BadInput
from graft.data.augmentation.records import Augmentation
from graft.pipeline.recipes import keras_texts as texts
from graft.pipeline.recipes.keras_training import ending_text, main_text
from graft.report.recipes import published_text
from graft.training.heads.records import Convolution, Dense, Dropout, Layer
from graft.training.heads.shapes import names, units_of
from graft.training.recipes.catalogue import find
from graft.training.recipes.counting import for_network
from graft.training.recipes.records import Recipe

FRACTIONS: Final = "70/15/15"  # where the data come without split folders and the recipe names no counts
# Convnet's normalisations as a line of Keras; `channels` is known there.
NORMALIZATIONS: Final = {
    "batch": "keras.layers.BatchNormalization()",
    "batch_renorm": "keras.layers.BatchNormalization(\n"
    '            renorm=True, renorm_clipping={"rmin": 1 / 3, "rmax": 3.0, "dmax": 5.0}\n        )',
    "layer": "keras.layers.GroupNormalization(1)",
    "group": "keras.layers.GroupNormalization(channels // 16)",
    "instance": "keras.layers.GroupNormalization(channels)",
}
# What a base that is one layer of another network cannot do.
DROPS: Final = (
    "The base stays in inference mode in every phase, so none of its blocks is ever dropped; Graft drops them as\n"
    "EfficientNet's authors did, wherever they are trained.\n"
)
# Keras' published EfficientNet files hold deviations where variances belong, and Keras makes up for that only where it
# fetches a file itself.
MENDING: Final = """\
    if weights not in (None, "imagenet"):  # a file: what Keras does where it fetches the weights itself
        normalization = next(layer for layer in base.layers if isinstance(layer, keras.layers.Normalization))
        mean, variance, count = normalization.get_weights()
        deviations = np.array([0.229, 0.224, 0.225])
        if np.allclose(variance, deviations, rtol=1e-3):
            normalization.set_weights([mean, variance * deviations, count])
"""
CHANGES_WITHOUT_LAYER: Final = ("brightness", "channel_shift", "fill_value")


def keras_script(
    recipe: Recipe,
    table: LayerTable,
    *,
    classes: int,
    binary_units: int = 1,
    weights: str = "imagenet",
    command: str = "",
) -> str:
    """The script of a recipe on the network of `table`, which begins with `weights`: imagenet, random, or a file.

    `command` is what was typed to have it, for its head.

    Raises:
        BadInput: plain Keras has no such network, or no layer for a change that augmentation makes.
    """
    recipe = for_network(recipe, table)
    record = find_backbone(table.backbone)
    _check(recipe, record)
    parts = [
        _opening(recipe, record, command or f"graft recipes show {recipe.name} --as-keras"),
        texts.IMPORTS + _constants(recipe, table, classes),
        texts.PHOTOS,
        _prepared(recipe, record),
        *_augmented(recipe.augmentation),
        texts.SPLITS,
        _network(recipe, record, units_of(classes, binary_units=binary_units)),
        *([] if is_from_scratch(record) else [texts.FREEZING]),
        *([texts.FEATURES, texts.HEAD_ALONE] if stores_features(recipe) else []),
        texts.COUNTING,
        texts.LIMITING,
        main_text(recipe, table, one_unit=classes == 2 and binary_units == 1, stores=stores_features(recipe)),
        ending_text(recipe, weights="" if is_from_scratch(record) else weights),
    ]
    opening, *others = (part.strip("\n") + "\n" for part in parts)
    return opening + "\n" + "\n\n".join(others)


def is_from_scratch(record: BackboneRecord) -> bool:
    """Whether the script writes the network out itself: nobody publishes weights of it."""
    return record.family == "convnet"


def stores_features(recipe: Recipe) -> bool:
    """Whether the base is run once over each photo: it stays frozen, and no photo is augmented."""
    frozen = all(phase.freeze.kind == "none" for phase in recipe.phases)
    return frozen and recipe.augmentation.changes_nothing and recipe.weights != "random"


def _check(recipe: Recipe, record: BackboneRecord) -> None:
    known = record.constructor in FUNCTIONS or record.constructor in EFFICIENTNETS
    norm = str(dict(record.options).get("norm", ""))
    if not known and not (is_from_scratch(record) and norm in ("none", *NORMALIZATIONS)):
        raise BadInput(
            f"The network of a Keras script must be convnet, or one that Graft builds with keras.applications, got "
            f"{record.name}.",
            hint=f"Leave --backbone out, or train with it: graft train DATA --recipe {recipe.name} "
            f"--backbone {record.name}.",
        )
    plain = Augmentation()
    for name in CHANGES_WITHOUT_LAYER:
        if getattr(recipe.augmentation, name) != getattr(plain, name):
            raise BadInput(f"The augmentation of a Keras script must be geometric, got one with {name}.")


def _opening(recipe: Recipe, record: BackboneRecord, command: str) -> str:
    file = re.sub(r"[^a-z0-9]+", "_", recipe.name)
    own = find(recipe.name).backbone
    there = "" if record.name == own else f", with {find_backbone(own).title}"
    published = "".join(f"Published: {line}{there}.\n" for line in map(published_text, recipe.published))
    instead = f"Here {record.title} stands in the place of {find_backbone(own).title}.\n" if there else ""
    drops = DROPS if record.constructor in EFFICIENTNETS and len(recipe.phases) > 1 else ""
    weights = "" if is_from_scratch(record) else f"    python {file}.py photos/ --weights random\n"
    return f'''\
"""{recipe.title}: the recipe {recipe.name} in plain Keras.

{recipe.summary}
{instead}{published}{drops}
It runs by itself with keras, pillow, and one of tensorflow, jax or torch:

    python {file}.py photos/
{weights}\
    KERAS_BACKEND=jax python {file}.py photos/ --epochs 1 --steps 2

photos/ holds train, validation and test, each with a folder of photos for each class; or the class folders alone.
Written by: {command}
"""
'''


def _constants(recipe: Recipe, table: LayerTable, classes: int) -> str:
    counts = recipe.split if "/" in recipe.split else FRACTIONS
    lines = [
        f"SIDE = {table.side_pixels}  # pixels",
        f"BATCH = {recipe.batch_images}  # photos",
        f"CLASSES = {classes}",
        f"SPLIT = ({counts.replace('/', ', ')})  # training, validation, test, where no folders say so",
        "SEED = 0",
    ]
    if not is_from_scratch(find_backbone(table.backbone)):
        lines.append('BASE = "base"  # name of the pretrained network within the whole')
    lines += ["", "keras.utils.set_random_seed(SEED)"]
    return "\n" + "\n".join(lines) + "\n"


def _prepared(recipe: Recipe, record: BackboneRecord) -> str:
    way, own = recipe.preprocessing, record.preprocessing
    if way == "rescale_255":
        said, value = "Pixels from 0 to 1.", "images / 255"
    elif way == "none" or (own.scale == (1.0,) * 3 and own.offset == (0.0,) * 3):
        why = "as they are" if way == "none" else "as they are: the network scales them itself"
        said, value = f"Pixels from 0 to 255, {why}.", "images"
    else:
        order = "[..., ::-1]" if own.channel_order == "bgr" else ""
        said = f"{record.title}'s own preprocessing: channels {own.channel_order.upper()}, scaled and moved."
        value = f"images{order} * np.array({_numbers(own.scale)}) + np.array({_numbers(own.offset)})"
    return f'def prepared(images):\n    """{said}"""\n    return {value}\n'


def _numbers(values: tuple[float, ...]) -> str:
    return "(" + ", ".join(f"{value:.10g}" for value in values) + ")"


def _augmented(wanted: Augmentation) -> Iterator[str]:
    """The layers, and the function that applies them; nothing changed is a function too, so that scripts are alike."""
    layers = list(_layers(wanted))
    turns = []
    if wanted.quarter_turns:
        turns.append("images = np.stack([np.rot90(image, random.integers(4)) for image in images])")
    if wanted.turn_degrees:
        turns.append(f"images = np.rot90(images, {wanted.turn_degrees // 90}, axes=(1, 2))")
    if layers:
        inside = "".join(f"        {layer},\n" for layer in layers)
        yield f"AUGMENTATION = keras.Sequential(\n    [\n{inside}    ]\n)\n"
        turns.insert(0, "images = keras.ops.convert_to_numpy(AUGMENTATION(images, training=True))")
    body = "".join(f"    {line}\n" for line in turns)
    yield f'def augmented(images, random):\n    """Other views of the same photos."""\n{body}    return images\n'


def _layers(wanted: Augmentation) -> Iterator[str]:
    end = f'fill_mode="{wanted.fill_mode}")'
    if wanted.rotation_degrees:
        yield f"keras.layers.RandomRotation({wanted.rotation_degrees:g} / 360, {end}"
    if wanted.height_shift or wanted.width_shift:
        yield f"keras.layers.RandomTranslation({wanted.height_shift:g}, {wanted.width_shift:g}, {end}"
    if wanted.shear_degrees:
        # An angle, as in Keras' classic generator: the much copied 0.2 is a fifth of a degree.
        yield f"keras.layers.RandomShear({math.sin(math.radians(wanted.shear_degrees)):.4f}, {end}"
    if wanted.zoom != (1.0, 1.0):
        low, high = (f"{factor - 1:.10g}" for factor in wanted.zoom)
        yield f"keras.layers.RandomZoom(({low}, {high}), ({low}, {high}), {end}"
    flips = [name for name in ("horizontal", "vertical") if getattr(wanted, f"{name}_flip")]
    if flips:
        yield f'keras.layers.RandomFlip("{"_and_".join(flips)}")'


def _network(recipe: Recipe, record: BackboneRecord, units: int) -> str:
    head = "".join(f"    x = {line}(x)\n" for line in _head(recipe, units))
    name = re.sub(r"[^a-z0-9]+", "_", recipe.name)
    if is_from_scratch(record):
        return (
            'def build_model(weights="random"):\n    """The whole network, its weights drawn."""\n'
            f"    x = inputs = keras.Input((SIDE, SIDE, 3))\n{_convnet(record)}"
            f'{head}    return keras.Model(inputs, x, name="{name}")\n'
        )
    options = "".join(f"        {key}={value!r},\n" for key, value in record.options)
    function = FUNCTIONS.get(record.constructor) or _efficientnet_function(record.constructor)
    shape = "input_shape=(SIDE, SIDE, 3)"
    return (
        'def build_model(weights="imagenet"):\n'
        '    """The pretrained base with the new head. `weights`: imagenet, random, or a file."""\n'
        '    weights = None if weights == "random" else weights\n'
        f"    base = keras.applications.{function}(\n"
        f"        weights=weights,\n        include_top=False,\n        {shape},\n{options}        name=BASE,\n    )\n"
        f"{MENDING if record.constructor in EFFICIENTNETS else ''}"
        "    inputs = keras.Input((SIDE, SIDE, 3))\n"
        "    # In inference mode even while training: BatchNormalization keeps its statistics, nothing is dropped.\n"
        f'    x = base(inputs, training=False)\n{head}    return keras.Model(inputs, x, name="{name}")\n'
    )


def _efficientnet_function(constructor: str) -> str:
    return "EfficientNet" + constructor.removeprefix("efficientnet_").upper()


def _convnet(record: BackboneRecord) -> str:
    norm = str(dict(record.options)["norm"])
    if norm == "none":
        block = '        x = keras.layers.Conv2D(channels, 3, activation="relu")(x)\n'
    else:
        block = (
            "        x = keras.layers.Conv2D(channels, 3, use_bias=False)(x)\n"
            f"        x = {NORMALIZATIONS[norm]}(x)\n        x = keras.layers.ReLU()(x)\n"
        )
    return f"    for channels in (32, 64, 128, 128):\n{block}        x = keras.layers.MaxPooling2D(2)(x)\n"


def _head(recipe: Recipe, units: int) -> Iterator[str]:
    named = names(recipe.head)
    for layer, name in zip(recipe.head.layers, named, strict=False):
        yield _head_layer(layer, name)
    activation = "sigmoid" if units == 1 else "softmax"
    yield f'keras.layers.Dense({units}, activation="{activation}", name="{named[-1]}")'


def _head_layer(layer: Layer, name: str) -> str:
    if isinstance(layer, Dense):
        return f'keras.layers.Dense({layer.units}, activation="{layer.activation}", name="{name}")'
    if isinstance(layer, Dropout):
        return f'keras.layers.Dropout({layer.rate:g}, name="{name}")'
    if isinstance(layer, Convolution):
        sizes = f"{layer.filters}, {layer.kernel_pixels}"
        return f'keras.layers.Conv2D({sizes}, activation="{layer.activation}", name="{name}")'
    kinds = {
        "flatten": "Flatten",
        "global_average_pooling": "GlobalAveragePooling2D",
        "global_max_pooling": "GlobalMaxPooling2D",
        "batch_normalization": "BatchNormalization",
    }
    return f'keras.layers.{kinds[layer.kind]}(name="{name}")'
