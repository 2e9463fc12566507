"""What a training decided, and the classifier it left."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Ge

from graft.backbones.records import Preprocessing
from graft.core.records import record
from graft.data.records import Duplicates, ImageRules
from graft.evaluation.records import Score
from graft.features.records import Output, Pooling, Precision
from graft.training.heads.records import Activation
from graft.training.tuning.records import Schedule, Tuning

ChosenOn = Literal["out-of-fold", "validation"]


@record
class Plan:
    """A recipe resolved against data and machine, once. Training follows it to the letter.

    Two trainings with equal plans on one machine write the same bundle bytes; nothing here names a path or a time.
    """

    SCHEMA: ClassVar[str] = "graft/plan/1"
    graft_version: str
    recipe: str  # probe, finetune, auto, or the name of a reference recipe
    recipe_reason: str
    manifest_hash: str
    split_fractions: tuple[float, float, float]
    backbone: str
    backbone_reason: str
    weights_sha256: str
    random_weights: bool = False  # drawn from the seed: the network is trained from nothing
    side_pixels: Annotated[int, Ge(8)]
    preprocessing: Preprocessing
    precision: Precision
    engine: Literal["openvino", "keras"]
    taps: tuple[str, ...]
    widths: tuple[int, ...]
    max_width: int = 4096  # most numbers a head may read: more costs memory and bought no accuracy
    shrinkages: tuple[float, ...] = (0.03, 0.1, 0.3, 1.0)
    profile_shrinkage: float = 0.3  # the same at every depth: the profile compares depths, not tunings
    strengths: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    out_of_fold_below: int = 1000  # training photos under which choices come from cross-validation
    refit: bool  # on training and validation photos together, after everything was chosen
    binary_units: Literal[1, 2] = 1
    seed: int
    threads: int
    rules: ImageRules = ImageRules()  # what photos may be, and how they were read
    duplicates: Duplicates = "near"  # which copies were kept in one split
    tuning: Tuning | None = None  # fine-tuning after the probe, as asked for; None: the probe is all
    schedules: tuple[Schedule, ...] = ()  # how, phase by phase, decided when the probe was there; (): not (yet)


@record
class Depth:
    """One point of the depth profile: a linear classifier on the tap of one layer alone."""

    layer: str
    width: int
    accuracy: Score


@record
class Choice:
    """One candidate that was compared: a run of taps and how strongly the head on them is regularised."""

    first: str  # lowest tap
    last: str  # highest tap
    width: int
    shrinkage: float  # how far the features' covariance is drawn towards a multiple of the identity
    strength: (
        float | None
    )  # inverse regularisation C of the logistic regression; None for the ridge that chose the taps
    accuracy: float
    log_loss: float | None


@record
class ProbeSummary:
    """How the linear probe chose, on which photos, and what came of it. The test split has no part in it."""

    SCHEMA: ClassVar[str] = "graft/probe/1"
    chosen_on: ChosenOn
    n_chosen_on: int  # photos whose log-loss chose the strength and the temperature
    n_compared_on: int  # photos on which runs of taps were compared: left out one by one, and validation
    depth_profile: tuple[Depth, ...]
    choices: tuple[Choice, ...]
    chosen: Choice
    last_layer: Choice  # the same tuning on the last tap alone: what reading every depth is compared with
    taps: tuple[str, ...]
    class_weighted: bool
    temperature: float
    refitted: bool  # on training and validation photos together, after everything was chosen
    validation_accuracy: Score | None  # of the classifier before it was refitted


@dataclass(frozen=True)
class Hidden:
    """One hidden layer: `activation(inputs @ kernel + bias)`; kernel `(width, unit)`, bias `(unit,)`, float32."""

    kernel: np.ndarray
    bias: np.ndarray
    activation: Activation


@dataclass(frozen=True)
class Classifier:
    """Standardise, pass the hidden layers where there are some, multiply, soften: the head that ships.

    `probabilities = softmax((hidden((features - mean) * scale) @ kernel + bias) / temperature)`, features being the
    chosen taps concatenated from the lowest up, or with another `pooling` the maxima or all values of one layer. Mean
    and scale are `(width,)`, kernel `(width, unit)`, bias `(unit,)`, float32; one unit for each class, or a single
    sigmoid unit for two classes. `scale` is 0 for near-constant features. From `threshold` on an answer is sure; None
    where too few photos were held out to say. `shift`, `(width,)` float32, is by how much the features are larger in
    float32, on average over training photos, than in the bfloat16 that the head belongs to (see `linear.in_float32`);
    None where they were float32 already, and where nobody has looked.
    """

    taps: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray
    temperature: float
    pooling: Pooling = "avg"  # "none": all values of the one layer, flattened in the order (height, width, channel)
    hidden: tuple[Hidden, ...] = ()
    threshold: float | None = None
    shift: np.ndarray | None = None

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What it reads of the network, in the order of its features."""
        return tuple(Output(layer=tap, pooling=self.pooling) for tap in self.taps)
