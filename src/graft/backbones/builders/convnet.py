"""convnet's network: convolution, normalisation, activation, pooling, four times over."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from graft.backbones.families.convnet import CHANNELS

KERNEL_SIZE = 3
GROUP_CHANNELS = 16  # of one group: with 32 groups in all, what the paper on group normalisation found best
# How far a batch's statistics may take batch renormalisation from the running ones: where the paper's schedule ends.
RENORM_LIMITS: Mapping[str, float] = MappingProxyType({"rmin": 1 / 3, "rmax": 3.0, "dmax": 5.0})
SHORTEST = 1e-12  # of a kernel's squared length, so that none is divided by zero


def build_convnet(inputs: Any, *, norm: str, channel_axis: int) -> Any:
    """convnet's last map from a Keras tensor of pixels 0..1; both sides at least 46 px.

    `norm` is a key of `NORMALISATIONS`, `weight` or `none`. Without normalisation the convolutions have biases and the
    activation inside, as the courses write it; with it, they are followed by it and then by the activation. Layers of
    normalisation are named by their kind: a weights file tells which network it belongs to.
    """
    import keras

    x = inputs
    for number, channels in enumerate(CHANNELS, 1):
        name = f"conv{number}"
        if norm == "none":
            x = keras.layers.Conv2D(channels, KERNEL_SIZE, activation="relu", name=name)(x)
        else:
            x = _convolved(x, channels, name, norm)
            if norm in NORMALISATIONS:
                x = NORMALISATIONS[norm](channels, channel_axis, f"norm{number}_{norm}")(x)
            x = keras.layers.ReLU(name=f"relu{number}")(x)
        x = keras.layers.MaxPooling2D(2, name=f"pool{number}")(x)
    return x


def _convolved(x: Any, channels: int, name: str, norm: str) -> Any:
    import keras

    if norm == "weight":
        return _weight_normalised(channels, name)(x)
    return keras.layers.Conv2D(channels, KERNEL_SIZE, use_bias=False, name=name)(x)


def _batch(channels: int, axis: int, name: str) -> Any:
    import keras

    return keras.layers.BatchNormalization(axis=axis, name=name)


def _batch_renorm(channels: int, axis: int, name: str) -> Any:
    import keras

    return keras.layers.BatchNormalization(axis=axis, renorm=True, renorm_clipping=dict(RENORM_LIMITS), name=name)


def _groups(count: Callable[[int], int]) -> Callable[[int, int, str], Any]:
    """Normalisation of each image by itself, its channels in so many groups: all in one, or each by itself."""

    def layer(channels: int, axis: int, name: str) -> Any:
        import keras

        return keras.layers.GroupNormalization(count(channels), axis=axis, name=name)

    return layer


# A function (channels, channel axis, name) -> layer. Layer normalisation takes the statistics of an image's whole map,
# as its paper does for convolutions; Keras' layer of that name would take those of each position.
NORMALISATIONS: Mapping[str, Callable[[int, int, str], Any]] = MappingProxyType(
    {
        "batch": _batch,
        "batch_renorm": _batch_renorm,
        "layer": _groups(lambda channels: 1),
        "group": _groups(lambda channels: channels // GROUP_CHANNELS),
        "instance": _groups(lambda channels: channels),
    }
)


def _weight_normalised(channels: int, name: str) -> Any:
    """A convolution whose kernels have a direction and a length of their own; a class, for Keras has none.

    `gain` is the length of each output channel's kernel, `kernel` its direction: only that of it counts. `bias` takes
    the part that the shift has in the other normalisations.
    """
    import keras

    class WeightNormalizedConv2D(keras.layers.Conv2D):  # type: ignore[misc]
        """Convolve with `gain * kernel / length of kernel`, the length taken for each output channel."""

        def build(self, input_shape: Any) -> None:
            """Create the weights."""
            super().build(input_shape)
            self.gain = self.add_weight(shape=(self.filters,), initializer="ones", name="gain")

        def convolution_op(self, inputs: Any, kernel: Any) -> Any:
            """The convolution with kernels of the lengths `gain`."""
            squares = keras.ops.sum(keras.ops.square(kernel), axis=(0, 1, 2))
            scale = self.gain * keras.ops.rsqrt(keras.ops.maximum(squares, SHORTEST))
            return super().convolution_op(inputs, kernel * scale)

    return WeightNormalizedConv2D(channels, KERNEL_SIZE, name=name)
