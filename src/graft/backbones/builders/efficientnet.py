"""EfficientNet's networks B0 to B7, one construction whatever the source of their weights.

Keras builds another network for `weights="imagenet"` than for `weights=None`: the first has one more `Rescaling`, which
mends the published normalisation (its `variance` holds standard deviations). Here there is one network, the second;
`graft.backbones.reading.conversion` puts the true variance into such weights when it reads them, so both sources give
Keras' numbers. Layer names are the published ones.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from graft.backbones.families.efficientnet import (
    CHANNELS,
    LAST_CHANNELS,
    STEM_CHANNELS,
    VARIANTS,
    Variant,
    block_name,
    places,
    scaled_channels,
)

KERNEL_SIZES = (3, 3, 5, 3, 5, 5, 3)  # of the seven stages
STRIDES = (1, 2, 2, 2, 1, 2, 1)
EXPANSIONS = (1, 6, 6, 6, 6, 6, 6)
SQUEEZE_RATIO = 0.25
DROP_CONNECT_RATE = 0.2  # stochastic depth of the last block; it grows linearly from 0
IMAGENET_DEVIATIONS = (0.229, 0.224, 0.225)  # of red, green and blue, for pixels from 0 to 1
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Block:
    """What one inverted residual block looks like."""

    name: str
    channels_in: int
    channels_out: int
    kernel_size: int
    strides: int
    expansion: int
    drop_rate: float


def blocks(variant: Variant) -> tuple[Block, ...]:
    """The variant's blocks, from the input upwards."""
    result: list[Block] = []
    channels_in = scaled_channels(STEM_CHANNELS, variant)
    every = places(variant)
    for index, (stage, repeat) in enumerate(every):
        result.append(
            Block(
                name=block_name(stage, repeat),
                channels_in=channels_in,
                channels_out=scaled_channels(CHANNELS[stage], variant),
                kernel_size=KERNEL_SIZES[stage],
                strides=1 if repeat else STRIDES[stage],
                expansion=EXPANSIONS[stage],
                drop_rate=DROP_CONNECT_RATE * index / len(every),
            )
        )
        channels_in = result[-1].channels_out
    return tuple(result)


def build_efficientnet(name: str, inputs: Any, *, channel_axis: int, include_top: bool = False) -> Any:
    """The last feature map of one of `VARIANTS`, or its 1,000 probabilities, from RGB pixels 0..255."""
    import keras

    variant = VARIANTS[name]
    x = keras.layers.Rescaling(1 / 255, name="rescaling")(inputs)
    x = keras.layers.Normalization(axis=channel_axis, name="normalization")(x)
    x = _downsampling_pad(x, 3, "stem_conv_pad", channel_axis)
    stem_channels = scaled_channels(STEM_CHANNELS, variant)
    x = _convolution(x, stem_channels, "stem_conv", kernel_size=3, strides=2, padding="valid")
    x = _normalised(x, "stem_bn", "stem_activation", channel_axis)
    for block in blocks(variant):
        x = _block(x, block, channel_axis)
    x = _convolution(x, scaled_channels(LAST_CHANNELS, variant), "top_conv")
    x = _normalised(x, "top_bn", "top_activation", channel_axis)
    if not include_top:
        return x
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = keras.layers.Dropout(variant.dropout, name="top_dropout")(x)
    return keras.layers.Dense(1000, activation="softmax", name="predictions")(x)


def _block(inputs: Any, block: Block, channel_axis: int) -> Any:
    """Expand, filter each channel, weigh the channels, project; add the input where the shapes allow it."""
    import keras

    x = inputs
    if block.expansion != 1:
        x = _convolution(x, block.channels_in * block.expansion, f"{block.name}_expand_conv")
        x = _normalised(x, f"{block.name}_expand_bn", f"{block.name}_expand_activation", channel_axis)
    padding = "same"
    if block.strides == 2:
        x = _downsampling_pad(x, block.kernel_size, f"{block.name}_dwconv_pad", channel_axis)
        padding = "valid"
    depthwise = keras.layers.DepthwiseConv2D(
        block.kernel_size,
        strides=block.strides,
        padding=padding,
        use_bias=False,
        depthwise_initializer=_initializer(),
        name=f"{block.name}_dwconv",
    )
    x = _normalised(depthwise(x), f"{block.name}_bn", f"{block.name}_activation", channel_axis)
    x = _squeeze_and_excite(x, block, channel_axis)
    x = _convolution(x, block.channels_out, f"{block.name}_project_conv")
    x = keras.layers.BatchNormalization(axis=channel_axis, name=f"{block.name}_project_bn")(x)
    if block.strides != 1 or block.channels_in != block.channels_out:
        return x
    # One draw for each image: a whole block is dropped or kept.
    drop = keras.layers.Dropout(block.drop_rate, noise_shape=(None, 1, 1, 1), name=f"{block.name}_drop")
    return keras.layers.Add(name=f"{block.name}_add")([drop(x), inputs])


def _squeeze_and_excite(x: Any, block: Block, channel_axis: int) -> Any:
    """Scale each channel by a number between 0 and 1 that depends on all channels' means."""
    import keras

    channels = block.channels_in * block.expansion
    shape = (channels, 1, 1) if channel_axis == 1 else (1, 1, channels)
    weights = keras.layers.GlobalAveragePooling2D(name=f"{block.name}_se_squeeze")(x)
    weights = keras.layers.Reshape(shape, name=f"{block.name}_se_reshape")(weights)
    squeezed = max(1, int(block.channels_in * SQUEEZE_RATIO))
    weights = _convolution(weights, squeezed, f"{block.name}_se_reduce", activation="silu", use_bias=True)
    weights = _convolution(weights, channels, f"{block.name}_se_expand", activation="sigmoid", use_bias=True)
    return keras.layers.Multiply(name=f"{block.name}_se_excite")([x, weights])


def _convolution(
    x: Any,
    channels: int,
    name: str,
    *,
    kernel_size: int = 1,
    strides: int = 1,
    padding: str = "same",
    activation: str | None = None,
    use_bias: bool = False,
) -> Any:
    import keras

    layer = keras.layers.Conv2D(
        channels,
        kernel_size,
        strides=strides,
        padding=padding,
        activation=activation,
        use_bias=use_bias,
        kernel_initializer=_initializer(),
        name=name,
    )
    return layer(x)


def _normalised(x: Any, name: str, activation_name: str, channel_axis: int) -> Any:
    import keras

    x = keras.layers.BatchNormalization(axis=channel_axis, name=name)(x)
    return keras.layers.Activation("silu", name=activation_name)(x)


def _downsampling_pad(x: Any, kernel_size: int, name: str, channel_axis: int) -> Any:
    """Pad so that a strided convolution samples even and odd sides alike: one row less before an even side."""
    import keras

    height, width = x.shape[2:4] if channel_axis == 1 else x.shape[1:3]
    reach = kernel_size // 2
    before = [reach - (1 - side % 2) for side in (height, width)]
    return keras.layers.ZeroPadding2D(((before[0], reach), (before[1], reach)), name=name)(x)


def _initializer() -> Any:
    """Kernels for a network trained from scratch; a fresh object for each layer, so that no two draw alike."""
    import keras

    return keras.initializers.VarianceScaling(scale=2.0, mode="fan_out", distribution="truncated_normal")


def with_true_variance(tensors: Mapping[str, Array]) -> dict[str, Array]:
    """Mend the published normalisation; other weights are left as they are.

    The published files hold the standard deviations of ImageNet's channels as `variance`; Keras makes up for it by
    dividing once more by their square root. The same numbers come from the true variance and no second division.
    """
    variance, deviations = tensors["normalization/variance"], np.asarray(IMAGENET_DEVIATIONS, np.float32)
    if not np.allclose(variance, deviations, rtol=1e-3):
        return dict(tensors)
    return {**tensors, "normalization/variance": variance * deviations}
