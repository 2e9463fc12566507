"""`graft features`: what a pretrained network sees on photos, as numbers in one file."""

from argparse import SUPPRESS, Namespace
from collections import Counter
from typing import TYPE_CHECKING

from graft.cli.console import Console, byte_size, columns, printable
from graft.cli.parsing import RULES, Parser, add_rules, given, one_of, whole_number
from graft.cli.train import DUPLICATES, ON_BAD, PRECISIONS

if TYPE_CHECKING:
    from graft.backbones.layers import LayerTable
    from graft.pipeline.features import FeaturesResult

POOLINGS = ("avg", "max", "none")
DTYPES = ("float32", "float16")
FIELDS = (
    *("data", "output", "backbone", "weights", "image_size", "layers", "taps", "drop_last", "pooling", "labels"),
    *("split", "split_from", "duplicates", "seed", "precision", "dtype", "on_bad"),
    *RULES,
)


def parser() -> Parser:
    """The words `graft features` understands."""
    words = Parser(
        "features",
        "DATA -o FILE [options]",
        "Write one vector or map for each photo, from any layer of a pretrained network, beside its label and split.",
        (
            ("graft features photos/ -o features.npz", "the last layer, averaged: one vector a photo, for NumPy"),
            ("graft features photos/ -o depths.npz --taps", "all depths, one array each"),
            (
                "graft features photos/ -o maps.parquet --layer conv_pw_11_relu --pooling none",
                "whole maps, as a Parquet table",
            ),
            ("graft features --list-layers --backbone mobilenet_1.0", "what --layer may name"),
        ),
    )
    words.add_argument(
        "data", metavar="DATA", nargs="?", help="labelled photos as for graft train, or a folder of any photos"
    )
    _add_options(words)
    _add_rare_options(words)
    return words.add_common()


def _add_options(words: Parser) -> None:
    often = words.add_argument_group("options", argument_default=SUPPRESS)
    often.add_argument("-o", "--output", metavar="FILE", help="file to write, FILE.npz or FILE.parquet")
    often.add_argument(
        "--backbone", metavar="NAME", help="pretrained network, see graft backbones list (default: auto)"
    )
    often.add_argument("--weights", metavar="FILE", help="its weights: a Keras HDF5, safetensors or torch file")
    often.add_argument(
        "--image-size", metavar="N", type=whole_number(8), help="side in pixels (default: the backbone's)"
    )
    often.add_argument(
        "--layer",
        metavar="NAME",
        dest="layers",
        action="append",
        help="a layer to read, also fully connected ones; may be given several times (default: the last one)",
    )
    often.add_argument("--taps", action="store_true", help="read all depths that a training reads")
    often.add_argument(
        "--drop-last",
        metavar="N",
        type=whole_number(0),
        help="read the network without its last N layers, its classifier's counted where the weights have one",
    )
    often.add_argument(
        "--pooling",
        metavar="NAME",
        type=one_of(*POOLINGS),
        help="avg (default) or max over all positions of a map, or none: the whole map",
    )
    often.add_argument("--list-layers", action="store_true", help="show the network's layers and end")


def _add_rare_options(words: Parser) -> None:
    rare = words.add_argument_group("rarely needed", argument_default=SUPPRESS)
    rare.add_argument("--split", metavar="A/B/C", help="training/validation/test (default: 70/15/15)")
    rare.add_argument("--split-from", metavar="RUN", help="as for graft train: keep an earlier run's splits")
    rare.add_argument(
        "--duplicates", metavar="WHAT", type=one_of(*DUPLICATES), help="copies to keep in one split: near or exact"
    )
    rare.add_argument("--seed", metavar="N", type=whole_number(0), help="for the split (default: 0)")
    rare.add_argument("--no-labels", dest="labels", action="store_false", help="folders are no classes")
    rare.add_argument("--precision", metavar="NAME", type=one_of(*PRECISIONS), help="auto, bfloat16 or float32")
    rare.add_argument(
        "--dtype", metavar="NAME", type=one_of(*DTYPES), help="of the numbers in the file: float32 (default) or float16"
    )
    rare.add_argument("--on-bad", metavar="WHAT", type=one_of(*ON_BAD), help="quarantine (default) or fail")
    add_rules(words.add_argument_group("what a photo may be", argument_default=SUPPRESS))


def run(arguments: Namespace, console: Console) -> int:
    """Write features as `arguments` say, or show the layers."""
    from graft.core.errors import BadInput
    from graft.core.records import construct
    from graft.pipeline.options import FeatureOptions

    if hasattr(arguments, "list_layers"):
        return _list(arguments, console)
    for name, there in (("DATA", arguments.data is not None), ("-o FILE", hasattr(arguments, "output"))):
        if not there:
            raise BadInput(f"{name} must be given.", hint="See graft features --help.")
    values = given(arguments, FIELDS)
    options = construct(FeatureOptions, **values | {"layers": tuple(values.get("layers", ()))})
    from graft.pipeline.features import extract_features

    result = extract_features(options, progress=console.progress(), tell=console.note)
    if console.json:
        console.value(result.summary())
        return 0
    for line in describe(result):
        console.line(line)
    for line in _left_out(result):
        console.note(line)
    _advise(result, console)
    return 0


def describe(result: "FeaturesResult") -> list[str]:
    """What is in the file, for people."""
    n, classes = len(result.listing.photos), len(result.listing.classes)
    labelled = f" in {classes:,} {'class' if classes == 1 else 'classes'}" if classes else ", no labels"
    about = result.about
    splits = Counter(filter(None, result.listing.splits))
    shares = ", ".join(f"{count:,} {name}" for name, count in splits.items())
    lines = [
        f"{n:,} {'photo' if n == 1 else 'photos'}{labelled} → {result.file} ({byte_size(result.file.stat().st_size)})",
        f"{about['backbone']} at {about['side_pixels']} px, computed in {about['precision']}",
        *([f"splits: {shares}"] if shares else []),
        "",
    ]
    rows = [("array", "shape", "layer", "pooling")]
    for (name, shape), layer in zip(result.shapes.items(), about["layers"], strict=True):
        rows.append(
            (name, f"{' × '.join(f'{side:,}' for side in shape)} {about['dtype']}", layer["layer"], layer["pooling"])
        )
    return lines + columns(rows) + [printable(event) for event in result.filled.events]


def _left_out(result: "FeaturesResult") -> list[str]:
    bad = result.listing.quarantined
    if not bad:
        return []
    named = ", ".join(f"{printable(item.path)} ({item.code})" for item in bad[:5])
    more = f" and {len(bad) - 5:,} more" if len(bad) > 5 else ""
    were = "1 file could not be used and was" if len(bad) == 1 else f"{len(bad):,} files could not be used and were"
    return [f"{were} left out: {named}{more}."]


def _advise(result: "FeaturesResult", console: Console) -> None:
    name = next(iter(result.shapes))
    path = str(result.file)
    if result.file.suffix.lower() == ".npz":
        code = f"import numpy; print(numpy.load({path!r})[{name!r}].shape)"
    else:
        code = f"import pyarrow.parquet as p; print(p.read_table({path!r}).schema)"
    console.advise(f'python -c "{code}"', "reads it; paths, labels and splits lie beside the features")


def _list(arguments: Namespace, console: Console) -> int:
    from graft.core.errors import BadInput
    from graft.core.records import to_value
    from graft.pipeline.layers import list_layers

    if not hasattr(arguments, "backbone"):
        raise BadInput("--backbone NAME must be given.", hint="graft backbones list names them.")
    words = given(arguments, ("weights", "image_size"))
    table = list_layers(arguments.backbone, words.get("weights"), words.get("image_size"))
    if console.json:
        console.value(to_value(table))
        return 0
    for line in layer_lines(table):
        console.line(line)
    example = next(layer.name for layer in reversed(table.layers) if not layer.top)
    console.advise(
        f"graft features photos/ -o features.npz --backbone {table.backbone} --layer {example}", "reads this layer"
    )
    return 0


def layer_lines(table: "LayerTable") -> list[str]:
    """The table for people."""
    rows = [("", "layer", "kind", "output", "parameters", "")]
    for layer in table.layers:
        shape = " × ".join(map(str, layer.shape))
        rows.append(
            (str(layer.number), layer.name, layer.kind, shape, f"{layer.parameters:,}", "top" if layer.top else "")
        )
    return [f"{table.backbone} at {table.side_pixels} px", "", *columns(rows, right=(0, 4))]
