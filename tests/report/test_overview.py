from dataclasses import replace

import pytest

from graft.data.inspection.concerns import DuplicateGroup
from graft.data.inspection.summary import inspect_manifest
from graft.data.records import Manifest, Quarantined
from graft.report import overview
from graft.report.data import Pictures
from tests.report.factory import make_manifest, make_pictures


def section(manifest: Manifest, *, n_samples: int = 4, **options: object) -> dict:
    return overview.data_section(manifest, inspect_manifest(manifest), make_pictures(manifest, n_samples), **options)


def test_of_many_classes_the_smallest_are_shown() -> None:
    manifest = make_manifest(tuple(f"c{i}" for i in range(40)), 60, skew=0.8)
    rows = section(manifest, n_samples=1)["rows"]
    totals = sorted(item.total for item in inspect_manifest(manifest).classes)
    assert [size for _, size in rows.shown] == totals[:12]
    assert len(rows.every) == 40
    assert section(make_manifest(("a", "b"), 20))["rows"].every == []


def test_harmful_copies_come_first() -> None:
    manifest = make_manifest(("a", "b"), 40, duplicates=0)
    inspection = inspect_manifest(manifest)
    groups = tuple(DuplicateGroup(paths=(f"a/{i}", f"a/{i}b"), classes=("a",), splits=("train",)) for i in range(30))
    conflict = DuplicateGroup(paths=("a/c", "b/c"), classes=("a", "b"), splits=("train",))
    leak = DuplicateGroup(paths=("a/x", "a/y"), classes=("a",), splits=("train", "test"), kind="near")
    inspection = replace(inspection, exact_duplicates=(*groups, conflict), near_duplicates=(leak,))
    assert overview.worst_first(inspection)[:2] == [leak, conflict]
    found = overview.data_section(manifest, inspection, Pictures())["copies"]
    assert (found["n"], found["files"], found["across_splits"], found["across_classes"]) == (32, 64, 1, 1)
    assert [group.harm for group in found["groups"]][:3] == ["in two splits", "in two classes", ""]
    assert found["more"] == 32 - overview.GROUPS_SHOWN


def test_copies_are_marked_by_the_worst_that_holds() -> None:
    manifest = make_manifest(("a", "b"), 40, duplicates=1)
    (exact,) = inspect_manifest(manifest).exact_duplicates
    other = next(photo.path for photo in manifest.photos if photo.label == 1)
    manifest = replace(manifest, near_duplicates=(tuple(sorted((exact.paths[0], other))),))
    shown = section(manifest)
    marks = {photo.path: photo.mark for row in shown["sheet"].shown for photo in row.photos if photo.mark}
    assert marks == {exact.paths[0]: "two classes", exact.paths[1]: "copy", other: "two classes"}
    assert shown["marked"] and not section(make_manifest(("a", "b"), 40, duplicates=0))["marked"]


def test_files_left_out_beyond_the_fold_are_counted() -> None:
    found = section(make_manifest(("a", "b"), 20, quarantined=300))["quarantine"]
    assert len(found["rows"].shown) + len(found["rows"].every) + found["more"] == found["n"] == 300


def test_the_sheet_keeps_to_its_budget_and_says_what_is_missing() -> None:
    manifest = make_manifest(("a", "b"), 40, quarantined=3)
    whole = section(manifest)["sheet"].shown
    assert [(row.name, len(row.photos), row.left_out) for row in whole] == [("a", 4, 2), ("b", 4, 1)]
    heavy = sum(len(photo.thumbnail) for row in whole for photo in row.photos)
    fewer = section(manifest, sheet_bytes=heavy - 1)["sheet"].shown
    assert [len(row.photos) for row in fewer] == [3, 3]


def test_many_classes_are_folded_with_the_weakest_first() -> None:
    manifest = make_manifest(tuple(f"c{i}" for i in range(30)), 9)
    sheet = section(manifest, n_samples=1, order=["c7", "c3"])["sheet"]
    assert (len(sheet.shown), len(sheet.every)) == (24, 6)
    assert [row.name for row in sheet.shown[:3]] == ["c7", "c3", "c0"]


@pytest.mark.parametrize(
    ("path", "name"),
    [("a/x.jpg", "a"), ("train/a/deep/x.jpg", "a"), ("Val/b/x.jpg", "b"), ("x.jpg", ""), ("train/c/x.jpg", "")],
)
def test_the_class_of_a_file_left_out_is_told_by_its_folder(path: str, name: str) -> None:
    assert overview.class_of(path, {"a": 1, "b": 1}) == name


def test_nothing_at_all_can_be_shown() -> None:
    left_out = (Quarantined(path="a/x.jpg", code="corrupt", reason="damage"),)
    manifest = replace(make_manifest(("a", "b"), 8), photos=(), quarantined=left_out)
    shown = section(manifest)
    assert shown["first"][0].heading == "No photos"
    assert (shown["largest"], shown["charts"], shown["sheet"].shown) == (0, [], [])
