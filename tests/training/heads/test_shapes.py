"""What a head's layers are on a map, against Keras itself."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graft.core.errors import BadInput
from graft.core.telemetry import without_telemetry
from graft.training.heads.records import (
    BatchNormalization,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    GlobalMaxPooling,
    Head,
)
from graft.training.heads.shapes import head_layers, names, units_of


def in_keras(layer, name):
    """The same layer, made by Keras."""
    import keras

    options = {
        "dense": lambda: {"units": layer.units, "activation": layer.activation},
        "convolution": lambda: {"filters": layer.filters, "kernel_size": layer.kernel_pixels},
        "dropout": lambda: {"rate": layer.rate},
    }
    kinds = {
        "dense": "Dense",
        "convolution": "Conv2D",
        "dropout": "Dropout",
        "flatten": "Flatten",
        "global_average_pooling": "GlobalAveragePooling2D",
        "global_max_pooling": "GlobalMaxPooling2D",
        "batch_normalization": "BatchNormalization",
    }
    return getattr(keras.layers, kinds[layer.kind])(name=name, **options.get(layer.kind, dict)())


SIDE = 3
LOW = st.lists(
    st.one_of(
        st.just(BatchNormalization()),
        st.just(Dropout(rate=0.25)),
    ),
    max_size=2,
)
TURN = st.one_of(
    st.just([Flatten()]),
    st.just([GlobalAveragePooling()]),
    st.just([GlobalMaxPooling()]),
    st.just([Convolution(filters=4, kernel_pixels=SIDE), BatchNormalization(), GlobalAveragePooling(), Flatten()]),
)
HIGH = st.lists(
    st.one_of(st.integers(1, 9).map(lambda units: Dense(units=units)), st.just(BatchNormalization())), max_size=3
)


@given(low=LOW, turn=TURN, high=HIGH, units=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_counts_and_shapes_are_those_of_keras(low, turn, high, units):
    with without_telemetry():
        import keras

    head = Head(layers=(*low, *turn, *high))
    named = names(head)
    found = head_layers(head, (SIDE, SIDE, 5), units)
    made = [in_keras(layer, name) for layer, name in zip(head.layers, named, strict=False)]
    model = keras.Sequential([keras.Input((SIDE, SIDE, 5)), *made, keras.layers.Dense(units, name=named[-1])])
    assert [layer.name for layer in model.layers] == [layer.name for layer in found] == list(named)
    assert [layer.output.shape[1:] for layer in model.layers] == [layer.shape for layer in found]
    assert [layer.count_params() for layer in model.layers] == [layer.parameters for layer in found]
    assert [type(layer).__name__ for layer in model.layers] == [layer.kind for layer in found]
    for layer, counted in zip(model.layers, found, strict=True):
        assert len(layer.trainable_weights) == counted.trainable_tensors
        assert sum(math.prod(weight.shape) for weight in layer.trainable_weights) == counted.trainable_parameters
        assert counted.statistics == layer.count_params() - counted.trainable_parameters


def test_names_count_on_and_keep_clear_of_others():
    head = Head(layers=(Flatten(), Dense(units=3), Dense(units=3), Dropout(rate=0.5)), name="dense")
    assert names(head) == ("flatten", "dense_1", "dense_2", "dropout", "dense")
    assert names(head, taken=["flatten", "dense_1"])[:3] == ("flatten_1", "dense_2", "dense_3")


def test_units():
    assert (units_of(2), units_of(2, binary_units=2), units_of(10)) == (1, 2, 10)


def test_tokens_are_averaged_with_the_class_token_beside():
    found = head_layers(Head(layers=(GlobalAveragePooling(),)), (197, 768), 10)
    assert found[0].shape == (1536,)
    assert found[1].parameters == 1537 * 10


@pytest.mark.parametrize(
    ("layers", "shape", "message"),
    [
        ((Convolution(filters=7, kernel_pixels=7),), (8, 8, 3), "must read a map of 7 x 7, got 8 x 8."),
        ((Flatten(), Convolution(filters=7, kernel_pixels=7)), (7, 7, 3), "height, width and channels, got 147"),
        ((Convolution(filters=7, kernel_pixels=7),), (49, 3), "height, width and channels, got 49 x 3"),
        ((Dense(units=3),), (7, 7, 3), "must read a vector, got a map of 7 x 7 x 3."),
        ((), (7, 7, 3), "must read a vector, got a map of 7 x 7 x 3."),
        ((Flatten(), GlobalMaxPooling()), (7, 7, 3), "got a vector of 147 numbers."),
    ],
)
def test_refusals(layers, shape, message):
    with pytest.raises(BadInput) as caught:
        head_layers(Head(layers=layers), shape, 2)
    assert message in caught.value.message
    assert caught.value.hint
