"""The closed form against the long way."""

from dataclasses import replace

import numpy as np

from graft.core.randomness import stream
from graft.training.ridge import score_in_threads, score_run, tap_kernels
from graft.training.taps import TapTable


def problem(n: int = 60) -> tuple[TapTable, np.ndarray]:
    draw = stream(3, "ridge")
    labels = np.arange(n) % 3
    centres = draw.normal(0, 1, (3, 6))
    strong = centres[labels] + draw.normal(0, 0.8, (n, 6))
    noise = draw.normal(0, 1, (n, 4))
    return TapTable({"noise:avg": noise.astype("f2"), "strong:avg": strong.astype("f2")}, ("noise", "strong")), labels


def left_out_by_hand(kernel: np.ndarray, labels: np.ndarray, penalty: float) -> int:
    right = 0
    for row in range(len(labels)):
        scores = scores_without(kernel, labels, np.array([row]), penalty)
        right += int(scores.argmax() == labels[row])
    return right


def scores_without(kernel: np.ndarray, labels: np.ndarray, places: np.ndarray, penalty: float) -> np.ndarray:
    """Scores of `places` from a ridge with a free bias, fitted on all others: the bordered system, solved plainly."""
    others = np.setdiff1d(np.arange(len(labels)), places)
    n = len(others)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = kernel[np.ix_(others, others)] + penalty * np.eye(n)
    system[n, n] = 0
    targets = np.where(labels[others, None] == np.arange(3), 1.0, -1.0)
    solution = np.linalg.solve(system, np.vstack([targets, np.zeros(3)]))
    return kernel[np.ix_(places, others)] @ solution[:n] + solution[n]


def test_leave_one_out_scores_equal_leaving_one_out():
    table, labels = problem()
    rows = np.arange(len(labels))
    kernels = tap_kernels(table, labels, rows, rows[:0], classes=3)
    (score,) = score_run(kernels, (0, 2), [0.5])
    kernel = np.sum(kernels.blocks, axis=0, dtype=np.float64)
    assert score.n == len(labels)
    assert score.correct == left_out_by_hand(kernel, labels, 0.5 * sum(kernels.widths))


def test_held_out_photos_are_counted_too_and_the_telling_tap_wins():
    table, labels = problem()
    rows = np.arange(len(labels))
    kernels = tap_kernels(table, labels, rows[:40], rows[40:], classes=3)
    (noise,), (strong,) = score_in_threads(kernels, [((0, 1), [0.1]), ((1, 2), [0.1])], threads=2)
    assert noise.n == strong.n == 60
    assert strong.accuracy > noise.accuracy + 0.2


def test_a_photo_does_not_help_to_predict_itself():
    """With labels drawn at random, honest scores are near chance however weak the penalty is."""
    table, labels = problem()
    shuffled = stream(4, "labels").permutation(labels)
    rows = np.arange(len(labels))
    kernels = tap_kernels(table, shuffled, rows, rows[:0], classes=3)
    (honest,) = score_run(kernels, (0, 2), [1e-4])
    seen = replace(
        kernels, blocks=tuple(np.vstack([block, block]) for block in kernels.blocks), held_out_labels=shuffled
    )
    (leaky,) = score_run(seen, (0, 2), [1e-4])
    assert honest.accuracy < 0.55
    assert leaky.accuracy > honest.accuracy  # the sabotage: the same photos counted as held out


def test_photos_of_a_group_are_left_out_together():
    """Copies of every photo: left out one by one they would vouch for each other, and random labels look learnable."""
    draw = stream(6, "copies")
    wide = np.tile(draw.normal(size=(30, 200)), (2, 1)).astype(np.float16)
    table, labels = TapTable({"wide:avg": wide}, ("wide",)), np.tile(draw.permutation(np.arange(30) % 3), 2)
    everyone, pairs = np.arange(60), tuple(np.array([row, row + 30]) for row in range(30))
    together = tap_kernels(table, labels, everyone, everyone[:0], classes=3, groups=pairs)
    apart = tap_kernels(table, labels, everyone, everyone[:0], classes=3)
    (honest,), (fooled,) = score_run(together, (0, 1), [1e-2]), score_run(apart, (0, 1), [1e-2])
    assert honest.accuracy < 0.6 < 0.95 < fooled.accuracy


def test_leaving_a_group_out_equals_leaving_it_out():
    table, labels = problem(30)
    rows = np.arange(30)
    groups = tuple(np.arange(start, start + 3) for start in range(0, 30, 3))
    kernels = tap_kernels(table, labels, rows, rows[:0], classes=3, groups=groups)
    (score,) = score_run(kernels, (0, 2), [0.5])
    kernel = np.sum(kernels.blocks, axis=0, dtype=np.float64)
    right = 0
    for places in groups:
        scores = scores_without(kernel, labels, places, 0.5 * sum(kernels.widths))
        right += int((scores.argmax(axis=1) == labels[places]).sum())
    assert score.correct == right


def test_few_photos_with_many_features_do_not_give_away_the_one_left_out():
    """Features and labels of noise: a leave-one-out score above chance would be a leak through the centring."""
    draw = stream(9, "centring")
    table = TapTable({"wide:avg": draw.normal(size=(30, 200)).astype(np.float16)}, ("wide",))
    labels, rows = draw.permutation(np.arange(30) % 3), np.arange(30)
    (score,) = score_run(tap_kernels(table, labels, rows, rows[:0], classes=3), (0, 1), [1e-3])
    assert score.accuracy < 0.6
