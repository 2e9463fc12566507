"""`graft augment`: a picture of what an augmentation does to photos."""

import shlex
from argparse import SUPPRESS, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.cli.console import Console, byte_size, printable
from graft.cli.parsing import RULES, Parser, add_rules, given, rule_words, whole_number

if TYPE_CHECKING:
    from graft.pipeline.augment import AugmentResult

FIELDS = ("words", "views", "seed", "image_size", "normalize", *RULES)


def parser() -> Parser:
    """The words `graft augment` understands."""
    words = Parser(
        "augment",
        "PHOTO|DATA -o FILE.png [options]",
        "Show what fine-tuning may do to training photos, as one picture: no training, a second of work.",
        (
            ("graft augment cat.jpg -o views.png", "one photo and its views"),
            ("graft augment photos/ -o views.png --augment classic", "a photo of each of a few classes, in rows"),
            (
                "graft augment photos/ -o views.png --augment classic,rotation=15,flip=none,fill=reflect",
                "a preset with changes",
            ),
        ),
    )
    words.add_argument("path", metavar="PHOTO|DATA", help="one photo, or photos as for graft train")
    options = words.add_argument_group("options", argument_default=SUPPRESS)
    options.add_argument("-o", "--output", metavar="FILE", help="picture to write, FILE.png")
    options.add_argument(
        "--augment",
        metavar="WORDS",
        dest="words",
        help="none, light, classic, strong or symbols (default), and changes to it after commas: rotation=DEGREES, "
        "shift=, width-shift=, height-shift=SHARE, shear=DEGREES, zoom=0.8-1.2, flip=none|horizontal|vertical|both, "
        "quarter-turns=yes|no, brightness=0.8-1.2, channel-shift=LEVELS, fill=nearest|reflect|wrap|constant, "
        "fill-value=LEVEL",
    )
    options.add_argument(
        "--views",
        metavar="N",
        type=whole_number(1, 100),
        help="of each photo, the photo itself among them (default: 12 of one photo, 6 of each of several)",
    )
    options.add_argument("--seed", metavar="N", type=whole_number(0), help="another seed, other views (default: 0)")
    options.add_argument(
        "--image-size", metavar="N", type=whole_number(8, 2048), help="side in pixels, as in training (default: 224)"
    )
    options.add_argument(
        "--normalize",
        metavar="WORDS",
        help="show them normalised too: samplewise-center, samplewise-std, and with DATA featurewise-center, "
        "featurewise-std, zca or zca=EPSILON; several after commas (graft train --normalize trains so)",
    )
    add_rules(words.add_argument_group("what a photo may be", argument_default=SUPPRESS))
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Write the picture that `arguments` ask for."""
    from graft.core.errors import BadInput
    from graft.pipeline.augment import augment

    if not hasattr(arguments, "output"):
        raise BadInput("-o FILE must be given.", hint="For example: -o views.png.")
    output = Path(arguments.output)
    result = augment(Path(arguments.path), output=output, progress=console.progress(), **given(arguments, FIELDS))
    if console.json:
        console.value(result.summary())
        return 0
    for line in describe(result):
        console.line(line)
    # only class folders can be trained
    data = arguments.path if any(each.label for each in result.shown) else "photos/"
    console.advise(
        shlex.join(["graft", "train", data, "--recipe", "finetune", "--augment", result.words, *rule_words(arguments)]),
        "fine-tunes on such views of the training photos",
    )
    return 0


def describe(result: "AugmentResult") -> list[str]:
    """What is on the picture, for people."""
    n, views = len(result.shown), f"{result.views} view{'s' if result.views > 1 else ''}"
    what = f"{printable(result.shown[0].path)}, {views}" if result.one_photo else f"{n} photos, {views} of each"
    return [
        f"{what} → {printable(str(result.file))} ({byte_size(result.file.stat().st_size)})",
        f"{result.words}: {result.meaning}",
    ]
