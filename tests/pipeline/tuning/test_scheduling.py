"""How many epochs and views, where to cut, or nothing at all: from the disk and the time there is."""

from collections.abc import Callable
from typing import Any

import pytest

from graft.pipeline.planning import program_of
from graft.pipeline.tuning import layouts as module
from graft.pipeline.tuning import scheduling
from graft.pipeline.tuning.layouts import Layout, layouts, main_phase
from graft.pipeline.tuning.scheduling import EPOCHS, LADDER, schedule_for
from graft.pipeline.work import Work
from graft.training.tuning.records import USUAL_VIEWS, Schedule
from tests.pipeline.works import probed_of, scheduled

STRETCHED = 3 * EPOCHS  # 42 photos in batches of 16 are three steps an epoch
S3 = ("s3_down", "s3_a", "s3_b", "head")


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk has room."""
    monkeypatch.setattr(module, "free_bytes", lambda path: 1 << 50)
    monkeypatch.setattr(module, "cap_bytes", lambda cache: 1 << 50)


def decide(work: Work, **probe: Any) -> tuple[Layout, Schedule]:
    """The one phase there is."""
    decided = schedule_for(work, probed_of(work.intake.manifest, **probe))
    assert not isinstance(decided, str), decided
    (step,) = decided
    return step.layout, step.schedule


def epochs_of(schedule: Schedule) -> int:
    return schedule.phase.epochs


class TestUnhurried:
    """Without a time budget nothing is measured: the same everywhere."""

    @pytest.fixture(autouse=True)
    def unmeasured(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def measure(*arguments: Any) -> None:
            raise AssertionError("nothing must be measured")

        monkeypatch.setattr(scheduling, "_measure", measure)

    def test_what_is_usual(self, begin: Any) -> None:
        layout, schedule = decide(begin())
        assert (schedule.cut, schedule.trained, schedule.views) == (("s2_out",), S3, USUAL_VIEWS)
        assert epochs_of(schedule) == STRETCHED, "few photos are seen more often"
        assert "budget" not in schedule.reason
        assert layout.cut == schedule.cut

    def test_what_is_asked_for(self, begin: Any) -> None:
        _, schedule = decide(begin(epochs=5, views=3))
        assert (epochs_of(schedule), schedule.views) == (5, 3)

    def test_asked_for_in_full_no_budget_has_a_say(self, begin: Any) -> None:
        _, schedule = decide(begin(epochs=5, views=3, time_budget="1s"))
        assert (epochs_of(schedule), schedule.views) == (5, 3)
        _, schedule = decide(begin(epochs=5, store="never", time_budget="1s"))
        assert (epochs_of(schedule), schedule.cut) == (5, ())

    def test_the_same_twice(self, begin: Any) -> None:
        assert decide(begin())[1] == decide(begin())[1]

    def test_it_is_told_in_one_line(self, begin: Any) -> None:
        reason = decide(begin(epochs=5, views=3))[1].reason
        assert reason.startswith("Training from s3_down up, 3 views of each photo stored at s2_out (")
        assert reason.endswith(", 5 epochs.") and "\n" not in reason

    def test_from_pixels(self, begin: Any) -> None:
        _, schedule = decide(begin(store="never"))
        assert (schedule.cut, schedule.views, schedule.store_bytes) == ((), 1, 0)
        assert "from pixels, new views each epoch" in schedule.reason

    def test_the_head_alone(self, begin: Any) -> None:
        _, schedule = decide(begin(unfreeze="none", epochs=2))
        assert schedule.trained == () and "nothing but the classifier" in schedule.reason

    def test_what_was_decided_before_is_followed(self, begin: Any) -> None:
        """A rerun goes on with its schedule, whatever the disk has room for by now and however the rest stands."""
        _, earlier = decide(begin(epochs=5))
        probed = probed_of(begin().intake.manifest)
        higher = list(layouts(begin(), probed))[1]
        for schedule in (
            earlier,
            module.draft(begin(), higher, main_phase(begin(), probed, higher, 4), views=2),
            module.draft(begin(), higher.cut_at(()), main_phase(begin(), probed, higher, 4), views=1),
        ):
            (followed,) = schedule_for(scheduled(begin(), schedule), probed)
            assert followed.schedule == schedule
            assert followed.layout.cut == schedule.cut
            assert followed.layout.freezing.trained == schedule.trained

    def test_a_new_head_is_trained_before_the_rest_on_what_the_probe_has_read(self, begin: Any) -> None:
        work = begin(head="trained", epochs=5)
        head, upper = schedule_for(work, probed_of(work.intake.manifest))
        assert (head.schedule.phase.name, upper.schedule.phase.name) == ("head", "upper layers")
        assert head.schedule.trained == () and upper.schedule.trained == S3
        assert (head.schedule.views, head.schedule.cut) == (1, ("head_relu",))
        assert head.layout.stored == program_of(work.resolved.plan).outputs

    @pytest.mark.parametrize("head", ["probe", "trained"])
    def test_with_nothing_else_to_train_there_is_the_head(self, begin: Any, head: str) -> None:
        _, schedule = decide(begin(unfreeze="none", head=head, epochs=8))
        assert (schedule.phase.name, schedule.phase.epochs, schedule.trained) == ("head", 8, ())


class TestDisk:
    """42 training photos and 9 for validation."""

    @pytest.fixture
    def room(self, begin: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
        """Let the disk have room for so many views."""
        layout = next(layouts(begin(), probed_of(begin().intake.manifest)))

        def set_room(views: float) -> None:
            monkeypatch.setattr(module, "cap_bytes", lambda cache: int(layout.view_bytes() * (9 + 42 * views)))

        return set_room

    @pytest.mark.parametrize("views", [7, 3, 2])
    def test_fewer_views_where_it_is_short(self, begin: Any, room: Callable[[float], None], views: int) -> None:
        room(views + 0.5)
        _, schedule = decide(begin())
        assert (schedule.views, schedule.cut) == (views, ("s2_out",))
        assert f"the free disk has room for {views}" in schedule.reason

    @pytest.mark.parametrize("views", [1.9, 1, 0, -1])
    def test_from_pixels_where_storing_does_not_pay(
        self, begin: Any, room: Callable[[float], None], views: float
    ) -> None:
        room(views)
        layout, schedule = decide(begin())
        assert (schedule.cut, layout.cut, schedule.trained) == ((), (), S3)
        assert schedule.store_bytes == 0
        assert "from pixels" in schedule.reason and "which the disk has not" in schedule.reason

    def test_always_means_always(self, begin: Any, room: Callable[[float], None]) -> None:
        room(1)
        _, schedule = decide(begin(store="always"))
        assert (schedule.views, schedule.cut) == (1, ("s2_out",))

    def test_never_asks_for_no_room(self, begin: Any, room: Callable[[float], None]) -> None:
        room(0)
        _, schedule = decide(begin(store="never"))
        assert schedule.cut == () and "disk" not in schedule.reason

    def test_one_view_may_be_asked_for(self, begin: Any, room: Callable[[float], None]) -> None:
        room(1)
        _, schedule = decide(begin(views=1))
        assert (schedule.views, schedule.cut) == (1, ("s2_out",))


class TestTime:
    """Costs are made up: so many seconds for each step, and for each view that is stored."""

    @pytest.fixture
    def costs(self, begin: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
        freezing = next(layouts(begin(), probed_of(begin().intake.manifest))).freezing

        def set_costs(*, step: float = 0.0, view: float = 0.0, opening: float = 0.0) -> None:
            made_up = scheduling.Costs(
                step=step,
                forward=step,
                opening=opening,
                view=view,
                suffix_work=freezing.suffix_multiply_adds,
                prefix_work=freezing.prefix_multiply_adds,
            )
            monkeypatch.setattr(scheduling, "_measure", lambda *arguments: made_up)

        return set_costs

    def test_a_long_time_is_used_for_more_epochs(self, begin: Any, costs: Callable[..., None]) -> None:
        costs(step=0.001)
        _, schedule = decide(begin(time_budget="1h"))
        assert (epochs_of(schedule), schedule.views) == (3 * LADDER[0][0], LADDER[0][1])
        assert schedule.reason.endswith("as the budget of 1 h allows."), "no measured time: it is the plan's"

    def test_less_time_fewer_epochs_and_views(self, begin: Any, costs: Callable[..., None]) -> None:
        """Rungs from the top: each is taken where the next higher one would take longer than there is."""
        costs(step=0.3)
        found = []
        for seconds in (108, 68, 53, 43, 34):
            _, schedule = decide(begin(time_budget=f"{seconds}s"))
            found.append((epochs_of(schedule), schedule.views))
        assert found == [(3 * epochs, views) for epochs, views in LADDER]

    def test_what_was_asked_for_stays(self, begin: Any, costs: Callable[..., None]) -> None:
        costs(step=0.1, view=0.1)
        for seconds in (400, 60, 1):
            _, schedule = decide(begin(time_budget=f"{seconds}s", epochs=7))
            assert epochs_of(schedule) == 7
            _, schedule = decide(begin(time_budget=f"{seconds}s", views=5))
            assert schedule.views == 5

    def test_a_higher_cut_where_the_least_takes_too_long(self, begin: Any, costs: Callable[..., None]) -> None:
        costs(step=1.0)
        _, plenty = decide(begin(time_budget="1h"))
        _, hurried = decide(begin(time_budget="70s"))
        assert plenty.trained == S3
        assert 0 < hurried.n_trained_parameters < plenty.n_trained_parameters
        assert hurried.cut != plenty.cut and hurried.trained[-1] == "head"

    def test_layers_that_were_asked_for_stay(self, begin: Any, costs: Callable[..., None]) -> None:
        costs(step=1.0)
        _, schedule = decide(begin(time_budget="70s", freeze_until="s3_down"))
        assert schedule.trained == S3

    def test_the_time_that_has_passed_counts(self, begin: Any, costs: Callable[..., None]) -> None:
        costs(step=0.3)
        _, early = decide(begin(time_budget="90s"))
        _, late = decide(begin(time_budget="90s", passed=35.0))
        assert epochs_of(late) < epochs_of(early)

    def test_auto_leaves_it_out_and_says_why(self, begin: Any, costs: Callable[..., None]) -> None:
        costs(step=100.0)
        work = begin(recipe="auto", time_budget="2m", passed=7.0)
        reason = schedule_for(work, probed_of(work.intake.manifest))
        assert isinstance(reason, str) and reason.startswith("left out, for it would take about ")
        assert "1 min 53 s of the 2 min" in reason

    def test_larger_batches_where_nothing_else_fits(self, begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Where it was not asked for: a batch that was stays."""
        asked_for: list[int] = []

        def measure(work: Any, probed: Any, layout: Layout, batch: int) -> Any:
            asked_for.append(batch)
            opening = 1000.0 if batch == 16 else 1.0
            return scheduling.Costs(step=1e-9, forward=1e-9, opening=opening, view=0.0, suffix_work=1, prefix_work=1)

        monkeypatch.setattr(scheduling, "_measure", measure)
        _, schedule = decide(begin(time_budget="100s"))
        assert asked_for == [16, 32] and schedule.batch_images == 32
        _, schedule = decide(begin(time_budget="100s", batch=16))
        assert asked_for == [16, 32, 16] and schedule.batch_images == 16

    def test_where_it_was_asked_for_it_takes_the_least(self, begin: Any, costs: Callable[..., None]) -> None:
        costs(step=100.0)
        work = begin(time_budget="10s")
        _, schedule = decide(work)
        assert (epochs_of(schedule), schedule.views) == (3 * LADDER[-1][0], LADDER[-1][1])
        assert schedule.trained == ("head",), "the highest cut"
        assert "more than the budget of 10 s allows" in schedule.reason.replace("\u00a0", " ")

    def test_views_that_the_disk_has_no_room_for_take_no_time(
        self, begin: Any, costs: Callable[..., None], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        layout = next(layouts(begin(), probed_of(begin().intake.manifest)))
        monkeypatch.setattr(module, "cap_bytes", lambda cache: layout.view_bytes() * (9 + 42 * 3))
        costs(view=0.1)
        _, schedule = decide(begin(time_budget="45s"))
        assert schedule.views == 3
        assert epochs_of(schedule) == 3 * LADDER[0][0]


def test_estimates_of_what_is_measured(begin: Any) -> None:
    """Everything doubled takes double the time, but for what is counted once."""
    work = begin()
    layout = next(layouts(work, probed_of(work.intake.manifest)))
    suffix, prefix = layout.freezing.suffix_multiply_adds, layout.freezing.prefix_multiply_adds
    costs = scheduling.Costs(0.5, 0.25, 3.0, 0.01, suffix, prefix)
    once = scheduling.FINISH_SECONDS + 3.0

    def steps(*epochs: int) -> tuple[scheduling.Step, ...]:
        phases = [main_phase(work, probed_of(work.intake.manifest), layout, count) for count in epochs]
        return tuple(scheduling.Step(layout, module.draft(work, layout, each, views=2, batch=16)) for each in phases)

    one = costs.of(work, steps(4)) - once
    assert one == pytest.approx(1.15 * (4 * (3 * 0.5 + 1 * 0.25) + 0.01 * (42 * 2 + 9)))
    half = scheduling.Costs(0.5, 0.25, 3.0, 0.01, 2 * suffix, 2 * prefix)
    assert half.of(work, steps(4)) - once == pytest.approx(one / 2)
    assert costs.of(work, steps(8)) > costs.of(work, steps(4))
    assert costs.of(work, steps(4, 4)) > costs.of(work, steps(4)), "each phase counts"
