"""One typed record for each backbone: input, preprocessing, size, licence, where its weights come from."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Interval

from graft.core.records import record
from graft.data.augmentation.normalization import Fitted

Geometry = Literal["squash", "crop"]
GREY_WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue in a pixel's brightness: ITU-R BT.601, as Pillow's "L"


@record
class Preprocessing:
    """From RGB pixels 0..255 to what the network expects: reorder channels, then `pixel * scale + offset`.

    `scale` and `offset` are for the channels in the network's own order. For a network of one channel (`grey`) red,
    green and blue are weighed into one when they are scaled, by `GREY_WEIGHTS`. `normalization` comes last.
    """

    channel_order: Literal["rgb", "bgr", "grey"] = "rgb"
    scale: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    geometry: Geometry = "squash"
    normalization: Fitted | None = None  # to the user's own training photos, where that was asked for

    @property
    def whitening_sha256(self) -> str:
        """Of the matrices that `normalization` needs beside its record; "" where it needs none."""
        return self.normalization.whitening_sha256 if self.normalization else ""

    @property
    def channels(self) -> int:
        """Of the network's input."""
        return 1 if self.channel_order == "grey" else 3


@record
class WeightsSource:
    """Where a set of weights is published. `sha256` is empty where none is stated, or its first digits."""

    url: str
    file: str
    sha256: str = ""
    md5: str = ""
    licence: str
    more_parameters: Annotated[int, Ge(0)] = 0  # in the file beside the network's: classifiers that training used


@record
class BackboneRecord:
    """One network as a user may name it. Every figure here is asserted on a built network by the contract tests."""

    SCHEMA: ClassVar[str] = "graft/backbone/1"
    name: str  # mobilenet_1.0, vgg16, sprout
    family: str  # mobilenet: with a weights file, the variant is found from the shapes
    title: str  # MobileNet 1.0
    constructor: str  # key of graft.backbones.networks.CONSTRUCTORS
    options: tuple[tuple[str, float | int | str | bool], ...] = ()  # given to the constructor, as (("alpha", 1.0),)
    side_pixels: Annotated[int, Ge(32)]  # the side to use unless the user asks for another
    trained_side_pixels: Annotated[int, Ge(32)] | None = None  # where that is not the side it was trained at
    min_side_pixels: Annotated[int, Ge(1)] = 32
    max_side_pixels: Annotated[int, Ge(1)] | None = None  # equal to the minimum, where positions were learned
    preprocessing: Preprocessing
    parameters: int  # without top
    parameters_with_top: int | None = None
    top_output: str = "predictions"  # the last layer of the network with its top; its values are probabilities
    top_labels: Literal["imagenet-1k", ""] = "imagenet-1k"  # what a top's classes are: a list that Graft knows, or none
    top_classes: Annotated[int, Ge(2)] = 1000  # how many a top has
    width: int  # channels of the last feature map
    taps: tuple[str, ...]  # layer names, from the input upwards
    tap_widths: tuple[int, ...]
    output: str = ""  # the last layer, where that is no tap: see `last`
    imagenet_top1: Annotated[float, Interval(gt=0, lt=1)] | None = None  # as published with the weights; None: unknown
    multiply_adds: Annotated[int, Ge(1)] | None = None  # for one image of `side_pixels`, without top
    cut_tensors: Literal[1, 2] = 1  # live tensors at a cut: NASNet's cells read the two cells below them
    cut_count: Annotated[int, Ge(1)] | None = None  # places where the network can be cut, with up to `cut_tensors`
    licence: str  # of code and weights, in one line for people
    paper: str
    weights: tuple[WeightsSource, ...] = ()

    @property
    def last(self) -> str:
        """The last layer of the network without its top: what a classifier with layers of its own reads."""
        return self.output or self.taps[-1]
