"""What each step reads: a function of seed, phase and epoch."""

from dataclasses import replace

import numpy as np
import pytest

from graft.core.errors import GraftError
from graft.training.tuning.batches import row_weights, steps_per_epoch, targets, training_batches, validation_batches
from graft.training.tuning.records import Tuning
from tests.training.tuning.samples import PHASE, schedule, task


class Numbers:
    """A source whose one array says which view of which photo it is."""

    def __init__(self, n_photos: int, n_views: int | None) -> None:
        self.shapes = ((2,),)
        self.n_photos, self.n_views = n_photos, n_views

    def read(self, photos, views):
        return (np.stack([photos, views], axis=1).astype(np.float32),)

    def close(self):
        pass


def numbered(n_views: int | None = 3, **tuning):
    given = task("tensorflow", tuning=Tuning(**tuning))
    return replace(given, train=Numbers(20, n_views))


def epoch_rows(given, epoch: int = 0, first: int = 0) -> np.ndarray:
    """(photo, view) of an epoch's rows in order, without those that fill the last batch."""
    batches = training_batches(given, epoch, first)
    return np.concatenate([batch.arrays[0][: batch.n_photos] for batch in batches]).astype(int)


def test_each_epoch_reads_each_photo_once_in_its_own_order_with_its_own_views():
    given = numbered()
    first, second = epoch_rows(given), epoch_rows(given, 1)
    for rows in (first, second):
        assert sorted(rows[:, 0]) == list(range(20))
        assert set(rows[:, 1]) == {0, 1, 2}
    assert not np.array_equal(first, second)
    assert np.array_equal(first, epoch_rows(given))
    assert not np.array_equal(first, epoch_rows(replace(given, seed=given.seed + 1)))


def test_an_epoch_can_be_gone_on_with_at_any_batch():
    given = numbered(mixup=0.4)
    whole = list(training_batches(given, 0))
    assert len(whole) == steps_per_epoch(given) == 3
    for first in range(4):
        for batch, expected in zip(training_batches(given, 0, first), whole[first:], strict=True):
            for name in ("targets", "weights", "partners", "shares"):
                assert np.array_equal(getattr(batch, name), getattr(expected, name)), name
            assert np.array_equal(batch.arrays[0], expected.arrays[0])


def test_a_source_of_any_view_gives_fresh_ones_each_epoch():
    given = numbered(n_views=None)
    views = np.concatenate([epoch_rows(given, epoch)[:, 1] for epoch in range(3)])
    assert len(set(views)) == 60 and views.min() > 0


def test_the_last_batch_is_filled_with_rows_of_no_weight():
    last = list(training_batches(numbered(mixup=0.4), 0))[-1]
    assert last.n_photos == 4
    assert last.targets.shape == (8, 3) and not last.targets[4:].any() and not last.weights[4:].any()
    assert last.partners.max() < 8 and list(last.partners[4:]) == [4, 5, 6, 7]
    assert set(last.partners[:4]) == {0, 1, 2, 3}  # never mixed with a row of zeros


def test_named_steps_go_on_through_rounds_of_all_photos():
    phase = replace(PHASE, steps_per_epoch=4)
    given = replace(numbered(), schedule=schedule(phase=phase))  # 4 batches of 8 of 20 photos
    assert steps_per_epoch(given) == 4
    rows = np.concatenate([epoch_rows(given, epoch) for epoch in range(5)])
    assert len(rows) == 160
    rounds = rows[:, 0].reshape(8, 20)
    assert all(sorted(each) == list(range(20)) for each in rounds)
    assert not np.array_equal(rounds[0], rounds[1])
    assert len({tuple(views) for views in rows[:, 1].reshape(8, 20)}) == 8
    assert np.array_equal(epoch_rows(given, 3, first=1), rows[3 * 32 + 8 : 4 * 32])
    every = replace(numbered(n_views=None), schedule=schedule(phase=phase))
    assert len(set(np.concatenate([epoch_rows(every, epoch)[:, 1] for epoch in range(5)]))) == 160


def test_fewer_named_steps_than_photos_reach_all_of_them_in_time():
    given = replace(numbered(), schedule=schedule(phase=replace(PHASE, steps_per_epoch=1)))
    rows = np.concatenate([epoch_rows(given, epoch)[:, 0] for epoch in range(5)])
    assert sorted(rows[:20]) == list(range(20))


def test_phases_of_other_names_read_in_another_order():
    other = replace(numbered(), schedule=schedule(phase=replace(PHASE, name="other")))
    assert not np.array_equal(epoch_rows(other), epoch_rows(numbered()))


def test_a_batch_whose_own_statistics_count_is_never_filled():
    given = replace(numbered(mixup=0.4), schedule=schedule(phase=replace(PHASE, batch_normalization="trained")))
    last = list(training_batches(given, 0))[-1]
    assert last.n_photos == 4 and last.arrays[0].shape == (4, 2)
    for each in (last.targets, last.weights, last.partners, last.shares):
        assert len(each) == 4


def test_validation_reads_the_photo_itself_in_order():
    source = Numbers(9, 1)
    batches = list(validation_batches(source, 4))
    assert [n for _, n in batches] == [4, 4, 1]
    assert all(arrays[0].shape == (4, 2) for arrays, _ in batches)
    rows = np.concatenate([arrays[0][:n] for arrays, n in batches]).astype(int)
    assert np.array_equal(rows, [[photo, 0] for photo in range(9)])


def test_targets_are_smoothed_then_mixed():
    given = numbered(label_smoothing=0.3)
    found = targets(given, np.array([0, 2]), np.array([1, 0]), np.array([0.75, 1.0]))
    smooth = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8]])
    assert found == pytest.approx(np.array([0.75 * smooth[0] + 0.25 * smooth[1], smooth[1]]))
    assert found.sum(axis=1) == pytest.approx([1, 1])


def test_rows_weigh_as_their_classes_do():
    given = replace(numbered(), class_weights=np.array([1, 2, 4], np.float32))
    assert list(row_weights(given, np.array([0, 2]), np.array([1, 0]), np.array([0.75, 1.0]))) == [1.75, 4]
    assert list(row_weights(numbered(), np.array([0, 2]), np.array([1, 0]), np.array([0.75, 1.0]))) == [1, 1]


def test_without_mixup_each_row_is_its_own():
    for batch in training_batches(numbered(), 0):
        assert list(batch.partners) == list(range(8)) and set(batch.shares) == {1.0}


def test_an_epoch_left_early_leaves_no_reader_behind():
    class Damaged(Numbers):
        def read(self, photos, views):
            raise GraftError("damaged")

    batches = training_batches(numbered(), 0)
    next(batches)
    batches.close()
    with pytest.raises(GraftError, match="damaged"):
        next(training_batches(replace(numbered(), train=Damaged(20, 3)), 0))


def test_one_batch_may_hold_all():
    given = replace(numbered(), schedule=schedule(batch_images=64))
    (batch,) = training_batches(given, 0)
    assert batch.n_photos == 20 and batch.arrays[0].shape == (64, 2)
