"""ConvNeXt's networks, flat and channels-last: the published layer names, without Keras' nested models.

With the top the last feature map is averaged before it is normalised, without it is normalised as it is; it is the
same layer with the same weights both times, as published.
"""

from typing import Any

from graft.backbones.families.convnext import VARIANTS, block_name, last_normalisation

EPSILON = 1e-6
# ImageNet's mean and deviation for pixels from 0 to 255.
MEAN = tuple(255 * value for value in (0.485, 0.456, 0.406))
VARIANCE = tuple((255 * value) ** 2 for value in (0.229, 0.224, 0.225))
KERNEL_SIZE = 7
EXPANSION = 4
SCALE_AT_START = 1e-6  # of each block's addition


def build_convnext(name: str, inputs: Any, *, include_top: bool = False) -> Any:
    """The last feature map of one of `VARIANTS`, or its 1,000 probabilities, from RGB pixels 0..255."""
    import keras

    variant = VARIANTS[name]
    x = keras.layers.Normalization(mean=MEAN, variance=VARIANCE, name=f"{name}_prestem_normalization")(inputs)
    x = keras.layers.Conv2D(variant.channels[0], 4, strides=4, name=f"{name}_stem_conv")(x)
    x = _normalised(x, f"{name}_stem_layernorm")
    for stage, (depth, channels) in enumerate(zip(variant.depths, variant.channels, strict=True)):
        if stage:
            x = _normalised(x, f"{name}_downsampling_layernorm_{stage - 1}")
            x = keras.layers.Conv2D(channels, 2, strides=2, name=f"{name}_downsampling_conv_{stage - 1}")(x)
        for block in range(depth):
            x = _block(x, channels, block_name(name, stage, block))
    if not include_top:
        return _normalised(x, last_normalisation(name))
    x = keras.layers.GlobalAveragePooling2D(name=f"{name}_head_gap")(x)
    x = _normalised(x, last_normalisation(name))
    return keras.layers.Dense(1000, activation="softmax", name=f"{name}_head_dense")(x)


def _block(inputs: Any, channels: int, name: str) -> Any:
    """Filter each channel, normalise, mix the channels twice, scale; add the input."""
    import keras

    x = keras.layers.Conv2D(channels, KERNEL_SIZE, padding="same", groups=channels, name=f"{name}_depthwise_conv")(
        inputs
    )
    x = _normalised(x, f"{name}_layernorm")
    x = keras.layers.Dense(EXPANSION * channels, name=f"{name}_pointwise_conv_1")(x)
    x = keras.layers.Activation("gelu", name=f"{name}_gelu")(x)
    x = keras.layers.Dense(channels, name=f"{name}_pointwise_conv_2")(x)
    x = _layer_scale(channels, f"{name}_layer_scale")(x)
    return keras.layers.Add(name=f"{name}_add")([inputs, x])


def _normalised(x: Any, name: str) -> Any:
    import keras

    return keras.layers.LayerNormalization(epsilon=EPSILON, name=name)(x)


def _layer_scale(channels: int, name: str) -> Any:
    """A layer that multiplies each channel by a learned number; a class of its own, for Keras has none."""
    import keras

    class LayerScale(keras.layers.Layer):  # type: ignore[misc]
        """Multiply by `gamma`, (channels,)."""

        def build(self, input_shape: Any) -> None:
            """Create the weights."""
            start = keras.initializers.Constant(SCALE_AT_START)
            self.gamma = self.add_weight(shape=(channels,), initializer=start, name="gamma")

        def call(self, inputs: Any) -> Any:
            """The scaled input."""
            return inputs * self.gamma

    return LayerScale(name=name)
