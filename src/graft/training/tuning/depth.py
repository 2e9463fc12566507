"""Where to begin training, read from the depth profile: it takes the place of trial and error."""

from collections.abc import Sequence

from graft.training.records import Depth

SAME = 1.25  # an error up to this many times the least one, and
SAME_SHARE = 0.005  # half a photo in a hundred more, counts as no worse


def auto_layer(profile: Sequence[Depth]) -> str:
    """The tap above which training begins, for `graft.backbones.freezing.resolve`.

    Up to some depth each block of the network tells the classes further apart; from there on it serves what it was
    trained for. The lowest tap that is no worse than the best is that place: what lies above has nothing to lose.

    - As much as the upper half of the blocks is trained where the profile is flat; more only where the very best tap
      lies in the lower half. Easy photos are told apart everywhere, and gain nothing from training everything.
    - At least the upper quarter of the blocks is trained, however far the profile rises.
    - The stem and the lowest block never are: edges and colours are the same everywhere.

    `profile` has one point for each tap, from the lowest up. Raises `ValueError` where it has none.
    """
    lowest, _, highest = _places(profile)
    return profile[max(0, min(lowest, highest))].layer


def unlikeness(profile: Sequence[Depth]) -> float:
    """How unlike the photos are to those that the network was trained for, as the depth profile tells, in [0, 1].

    0 where its knowledge fits them up to its last quarter, 1 where it ends to fit at half its depth or below. Raises
    `ValueError` for an empty profile.
    """
    lowest, middle, highest = _places(profile)
    return float(min(1.0, max(0.0, (highest - lowest) / max(1, highest - middle))))


def _places(profile: Sequence[Depth]) -> tuple[int, int, int]:
    """Places of the lowest tap that is no worse than the best, of half the depth, and of the highest allowed."""
    if not profile:
        raise ValueError("the depth profile must have at least one point")
    errors = [1.0 - depth.accuracy.value for depth in profile]
    best = max(place for place, error in enumerate(errors) if error == min(errors))
    good = min(errors) * SAME + SAME_SHARE
    half = len(errors) // 2 - 1
    lowest = next(place for place in range(max(0, min(best, half)), len(errors)) if errors[place] <= good)
    return lowest, half, len(errors) - 1 - -(-len(errors) // 4)
