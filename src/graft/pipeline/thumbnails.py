"""Small pictures of photos, for pages that show them."""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from graft.core import machine
from graft.core.progress import Progress
from graft.core.randomness import stream
from graft.data.augmentation import wording
from graft.data.augmentation.views import draw_view
from graft.data.images import encode_png, thumbnail
from graft.data.inspection.summary import Inspection
from graft.data.records import ImageRules, Manifest
from graft.data.stream import PhotoReader, read_photo
from graft.pipeline.intake import Intake
from graft.report.data import Pictures, Viewed
from graft.report.overview import GROUPS_SHOWN, PHOTOS_OF_A_GROUP, worst_first
from graft.training.records import Plan

THUMBNAIL_PIXELS = 128
LEAST_OF_A_CLASS = 4
ANSWERS_SHOWN = 25  # five rows of five
VIEWED_PHOTOS, VIEWS_SHOWN = 4, 6
ANY_SIZE = ImageRules(min_side_pixels=1)  # our own small pictures may be smaller than photos


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


def drawn_rows(rows: np.ndarray, seed: int) -> np.ndarray:
    """Some of the rows, drawn by chance: right and wrong answers as often as they are."""
    return rows[stream(seed, "answers shown").permutation(len(rows))[:ANSWERS_SHOWN]]


def view_arrays(intake: Intake, plan: Plan) -> dict[str, np.ndarray]:
    """Views of a few training photos as fine-tuning saw them; none where it had no augmentation.

    Each is a JPEG named `view/ROW/NUMBER`, and `words/ROW/NUMBER` tells in UTF-8 what was done to it.
    """
    n_views = _views_shown(plan)
    if n_views < 2 or plan.tuning is None:
        return {}
    manifest, augmentation = intake.manifest, plan.tuning.augmentation
    reader = PhotoReader(
        root=intake.root,
        side_pixels=plan.side_pixels,
        geometry=plan.preprocessing.geometry,
        rules=manifest.rules,
        augmentation=augmentation,
        seed=plan.seed,
    )
    arrays = {}
    for row in _viewed_rows(manifest, plan.seed):
        photo = manifest.photos[row]
        for view, pixels in enumerate(reader.views(photo, range(n_views))):
            picture = thumbnail(encode_png(pixels), THUMBNAIL_PIXELS, rules=ANY_SIZE)
            drawn = draw_view(augmentation, sha256=photo.sha256, view=view, seed=plan.seed)
            told = ", ".join(filter(None, wording.describe_draw(drawn)))
            arrays[f"view/{row}/{view}"] = np.frombuffer(picture, np.uint8)
            arrays[f"words/{row}/{view}"] = np.frombuffer(told.encode(), np.uint8)
    return arrays


def viewed(manifest: Manifest, arrays: dict[str, np.ndarray]) -> Iterator[Viewed]:
    """What `view_arrays` kept, photo by photo."""
    places = sorted(tuple(map(int, name.split("/")[1:])) for name in arrays if name.startswith("view/"))
    for row in dict.fromkeys(row for row, _ in places):
        photo = manifest.photos[row]
        names = [f"{row}/{view}" for each, view in places if each == row]
        pictures = tuple(
            (arrays[f"view/{name}"].tobytes(), arrays[f"words/{name}"].tobytes().decode()) for name in names
        )
        yield Viewed(photo.path, manifest.classes[photo.label], pictures)


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


def _views_shown(plan: Plan) -> int:
    """How many views of a photo there are to show, the photo itself among them."""
    if plan.tuning is None or plan.tuning.augmentation.changes_nothing:
        return 0
    return max((min(VIEWS_SHOWN, each.views if each.cut else VIEWS_SHOWN) for each in plan.schedules), default=0)


def _viewed_rows(manifest: Manifest, seed: int) -> list[int]:
    """A training photo of each of a few classes; fewer classes give more each."""
    order = stream(seed, "views shown").permutation(len(manifest.photos))
    train = [int(row) for row in order if manifest.photos[row].split == "train"]
    firsts = list({manifest.photos[row].label: row for row in reversed(train)}.values())
    chosen = [*sorted(firsts, key=train.index), *(row for row in train if row not in firsts)]
    return sorted(chosen[:VIEWED_PHOTOS])


def _spread(rows: Sequence[int], n: int) -> list[int]:
    """At most `n` of the rows at even distances, both ends included."""
    places = np.unique(np.linspace(0, len(rows) - 1, n).round().astype(int))
    return [rows[place] for place in places]
