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
    targets = np.where(labels[:, None] == np.arange(3), 1.0, -1.0)
    centre = targets.mean(axis=0)
    for row in range(len(labels)):
        others = np.delete(np.arange(len(labels)), row)
        inside = kernel[np.ix_(others, others)] + penalty * np.eye(len(others))
        scores = kernel[row, others] @ np.linalg.solve(inside, (targets - centre)[others]) + centre
        right += int(scores.argmax() == labels[row])
    return right


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
