"""Small pictures of photos, for pages that show them."""

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from graft.core import machine
from graft.core.progress import Progress
from graft.data.images import thumbnail
from graft.data.inspection.summary import Inspection
from graft.data.records import Manifest
from graft.data.stream import read_photo
from graft.pipeline.intake import Intake
from graft.report.data import Pictures
from graft.report.overview import GROUPS_SHOWN, PHOTOS_OF_A_GROUP, worst_first

THUMBNAIL_PIXELS = 128
LEAST_OF_A_CLASS = 4


def make_thumbnails(intake: Intake, rows: Iterable[int], progress: Progress) -> dict[int, bytes]:
    """JPEGs of the photos in these rows of the manifest, by row."""
    wanted = sorted(set(rows))
    manifest = intake.manifest

    def make(row: int) -> bytes:
        data = read_photo(intake.root, manifest.photos[row], rules=manifest.rules)
        return thumbnail(data, THUMBNAIL_PIXELS, rules=manifest.rules)

    made = {}
    pool = ThreadPoolExecutor(max_workers=machine.threads(), thread_name_prefix="graft-thumbnail")
    try:
        with progress.stage("Making thumbnails", len(wanted), "photos") as stage:
            for row, picture in zip(wanted, pool.map(make, wanted), strict=True):
                made[row] = picture
                stage.advance()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    return made


def sheet_rows(manifest: Manifest, *, of_each: int, together: int) -> list[int]:
    """Rows for a contact sheet: `of_each` photos of each class, spread over it; fewer where there are many classes.

    About `together` photos are chosen at most: what is left of the classes beyond that has no pictures.
    """
    by_class: dict[int, list[int]] = {}
    for row, photo in enumerate(manifest.photos):
        by_class.setdefault(photo.label, []).append(row)
    n = min(of_each, max(LEAST_OF_A_CLASS, together // max(len(by_class), 1)))
    shown = sorted(by_class)[: together // n]
    return [row for label in shown for row in _spread(by_class[label], n)]


def group_rows(manifest: Manifest, inspection: Inspection) -> list[int]:
    """Rows of the photos of those groups of copies that a page shows."""
    place = {photo.path: row for row, photo in enumerate(manifest.photos)}
    return [place[path] for group in worst_first(inspection)[:GROUPS_SHOWN] for path in group.paths[:PHOTOS_OF_A_GROUP]]


def pictures_of(manifest: Manifest, thumbnails: dict[int, bytes], sheet: Sequence[int]) -> Pictures:
    """Thumbnails by row, and the rows of the contact sheet, as a page wants them."""
    paths: dict[str, list[str]] = {}
    for row in sheet:
        photo = manifest.photos[row]
        paths.setdefault(manifest.classes[photo.label], []).append(photo.path)
    return Pictures(
        thumbnails={manifest.photos[row].path: picture for row, picture in thumbnails.items()},
        sheet={name: tuple(paths[name]) for name in manifest.classes if name in paths},
    )


def _spread(rows: Sequence[int], n: int) -> list[int]:
    """At most `n` of the rows at even distances, both ends included."""
    places = np.unique(np.linspace(0, len(rows) - 1, n).round().astype(int))
    return [rows[place] for place in places]
