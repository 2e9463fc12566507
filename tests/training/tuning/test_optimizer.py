"""The course of the learning rate. The optimisers' formulas are checked on each backend, in `engine_child.py`."""

import math
from dataclasses import replace

import numpy as np
import pytest

from graft.backbones.freezing import Freeze
from graft.training.tuning.optimizer import CORRECTION, KEEP, RATE, SHARE, rate_at, scalars
from graft.training.tuning.records import Phase

PHASE = Phase(name="x", freeze=Freeze(kind="all"), epochs=4, rate=0.1, warmup_epochs=1.0, final_share=0.2)


def course(phase: Phase, per_epoch: int = 10) -> list[float]:
    return [rate_at(phase, step, per_epoch) for step in range(phase.epochs * per_epoch)]


def test_the_rate_rises_evenly_then_falls_along_half_a_cosine():
    rates = course(PHASE)
    assert rates[:10] == pytest.approx(np.arange(1, 11) / 100)
    gone = np.arange(0, 30) / 30
    assert rates[10:] == pytest.approx(0.1 * (0.2 + 0.8 * 0.5 * (1 + np.cos(math.pi * gone))))
    assert max(rates) == 0.1 and 0.02 < rates[-1] < 0.022


def test_the_rate_stays_without_decay_and_without_warm_up():
    assert set(course(replace(PHASE, decay="none", warmup_epochs=0.0))) == {0.1}
    assert course(replace(PHASE, warmup_epochs=0.0))[0] == 0.1
    assert course(replace(PHASE, warmup_epochs=99.0))[-1] == 0.1  # the rise takes the whole phase, never longer


def test_a_warm_up_may_be_a_part_of_an_epoch():
    assert course(replace(PHASE, warmup_epochs=0.25))[:3] == pytest.approx([0.04, 0.08, 0.1], rel=1e-3)


def test_the_rate_may_fall_as_one_over_the_steps():
    phase = replace(PHASE, decay="inverse_time", decay_rate=0.5, warmup_epochs=0.0)
    assert course(phase)[:4] == pytest.approx([0.1 / (1 + 0.5 * step) for step in range(4)])
    assert course(replace(phase, warmup_epochs=1.0))[8:12] == pytest.approx([0.09, 0.1, 0.1, 0.1 / 1.5])


def test_the_numbers_of_a_step():
    numbers = scalars(PHASE, 2, 10, 0.98, 5)
    assert numbers.dtype == np.float32
    assert numbers[RATE] == np.float32(0.03)
    assert numbers[CORRECTION] == pytest.approx(math.sqrt(1 - 0.999**3) / (1 - 0.9**3))
    assert numbers[KEEP] == pytest.approx(4 / 13)  # less than 0.98 while there is little to average
    assert scalars(PHASE, 10_000, 10**4, 0.98, 5)[KEEP] == np.float32(0.98)
    assert numbers[SHARE] == pytest.approx(0.2)
