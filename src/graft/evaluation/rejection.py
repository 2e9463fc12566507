"""From which probability on an answer may be taken as sure: a threshold, chosen on photos that were held out."""

import numpy as np

from graft.evaluation.calibration import confidence_and_right

SURE_ACCURACY = 0.95  # of the answers that are taken as sure
LEAST_THRESHOLD = 0.5  # a calibrated answer below it is more often wrong than right


def sure_threshold(probabilities: np.ndarray, labels: np.ndarray) -> float | None:
    """The least probability for which of the answers given with it or more at least `SURE_ACCURACY` are right.

    One half where all answers together are right so often, and never less.

    `probabilities` is `(photo, class)`, calibrated, `labels` `(photo,)`. Answers are counted as if one more had been
    wrong, so that a few lucky ones are no evidence: fewer than 19 photos give None. 1 where no probability is enough.
    """
    confidence, right = confidence_and_right(probabilities, labels) if len(labels) else (np.empty(0), np.empty(0))
    order = np.argsort(-confidence, kind="stable")
    confidence, n = confidence[order], np.arange(1, len(order) + 1)
    enough = np.cumsum(right[order]) >= SURE_ACCURACY * (n + 1)
    enough &= np.append(confidence[1:] < confidence[:-1], True)[: len(n)]  # equal ones are all in or all out
    if len(n) < SURE_ACCURACY / (1 - SURE_ACCURACY) - 1e-9:
        return None
    if enough[-1]:
        return LEAST_THRESHOLD
    if not enough.any():
        return 1.0
    return max(float(confidence[np.flatnonzero(enough)[-1]]), LEAST_THRESHOLD)
