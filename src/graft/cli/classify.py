"""`graft classify`: what a pretrained network by itself sees on photos, as text or JSON lines."""

from argparse import SUPPRESS, Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from graft.cli.console import Console, json_line, percent, printable
from graft.cli.parsing import RULES, Parser, add_rules, given, one_of, whole_number
from graft.cli.predict import INTERRUPTED as INTERRUPTED
from graft.cli.predict import Counted, finish, inputs

if TYPE_CHECKING:
    from graft.bundle.records import Failure
    from graft.pipeline.classify import Recognised

BAR_CHARACTERS = 20


def parser() -> Parser:
    """The words `graft classify` understands."""
    words = Parser(
        "classify",
        "PHOTO… [--backbone NAME] [options]",
        "Say which of ImageNet's 1,000 classes are on photos, with a pretrained network as it is: no training needed.",
        (
            ("graft classify bear.jpg", "with the best network whose weights and classes are on this machine"),
            ("graft classify bear.jpg --backbone mobilenet_v2 --weights FILE", "with weights you have as a file"),
            ("graft classify new/ --json", "a folder with all below it, one JSON object a line"),
        ),
    )
    words.add_argument("photos", metavar="PHOTO", nargs="+", help="files and folders; - reads paths, one on a line")
    options = words.add_argument_group("options")
    options.add_argument("--backbone", metavar="NAME", default="auto", help="pretrained network (default: auto)")
    options.add_argument("--weights", metavar="FILE", type=Path, help="its published weights, those with the top")
    options.add_argument("--top", metavar="N", type=whole_number(1), default=5, help="classes to name (default: 5)")
    options.add_argument(
        "--geometry",
        metavar="NAME",
        type=one_of("crop", "squash"),
        default="crop",
        help="crop: the middle of the photo, as the networks were measured (default); squash: all of it",
    )
    options.add_argument(
        "--image-size", metavar="N", type=whole_number(8), help="side in pixels (default: the backbone's)"
    )
    add_rules(words.add_argument_group("what a photo may be", argument_default=SUPPRESS))
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Classify; the exit status is 2 when any photo could not be used."""
    from graft.data.limits import chosen_rules
    from graft.data.records import ImageRules
    from graft.pipeline.classify import classify, recogniser

    chosen = recogniser(
        arguments.backbone,
        arguments.weights,
        geometry=arguments.geometry,
        image_size=arguments.image_size,
        rules=chosen_rules(ImageRules(), **given(arguments, RULES)),
    )
    if arguments.backbone != chosen.record.name:
        console.note(f"With {chosen.record.title}.")
    progress = console.progress(beside_lines=True)
    answers = classify(chosen, inputs(arguments.photos), top=arguments.top, progress=progress, tell=console.note)
    counted = Counted(answers)
    for line in json_lines(counted) if console.json else text_lines(counted):
        console.line(line)
    return finish(counted, console)


def json_lines(answers: "Iterable[Recognised | Failure]") -> Iterator[str]:
    """One object a line."""
    from graft.bundle.records import Failure

    for answer in answers:
        if isinstance(answer, Failure):
            yield json_line({"path": answer.path, "error": {"code": answer.code, "message": answer.message}})
            continue
        top = [{"id": each.id, "name": each.name, "probability": each.probability} for each in answer.top]
        yield json_line({"path": answer.path, "top": top})


def text_lines(answers: "Iterable[Recognised | Failure]") -> Iterator[str]:
    """A photo's name, and below it a bar, a share, a name and an id for each class."""
    from graft.bundle.records import Failure

    for answer in answers:
        yield printable(answer.path)
        if isinstance(answer, Failure):
            yield f"  not used: {answer.code}, {printable(answer.message)}"
            continue
        width = max(len(each.name) for each in answer.top)
        for each in answer.top:
            bar = "#" * round(BAR_CHARACTERS * each.probability)
            name = each.name.replace("_", " ")
            yield f"  {bar:<{BAR_CHARACTERS}} {percent(each.probability):>7}  {name:<{width}}  {each.id}"
