"""Build a backbone's network from its record, in either data format, with the same weight shapes."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from graft.backbones.applications import FUNCTIONS, build_application
from graft.backbones.convnext import build_convnext
from graft.backbones.efficientnet import build_efficientnet
from graft.backbones.families.convnext import VARIANTS as CONVNEXTS
from graft.backbones.families.efficientnet import VARIANTS as EFFICIENTNETS
from graft.backbones.records import BackboneRecord
from graft.backbones.sprout import build_sprout
from graft.core.errors import BadInput
from graft.core.telemetry import without_telemetry

DataFormat = Literal["channels_last", "channels_first"]
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


CONSTRUCTORS: Mapping[str, Callable[[Request], Any]] = MappingProxyType(
    {
        **dict.fromkeys(FUNCTIONS, _application),
        **dict.fromkeys(EFFICIENTNETS, _efficientnet),
        **dict.fromkeys(CONVNEXTS, _convnext),
        "sprout": _sprout,
    }
)


def fastest_format(record: BackboneRecord) -> DataFormat:
    """The data format in which an inference engine computes this network fastest.

    `channels_first` exports without transposes: four times as fast for MobileNets on a CPU (`bench/bench_layout.py`).
    ConvNeXt normalises and mixes along the last axis, so it is built channels-last only.
    """
    return "channels_last" if record.constructor in CONVNEXTS else "channels_first"


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

    Input shape: `(batch, side, side, 3)` or `(batch, 3, side, side)` float32, after the record's preprocessing.
    Output shape: the last feature map, or `(batch, 1000)` with the top.

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
    shape = (3, side_pixels, side_pixels) if channels_first else (side_pixels, side_pixels, 3)
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
    return "channels_first" if model.input_shape[1] == 3 else "channels_last"


def _check(record: BackboneRecord, side_pixels: int, include_top: bool) -> None:
    if side_pixels < record.min_side_pixels:
        raise BadInput(
            f"The image side must be at least {record.min_side_pixels} px for {record.name}, got {side_pixels}.",
            hint=f"Use --image-size {record.side_pixels}.",
        )
    if include_top and record.parameters_with_top is None:
        raise BadInput(
            f"The backbone must have a classifier of its own for this, got {record.name}, which has none.",
            hint="Choose another with --backbone.",
        )
