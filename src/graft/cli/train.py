"""`graft train`: from a folder of photos to a classifier and a report."""

import shlex
from argparse import SUPPRESS, Namespace

from graft.cli.console import Console
from graft.cli.parsing import RULES, Parser, add_rules, given, number, one_of, whole_number, whole_numbers
from graft.cli.results import tell_training

ENGINES = ("openvino", "keras")
OPTIMIZERS = ("adam", "adamw", "sgd", "rmsprop")
STORES = ("auto", "always", "never")
BACKENDS = ("auto", "tensorflow", "jax", "torch")
BINARY_HEADS = ("sigmoid", "softmax")
PREPROCESSINGS = ("backbone", "none", "rescale_255")
PRECISIONS = ("auto", "bfloat16", "float32")
ON_BAD = ("quarantine", "fail")
DUPLICATES = ("near", "exact")
# Field of TrainOptions -> option. What is not typed keeps the record's default.
FIELDS = (
    *("data", "output", "recipe", "backbone", "weights", "image_size", "seed", "split", "normalize"),
    *("preprocessing", "precision", "engine", "on_bad", "binary_head", "split_from", "duplicates", "config"),
    *("freeze", "freeze_until", "freeze_level", "unfreeze_last", "unfreeze", "head", "augment", "views", "epochs"),
    *(
        "batch",
        "optimizer",
        "learning_rate",
        "layer_decay",
        "label_smoothing",
        "mixup",
        "averaging",
        "dropout",
        "train_precision",
    ),
    *("store", "backend", "time_budget", "tensorboard", "plots"),
    *RULES,
)


def parser() -> Parser:
    """The words `graft train` understands."""
    words = Parser(
        "train",
        "DATA [-o RUN] [options]",
        "Train a classifier on labelled photos, measure it on photos it has not seen, and write a report.",
        (
            ("graft train photos/", "photos/ holds one folder for each class; the run is written to photos-run"),
            (
                "graft train photos/ --weights mobilenet_1_0_224_tf_no_top.h5 --backbone mobilenet",
                "with ImageNet weights you have as a file: better than the small built-in network",
            ),
            ("graft train table.csv -o first --split 80/10/10", "a table with path,label[,split][,group]"),
            ("graft train photos/ --split-from first", "the data have grown: earlier photos keep their split"),
            ("graft train photos/ --time-budget 20m", "more time for fine-tuning; Ctrl-C keeps the best so far"),
            (
                "graft train photos/ --recipe finetune --freeze-until block5_conv1 --epochs 30",
                "fine-tune from a layer up, for a number of epochs",
            ),
        ),
    )
    words.add_argument(
        "data",
        metavar="DATA",
        help="a folder of class folders, with or without train, validation and test above them; a zip or tar of one; "
        "or a CSV table",
    )
    add_options(words)
    return words.add_common()


def add_options(words: Parser) -> None:
    """Add every option of a training, also for commands that end in one."""
    _add_options(words)
    _add_freezing(words)
    _add_tuning(words)
    _add_rare_options(words)


def _add_options(words: Parser) -> None:
    often = words.add_argument_group("options", argument_default=SUPPRESS)
    often.add_argument("-o", "--output", metavar="RUN", help="folder to write (default: named after DATA, beside you)")
    often.add_argument(
        "--backbone", metavar="NAME", help="pretrained network, see graft backbones list (default: auto)"
    )
    often.add_argument(
        "--weights", metavar="FILE", help="its weights: a Keras, safetensors or torch file; or random, for none"
    )
    often.add_argument(
        "--recipe",
        metavar="NAME",
        help="probe: a linear classifier on the network as it is, in seconds; finetune: its upper layers are trained "
        "too; auto (default): both, and the better one is kept; or a reference system, see graft recipes list",
    )
    often.add_argument(
        "--split", metavar="A/B/C", help="training/validation/test, as percentages or counts (default: 70/15/15)"
    )
    often.add_argument(
        "--split-from",
        metavar="RUN",
        help="keep the splits of an earlier run's photos, and put new copies of them there",
    )
    often.add_argument(
        "--image-size", metavar="N", type=whole_number(8), help="side in pixels (default: the backbone's)"
    )
    often.add_argument("--seed", metavar="N", type=whole_number(0), help="for the split and all chance (default: 0)")
    often.add_argument("--plots", metavar="DIR", help="write figures there: charts as SVG, photo grids as PNG")


def _add_freezing(words: Parser) -> None:
    freezing = words.add_argument_group("fine-tuning: which layers (one of these)", argument_default=SUPPRESS)
    freezing.add_argument(
        "--freeze", metavar="auto", type=one_of("auto"), help="as far as the depth profile advises (default)"
    )
    freezing.add_argument("--freeze-until", metavar="LAYER", help="this layer and all above it are trained")
    freezing.add_argument(
        "--unfreeze-last", metavar="N", type=whole_number(1), help="the last N layers of the network, poolings counted"
    )
    freezing.add_argument(
        "--freeze-level", metavar="N", type=whole_number(0), help="what lies above the Nth feature-map level"
    )
    freezing.add_argument("--unfreeze", metavar="WHAT", type=one_of("all", "none"), help="all layers, or none")


def _add_tuning(words: Parser) -> None:
    often = words.add_argument_group("fine-tuning: how", argument_default=SUPPRESS)
    often.add_argument(
        "--time-budget",
        metavar="TIME",
        help="for the whole training, as 90s, 5m or 1h (default of auto: 5m); decides "
        "what --epochs, --views and --freeze leave open",
    )
    often.add_argument(
        "--augment",
        metavar="WORDS",
        help="none, light, classic, strong or symbols, with changes as classic,rotation=30 (default: symbols, which "
        "mirrors nothing); graft augment shows them",
    )
    often.add_argument(
        "--epochs",
        metavar="N",
        type=whole_numbers,
        help="(default: 12, or what the budget allows); of a recipe with phases also 5,10",
    )
    often.add_argument(
        "--views",
        metavar="N",
        type=whole_number(1, 1000),
        help="of each training photo, stored at the cut (default: 8)",
    )
    often.add_argument("--batch", metavar="N", type=whole_number(1, 4096), help="photos a step (default: 32 or 16)")
    often.add_argument("--optimizer", metavar="NAME", type=one_of(*OPTIMIZERS), help=", ".join(OPTIMIZERS))
    often.add_argument("--learning-rate", metavar="X", type=number(1e-9, 10), help="of the head, at its highest")
    often.add_argument(
        "--layer-decay", metavar="X", type=number(0.01, 1), help="of that rate, block by block downwards (default: 0.9)"
    )
    often.add_argument(
        "--head",
        metavar="WORDS",
        help="probe (default): begins as the probe; trained: from zero; or layers as flatten,dense=256,dropout=0.5; "
        "the last two are first trained alone, 5 epochs",
    )
    often.add_argument("--label-smoothing", metavar="X", type=number(0, 0.99), help="(default: 0.1)")
    often.add_argument(
        "--mixup", metavar="X", type=number(0, 10), help="of stored activations; alpha (default: 0, none)"
    )
    often.add_argument("--averaging", metavar="X", type=number(0, 0.9999), help="of weights; decay (default: 0.98)")
    often.add_argument("--dropout", metavar="X", type=number(0, 0.99), help="before the head (default: 0)")
    often.add_argument(
        "--store", metavar="WHEN", type=one_of(*STORES), help="activations at the cut: auto (default), always, never"
    )
    often.add_argument("--train-precision", metavar="NAME", type=one_of(*PRECISIONS), help="auto, bfloat16 or float32")
    often.add_argument("--backend", metavar="NAME", type=one_of(*BACKENDS), help="of Keras: " + ", ".join(BACKENDS))
    often.add_argument("--tensorboard", metavar="DIR", help="write curves there for TensorBoard, while training")


def _add_rare_options(words: Parser) -> None:
    rare = words.add_argument_group("rarely needed", argument_default=SUPPRESS)
    rare.add_argument(
        "--on-bad",
        metavar="WHAT",
        type=one_of(*ON_BAD),
        help="files that are no good photos: quarantine (default) leaves them out and lists them, fail stops if any is",
    )
    rare.add_argument(
        "--duplicates",
        metavar="WHAT",
        type=one_of(*DUPLICATES),
        help="copies to keep in one split: near (default), those that look the same; exact, only those of equal bytes",
    )
    rare.add_argument(
        "--preprocessing",
        metavar="NAME",
        type=one_of(*PREPROCESSINGS),
        help="of pixels: backbone (default), the network's own; none; rescale_255, to 0..1",
    )
    rare.add_argument(
        "--normalize",
        metavar="WORDS",
        help="what follows, with commas between: samplewise-center, samplewise-std, featurewise-center, "
        "featurewise-std, zca or zca=EPSILON, the last three fitted on training photos (default: nothing)",
    )
    rare.add_argument("--precision", metavar="NAME", type=one_of(*PRECISIONS), help="auto, bfloat16 or float32")
    rare.add_argument("--engine", metavar="NAME", type=one_of(*ENGINES), help="openvino (default) or keras")
    rare.add_argument(
        "--binary-head", metavar="NAME", type=one_of(*BINARY_HEADS), help="two classes: sigmoid (default) or softmax"
    )
    rare.add_argument("--config", metavar="FILE", help="follow the plan.json of an earlier run to the letter")
    add_rules(words.add_argument_group("what a photo may be", argument_default=SUPPRESS))


def run(arguments: Namespace, console: Console) -> int:
    """Train as `arguments` say."""
    from graft.core.records import construct
    from graft.pipeline.options import TrainOptions
    from graft.pipeline.train import train

    command = shlex.join(["graft", *console.words])
    options = construct(TrainOptions, **given(arguments, FIELDS), command=command)
    tell_training(train(options, progress=console.progress()), console)
    return 0
