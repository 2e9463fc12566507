import json
from dataclasses import replace

from graft.data.inspection.summary import inspect_manifest
from graft.report.page import render_json
from graft.report.values import inspection_value, verdict
from tests.report.factory import make_manifest, make_report


def test_the_exact_shape() -> None:
    manifest = make_manifest(("a", "b"), 40, quarantined=1, duplicates=1)
    by_split = {photo.split: photo.path for photo in manifest.photos if photo.label == 0}
    other = next(photo.path for photo in manifest.photos if photo.label == 1 and photo.split == "train")
    near = (tuple(sorted((by_split["train"], by_split["test"]))), tuple(sorted((by_split["train"], other))))
    inspection = inspect_manifest(replace(manifest, near_duplicates=near, ignored=("a/x.txt",)))
    value = json.loads(json.dumps(inspection_value(inspection), allow_nan=False))
    concerns = value.pop("concerns")
    assert [(item["kind"], item["first"]) for item in concerns] == [
        ("split_leak", True),
        ("label_conflict", True),
        ("left_out", False),
        ("copies", False),
    ]
    assert set(concerns[0]) == {"kind", "first", "sentence", "remedy", "paths"}
    counts = {item.name: item for item in inspection.classes}
    assert value == {
        "schema": "graft/inspect/1",
        "n": len(manifest.photos),
        "verdict": "2 things to look at first",
        "classes": [
            {
                "name": name,
                "train": counts[name].train,
                "validation": counts[name].validation,
                "test": counts[name].test,
                "total": counts[name].total,
            }
            for name in ("a", "b")
        ],
        "splits": {"origin": "made"}
        | {split: sum(photo.split == split for photo in manifest.photos) for split in ("train", "validation", "test")},
        "imbalance": inspection.imbalance,
        "quarantine": [
            {"path": "a/broken_0.jpg", "code": "truncated", "reason": "the image ends before it should"},
        ],
        "ignored": ["a/x.txt"],
        "duplicates": {
            "exact": [list(group.paths) for group in inspection.exact_duplicates],
            "near": [list(paths) for paths in near],
        },
        "leaks": [{"code": "split_leak", "kind": "near", "paths": list(near[0]), "splits": ["train", "test"]}],
        "conflicts": [{"code": "label_conflict", "kind": "near", "paths": list(near[1]), "classes": ["a", "b"]}],
        "shortcuts": [],
        "notes": [item["sentence"] for item in concerns],
        "sizes": {
            side: {"least": 100, "lower": 100, "middle": 100, "upper": 100, "greatest": 100}
            for side in ("width", "height")
        },
        "formats": {"JPEG": len(manifest.photos)},
        "modes": {"RGB": len(manifest.photos)},
        "orientations": {"1": len(manifest.photos)},
        "flags": {},
    }


def test_a_shortcut_is_a_record() -> None:
    manifest = make_manifest(("a", "b"), 40)
    photos = tuple(
        replace(photo, facts=replace(photo.facts, format="PNG" if photo.label else "JPEG")) for photo in manifest.photos
    )
    (first, *_) = inspection_value(inspect_manifest(replace(manifest, photos=photos)))["shortcuts"]
    assert set(first) == {
        *("property", "value", "classes", "n_photos", "share", "chance", "strength", "p_value", "sentence", "remedy")
    }
    assert (first["property"], first["share"], first["strength"]) == ("format", 1.0, 1.0)


def test_the_report_says_the_same() -> None:
    report = make_report(("a", "b"), per_class=40)
    assert json.loads(render_json(report))["inspection"] == inspection_value(report.inspection)


def test_nothing_at_all_has_values() -> None:
    empty = replace(make_manifest(("a", "b"), 8), photos=(), quarantined=())
    value = inspection_value(inspect_manifest(empty))
    json.dumps(value, allow_nan=False)
    assert (value["n"], value["imbalance"], value["sizes"]["width"]["greatest"]) == (0, 0.0, 0)
    assert verdict(inspect_manifest(empty)).endswith("to look at first")
