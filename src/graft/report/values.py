"""The inspection for programs: one object whose keys stay as they are."""

from typing import Any, Final

from graft.core.records import to_value
from graft.data.inspection.summary import Inspection
from graft.data.records import SPLITS

SCHEMA: Final = "graft/inspect/1"


def inspection_value(inspection: Inspection) -> dict[str, Any]:
    """What `graft inspect --json` writes and `report.json` holds.

    `classes` lists name, photos in each split and `total`; `duplicates` lists paths; `leaks` and `conflicts` are those
    groups of copies that lie in two splits or carry two labels. Lengths are pixels, shares lie in 0..1.
    """
    return {
        "schema": SCHEMA,
        "n": inspection.n,
        "verdict": verdict(inspection),
        "classes": [{**to_value(item), "total": item.total} for item in inspection.classes],
        "splits": {"origin": inspection.split_origin}
        | {split: sum(getattr(item, split) for item in inspection.classes) for split in SPLITS},
        "imbalance": inspection.imbalance,
        "quarantine": [
            {"path": item.path, "code": item.code, "reason": item.reason} for item in inspection.quarantined
        ],
        "ignored": list(inspection.ignored),
        "duplicates": {
            "exact": [list(group.paths) for group in inspection.exact_duplicates],
            "near": [list(group.paths) for group in inspection.near_duplicates],
        },
        "leaks": [
            {"code": "split_leak", "kind": group.kind, "paths": list(group.paths), "splits": list(group.splits)}
            for group in inspection.leaks
        ],
        "conflicts": [
            {"code": "label_conflict", "kind": group.kind, "paths": list(group.paths), "classes": list(group.classes)}
            for group in inspection.conflicts
        ],
        "shortcuts": [to_value(shortcut) for shortcut in inspection.shortcuts],
        "concerns": [to_value(concern) for concern in inspection.concerns],
        "notes": list(inspection.notes),
        "sizes": {"width": to_value(inspection.width), "height": to_value(inspection.height)},
        "formats": inspection.formats,
        "modes": inspection.modes,
        "orientations": inspection.orientations,
        "flags": inspection.flags,
    }


def verdict(inspection: Inspection) -> str:
    """The first thing to say: whether something stands in the way."""
    first = sum(concern.first for concern in inspection.concerns)
    if not first:
        return "nothing stands in the way"
    return "1 thing to look at first" if first == 1 else f"{first} things to look at first"
