"""What a user may choose for a training: the one record behind the command line, Python and plan files."""

from dataclasses import fields
from typing import Annotated, Literal

from annotated_types import Ge, Interval

from graft.core.records import record
from graft.data.limits import MILLION, chosen_rules
from graft.data.records import MOST_BYTES, MOST_PIXELS, Duplicates, ImageRules
from graft.training.recipes.records import PreprocessingName
from graft.training.tuning.records import OptimizerName

USUAL_SPLIT = "70/15/15"  # training/validation/test
Epochs = Annotated[int, Interval(ge=1, le=100_000)]


@record
class RuleOptions:
    """What photos may be, and which 16-bit sample is white; None: the default, or what the plan to follow says."""

    max_megapixels: Annotated[float, Interval(ge=0.001, le=MOST_PIXELS / MILLION)] | None = None
    max_megabytes: Annotated[float, Interval(ge=0.001, le=MOST_BYTES / MILLION)] | None = None
    min_side: Annotated[int, Interval(ge=1, le=2048)] | None = None  # pixels
    white: Annotated[int, Interval(ge=255, le=65_535)] | None = None

    def rules(self, followed: ImageRules | None = None) -> ImageRules:
        """The rules for photos: those of the plan that is followed, or the defaults, with what was chosen here."""
        return chosen_rules(
            followed or ImageRules(),
            max_megapixels=self.max_megapixels,
            max_megabytes=self.max_megabytes,
            min_side=self.min_side,
            white=self.white,
        )


@record
class TuningOptions(RuleOptions):
    """Choices for fine-tuning; None is decided for the data and the machine, or is the `Tuning`'s default.

    At most one of the first five is given.
    """

    freeze: Literal["auto"] | None = None  # from the depth profile
    freeze_until: str | None = None  # the first layer that is trained
    freeze_level: Annotated[int, Interval(ge=0, le=9)] | None = None  # the feature-map level after which layers are
    unfreeze_last: Annotated[int, Ge(1)] | None = None  # layers of the backbone
    unfreeze: Literal["all", "none"] | None = None
    head: str | None = None  # probe, trained, or layers in words: "flatten,dense=256,dropout=0.5"
    augment: str | None = None  # a preset, with changes: "classic,rotation=30"
    views: Annotated[int, Interval(ge=1, le=1000)] | None = None
    epochs: Epochs | tuple[Epochs, ...] | None = None  # several: of each phase of a named recipe
    batch: Annotated[int, Interval(ge=1, le=4096)] | None = None
    optimizer: OptimizerName | None = None
    learning_rate: Annotated[float, Interval(gt=0, le=10)] | None = None
    layer_decay: Annotated[float, Interval(gt=0, le=1)] | None = None
    label_smoothing: Annotated[float, Interval(ge=0, lt=1)] | None = None
    mixup: Annotated[float, Interval(ge=0, le=10)] | None = None
    averaging: Annotated[float, Interval(ge=0, lt=1)] | None = None
    dropout: Annotated[float, Interval(ge=0, lt=1)] | None = None
    train_precision: Literal["auto", "bfloat16", "float32"] = "auto"
    store: Literal["auto", "always", "never"] = "auto"
    backend: Literal["auto", "tensorflow", "jax", "torch"] = "auto"
    time_budget: str | None = None  # "90s", "5m", "1h"

    def said(self) -> tuple[str, ...]:
        """The choices for fine-tuning that were made, by their names."""
        own = [field for field in fields(TuningOptions) if not hasattr(RuleOptions, field.name)]
        return tuple(field.name for field in own if getattr(self, field.name) != field.default)


@record
class TrainOptions(TuningOptions):
    """Choices as they were typed; `planning` resolves them against data and machine into a `Plan`."""

    data: str  # a folder of class folders, with or without split folders, a zip or tar of one, or a CSV table
    output: str | None = None  # the run's folder; None: named after the data, with the next free number
    recipe: str = "auto"  # one of OWN_RECIPES, or the name of a reference recipe
    backbone: str = "auto"
    weights: str | None = None  # a file, or "random" for a network that is trained from nothing
    preprocessing: PreprocessingName = "backbone"
    normalize: str | None = None  # what follows it, fitted on training photos: "featurewise-std", "zca"
    image_size: Annotated[int, Interval(ge=8, le=2048)] | None = None  # pixels of a side; None: the backbone's own
    seed: Annotated[int, Ge(0)] = 0
    split: str = USUAL_SPLIT
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    engine: Literal["openvino", "keras"] = "openvino"
    on_bad: Literal["quarantine", "fail"] = "quarantine"
    binary_head: Literal["sigmoid", "softmax"] = "sigmoid"  # for two classes: one unit or two, the same probabilities
    split_from: str | None = None  # an earlier run whose photos keep their splits
    duplicates: Duplicates = "near"  # which copies share a split: those that look the same, or equal bytes only
    config: str | None = None  # a plan.json to follow
    tensorboard: str | None = None  # a folder for curves to watch
    plots: str | None = None  # a folder for figures
    command: str = ""  # what was typed, for the report


@record
class FeatureOptions(RuleOptions):
    """Choices for a file of features; those that `TrainOptions` has too mean the same there."""

    data: str  # as for a training; or a folder of photos without labels
    output: str  # FILE.npz or FILE.parquet
    backbone: str = "auto"
    weights: str | None = None
    image_size: Annotated[int, Interval(ge=8, le=2048)] | None = None
    layers: tuple[str, ...] = ()  # names; none: the last one, unless `taps` or `drop_last` say otherwise
    taps: bool = False  # all depths that a training reads
    drop_last: Annotated[int, Ge(0)] | None = None  # the output of the network without its last layers, so many
    pooling: Literal["avg", "max", "none"] = "avg"
    labels: bool = True  # False: folders are no classes
    split: str = USUAL_SPLIT
    seed: Annotated[int, Ge(0)] = 0
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    dtype: Literal["float32", "float16"] = "float32"  # of the file
    on_bad: Literal["quarantine", "fail"] = "quarantine"
    split_from: str | None = None
    duplicates: Duplicates = "near"
