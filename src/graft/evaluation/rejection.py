"""From which probability on an answer may be taken as sure: a threshold, chosen on photos that were held out."""

import numpy as np

from graft.evaluation.calibration import confidence_and_right

SURE_ACCURACY = 0.95  # of the answers that are taken as sure
LEAST_THRESHOLD = 0.8  # of calibrated answers below it more than one in five is wrong, however good all together are
LEAST_PHOTOS = 19  # fewer are not enough for SURE_ACCURACY where one more is counted as wrong


def sure_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """The least probability for which of the answers given with it or more at least `SURE_ACCURACY` are right.

    Never less than `LEAST_THRESHOLD`, also where all answers together are right so often; 1 where none is enough.
    `probabilities` is `(photo, class)`, calibrated, `labels` `(photo,)`. Answers are counted as if one more had been
    wrong, so that a few lucky ones are no evidence: fewer than `LEAST_PHOTOS` give None.
    """
    n = len(labels)
    if n < LEAST_PHOTOS:
        return None
    confidence, right = confidence_and_right(probabilities, labels)
    order = np.argsort(-confidence, kind="stable")
    confidence = confidence[order]
    enough = np.cumsum(right[order]) >= SURE_ACCURACY * np.arange(2, n + 2)
    enough &= np.append(confidence[1:] < confidence[:-1], True)  # equal ones are all in or all out
    if enough[-1]:
        return LEAST_THRESHOLD
    if not enough.any():
        return 1.0
    return max(float(confidence[np.flatnonzero(enough)[-1]]), LEAST_THRESHOLD)


def threshold_told(threshold: float | None) -> str:
    """From when on an answer is sure, and why, for people."""
    if threshold is None:
        return "not known, for too few photos were held out, or an older version made the file"
    if threshold == 1:
        return f"never, for at no probability were {100 * SURE_ACCURACY:.0f} % of the answers right"
    enough = f"at least {100 * SURE_ACCURACY:.0f} %"
    return f"from {100 * threshold:.1f} % on, for {enough} of such answers to held-out photos were right"
