"""AlexNet's network in one tower: without the normalisation between channels that the first one had."""

from typing import Any

DROPOUT = 0.5


def build_alexnet(inputs: Any, *, include_top: bool = False) -> Any:
    """The last map, (6, 6, 256) at 224 px, or 1,000 probabilities, from a Keras tensor; sides at least 63 px."""
    import keras

    layers = keras.layers
    x = layers.ZeroPadding2D(2, name="conv1_pad")(inputs)
    x = layers.Conv2D(64, 11, strides=4, activation="relu", name="conv1")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool1")(x)
    x = layers.Conv2D(192, 5, padding="same", activation="relu", name="conv2")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool2")(x)
    for number, channels in ((3, 384), (4, 256), (5, 256)):
        x = layers.Conv2D(channels, 3, padding="same", activation="relu", name=f"conv{number}")(x)
    x = layers.MaxPooling2D(3, strides=2, name="pool5")(x)
    if not include_top:
        return x
    x = layers.Flatten(name="flatten")(x)  # positions by row and column, channels innermost, in either data format
    for number in (6, 7):
        x = layers.Dropout(DROPOUT, name=f"drop{number}")(x)
        x = layers.Dense(4096, activation="relu", name=f"fc{number}")(x)
    return layers.Dense(1000, activation="softmax", name="predictions")(x)
