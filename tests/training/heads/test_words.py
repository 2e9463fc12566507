"""A head in words: read back as it was said, and refused with the nearest word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.core.errors import BadInput
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
from graft.training.heads.words import MOST_LAYERS, parse, say

ACTIVATIONS = st.sampled_from(["relu", "linear"])
LAYERS = st.one_of(
    st.sampled_from([Flatten(), GlobalAveragePooling(), GlobalMaxPooling(), BatchNormalization()]),
    st.builds(Dense, units=st.integers(1, 65_536), activation=ACTIVATIONS),
    st.builds(Dropout, rate=st.sampled_from([0.1, 0.25, 0.5, 0.123456789, 0.9])),
    st.builds(Convolution, filters=st.integers(1, 999), kernel_pixels=st.integers(1, 99), activation=ACTIVATIONS),
)


@given(st.lists(LAYERS, min_size=1, max_size=8), st.sampled_from(["predictions", "softmax"]))
def test_said_and_read_back(layers, name):
    head = Head(layers=tuple(layers), name=name)
    assert parse(say(head)) == head


def test_as_typed():
    wanted = Head(layers=(Flatten(), Dense(units=256), Dropout(rate=0.5)))
    assert parse("flatten,dense=256,dropout=0.5") == wanted
    assert parse(" Flatten , DENSE = 256 , dropout=.5") == wanted
    assert parse("global_average_pooling,name=softmax") == Head(layers=(GlobalAveragePooling(),), name="softmax")
    assert parse("convolution=7x3:relu") == Head(layers=(Convolution(filters=7, kernel_pixels=3, activation="relu"),))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("flaten", "Did you mean flatten?"),
        ("dens=256", "Did you mean dense?"),
        ("dense", "dense must be followed by a number of units"),
        ("dense=0", "dense must be followed by"),
        ("dense=70000", "dense must be followed by"),
        ("dense=256:tanh", "dense must be followed by"),
        ("dense=256:relu:relu", "dense must be followed by"),
        ("dense=٣", "dense must be followed by"),
        ("dropout=1", "dropout must be followed by a share"),
        ("dropout=0.0", "dropout must be followed by a share"),
        ("dropout=nan", "dropout must be followed by a share"),
        ("convolution=7", "convolution must be followed by"),
        ("convolution=0x7", "convolution must be followed by"),
        ("flatten=3", "Nothing may follow flatten"),
        ("flatten,name=a b", "name must be given once"),
        ("flatten,name=a,name=b", "name must be given once"),
        ("", "must be one of flatten"),
        (",".join(["flatten"] * (MOST_LAYERS + 1)), f"at most {MOST_LAYERS} layers"),
        ("x" * 5000, "5,000 letters"),
    ],
)
def test_refusals(text, message):
    with pytest.raises(BadInput) as caught:
        parse(text)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 500
