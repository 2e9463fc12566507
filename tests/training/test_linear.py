"""The linear head as functions of arrays."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from graft.core.errors import BadInput
from graft.features.records import Output
from graft.training.linear import as_sigmoid, as_softmax, features_matrix, probabilities
from graft.training.records import Classifier

NUMBERS = st.floats(-8, 8, width=32)


def classifier(kernel: np.ndarray, bias: np.ndarray, temperature: float = 1.0) -> Classifier:
    width = len(kernel)
    return Classifier(("tap",), np.zeros(width, "f4"), np.ones(width, "f4"), kernel, bias, temperature)


@given(
    kernel=arrays(np.float32, (5, 2), elements=NUMBERS),
    bias=arrays(np.float32, 2, elements=NUMBERS),
    features=arrays(np.float32, (4, 5), elements=NUMBERS),
    temperature=st.floats(0.1, 10),
)
def test_one_sigmoid_unit_and_two_softmax_units_give_the_same_probabilities(kernel, bias, features, temperature):
    two = classifier(kernel, bias, temperature)
    one = as_sigmoid(two)
    back = as_softmax(one)
    assert one.kernel.shape == (5, 1) and back.kernel.shape == (5, 2)
    # logits reach some hundreds here, so float32 leaves about 1e-4 of them
    np.testing.assert_allclose(probabilities(one, features), probabilities(two, features), atol=2e-3)
    np.testing.assert_allclose(probabilities(back, features), probabilities(one, features), atol=2e-3)


def test_the_equivalence_can_fail():
    two = classifier(np.eye(2, dtype="f4"), np.zeros(2, "f4"))
    wrong = classifier(two.kernel[:, :1] - two.kernel[:, 1:], two.bias[:1])  # the units the wrong way round
    features = np.array([[1, 0]], "f4")
    assert abs(probabilities(two, features) - probabilities(wrong, features)).max() > 0.1


def test_a_sigmoid_is_for_two_classes_only():
    with pytest.raises(BadInput, match="two classes, got 3"):
        as_sigmoid(classifier(np.eye(3, dtype="f4"), np.zeros(3, "f4")))


def test_features_are_rounded_through_float16_in_the_order_of_the_taps():
    values = {"a:avg": np.array([[1.0001]]), "b:avg": np.array([[2.0, 3.0]])}
    found = features_matrix(values, [Output(layer="b"), Output(layer="a")])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[2, 3, np.float32(np.float16(1.0001))]])


def test_wrong_width_names_both_numbers():
    with pytest.raises(BadInput, match=r"\(photos, 2\), got \(1, 3\)"):
        probabilities(classifier(np.eye(2, dtype="f4"), np.zeros(2, "f4")), np.zeros((1, 3), "f4"))
