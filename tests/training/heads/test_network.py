"""What a head begins with. How it is trained is checked on each backend: `tests/training/tuning/head_checks.py`."""

import subprocess
import sys

import numpy as np
import pytest

from graft.core.errors import BadInput
from graft.training.heads.network import fresh_start, initial_tensors
from graft.training.heads.records import (
    BatchNormalization,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    Head,
)
from graft.training.linear import decision

CIFAR = Head(
    layers=(
        Convolution(filters=7, kernel_pixels=7),
        BatchNormalization(),
        GlobalAveragePooling(),
        Dropout(rate=0.2),
        Flatten(),
        Dense(units=512),
    )
)


def test_each_tensor_of_a_published_head_is_there():
    tensors = initial_tensors(CIFAR, (7, 7, 1280), 10, seed=1)
    counts = {name: each.size for name, each in tensors.items()}
    assert sum(counts.values()) == 4_497_872 - 4_049_571
    assert counts["convolution/kernel"] + counts["convolution/bias"] == 439_047
    assert tensors["convolution/kernel"].shape == (7, 7, 1280, 7)
    assert tensors["predictions/kernel"].shape == (512, 10)


def test_kernels_are_glorots_and_all_else_changes_nothing():
    tensors = initial_tensors(CIFAR, (7, 7, 1280), 10, seed=1)
    for name, fans in (("convolution", 49 * (1280 + 7)), ("dense", 7 + 512), ("predictions", 512 + 10)):
        kernel, limit = tensors[f"{name}/kernel"], np.sqrt(6 / fans)
        assert np.abs(kernel).max() <= limit
        assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.05)
        assert not tensors[f"{name}/bias"].any()
    assert set(tensors["batch_normalization/gamma"]) == set(tensors["batch_normalization/moving_variance"]) == {1.0}
    assert all(each.dtype == np.float32 for each in tensors.values())


def test_kernels_depend_on_the_seed_and_on_their_layers_name_alone():
    first, again, other = (initial_tensors(CIFAR, (7, 7, 1280), 10, seed=seed) for seed in (1, 1, 2))
    longer = initial_tensors(Head(layers=(*CIFAR.layers, Dropout(rate=0.5))), (7, 7, 1280), 10, seed=1)
    for name in first:
        assert np.array_equal(first[name], again[name]), name
        if name.endswith("kernel"):
            assert not np.array_equal(first[name], other[name]), name
    assert np.array_equal(first["dense/kernel"], longer["dense/kernel"])


def test_a_fresh_start_can_be_asked_at_once():
    start = fresh_start(CIFAR, "top_activation", (7, 7, 1280), 10, 10, seed=1)
    assert (start.taps, start.pooling, start.temperature) == (("top_activation",), "none", 1.0)
    assert [layer.kernel.shape for layer in start.hidden] == [(62_720, 7), (7, 512)]
    assert start.kernel.shape == (512, 10) and not start.mean.any() and set(start.scale) == {1.0}
    assert decision(start, np.ones((2, 62_720), np.float32)).shape == (2, 10)
    averages = fresh_start(
        Head(layers=(GlobalAveragePooling(),), name="softmax"), "block5_pool", (7, 7, 512), 10, 10, 1
    )
    assert (averages.pooling, averages.mean.shape, averages.kernel.shape) == ("avg", (512,), (512, 10))


def test_two_classes_may_have_one_unit_and_three_may_not():
    flat = Head(layers=(Flatten(),))
    assert fresh_start(flat, "x", (2, 2, 3), 2, 1, seed=1).kernel.shape == (12, 1)
    for classes, units in ((3, 1), (3, 2), (2, 3)):
        with pytest.raises(BadInput, match=f"for each of {classes} classes, got {units}"):
            fresh_start(flat, "x", (2, 2, 3), classes, units, seed=1)


def test_a_convolution_of_another_size_is_refused():
    with pytest.raises(BadInput, match="7 x 7"):
        fresh_start(CIFAR, "x", (4, 4, 1280), 10, 10, seed=1)


def test_a_fresh_start_needs_no_keras():
    code = (
        "import sys; from graft.training.heads.network import fresh_start;"
        "from graft.training.heads.records import Flatten, Head;"
        "fresh_start(Head(layers=(Flatten(),)), 'x', (2, 2, 3), 2, 1, 1); sys.exit('keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
