"""Folded heads answer as their layers do, one by one. Against Keras: `tests/training/tuning/head_checks.py`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.training.heads.folding import EPSILON, folded, pooling_of
from graft.training.heads.network import fresh_start, initial_tensors, read_shape
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
from graft.training.heads.shapes import names
from graft.training.linear import decision

EXTRAS = st.lists(st.sampled_from([BatchNormalization(), Dropout(rate=0.3)]), max_size=2)
ACTIVATIONS = st.sampled_from(["relu", "linear"])


@st.composite
def heads(draw: st.DrawFn) -> tuple[Head, tuple[int, ...]]:
    """A head and a map that it fits."""
    side, channels = draw(st.integers(1, 3)), draw(st.integers(1, 4))
    beginning = draw(st.sampled_from(["avg", "max", "flatten", "convolution"]))
    layers = []
    if beginning in ("avg", "max"):
        layers.append(GlobalAveragePooling() if beginning == "avg" else GlobalMaxPooling())
    else:
        layers += draw(EXTRAS)
    if beginning == "convolution":
        layers.append(Convolution(filters=3, kernel_pixels=side, activation=draw(ACTIVATIONS)))
        layers += draw(EXTRAS)
        layers += [GlobalAveragePooling()] if draw(st.booleans()) else [Flatten()]
    if beginning == "flatten":
        layers.append(Flatten())
    for _ in range(draw(st.integers(0, 2))):
        layers += draw(EXTRAS)
        layers.append(Dense(units=draw(st.integers(1, 4)), activation=draw(ACTIVATIONS)))
    layers += draw(EXTRAS)
    return Head(layers=tuple(layers)), (side, side, channels)


def trained(head: Head, shape: tuple[int, ...], units: int) -> dict[str, np.ndarray]:
    """Tensors as after training: nothing is zero or one any more."""
    numbers = stream(1, "trained")
    tensors = {}
    for name, each in initial_tensors(head, shape, units, seed=1).items():
        drawn = numbers.uniform(0.3, 2, each.shape) if "variance" in name else numbers.normal(0.1, 0.6, each.shape)
        tensors[name] = drawn.astype(np.float32)
    return tensors


def forward(head: Head, tensors: dict[str, np.ndarray], values: np.ndarray) -> np.ndarray:
    """Layer by layer, in float64: `(photo, height, width, channel)` to `(photo, unit)`."""
    *below, last = names(head)
    for layer, name in zip(head.layers, below, strict=True):
        own = {
            key.rpartition("/")[2]: each.astype(np.float64)
            for key, each in tensors.items()
            if key.startswith(f"{name}/")
        }
        if isinstance(layer, GlobalAveragePooling):
            values = values.mean(axis=(1, 2))
        elif isinstance(layer, GlobalMaxPooling):
            values = values.max(axis=(1, 2))
        elif isinstance(layer, Flatten):
            values = values.reshape(len(values), -1)
        elif isinstance(layer, BatchNormalization):
            values = (values - own["moving_mean"]) / np.sqrt(own["moving_variance"] + EPSILON)
            values = values * own["gamma"] + own["beta"]
        elif isinstance(layer, Convolution):
            values = np.einsum("nhwc,hwcf->nf", values, own["kernel"])[:, np.newaxis, np.newaxis] + own["bias"]
        elif isinstance(layer, Dense):
            values = values @ own["kernel"] + own["bias"]
        if getattr(layer, "activation", "linear") == "relu":
            values = np.maximum(values, 0)
    return values @ tensors[f"{last}/kernel"] + tensors[f"{last}/bias"]


def read(values: np.ndarray, pooling: str) -> np.ndarray:
    if pooling == "none":
        return values.reshape(len(values), -1)
    return values.mean(axis=(1, 2)) if pooling == "avg" else values.max(axis=(1, 2))


@given(heads(), st.sampled_from([1, 3]))
def test_a_folded_head_answers_as_its_layers_do(found, units):
    head, shape = found
    tensors = trained(head, shape, units)
    start = fresh_start(head, "layer", shape, max(2, units), units, seed=1)
    values = stream(2, "values").normal(0, 1, (4, *shape))
    classifier = folded(head, start, tensors)
    expected = forward(head, tensors, values)
    got = decision(classifier, read(values, classifier.pooling).astype(np.float32))
    assert np.abs(got - expected).max() < 1e-5 * max(1.0, np.abs(expected).max())
    assert sum(not isinstance(layer, Dense | Convolution) for layer in head.layers) + len(classifier.hidden) == len(
        head.layers
    )


def test_sabotage_a_statistic_that_is_left_out_is_found():
    head, shape = Head(layers=(Flatten(), Dense(units=4), BatchNormalization())), (2, 2, 3)
    tensors = trained(head, shape, 3)
    start = fresh_start(head, "layer", shape, 3, 3, seed=1)
    values = stream(2, "values").normal(0, 1, (4, *shape))
    wrong = {**tensors, "batch_normalization/moving_mean": np.zeros(4, np.float32)}
    got = decision(folded(head, start, wrong), read(values, "none").astype(np.float32))
    assert np.abs(got - forward(head, tensors, values)).max() > 1e-2


def test_a_pooling_that_no_affine_layer_can_say_is_refused():
    for first in (BatchNormalization(), Dropout(rate=0.2)):
        with pytest.raises(BadInput, match="must be its first layer or follow its convolution, got"):
            pooling_of(Head(layers=(first, GlobalMaxPooling())))
    assert pooling_of(Head(layers=())) == "none"
    assert pooling_of(Head(layers=(GlobalMaxPooling(), BatchNormalization()))) == "max"
    assert pooling_of(Head(layers=(Convolution(filters=2, kernel_pixels=3), GlobalAveragePooling()))) == "none"


def test_what_is_read_has_the_shape_of_a_tap():
    assert read_shape((7, 7, 512), "avg") == read_shape((7, 7, 512), "max") == (512,)
    assert read_shape((197, 768), "avg") == (1536,)
    assert read_shape((197, 768), "none") == (197, 768)
    assert read_shape((512,), "avg") == (512,)
