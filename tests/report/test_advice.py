from dataclasses import replace

from graft.core.records import to_value
from graft.data.inspection.concerns import ClassCount, DuplicateGroup
from graft.data.inspection.summary import inspect_manifest
from graft.report.advice import MOST, advise, worst_pair
from graft.report.data import ReportData
from tests.report.factory import make_asked, make_epochs, make_report, make_tuning


def headings(data: ReportData) -> list[str]:
    return [item.heading for item in advise(data)]


def with_confusion(data: ReportData, table: tuple[tuple[int, ...], ...]) -> ReportData:
    rows = tuple(
        replace(item, support=sum(table[i]), predicted=sum(row[i] for row in table))
        for i, item in enumerate(data.evaluation.per_class)
    )
    n = sum(map(sum, table))
    return replace(data, evaluation=replace(data.evaluation, confusion=table, per_class=rows, n=n))


def test_the_pair_confused_most_adds_both_directions() -> None:
    data = with_confusion(make_report(("a", "b", "c"), per_class=60), ((20, 2, 3), (3, 20, 0), (0, 0, 25)))
    pair = worst_pair(data)
    assert (pair.first, pair.second, pair.mistakes, pair.photos) == ("a", "b", 5, 48)
    found = next(item for item in advise(data) if item.heading == "Look at “a” and “b”")
    assert "5 of their 48 scored photos" in found.detail
    counts = {item.name: item.train for item in data.inspection.classes}
    assert f"{counts['a']} and {counts['b']} photos to learn from" in found.detail


def test_scattered_mistakes_name_no_pair_as_the_cause() -> None:
    data = with_confusion(make_report(("a", "b", "c"), per_class=60), ((20, 1, 0), (0, 20, 1), (1, 0, 20)))
    assert "Check the labels of its mistakes" in headings(data)
    assert not any(heading.startswith("Look at") for heading in headings(data))


def test_without_mistakes_the_next_test_is_elsewhere() -> None:
    data = make_report(("a", "b"), per_class=200, skill=4000.0)
    assert worst_pair(data) is None
    assert headings(data)[-1] == "Try it on photos from elsewhere"


def test_a_classifier_no_better_than_guessing_is_not_praised() -> None:
    assert headings(make_report(("a", "b"), per_class=60, skill=0.0))[0] == "Do not use it yet"
    assert "Do not use it yet" not in headings(make_report())


def test_leaks_and_conflicting_labels_come_before_more_photos() -> None:
    data = make_report()
    groups = (
        DuplicateGroup(paths=("a/1.jpg", "b/1.jpg"), classes=("a", "b"), splits=("train",)),
        DuplicateGroup(paths=("a/2.jpg", "a/3.jpg"), classes=("a",), splits=("train", "test")),
    )
    found = headings(replace(data, inspection=replace(data.inspection, exact_duplicates=groups)))
    assert found[:2] == ["Remove photos that are in two splits", "Decide which label is right"]


def test_small_and_uneven_classes_are_named() -> None:
    data = make_report(skew=0.0)
    counts = (ClassCount(name="0", train=4, validation=1, test=1), *data.inspection.classes[1:])
    uneven = replace(data, inspection=replace(data.inspection, classes=counts, imbalance=34.0))
    assert {"Collect at least 20 photos of each class", "Even out the classes"} <= set(headings(uneven))
    assert "“0” (4)" in next(item.detail for item in advise(uneven) if item.heading.startswith("Collect"))


def test_a_class_that_is_found_less_often_is_named() -> None:
    data = make_report()
    weak = replace(data.evaluation.per_class[3].recall, value=0.4, low=0.2, high=0.6)
    rows = tuple(replace(item, recall=weak) if i == 3 else item for i, item in enumerate(data.evaluation.per_class))
    found = headings(replace(data, evaluation=replace(data.evaluation, per_class=rows)))
    assert "Add photos of “3”" in found
    assert "Add photos of “3”" not in headings(data)


def test_the_built_in_network_is_not_the_last_word() -> None:
    data = make_report(skill=5.0)
    assert data.evaluation.accuracy.value < 0.97
    built_in = replace(data, plan=data.plan | {"backbone": "sprout"})
    assert "Use a larger network" in headings(built_in)
    assert "Use a larger network" not in headings(data)
    assert "Use a larger network" not in headings(replace(make_report(skill=4000.0), plan=built_in.plan))


def test_a_classifier_too_sure_of_itself_needs_photos() -> None:
    assert "Add photos so that it learns how sure to be" in headings(make_report(skill=4.0, sharp=4.0, quarantined=0))
    assert "Add photos so that it learns how sure to be" not in headings(make_report())


def test_few_scored_photos_are_said_to_be_few() -> None:
    assert "Score it on more photos" in headings(make_report(("a", "b"), per_class=60, skill=3.0))
    assert "Score it on more photos" not in headings(make_report())


def test_left_out_files_are_mentioned_only_where_there_are_some() -> None:
    assert "See to 3 files left out" in headings(make_report())
    assert not any("Repair" in heading for heading in headings(make_report(quarantined=0)))


def test_there_is_always_some_advice_and_never_too_much() -> None:
    data = make_report(("a", "b", "c", "d"), per_class=12, skill=0.5, split="validation")
    assert 1 <= len(advise(data)) <= MOST
    assert advise(make_report(quarantined=0, skill=4000.0))
    assert inspect_manifest(data.manifest) == data.inspection


def test_a_shortcut_is_to_be_ruled_out() -> None:
    data = make_report(("a", "b"), per_class=60)
    assert "Rule out a shortcut" not in headings(data)
    photos = tuple(
        replace(photo, facts=replace(photo.facts, orientation=6 if photo.label else 1))
        for photo in data.manifest.photos
    )
    found = inspect_manifest(replace(data.manifest, photos=photos))
    advice = next(item for item in advise(replace(data, inspection=found)) if item.heading == "Rule out a shortcut")
    assert "turned by their EXIF orientation are in 'b'" in advice.detail


def test_a_probe_alone_is_told_of_fine_tuning_where_it_may_help() -> None:
    weak = make_report(("a", "b", "c"), per_class=60, skill=4.0)
    assert "Let it fine-tune" in headings(weak)
    assert "Let it fine-tune" not in headings(replace(weak, tuning=make_tuning()))
    assert "Let it fine-tune" not in headings(make_report(skill=4000.0))


def test_a_stopped_fine_tuning_comes_first(tuned: ReportData) -> None:
    data = replace(tuned, tuning=make_tuning(finished=False, epochs=make_epochs(2, 3), best_epoch=5))
    item = advise(data)[0]
    assert item.heading == "Let fine-tuning end"
    assert "stopped after 5 epochs. The same command goes on" in item.detail


def test_more_time_is_advised_only_while_the_loss_still_falls(tuned: ReportData) -> None:
    falling = make_tuning(epochs=make_epochs()[:8], best_epoch=8)
    item = next(item for item in advise(replace(tuned, tuning=falling)) if item.heading == "Fine-tune for longer")
    assert "A larger --time-budget buys more" in item.detail
    free = replace(tuned, tuning=falling)
    free = replace(free, plan=free.plan | {"tuning": to_value(make_asked(time_budget_seconds=None))})
    assert any("Try --epochs 16" in item.detail for item in advise(free))
    flat = tuple(replace(row, validation_loss=0.03) for row in make_epochs())
    for other in (
        make_tuning(),  # the last epoch was not the best
        replace(falling, stopped_early=True),
        replace(falling, finished=False),
        make_tuning(epochs=flat, best_epoch=12),
        make_tuning(epochs=make_epochs()[:1], best_epoch=1),
        make_tuning(epochs=make_epochs(validation=False), best_epoch=12),
        make_tuning(epochs=(), best_epoch=0),
    ):
        assert "Fine-tune for longer" not in headings(replace(tuned, tuning=other))


def test_photos_learned_by_heart_ask_for_variety(tuned: ReportData) -> None:
    rows = tuple(replace(row, accuracy=1.0, validation_accuracy=0.9) for row in make_epochs())
    item = next(
        item
        for item in advise(replace(tuned, tuning=make_tuning(epochs=rows)))
        if item.heading == "Show it more variety"
    )
    assert "100.0\u00a0% of the training views, but on 90.0\u00a0% of the validation photos" in item.detail
    assert "Show it more variety" not in headings(tuned)


def test_a_loss_that_only_rises_asks_for_smaller_steps(tuned: ReportData) -> None:
    rows = tuple(replace(row, validation_loss=0.05 + 0.01 * row.number) for row in make_epochs(0, 4))
    item = next(
        item
        for item in advise(replace(tuned, tuning=make_tuning(epochs=rows, best_epoch=1)))
        if item.heading == "Fine-tune more gently"
    )
    assert "--learning-rate 0.0003" in item.detail
    for other in (
        make_tuning(),
        make_tuning(epochs=rows[:2], best_epoch=1),
        make_tuning(epochs=tuple(replace(row, validation_loss=0.05) for row in rows), best_epoch=1),
        make_tuning(epochs=make_epochs(0, 4, validation=False), best_epoch=1),
    ):
        assert "Fine-tune more gently" not in headings(replace(tuned, tuning=other))
