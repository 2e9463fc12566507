"""`graft export`: a trained classifier for other programs, proven to answer the same."""

from argparse import SUPPRESS, Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from graft.cli.console import Console, percent
from graft.cli.parsing import Parser, given, one_of

if TYPE_CHECKING:
    from graft.pipeline.export import Exported

FORMATS = ("onnx", "openvino", "keras", "h5", "saved-model", "litert", "folder")
NUMBERS = ("float32", "float16", "int8")
INTERRUPTED = "Nothing was written: the same command begins anew."
FIELDS = ("format", "numbers", "output", "data")


def parser() -> Parser:
    """The words `graft export` understands."""
    words = Parser(
        "export",
        "RUN --format NAME [options]",
        "Write a trained classifier for other programs, after checking that it answers as the classifier itself does.",
        (
            ("graft export photos-run --format folder", "ONNX and a short program: needs neither Graft nor Keras"),
            ("graft export photos-run --format onnx --numbers int8", "a quarter of the size, for small machines"),
            ("graft export photos-run --format litert", "for phones"),
        ),
    )
    words.add_argument("run", metavar="RUN", help="a run's folder, or a classifier.graft file")
    options = words.add_argument_group("options", argument_default=SUPPRESS)
    options.add_argument(
        "--format",
        metavar="NAME",
        type=one_of(*FORMATS),
        required=True,
        help="onnx, openvino, keras, h5 (Keras' older file), saved-model (TensorFlow), litert (TensorFlow Lite), or "
        "folder: ONNX with a program, a Dockerfile and a text",
    )
    options.add_argument(
        "--numbers",
        metavar="NAME",
        type=one_of(*NUMBERS),
        help="float32 (default), float16: half the size; int8: a quarter, calibrated on the run's training photos",
    )
    options.add_argument("-o", "--output", metavar="DIR", type=Path, help="folder to write (default: beside RUN)")
    options.add_argument(
        "--data", metavar="DATA", type=Path, help="labelled photos to compare on (default: the run's test photos)"
    )
    return words.add_common()


def run(arguments: Namespace, console: Console) -> int:
    """Export as `arguments` say."""
    from graft.core.records import to_value
    from graft.pipeline.export import export

    done = export(Path(arguments.run), **given(arguments, FIELDS), progress=console.progress())
    if console.json:
        console.value({"folder": str(done.folder), "bytes": done.size_bytes, **to_value(done.export)})
        return 0
    for line in describe(done):
        console.line(line)
    if done.export.format == "folder":
        console.advise(f"python {done.folder}/predict.py PHOTO…", "answers without Graft")
    return 0


def describe(done: "Exported") -> list[str]:
    """Where it is and how it compares, the first thing first."""
    export, parity = done.export, done.export.parity
    lines = [f"Export            {done.folder} ({done.size_bytes / 1e6:.1f} MB): {export.file}, {export.numbers}"]
    if parity.agreement is not None and parity.largest_difference is not None:
        compared = f"the same class for {percent(parity.agreement)} of {parity.n_photos:,} photos"
        lines.append(f"Answers           {compared}; probabilities differ by at most {parity.largest_difference:.2g}")
    if parity.accuracy is not None and parity.exported_accuracy is not None:
        lines.append(
            f"Accuracy          {percent(parity.exported_accuracy)}; the classifier {percent(parity.accuracy)}"
        )
    if export.form == "int8-weights":
        lines.append(
            "Form              Weights are in int8 and the rest in float32: with all in int8 it lost too much."
        )
    if export.numbers == "float32":  # smaller numbers are judged on photos, not on the patterns among these
        golden = f"{parity.n_golden}, probabilities differ by at most {parity.golden_difference:.2g}"
        lines.append(f"Golden examples   {golden}")
    return [*lines, *([f"Mind: {done.note}"] if done.note else [])]
