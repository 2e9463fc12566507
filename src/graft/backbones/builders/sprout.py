"""The built-in backbone's network: a small residual network for features, not for classification."""

from typing import Any

STAGE_CHANNELS = (64, 128, 256)
STEM_CHANNELS = 32
HEAD_CHANNELS = 512
EPSILON = 1e-3


def build_sprout(inputs: Any, *, channel_axis: int) -> Any:
    """sprout's last feature map from a Keras tensor of RGB pixels 0..255; both sides at least 48 px.

    Stem, three stages (a strided convolution and one residual pair each) and a 1x1 head; total stride 16.
    """
    import keras

    x = keras.layers.Rescaling(1 / 64, offset=-2.0, name="rescale")(inputs)
    x = _unit(x, STEM_CHANNELS, "stem", channel_axis, strides=2)
    for number, channels in enumerate(STAGE_CHANNELS, 1):
        x = _stage(x, channels, f"s{number}", channel_axis)
    return _unit(x, HEAD_CHANNELS, "head", channel_axis, kernel_size=1)


def _stage(x: Any, channels: int, name: str, channel_axis: int) -> Any:
    """Halve the resolution, then add what two convolutions have to say."""
    import keras

    x = _unit(x, channels, f"{name}_down", channel_axis, strides=2)
    branch = _unit(x, channels, f"{name}_a", channel_axis)
    branch = _unit(branch, channels, f"{name}_b", channel_axis, activate=False)
    x = keras.layers.Add(name=f"{name}_add")([x, branch])
    return keras.layers.ReLU(name=f"{name}_out")(x)


def _unit(
    x: Any,
    channels: int,
    name: str,
    channel_axis: int,
    *,
    kernel_size: int = 3,
    strides: int = 1,
    activate: bool = True,
) -> Any:
    """Convolution without bias, normalisation and, unless an addition follows, the activation."""
    import keras

    convolution = keras.layers.Conv2D(channels, kernel_size, strides=strides, padding="same", use_bias=False, name=name)
    x = convolution(x)
    x = keras.layers.BatchNormalization(axis=channel_axis, epsilon=EPSILON, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x) if activate else x
