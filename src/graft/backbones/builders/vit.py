"""Vision Transformer ViT-B/16 as published: class token, learned positions, normalisation before each part of a block.

One flat network of named layers, so that it can be cut after every block. Keras' own attention layer holds four nested
layers whose weights share their names; here query, key, value and projection are layers of the network, and only what
Keras has no layer for is ours: the token that is put before the patches, and the attention itself, without weights.
"""

from typing import Any

import numpy as np

from graft.backbones.families.vit import BLOCKS, HEADS, HIDDEN_WIDTH, PATCH_PIXELS, WIDTH

EPSILON = 1e-6
POSITIONS_DEVIATION = 0.02  # of a network with random weights


def build_vit(inputs: Any, *, include_top: bool = False) -> Any:
    """The last tokens `(batch, token, width)`, the class token first, or 1,000 probabilities; channels-last."""
    import keras

    x = keras.layers.Conv2D(WIDTH, PATCH_PIXELS, strides=PATCH_PIXELS, name="patches")(inputs)
    x = _token_layer("tokens")(x)
    for number in range(1, BLOCKS + 1):
        x = _block(x, f"block{number}")
    x = keras.layers.LayerNormalization(epsilon=EPSILON, name="encoder_norm")(x)
    if not include_top:
        return x
    x = keras.layers.Cropping1D((0, x.shape[1] - 1), name="class_token")(x)
    x = keras.layers.Flatten(name="class_vector")(x)
    return keras.layers.Dense(1000, activation="softmax", name="predictions")(x)


def _block(inputs: Any, name: str) -> Any:
    """Let the tokens look at each other, then each think for itself; add both to what was there."""
    import keras

    layers = keras.layers
    x = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_attention_norm")(inputs)
    asked = [layers.Dense(WIDTH, name=f"{name}_{part}")(x) for part in ("query", "key", "value")]
    x = _attention_layer(f"{name}_attention")(asked)
    x = layers.Dense(WIDTH, name=f"{name}_projection")(x)
    inputs = layers.Add(name=f"{name}_attention_add")([inputs, x])
    x = layers.LayerNormalization(epsilon=EPSILON, name=f"{name}_mlp_norm")(inputs)
    x = layers.Dense(HIDDEN_WIDTH, activation="gelu", name=f"{name}_mlp_expand")(x)
    x = layers.Dense(WIDTH, name=f"{name}_mlp_reduce")(x)
    return layers.Add(name=f"{name}_mlp_add")([inputs, x])


def _token_layer(name: str) -> Any:
    """A layer from patches `(batch, row, column, width)` to tokens `(batch, 1 + row * column, width)`."""
    import keras

    class Tokens(keras.layers.Layer):  # type: ignore[misc]
        """Put the class token, (width,), before the patches, and add to each token its position, (token, width)."""

        multiply_adds = 0  # it only adds

        def build(self, input_shape: Any) -> None:
            """Create the weights."""
            _, rows, columns, width = input_shape
            shape = (1 + rows * columns, width)
            start = keras.initializers.TruncatedNormal(stddev=POSITIONS_DEVIATION)
            self.class_token = self.add_weight(shape=(width,), initializer="zeros", name="class_token")
            self.positions = self.add_weight(shape=shape, initializer=start, name="positions")

        def call(self, inputs: Any) -> Any:
            """The tokens. The class token is added to zeros, so that no part of the graph depends on the batch."""
            _, rows, columns, width = inputs.shape
            first = np.eye(1 + rows * columns, 1, dtype=np.float32)
            patches = keras.ops.reshape(inputs, (-1, rows * columns, width))
            tokens = keras.ops.pad(patches, ((0, 0), (1, 0), (0, 0)))
            return tokens + self.positions + keras.ops.cast(first, self.compute_dtype) * self.class_token

        def compute_output_shape(self, input_shape: Any) -> Any:
            """See `_token_layer`."""
            batch, rows, columns, width = input_shape
            return (batch, 1 + rows * columns, width)

    return Tokens(name=name)


def _attention_layer(name: str) -> Any:
    """A layer without weights from queries, keys and values `(batch, token, width)` to what each token looked at."""
    import keras

    class Attention(keras.layers.Layer):  # type: ignore[misc]
        """Scaled dot-product attention with `HEADS` heads."""

        def build(self, input_shape: Any) -> None:
            """Count what the two products of each head take."""
            _, tokens, width = input_shape[0]
            self.multiply_adds = 2 * tokens * tokens * width
            self.built = True

        def call(self, inputs: Any) -> Any:
            """The values, weighed by how well each token's key fits the query."""
            _, tokens, width = inputs[0].shape
            parts = (-1, tokens, HEADS, width // HEADS)
            query, key, value = (keras.ops.reshape(each, parts) for each in inputs)
            seen = keras.ops.dot_product_attention(query, key, value)
            return keras.ops.reshape(seen, (-1, tokens, width))

        def compute_output_shape(self, input_shape: Any) -> Any:
            """That of the queries."""
            return input_shape[0]

    return Attention(name=name)
