"""GoogLeNet without its auxiliary classifiers, as torchvision builds it.

That is the paper's network with BatchNormalization after each convolution, and with a 3x3 convolution where the paper
has a 5x5 one: a slip of the TensorFlow version whose weights everyone uses, kept because the weights are for it.
"""

from typing import Any

from graft.backbones.families.googlenet import MODULES, STEM, Module

EPSILON = 1e-3
DROPOUT = 0.2


def build_googlenet(inputs: Any, *, channel_axis: int, include_top: bool = False) -> Any:
    """The last feature map, or 1,000 probabilities, from pixels that the record's preprocessing made."""
    import keras

    (first, second, third) = STEM
    x = keras.layers.ZeroPadding2D(3, name="conv1_pad")(inputs)
    x = _unit(x, first[1], first[0], channel_axis, kernel_size=7, strides=2, padding="valid")
    x = _halved(x, 3, "pool1", channel_axis)
    x = _unit(x, second[1], second[0], channel_axis)
    x = _unit(x, third[1], third[0], channel_axis, kernel_size=3)
    below = ""
    for module in MODULES:
        level = module.name.removeprefix("inception")[0]
        if level != below:
            x = _halved(x, 2 if level == "5" else 3, f"pool{int(level) - 1}", channel_axis)
        below = level
        x = _module(x, module, channel_axis)
    if not include_top:
        return x
    x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
    x = keras.layers.Dropout(DROPOUT, name="top_dropout")(x)
    return keras.layers.Dense(1000, activation="softmax", name="predictions")(x)


def _module(x: Any, module: Module, channel_axis: int) -> Any:
    """Look at each place alone, at its surroundings twice, and at the largest value around it."""
    import keras

    name = module.name
    branches = [_unit(x, module.pointwise, f"{name}_branch1", channel_axis)]
    for number, (squeezed, filtered) in enumerate(zip(module.squeezed, module.filtered, strict=True), 2):
        small = _unit(x, squeezed, f"{name}_branch{number}_1", channel_axis)
        branches.append(_unit(small, filtered, f"{name}_branch{number}_2", channel_axis, kernel_size=3))
    largest = keras.layers.MaxPooling2D(3, strides=1, padding="same", name=f"{name}_branch4_pool")(x)
    branches.append(_unit(largest, module.pooled, f"{name}_branch4", channel_axis))
    return keras.layers.Concatenate(axis=channel_axis, name=name)(branches)


def _halved(x: Any, window: int, name: str, channel_axis: int) -> Any:
    """Pooling with steps of 2 whose last window may reach over the edge, never the first one: torch's `ceil_mode`.

    Keras pads evenly on both sides, which is the same where one row is missing; where two would be, none are.
    """
    import keras

    side = int(x.shape[2 if channel_axis == 1 else 1])
    padding = "valid" if (side - window) % 2 == 0 else "same"
    return keras.layers.MaxPooling2D(window, strides=2, padding=padding, name=name)(x)


def _unit(
    x: Any,
    channels: int,
    name: str,
    channel_axis: int,
    *,
    kernel_size: int = 1,
    strides: int = 1,
    padding: str = "same",
) -> Any:
    """Convolution without bias, normalisation, activation."""
    import keras

    convolution = keras.layers.Conv2D(
        channels, kernel_size, strides=strides, padding=padding, use_bias=False, name=f"{name}_conv"
    )
    x = convolution(x)
    x = keras.layers.BatchNormalization(axis=channel_axis, epsilon=EPSILON, name=f"{name}_bn")(x)
    return keras.layers.ReLU(name=f"{name}_relu")(x)
