"""Where the network is cut, what is trained above and stored below, and the head that fine-tuning begins with."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from graft.backbones.freezing import Freeze
from graft.core.errors import BadInput
from graft.features.records import Output
from graft.pipeline.scoring import rows_of
from graft.pipeline.tuning import layouts as module
from graft.pipeline.tuning.layouts import RATES, Layout, draft, layouts, main_phase, most_views, usual_batch
from graft.pipeline.work import Work
from graft.training.linear import classify, probabilities
from graft.training.tuning.records import Schedule
from tests.pipeline.works import RISING_TO_S2, TAPS, head_on, probed_of

FLAT = (0.9,) * 8
LATE = (0.5, 0.5, 0.6, 0.6, 0.7, 0.95, 0.95, 0.95)
S3 = ("s3_down", "s3_a", "s3_b", "head")


def first(work: Work, **probe: Any) -> Layout:
    return next(layouts(work, probed_of(work.intake.manifest, **probe)))


class TestCut:
    def test_training_begins_right_above_the_place_that_the_profile_names(self, begin: Any) -> None:
        layout = first(begin(), profile=RISING_TO_S2)
        assert layout.cut == ("s2_out",)
        assert layout.freezing.trained == S3

    def test_another_profile_another_cut(self, begin: Any) -> None:
        layout = first(begin(), profile=LATE)
        assert layout.cut == ("s3_down_relu",)
        assert layout.freezing.trained == S3[1:]

    def test_what_costs_less_follows_up_to_one_layer_of_the_top(self, begin: Any) -> None:
        found = list(layouts(begin(), probed_of(begin().intake.manifest)))
        work = [each.freezing.suffix_multiply_adds for each in found]
        assert len(found) > 2 and work == sorted(work, reverse=True)
        assert found[-1].freezing.trained == ("head",)

    @pytest.mark.parametrize(
        ("words", "trained", "cut"),
        [
            ({"freeze_until": "s3_a"}, S3[1:], ("s3_down_relu",)),
            ({"unfreeze_last": 4}, ("head",), ("s3_out",)),
            ({"freeze_level": 3}, S3, ("s2_out",)),
            ({"unfreeze": "none"}, (), ("head_relu",)),
        ],
    )
    def test_words_go_before_the_profile(
        self, begin: Any, words: dict[str, Any], trained: tuple[str, ...], cut: tuple[str, ...]
    ) -> None:
        work = begin(**words)
        (layout,) = layouts(work, probed_of(work.intake.manifest, profile=FLAT))
        assert layout.freezing.trained == trained
        assert layout.freezing.n_trained_parameters + layout.freezing.n_frozen_parameters == 2_074_848
        if trained:
            assert layout.cut == cut

    def test_everything_trained_leaves_nothing_to_store(self, begin: Any) -> None:
        layout = first(begin(unfreeze="all"))
        assert layout.cut == () and layout.freezing.trained[0] == "stem"
        assert layout.view_bytes() == 0

    def test_a_layer_that_is_not_there_is_named(self, begin: Any) -> None:
        with pytest.raises(BadInput, match="s3_aa") as caught:
            first(begin(freeze_until="s3_aa"))
        assert "s3_a" in caught.value.hint

    @pytest.mark.parametrize(("store", "cut"), [("auto", ("s2_out",)), ("always", ("s2_out",)), ("never", ())])
    def test_storing(self, begin: Any, store: str, cut: tuple[str, ...]) -> None:
        layout = first(begin(store=store))
        assert layout.cut == cut and layout.freezing.trained == S3


class TestStored:
    def test_the_cut_is_whole_and_the_taps_below_are_averages(self, begin: Any) -> None:
        layout = first(begin())
        assert layout.outputs == (Output(layer="s2_out", pooling="none"), *(Output(layer=tap) for tap in TAPS[:4]))
        assert layout.program(begin().resolved.plan).outputs == layout.outputs

    def test_of_one_view(self, begin: Any) -> None:
        """8 x 8 x 128 numbers of bfloat16 and the averages of four taps in float16."""
        least = 2 * (8 * 8 * 128 + 64 + 3 * 128)
        assert least <= first(begin()).view_bytes() <= 1.1 * least + 100

    def test_a_head_without_upper_layers_needs_no_maps(self, begin: Any) -> None:
        layout = first(begin(unfreeze="none"))
        assert all(output.pooling == "avg" for output in layout.outputs)
        assert tuple(output.layer for output in layout.outputs) == layout.start.taps


class TestStart:
    """The head before fine-tuning: it must answer as the probe does, and know nothing of the validation photos."""

    def test_it_is_the_head_that_never_saw_the_validation_photos(self, begin: Any) -> None:
        work, head = begin(), head_on(TAPS, seed=3)
        probed = probed_of(work.intake.manifest, head=head)
        start = next(layouts(work, probed)).start
        np.testing.assert_array_equal(start.kernel, head.kernel)
        assert not np.array_equal(start.kernel, probed.result.classifier.kernel), "the refitted one saw them"

    def test_its_temperature_is_left_out(self, begin: Any) -> None:
        """It is less sure then, of the same answers."""
        work, head = begin(), head_on(TAPS, temperature=2.5)
        start = first(work, head=head).start
        assert start.temperature == 1.0
        np.testing.assert_array_equal(start.kernel, head.kernel)
        features = np.random.default_rng(0).normal(size=(20, head.kernel.shape[0])).astype(np.float32)
        answers = [probabilities(each, features).argmax(axis=1) for each in (start, head)]
        np.testing.assert_array_equal(*answers)

    def test_taps_that_the_probe_left_out_have_no_say_at_first(self, begin: Any) -> None:
        work = begin()
        probed = probed_of(work.intake.manifest, head=head_on(TAPS[1:4]))
        start = next(layouts(work, probed)).start
        assert start.taps == TAPS[1:]
        values = probed.activations.values
        wanted = classify(probed.result.held_out, values)
        np.testing.assert_allclose(classify(start, values), wanted, atol=1e-5)

    def test_their_scaling_comes_from_the_training_photos_alone(self, begin: Any) -> None:
        """Sabotage: what test and validation photos show is multiplied; a training photo changed would be seen."""
        work = begin()
        manifest = work.intake.manifest
        probed = probed_of(manifest, head=head_on(TAPS[:4]))
        before = next(layouts(work, probed)).start
        for split, same in (("test", True), ("validation", True), ("train", False)):
            changed = {name: value.copy() for name, value in probed.activations.values.items()}
            for value in changed.values():
                value[rows_of(manifest, split)] *= 3
            other = replace(probed, activations=replace_values(probed.activations, changed))
            after = next(layouts(work, other)).start
            assert np.array_equal(before.mean, after.mean) is same
            assert np.array_equal(before.scale, after.scale) is same

    def test_with_nothing_trained_no_tap_is_added(self, begin: Any) -> None:
        assert first(begin(unfreeze="none"), head=head_on(TAPS[1:4])).start.taps == TAPS[1:4]

    def test_trained_from_zero_it_reads_the_last_layer(self, begin: Any) -> None:
        start = first(begin(head="trained")).start
        assert start.taps == TAPS[-1:] and not start.kernel.any() and not start.bias.any()
        assert start.temperature == 1.0


def replace_values(activations: Any, values: dict[str, np.ndarray]) -> Any:
    return type(activations)(values=values)


class TestRoom:
    """How many views the disk has room for: 42 training photos, 9 for validation."""

    def room(self, monkeypatch: pytest.MonkeyPatch, free: int, cap: int) -> None:
        monkeypatch.setattr(module, "free_bytes", lambda path: free)
        monkeypatch.setattr(module, "cap_bytes", lambda cache: cap)

    def test_the_cap_of_the_cache_counts(self, begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        work = begin()
        layout = first(work)
        for views in (0, 1, 5):
            self.room(monkeypatch, 1 << 60, layout.view_bytes() * (9 + 42 * views))
            assert most_views(work, layout) == views
        self.room(monkeypatch, 1 << 60, layout.view_bytes() * (9 + 42 * 5) - 1)
        assert most_views(work, layout) == 4

    def test_a_quarter_of_what_is_free_counts(self, begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        """Half of the disk, on which the views lie twice."""
        work = begin()
        layout = first(work)
        self.room(monkeypatch, 4 * layout.view_bytes() * (9 + 42 * 3), 1 << 60)
        assert most_views(work, layout) == 3

    def test_a_full_disk_has_room_for_none(self, begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room(monkeypatch, 0, 1 << 60)
        assert most_views(begin(), first(begin())) == 0


class TestDraft:
    def test_one_phase_for_all_that_is_trained(self, begin: Any) -> None:
        work = begin()
        layout, schedule = first(work), drafted(work)
        phase = schedule.phase
        assert (phase.freeze, phase.epochs, phase.optimizer) == (Freeze(kind="until", layer="s3_down"), 8, "adam")
        assert (schedule.cut, schedule.trained, schedule.views) == (("s2_out",), S3, 3)
        assert schedule.store_bytes == 3 * 42 * layout.view_bytes()
        assert schedule.batch_images == usual_batch(work) == 16
        assert schedule.n_trained_parameters == layout.freezing.n_trained_parameters

    def test_words_go_before_what_is_usual(self, begin: Any) -> None:
        words = {"batch": 8, "optimizer": "sgd", "learning_rate": 0.05, "train_precision": "bfloat16"}
        schedule = drafted(begin(**words))
        assert (schedule.batch_images, schedule.precision) == (8, "bfloat16")
        assert (schedule.phase.optimizer, schedule.phase.rate) == ("sgd", 0.05)

    def test_what_fits_the_photos_is_changed_gently(self, begin: Any) -> None:
        """The profile of photos that are unlike those of the backbone ends to rise early."""
        strange = drafted(begin(), profile=RISING_TO_S2).phase.rate
        known = drafted(begin(), profile=LATE).phase.rate
        assert 0 < known < strange <= RATES["adam"]

    def test_each_optimizer_has_a_rate_of_its_own(self, begin: Any) -> None:
        assert drafted(begin(optimizer="sgd")).phase.rate > drafted(begin()).phase.rate

    def test_from_pixels_nothing_is_stored(self, begin: Any) -> None:
        schedule = drafted(begin(store="never"))
        assert (schedule.cut, schedule.views, schedule.store_bytes) == ((), 1, 0)

    @pytest.mark.parametrize("epochs", [1, 2, 100])
    def test_the_rate_has_time_to_rise_and_to_fall(self, begin: Any, epochs: int) -> None:
        phase = drafted(begin(), epochs=epochs).phase
        assert 0 < phase.warmup_epochs <= epochs / 4


def drafted(work: Work, *, epochs: int = 8, **probe: Any) -> Schedule:
    probed = probed_of(work.intake.manifest, **probe)
    layout = next(layouts(work, probed))
    return draft(work, layout, main_phase(work, probed, layout, epochs), views=3)
