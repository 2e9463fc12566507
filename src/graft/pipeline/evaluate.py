"""A finished classifier measured again: on its own test photos, or on other labelled ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from graft.bundle.bundle import Bundle
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.progress import Progress
from graft.core.records import record_hash
from graft.data.archives.unpacking import find_unpacked
from graft.data.limits import chosen_rules
from graft.data.records import ImageRules, Manifest, Photo, Split
from graft.data.sources import is_photo, list_folder
from graft.data.stream import stream_pixels
from graft.evaluation.metrics import evaluate as measure
from graft.evaluation.records import Evaluation
from graft.pipeline.intake import Intake, read_data
from graft.pipeline.predict import bundle_of
from graft.pipeline.run import Made, Run
from graft.pipeline.workspace import working

BATCH_IMAGES = 32


@working()
def evaluate(
    run: Path,
    data: Path | None,
    *,
    split: Split | None = None,
    max_megapixels: float | None = None,
    max_megabytes: float | None = None,
    min_side: int | None = None,
    progress: Progress,
) -> Evaluation:
    """Classify photos with the run's bundle, from their files, and measure the answers.

    Without `data`, the photos are the run's own `split` (None: test). With it, they are those of this split of `data`;
    None means its test split where it has one of its own, and else all photos. Classes are matched by name; a class
    that the classifier does not know is refused. Other data are held to the limits of the training or to those given.
    """
    if data is None and run.is_file():
        raise BadInput(
            f"RUN must be a run's folder where no DATA is given, got the file {run}.",
            hint=f"Give the run's folder, or labelled photos: graft evaluate {run} DATA.",
        )
    with Bundle.load(bundle_of(run)) as bundle:
        rules = chosen_rules(
            bundle.rules, max_megapixels=max_megapixels, max_megabytes=max_megabytes, min_side=min_side
        )
        if data is None:
            judged = own_photos(Run.open(run), split or "test", progress)
        else:
            judged = given_photos(run, data, split, bundle.classes, rules, progress)
        answers = _classify(bundle, judged.root, judged.photos, judged.manifest, progress)
        found = measure(
            answers,
            judged.labels,
            bundle.classes,
            manifest_hash=record_hash(judged.manifest),
            bundle_hash=bundle.sha256(),
            split=judged.split,
            seed=judged.manifest.seed,
        )
    if data is None:
        return found
    return replace(found, n_quarantined=len(judged.manifest.quarantined), n_seen_in_training=_seen(run, judged.photos))


@dataclass(frozen=True)
class Judged:
    """The photos to measure on; `labels` index the bundle's classes."""

    root: Path
    manifest: Manifest
    photos: tuple[Photo, ...]
    labels: np.ndarray
    split: Literal["train", "validation", "test", "given"]


def own_photos(run: Run, split: Split, progress: Progress) -> Judged:
    """The run's own photos of a split; `BadInput` no_photos or not_found where there are none."""
    manifest, made = run.read(Manifest), run.read(Made)
    photos = tuple(photo for photo in manifest.photos if photo.split == split)
    if not photos:
        raise BadInput(f"The run must have {split} photos, got none.", hint="Choose another --split.", code="no_photos")
    root = Path(made.data)
    if made.archive_sha256:
        root = find_unpacked(root, made.archive_sha256, machine.cache_directory(), progress=progress).root
    if not root.is_dir():
        raise BadInput(
            f"The run's photos must still be in {root}, but it is not there.",
            hint=f"Give a folder of labelled photos: graft evaluate {run.path} DATA.",
            code="not_found",
        )
    return Judged(root, manifest, photos, np.array([photo.label for photo in photos]), split)


def given_photos(
    run: Path, data: Path, split: Split | None, classes: Sequence[str], rules: ImageRules, progress: Progress
) -> Judged:
    """Labelled photos of other data, of its test split where it has one; refuses classes nobody knows."""
    _refuse_unlabelled(run, data)
    intake: Intake = read_data(
        data,
        split="100/0/0",
        seed=0,
        on_bad="quarantine",
        least_classes=1,
        least_photos=0,  # a class that the classifier knows may well be missing
        rules=rules,
        duplicates="exact",  # nothing is split
        progress=progress,
    )
    manifest = intake.manifest
    _check_known(run, data, intake, classes)
    photos = _of_split(manifest, split)
    places = [classes.index(name) for name in manifest.classes]
    return Judged(intake.root, manifest, photos, np.array([places[photo.label] for photo in photos]), "given")


def _refuse_unlabelled(run: Path, data: Path) -> None:
    """Refuse a folder of photos that lie in no folder of a class: they can be classified, not measured."""
    folders, files, _ = list_folder(data, "") if data.is_dir() else ([], [], ())
    n_photos = 0 if folders else sum(is_photo(data / name) for name in files)
    if n_photos:
        raise BadInput(
            f"DATA must be labelled photos, in folders named like the classes, got {n_photos} in no such folder.",
            hint=f"Sort them into such folders; or to have them classified: graft predict {run} {data}",
        )


def _check_known(run: Path, data: Path, intake: Intake, classes: Sequence[str]) -> None:
    """Refuse classes that the classifier does not know, and say what the folders may have been meant as."""
    found = intake.manifest.classes
    unknown = [name for name in found if name not in classes]
    if not unknown:
        return
    hint = "Rename the folders or labels, or train again with these classes."
    if len(unknown) == len(found) and data.is_dir():
        inner = [name for name in unknown if set(list_folder(data, name)[0]) & set(classes)]
        unlabelled = f"{hint} Photos without labels are not measured but classified: graft predict {run} {data}"
        hint = f"Did you mean {str(data / inner[0])!r}?" if inner else unlabelled
    raise BadInput(
        f"DATA must have classes the classifier knows, such as {classes[0]}, got {', '.join(unknown[:12])}.",
        hint=hint,
        code="class_set_changed",
    )


def _of_split(manifest: Manifest, split: Split | None) -> tuple[Photo, ...]:
    """The photos of other data to measure on."""
    wanted = split or "test"
    photos = tuple(photo for photo in manifest.photos if photo.split == wanted and manifest.split_origin == "given")
    if not manifest.photos:
        raise BadInput("DATA must hold photos that can be used, got none.", hint="Check the path.", code="no_photos")
    if split is None:
        return photos or manifest.photos
    if not photos:
        found = "no such photos" if manifest.split_origin == "given" else "photos without splits"
        raise BadInput(
            f"DATA must have {split} photos of its own for --split {split}, got {found}.",
            hint="Leave --split out to measure on all photos.",
            code="no_photos",
        )
    return photos


def _seen(run: Path, photos: Sequence[Photo]) -> int:
    """How many of `photos` the run's classifier was trained or chosen on; 0 where only the bundle is there to ask."""
    if not (run.is_dir() and Run(run).has(Manifest)):
        return 0
    known = {photo.sha256 for photo in Run(run).read(Manifest).photos if photo.split != "test"}
    return sum(photo.sha256 in known for photo in photos)


def _classify(
    bundle: Bundle, root: Path, photos: tuple[Photo, ...], manifest: Manifest, progress: Progress
) -> np.ndarray:
    answers = np.empty((len(photos), len(bundle.classes)), np.float32)
    batches = stream_pixels(
        root,
        photos,
        side_pixels=bundle.manifest.side_pixels,
        geometry=bundle.manifest.preprocessing.geometry,
        rules=manifest.rules,
        batch_images=BATCH_IMAGES,
        workers=machine.threads(),
    )
    with progress.stage("Classifying photos", len(photos), "photos") as stage:
        for rows, pixels in batches:
            answers[list(rows)] = bundle.predict_pixels(pixels)
            stage.advance(len(rows))
    return answers
