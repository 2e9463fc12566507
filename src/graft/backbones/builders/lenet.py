"""LeNet-5's network, with the full connections and plain poolings in which it is taught."""

from typing import Any


def build_lenet(inputs: Any, *, include_top: bool = False) -> Any:
    """The last map, (1, 1, 120) at 32 px, or the probabilities of ten digits, from a grey Keras tensor.

    C5 is a convolution, as its authors have it: larger images give it a larger map, whose average the top reads.
    """
    import keras

    layers = keras.layers
    x = layers.Conv2D(6, 5, activation="tanh", name="c1")(inputs)
    x = layers.AveragePooling2D(2, name="s2")(x)
    x = layers.Conv2D(16, 5, activation="tanh", name="c3")(x)
    x = layers.AveragePooling2D(2, name="s4")(x)
    x = layers.Conv2D(120, 5, activation="tanh", name="c5")(x)
    if not include_top:
        return x
    x = layers.GlobalAveragePooling2D(name="average")(x)
    x = layers.Dense(84, activation="tanh", name="f6")(x)
    return layers.Dense(10, activation="softmax", name="predictions")(x)
