"""Where training begins, from made and from measured depth profiles."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graft.evaluation.records import Score
from graft.training.records import Depth
from graft.training.tuning.depth import auto_layer


def profile(*accuracies: float) -> list[Depth]:
    return [
        Depth(layer=str(number), width=8, accuracy=Score(value=value, low=0.0, high=1.0, method="wilson"))
        for number, value in enumerate(accuracies, 1)
    ]


# Validation accuracy of MobileNet 1.0 at its thirteen blocks: sign digits at 128 px.
SIGNS = (0.597, 0.689, 0.757, 0.779, 0.867, 0.876, 0.936, 0.941, 0.940, 0.945, 0.948, 0.938, 0.917)


def test_signs_are_told_apart_best_from_the_middle_on():
    assert auto_layer(profile(*SIGNS)) == "7"


@pytest.mark.parametrize(
    ("accuracies", "layer"),
    [
        ([0.5 + 0.03 * step for step in range(13)], "9"),  # rises to the top: the upper quarter, four blocks
        ([0.5 + 0.03 * step for step in range(16)], "12"),
        ([0.5] * 4 + [0.9, 0.99, 0.99, 0.99], "6"),
        ([1.0] * 13, "6"),  # easy everywhere: the upper half
        ([0.9, 0.97, 0.8, 0.7, 0.6, 0.6, 0.6, 0.6], "2"),  # best low down, and clearly so
        ([0.99, 0.6, 0.6, 0.6], "1"),
        ([0.5, 0.9], "1"),
        ([0.7], "1"),
    ],
)
def test_profiles_by_hand(accuracies, layer):
    assert auto_layer(profile(*accuracies)) == layer


@given(st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_at_least_a_quarter_is_trained_and_never_the_lowest_block(accuracies):
    kept = int(auto_layer(profile(*accuracies)))
    assert kept >= 1
    assert len(accuracies) - kept >= len(accuracies) / 4
    assert kept >= len(accuracies) // 2 or kept <= 1 + max(
        place for place, value in enumerate(accuracies) if value == max(accuracies)
    )


def test_a_profile_must_have_points():
    with pytest.raises(ValueError, match="at least one"):
        auto_layer([])
