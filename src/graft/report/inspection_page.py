"""The page of `graft inspect`: whether the photos can be trained on, and what they look like."""

from typing import Final

from graft.data.inspection.summary import Inspection
from graft.report import sizes, words
from graft.report.data import InspectionData
from graft.report.overview import data_section
from graft.report.page import render
from graft.report.values import verdict

SHEET_BYTES: Final = 3_000_000


def render_inspection(data: InspectionData) -> str:
    """The inspection as one HTML page: no script, no network, the same text for the same records."""
    context = {
        "data": data,
        "created": words.date(data.created),
        "verdict": verdict(data.inspection),
        "counted": counted(data.inspection),
        "tiles": _tiles(data),
        "photos": data_section(data.manifest, data.inspection, data.pictures, sheet_bytes=SHEET_BYTES),
        "told_before": True,
        "elsewhere": "graft inspect --json",
    }
    return render("inspection.html.jinja", context)


def counted(inspection: Inspection) -> str:
    """`921 photos in 2 classes`."""
    classes = words.counted(len(inspection.classes), "class", "classes")
    return f"{words.counted(inspection.n, 'photo')} in {classes}"


def _tiles(data: InspectionData) -> list[tuple[str, str, str, str]]:
    """(name, figure, what it means, section to read on in): the four figures the page opens with."""
    inspection = data.inspection
    smallest = min(inspection.classes, key=lambda item: item.total)
    left_out, files = len(inspection.quarantined), inspection.n + len(inspection.quarantined)
    copies = len({path for group in inspection.duplicates for path in group.paths})
    return [
        ("Smallest class", words.count(smallest.total), f"“{words.shortened(smallest.name, 40)}”", "data"),
        ("Left out", words.count(left_out), f"of {words.counted(files, 'file')}", "left-out" if left_out else ""),
        ("Copies", words.count(copies), _copies(inspection), "duplicates" if copies else ""),
        ("Sizes", *_size(data), "files"),
    ]


def _copies(inspection: Inspection) -> str:
    groups = ((len(inspection.leaks), "splits"), (len(inspection.conflicts), "classes"))
    harm = [f"{n} in two {what}" for n, what in groups if n]
    return words.listed(harm) or ("none does harm" if inspection.duplicates else "no photo is there twice")


def _size(data: InspectionData) -> tuple[str, str]:
    width, height = data.inspection.width, data.inspection.height
    middle, told = f"{width.middle} × {height.middle}", sizes.told(data.manifest.photos)
    known = {f"{middle} pixels": "pixels, all of them", f"mostly {middle} pixels": "pixels, most of them"}
    return middle, known.get(told, told)
