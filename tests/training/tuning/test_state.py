"""Where a phase stands survives as JSON, to the last bit."""

import json

import pytest

from graft.core.errors import IntegrityProblem
from graft.core.records import to_value
from graft.training.tuning.records import Epoch
from graft.training.tuning.state import Saved, Standing, standing_of


def epoch(number: int, loss: float | None) -> Epoch:
    return Epoch(
        number=number,
        phase="all",
        step=number * 3,
        rate=0.1,
        loss=0.5,
        accuracy=0.5,
        validation_loss=loss,
        validation_accuracy=None if loss is None else 0.5,
    )


def saved(standing: Standing) -> Saved:
    return Saved(standing.step, {}, json.loads(json.dumps(to_value(standing))))


def test_a_standing_comes_back_as_it_was():
    standing = Standing().after_epoch(epoch(1, 0.1 + 0.2)).after_batch(1 / 3, 5, 8)
    assert standing_of(saved(standing)) == standing
    assert standing.loss_sum == 1 / 3 and standing.step == 1 and standing.batch == 1


def test_an_epoch_that_is_not_better_makes_the_phase_stale():
    standing = Standing()
    courses = [(0.5, 0, 0.5, 1), (0.5, 1, 0.5, 1), (0.6, 2, 0.5, 1), (0.4, 0, 0.4, 4)]
    for number, (loss, stale, best, best_epoch) in enumerate(courses, 1):
        standing = standing.after_epoch(epoch(number, loss))
        assert (standing.stale, standing.best_loss, standing.best_epoch) == (stale, best, best_epoch)
    assert standing.epoch == 4 and standing.batch == 0 and standing.n_photos == 0
    assert not standing.finished


def test_without_validation_nothing_grows_stale_and_the_last_epoch_is_the_best():
    standing = Standing().after_epoch(epoch(1, None)).after_epoch(epoch(2, None))
    assert standing.stale == 0 and standing.best_loss is None and standing.best_epoch == 2


def test_sabotage_a_state_of_something_else_is_refused():
    with pytest.raises(IntegrityProblem):
        standing_of(Saved(1, {}, {"epoch": 0, "mood": "good"}))
