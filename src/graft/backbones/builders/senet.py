"""SE-ResNet-50 as timm's `seresnet50`: the stride of a stage lies in the 3x3 convolution of its first block.

Names are those of Keras' ResNet, with `_se_…` for the weighing of the channels. The first published version has the
same number of parameters, but strides in the 1x1 convolution: its weights have the same shapes and are for another
network (timm's `legacy_seresnet50`, whose names differ).
"""

from typing import Any

from graft.backbones.families.senet import BLOCKS, CHANNELS

EPSILON = 1e-5
STEM_CHANNELS = 64
BOTTLENECK = 4  # a block's inner convolutions have a quarter of its channels
SQUEEZE = 16  # and its weighing a sixteenth


def build_se_resnet50(inputs: Any, *, channel_axis: int, include_top: bool = False) -> Any:
    """The last feature map, or 1,000 probabilities, from pixels that the record's preprocessing made."""
    import keras

    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(inputs)
    x = _normalised(x, STEM_CHANNELS, "conv1", channel_axis, kernel_size=7, strides=2)
    x = keras.layers.ReLU(name="conv1_relu")(x)
    x = keras.layers.ZeroPadding2D(1, name="pool1_pad")(x)  # no value is below 0 here: the largest stays the largest
    x = keras.layers.MaxPooling2D(3, strides=2, name="pool1_pool")(x)
    for stage, (count, channels) in enumerate(zip(BLOCKS, CHANNELS, strict=True), 2):
        for block in range(1, count + 1):
            strides = 2 if stage > 2 and block == 1 else 1
            x = _block(x, channels, f"conv{stage}_block{block}", channel_axis, strides=strides, widens=block == 1)
    if not include_top:
        return x
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    return keras.layers.Dense(1000, activation="softmax", name="predictions")(x)


def _block(inputs: Any, channels: int, name: str, channel_axis: int, *, strides: int, widens: bool) -> Any:
    """Squeeze the channels, filter, expand them, weigh them; add the input."""
    import keras

    shortcut = inputs
    if widens:
        shortcut = _normalised(inputs, channels, f"{name}_0", channel_axis, strides=strides)
    x = _normalised(inputs, channels // BOTTLENECK, f"{name}_1", channel_axis)
    x = keras.layers.ReLU(name=f"{name}_1_relu")(x)
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_2_pad")(x)
    x = _normalised(x, channels // BOTTLENECK, f"{name}_2", channel_axis, kernel_size=3, strides=strides)
    x = keras.layers.ReLU(name=f"{name}_2_relu")(x)
    x = _normalised(x, channels, f"{name}_3", channel_axis)
    x = _weighed(x, channels, f"{name}_se", channel_axis)
    x = keras.layers.Add(name=f"{name}_add")([shortcut, x])
    return keras.layers.ReLU(name=f"{name}_out")(x)


def _weighed(x: Any, channels: int, name: str, channel_axis: int) -> Any:
    """Scale each channel by a number between 0 and 1 that depends on all channels' means."""
    import keras

    shape = (channels, 1, 1) if channel_axis == 1 else (1, 1, channels)
    weights = keras.layers.GlobalAveragePooling2D(name=f"{name}_squeeze")(x)
    weights = keras.layers.Reshape(shape, name=f"{name}_reshape")(weights)
    weights = keras.layers.Conv2D(channels // SQUEEZE, 1, activation="relu", name=f"{name}_reduce")(weights)
    weights = keras.layers.Conv2D(channels, 1, activation="sigmoid", name=f"{name}_expand")(weights)
    return keras.layers.Multiply(name=f"{name}_excite")([x, weights])


def _normalised(x: Any, channels: int, name: str, channel_axis: int, *, kernel_size: int = 1, strides: int = 1) -> Any:
    """Convolution without bias or padding, and normalisation."""
    import keras

    convolution = keras.layers.Conv2D(channels, kernel_size, strides=strides, use_bias=False, name=f"{name}_conv")
    normalisation = keras.layers.BatchNormalization(axis=channel_axis, epsilon=EPSILON, name=f"{name}_bn")
    return normalisation(convolution(x))
