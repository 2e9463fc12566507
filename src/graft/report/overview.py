"""What the data section shows, for the report of a training and for the page of `graft inspect` alike."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from graft.data.entries import SPLIT_NAMES
from graft.data.inspection.concerns import Concern, DuplicateGroup
from graft.data.inspection.summary import Inspection
from graft.data.records import Manifest, Photo, Quarantined
from graft.report import findings, words
from graft.report.data import Pictures
from graft.report.sizes import size_charts
from graft.report.tables import FIRST_CLASSES, UNFOLDED_CLASSES, Folded

FIRST_FILES: Final = 8
MOST_FILES: Final = 200  # in the fold
GROUPS_SHOWN: Final = 12
ROOMY_CLASSES: Final = 12  # more than that share a row of the contact sheet
PHOTOS_OF_A_GROUP: Final = 3
SHEET_BYTES: Final = 1_200_000  # of the contact sheet: the page must stay easy to send
HEADINGS: Final[Mapping[str, str]] = {
    "no_photos": "No photos",
    "one_class": "Only one class",
    "class_empty": "Classes without photos",
    "class_names": "Names of classes",
    "untrained": "Nothing to learn a class from",
    "sample_range": "Photos of 16 bits",
    "split_leak": "Photos in two splits",
    "label_conflict": "Photos with two labels",
    "left_out": "Files that cannot be used",
    "imbalance": "Uneven classes",
    "few_photos": "Few photos",
    "no_test": "No test photos",
    "small": "Small photos",
    "copies": "Copies",
}
GIVEN_AWAY_BY: Final[Mapping[str, str]] = {
    "format": "The file format",
    "mode": "The colour mode",
    "orientation": "The EXIF orientation",
    "size": "The exact size",
    "flag": "How files were saved",
    "width": "The width",
    "height": "The height",
    "aspect": "The shape",
    "bytes": "The file size",
    "bytes_per_pixel": "The compression",
}


@dataclass(frozen=True)
class ShownPhoto:
    """One photo as a page shows it; `thumbnail` is empty where none was made, `mark` says what is odd about it."""

    path: str
    thumbnail: bytes
    label: str
    split: str
    mark: str = ""


@dataclass(frozen=True)
class ShownConcern:
    """A concern with its heading and the photos that show it."""

    heading: str
    concern: Concern
    photos: tuple[ShownPhoto, ...]


@dataclass(frozen=True)
class ShownGroup:
    """Copies side by side; `harm` says what is wrong with them."""

    kind: str
    harm: str
    photos: tuple[ShownPhoto, ...]
    more: int


@dataclass(frozen=True)
class SheetRow:
    """One class of the contact sheet."""

    name: str
    total: int
    left_out: int
    photos: tuple[ShownPhoto, ...]


def data_section(
    manifest: Manifest,
    inspection: Inspection,
    pictures: Pictures,
    *,
    sheet_bytes: int = SHEET_BYTES,
    order: Sequence[str] = (),
) -> dict[str, Any]:
    """Everything the templates `data` and `sheet` show. `order` names classes that come first where there are many."""
    shown = _Shown(manifest, inspection, pictures)
    told = [
        ShownConcern(_heading(concern, inspection), concern, shown.photos(concern.paths) if _has_pair(concern) else ())
        for concern in inspection.concerns
    ]
    return {
        **_counts(manifest, inspection),
        "first": [item for item in told if item.concern.first],
        "others": [item for item in told if not item.concern.first],
        "files": findings.file_facts(inspection),
        "charts": size_charts(manifest.photos),
        "quarantine": quarantine(manifest),
        "ignored": _ignored(inspection),
        "copies": copies(inspection, shown),
        "sheet": sheet(manifest, inspection, pictures, shown, budget_bytes=sheet_bytes, order=order),
        "dense": len(pictures.sheet) > ROOMY_CLASSES,
        "marked": bool(shown.marks),
    }


class _Shown:
    """Looks photos up by path, with their pictures and what is odd about them."""

    def __init__(self, manifest: Manifest, inspection: Inspection, pictures: Pictures) -> None:
        self._manifest, self._pictures = manifest, pictures
        self._photos: dict[str, Photo] = {photo.path: photo for photo in manifest.photos}
        self.marks = _marks(inspection)

    def photos(self, paths: Sequence[str]) -> tuple[ShownPhoto, ...]:
        """Those of the paths that are good photos."""
        return tuple(self._shown(self._photos[path]) for path in paths if path in self._photos)

    def _shown(self, photo: Photo) -> ShownPhoto:
        return ShownPhoto(
            path=photo.path,
            thumbnail=self._pictures.thumbnails.get(photo.path, b""),
            label=self._manifest.classes[photo.label],
            split=photo.split,
            mark=self.marks.get(photo.path, ""),
        )


def _heading(concern: Concern, inspection: Inspection) -> str:
    for shortcut in inspection.shortcuts:
        if shortcut.sentence == concern.sentence:
            what = GIVEN_AWAY_BY.get(shortcut.property, "A property of the files")
            given = words.shortened(shortcut.classes[0], 40) if shortcut.classes else ""
            return f"{what} gives “{given}” away" if given else f"{what} gives the class away"
    return HEADINGS.get(concern.kind, "Mind")


def _has_pair(concern: Concern) -> bool:
    return concern.kind in ("split_leak", "label_conflict")


def _marks(inspection: Inspection) -> dict[str, str]:
    """What the contact sheet says of a photo, the gravest where several hold."""
    marks: dict[str, str] = {}
    for group in reversed(worst_first(inspection)):
        mark = harm(group).removeprefix("in ") or ("copy" if group.kind == "exact" else "near copy")
        marks |= dict.fromkeys(group.paths, mark)
    return marks


def harm(group: DuplicateGroup) -> str:
    """What is wrong with a group of copies; empty where nothing is."""
    if group.leaks and group.conflicts:
        return "in two splits and classes"
    return "in two splits" if group.leaks else "in two classes" if group.conflicts else ""


def worst_first(inspection: Inspection) -> list[DuplicateGroup]:
    """All groups of copies: those that leak, those with two labels, near copies, exact ones."""
    return sorted(
        inspection.duplicates, key=lambda group: (not group.leaks, not group.conflicts, group.kind == "exact")
    )


def _counts(manifest: Manifest, inspection: Inspection) -> dict[str, Any]:
    """Photos by class and split; of many classes the smallest come first."""
    counts = findings.split_counts(manifest)
    rows = [(item, item.total) for item in inspection.classes]
    sizes = [size for _, size in rows]
    smallest = sorted(rows, key=lambda row: row[1])[:FIRST_CLASSES] if len(rows) > UNFOLDED_CLASSES else rows
    return {
        "split": findings.split_sentence(manifest),
        "parts": [split for split, n in counts.items() if n],
        "counts": counts,
        "rows": Folded(smallest, rows if len(smallest) < len(rows) else []),
        "largest": max(sizes, default=0),
        "sizes": _sizes(sizes),
    }


def _sizes(sizes: list[int]) -> str:
    low, high = min(sizes, default=0), max(sizes, default=0)
    if low == high:
        return f"Every class has {words.counted(low, 'photo')}."
    if not low:
        return f"The largest class has {words.counted(high, 'photo')}, the smallest none."
    ratio = high / low
    times = f", {ratio:.1f} times as many" if ratio >= 1.1 else ""
    return f"The smallest class has {words.counted(low, 'photo')}, the largest {words.count(high)}{times}."


def quarantine(manifest: Manifest) -> dict[str, Any]:
    """Files that were left out: how many for which reason, and the first of them by name."""
    rows: list[Quarantined] = sorted(manifest.quarantined, key=lambda item: item.path)
    return {
        "n": len(rows),
        "codes": findings.quarantine_by_code(manifest),
        "rows": Folded(rows[:FIRST_FILES], rows[FIRST_FILES:MOST_FILES]),
        "more": max(0, len(rows) - MOST_FILES),
    }


def _ignored(inspection: Inspection) -> dict[str, Any]:
    return {
        "n": len(inspection.ignored),
        "names": inspection.ignored[:MOST_FILES],
        "more": max(0, len(inspection.ignored) - MOST_FILES),
    }


def copies(inspection: Inspection, shown: _Shown) -> dict[str, Any]:
    """Groups of copies, those that do harm first, with their pictures."""
    groups = worst_first(inspection)
    return {
        "n": len(groups),
        "exact": len(inspection.exact_duplicates),
        "near": len(inspection.near_duplicates),
        "files": len({path for group in groups for path in group.paths}),
        "across_splits": len(inspection.leaks),
        "across_classes": len(inspection.conflicts),
        "groups": [
            ShownGroup(
                kind="The same file" if group.kind == "exact" else "Looks the same",
                harm=harm(group),
                photos=shown.photos(group.paths[:PHOTOS_OF_A_GROUP]),
                more=max(0, len(group.paths) - PHOTOS_OF_A_GROUP),
            )
            for group in groups[:GROUPS_SHOWN]
        ],
        "more": max(0, len(groups) - GROUPS_SHOWN),
    }


def sheet(
    manifest: Manifest,
    inspection: Inspection,
    pictures: Pictures,
    shown: _Shown,
    *,
    budget_bytes: int,
    order: Sequence[str],
) -> Folded:
    """The contact sheet: as many photos of each class as keep all pictures together within the budget."""
    chosen = {name: shown.photos(paths) for name, paths in pictures.sheet.items() if paths}
    most = max(map(len, chosen.values()), default=0)
    while most > 1 and sum(len(one.thumbnail) for row in chosen.values() for one in row[:most]) > budget_bytes:
        most -= 1
    total = {item.name: item.total for item in inspection.classes}
    left_out = Counter(class_of(item.path, total) for item in manifest.quarantined)
    rows = [SheetRow(name, total.get(name, 0), left_out[name], photos[:most]) for name, photos in chosen.items()]
    if len(rows) > UNFOLDED_CLASSES:
        place = {name: index for index, name in enumerate(order)}
        rows.sort(key=lambda row: place.get(row.name, len(place)))
    return Folded(rows[:UNFOLDED_CLASSES], rows[UNFOLDED_CLASSES:])


def class_of(path: str, classes: Mapping[str, int]) -> str:
    """The class that a file left out was meant for, as far as its folder tells; otherwise empty."""
    folders = path.split("/")[:-1]
    if folders and folders[0] not in classes and folders[0].lower() in SPLIT_NAMES:
        folders = folders[1:]
    return folders[0] if folders and folders[0] in classes else ""
