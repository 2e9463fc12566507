"""A classifier's layers as data: what stands between a network's last feature map and the class probabilities."""

from typing import Annotated, Literal

from annotated_types import Ge, Interval

from graft.core.records import record, told_apart_by

Activation = Literal["linear", "relu"]
Count = Annotated[int, Ge(1)]


@record
class Flatten:
    """All values of the map, in the order (height, width, channel)."""

    kind: Literal["flatten"] = "flatten"


@record
class GlobalAveragePooling:
    """The mean over positions of each channel."""

    kind: Literal["global_average_pooling"] = "global_average_pooling"


@record
class GlobalMaxPooling:
    """The maximum over positions of each channel."""

    kind: Literal["global_max_pooling"] = "global_max_pooling"


@record
class Dense:
    """Fully connected, with bias."""

    kind: Literal["dense"] = "dense"
    units: Count
    activation: Activation = "relu"


@record
class Dropout:
    """While training, this share of the values is set to zero."""

    kind: Literal["dropout"] = "dropout"
    rate: Annotated[float, Interval(gt=0, lt=1)]


@record
class Convolution:
    """As large as the map it reads, without padding: one position is left. Another map is refused."""

    kind: Literal["convolution"] = "convolution"
    filters: Count
    kernel_pixels: Count  # of a side
    activation: Activation = "linear"


@record
class BatchNormalization:
    """Keras' own, with its defaults: momentum 0.99, epsilon 0.001."""

    kind: Literal["batch_normalization"] = "batch_normalization"


Layer = Annotated[
    Flatten | GlobalAveragePooling | GlobalMaxPooling | Dense | Dropout | Convolution | BatchNormalization,
    told_apart_by("kind"),
]


@record
class Head:
    """The layers below the last one, from the bottom up; the last is Dense, one unit a class or one sigmoid unit."""

    layers: tuple[Layer, ...]
    name: str = "predictions"  # of the last layer
