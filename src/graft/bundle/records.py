"""What a bundle says about itself, and what a loaded one answers."""

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from annotated_types import Gt, Interval, Len

from graft.backbones.records import Preprocessing
from graft.core.records import record
from graft.data.records import ImageRules
from graft.features.records import Pooling, Precision
from graft.training.heads.records import Activation

Tolerance = Annotated[float, Gt(0)]
Side = Annotated[int, Interval(ge=1, le=2048)]
MOST_HIDDEN = 16
MOST_UNITS = 65_536


@record
class Golden:
    """Examples a loaded bundle must reproduce, with the largest differences allowed at each precision.

    Tensors: `golden/photo` (an image file's bytes), `golden/pixels` (row 0 is that photo decoded and resized) and
    `golden/probabilities` (float32 reference). `tolerance` is for a probability. `logit_tolerance` is for a logarithm
    of a probability, centred over the classes: where a classifier is sure, only there does a wrong input show.
    """

    count: Annotated[int, Interval(ge=1, le=64)]
    tolerance: dict[Precision, Tolerance]
    logit_tolerance: dict[Precision, Tolerance]


@record
class HiddenSpec:
    """A hidden layer; its arrays are the tensors `head/hidden_N/kernel` and `head/hidden_N/bias`, N from 0."""

    units: Annotated[int, Interval(ge=1, le=MOST_UNITS)]
    activation: Activation


@record
class HeadSpec:
    """The classifier on top; its arrays are the tensors `head/mean`, `head/scale`, `head/kernel`, `head/bias`.

    It reads the averages of taps; or, with layers of its own, the network's last layer: its averages, its maxima, or
    with the pooling "none" all values of its map of `positions` (height, width), or of its tokens, so many in a row.

    Where the bundle's precision is not float32 there is a tensor more, `head/shift`: by how much each feature is larger
    in float32, on average over training photos. It is added to `head/mean` where features are computed in float32.
    """

    taps: Annotated[tuple[str, ...], Len(1)]
    pooling: Pooling = "avg"
    positions: tuple[Side, Side] = (1, 1)
    hidden: Annotated[tuple[HiddenSpec, ...], Len(0, MOST_HIDDEN)] = ()
    temperature: Annotated[float, Gt(0)]
    threshold: Annotated[float, Interval(ge=0, le=1)] | None = None  # an answer is sure from this probability on


@record
class Provenance:
    """Which data and plan the bundle comes from, and how good it was measured to be."""

    graft_version: str
    recipe: str
    manifest_hash: str
    plan_hash: str
    n_train: int
    scored_on: Literal["test", "validation"]
    n_scored: int
    accuracy: float
    accuracy_interval: tuple[float, float]


@record
class BundleManifest:
    """The description inside a bundle. The network is rebuilt from the catalogue by `backbone`, never from code.

    Every tensor is under one of the two hashes, each over names, dtypes, shapes and bytes, sorted by name.
    """

    SCHEMA: ClassVar[str] = "graft/bundle/1"
    classes: Annotated[tuple[str, ...], Len(2)]
    backbone: str
    weights_sha256: Annotated[str, Len(64, 64)]  # of the tensors `backbone/…`, named without that prefix
    side_pixels: Annotated[int, Interval(ge=8, le=2048)]
    preprocessing: Preprocessing
    precision: Precision  # the features were computed at
    rules: ImageRules = ImageRules()  # what photos may be and how they are read, as in the training
    head: HeadSpec
    golden: Golden
    provenance: Provenance
    licences: tuple[tuple[str, str], ...]  # (what, terms)
    tensors_sha256: Annotated[str, Len(64, 64)]  # of the tensors `head/…` and `golden/…`


@dataclass(frozen=True)
class Prediction:
    """The answer for one photo. `path` is empty for a photo given as bytes or array."""

    path: str
    label: str
    probability: float
    top: tuple[tuple[str, float], ...]  # (label, probability), likeliest first
    sure: bool | None = None  # whether the probability reaches the classifier's threshold; None where it has none


@dataclass(frozen=True)
class Failure:
    """One photo that could not be used, and why (`code` is one of `graft.core.errors.CODES`)."""

    path: str
    code: str
    message: str
