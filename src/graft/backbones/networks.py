"""Build a backbone's network from its record, in either data format, with the same weight shapes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from graft.backbones.builders.alexnet import build_alexnet
from graft.backbones.builders.applications import FUNCTIONS, build_application
from graft.backbones.builders.convnet import build_convnet
from graft.backbones.builders.convnext import build_convnext
from graft.backbones.builders.efficientnet import build_efficientnet
from graft.backbones.builders.googlenet import build_googlenet
from graft.backbones.builders.lenet import build_lenet
from graft.backbones.builders.senet import build_se_resnet50
from graft.backbones.builders.sprout import build_sprout
from graft.backbones.builders.vit import build_vit
from graft.backbones.families.convnext import VARIANTS as CONVNEXTS
from graft.backbones.families.efficientnet import VARIANTS as EFFICIENTNETS
from graft.backbones.families.vit import NAME as VIT
from graft.backbones.records import BackboneRecord
from graft.core.errors import BadInput
from graft.core.telemetry import without_telemetry

DataFormat = Literal["channels_last", "channels_first"]
MOST_CHANNELS = 3  # of an image; no network takes images of so few rows
INPUT_NAME = "input"  # of the network's input layer: Keras' own name would carry a number that depends on history


@dataclass(frozen=True)
class Request:
    """What a constructor is asked for. `inputs` is a Keras tensor in Keras' current data format."""

    record: BackboneRecord
    inputs: Any
    channel_axis: int
    include_top: bool


def _application(request: Request) -> Any:
    record = request.record
    return build_application(record.constructor, dict(record.options), request.inputs, include_top=request.include_top)


def _efficientnet(request: Request) -> Any:
    import keras

    name = request.record.constructor
    output = build_efficientnet(
        name, request.inputs, channel_axis=request.channel_axis, include_top=request.include_top
    )
    return keras.Model(request.inputs, output, name=name.replace("_", ""))


def _convnext(request: Request) -> Any:
    import keras

    name = request.record.constructor
    return keras.Model(request.inputs, build_convnext(name, request.inputs, include_top=request.include_top), name=name)


def _sprout(request: Request) -> Any:
    import keras

    return keras.Model(request.inputs, build_sprout(request.inputs, channel_axis=request.channel_axis), name="sprout")


def _googlenet(request: Request) -> Any:
    import keras

    output = build_googlenet(request.inputs, channel_axis=request.channel_axis, include_top=request.include_top)
    return keras.Model(request.inputs, output, name="googlenet")


def _se_resnet50(request: Request) -> Any:
    import keras

    output = build_se_resnet50(request.inputs, channel_axis=request.channel_axis, include_top=request.include_top)
    return keras.Model(request.inputs, output, name="se_resnet50")


def _vit(request: Request) -> Any:
    import keras

    return keras.Model(request.inputs, build_vit(request.inputs, include_top=request.include_top), name="vit_b16")


def _alexnet(request: Request) -> Any:
    import keras

    return keras.Model(request.inputs, build_alexnet(request.inputs, include_top=request.include_top), name="alexnet")


def _lenet(request: Request) -> Any:
    import keras

    return keras.Model(request.inputs, build_lenet(request.inputs, include_top=request.include_top), name="lenet5")


def _convnet(request: Request) -> Any:
    import keras

    norm = str(dict(request.record.options)["norm"])
    output = build_convnet(request.inputs, norm=norm, channel_axis=request.channel_axis)
    return keras.Model(request.inputs, output, name="convnet")


CONSTRUCTORS: Mapping[str, Callable[[Request], Any]] = MappingProxyType(
    {
        **dict.fromkeys(FUNCTIONS, _application),
        **dict.fromkeys(EFFICIENTNETS, _efficientnet),
        **dict.fromkeys(CONVNEXTS, _convnext),
        "googlenet": _googlenet,
        "se_resnet50": _se_resnet50,
        VIT: _vit,
        "alexnet": _alexnet,
        "convnet": _convnet,
        "lenet5": _lenet,
        "sprout": _sprout,
    }
)


def fastest_format(record: BackboneRecord) -> DataFormat:
    """The data format in which an inference engine computes this network fastest.

    `channels_first` exports without transposes: four times as fast for MobileNets on a CPU (`bench/bench_layout.py`).
    ConvNeXt and the Vision Transformer normalise and mix along the last axis, so they are built channels-last only.
    """
    return "channels_last" if record.constructor in {*CONVNEXTS, VIT} else "channels_first"


def build(
    record: BackboneRecord,
    *,
    side_pixels: int,
    include_top: bool = False,
    data_format: DataFormat = "channels_last",
) -> Any:
    """The record's network as a `keras.Model` with random weights.

    Both data formats have the same weights: kernels keep their shapes. See `fastest_format`.

    Not for several threads at once: Keras' data format is a global setting while this runs.

    Input shape: `(batch, side, side, channels)` or `(batch, channels, side, side)` float32, after the record's
    preprocessing. Output shape: the last feature map, or `(batch, classes)` with the top.

    Raises:
        BadInput: the side is below the record's minimum, or the network has no top.
        ValueError: the network is channels-last only (ConvNeXt).
    """
    with without_telemetry():
        import keras

    _check(record, side_pixels, include_top)
    channels_first = data_format == "channels_first"
    if channels_first and fastest_format(record) == "channels_last":
        raise ValueError(f"{record.name} is built channels_last only")
    channels = record.preprocessing.channels
    shape = (channels, side_pixels, side_pixels) if channels_first else (side_pixels, side_pixels, channels)
    with image_data_format(data_format):
        inputs = keras.Input(shape, name=INPUT_NAME, dtype="float32")
        request = Request(record, inputs, channel_axis=1 if channels_first else -1, include_top=include_top)
        return CONSTRUCTORS[record.constructor](request)


@contextmanager
def image_data_format(data_format: DataFormat) -> Iterator[None]:
    """Set Keras' global data format for a while."""
    import keras

    before = keras.config.image_data_format()
    keras.config.set_image_data_format(data_format)
    try:
        yield
    finally:
        keras.config.set_image_data_format(before)


def data_format_of(model: Any) -> DataFormat:
    """The data format a network was built with, read from its input's shape."""
    return "channels_first" if model.input_shape[1] <= MOST_CHANNELS else "channels_last"


def check_input_side(record: BackboneRecord, side_pixels: int) -> None:
    """Refuse a side at which the network cannot be built: too small, or not the one that its positions are for."""
    least, most = record.min_side_pixels, record.max_side_pixels
    if least == most and side_pixels != least:
        raise BadInput(
            f"The image side must be {least} px for {record.name}, which knows its patches by their positions, "
            f"got {side_pixels}.",
            hint="Leave --image-size out.",
        )
    if side_pixels < least:
        raise BadInput(
            f"The image side must be at least {least} px for {record.name}, got {side_pixels}.",
            hint=f"Use --image-size {record.side_pixels}.",
        )


def _check(record: BackboneRecord, side_pixels: int, include_top: bool) -> None:
    check_input_side(record, side_pixels)
    if include_top and record.parameters_with_top is None:
        raise BadInput(
            f"The backbone must have a classifier of its own for this, got {record.name}, which has none.",
            hint="Choose another with --backbone.",
        )
