"""Photos → one vector or map each, from any layers of a network, in one file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from graft.core import machine
from graft.core.errors import BadInput
from graft.core.files import sweep_stray
from graft.core.hashing import sha256_json
from graft.core.progress import Progress
from graft.core.records import to_value
from graft.core.version import __version__
from graft.data.archives.unpacking import is_archive, unpack
from graft.data.depth import depth_note_of
from graft.data.records import ImageRules, Photo, Quarantined
from graft.data.scan import scan
from graft.data.unlabelled import has_classes, read_unlabelled
from graft.features.extraction import Filled, fill
from graft.pipeline.feature_files import Columns, Layout, feature_file, kind_of_file, read_about
from graft.pipeline.intake import earlier_splits, read_data
from graft.pipeline.layers import Reading, resolve_reading
from graft.pipeline.options import FeatureOptions
from graft.pipeline.workspace import LEFT_SECONDS, feature_store, scratch_folder, working

SCHEMA = "graft/features/1"
ONE = "features"  # the array's name where there is one layer
RESERVED = frozenset(("paths", "labels", "label_indices", "splits", "sha256", "classes", "about", ONE))


@dataclass(frozen=True)
class Listing:
    """The photos to read. Labels and splits are empty where there are none, `classes` too."""

    root: Path
    photos: tuple[Photo, ...]
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    quarantined: tuple[Quarantined, ...]
    rules: ImageRules

    def columns(self) -> dict[str, np.ndarray]:
        """What the file says about each photo beside its features."""
        numbers = {name: number for number, name in enumerate(self.classes)}
        return {
            "paths": np.array([photo.path for photo in self.photos], np.str_),
            "labels": np.array(self.labels, np.str_),
            "label_indices": np.array([numbers.get(label, -1) for label in self.labels], np.int64),
            "splits": np.array(self.splits, np.str_),
            "sha256": np.array([photo.sha256 for photo in self.photos], np.str_),
        }


@dataclass(frozen=True)
class FeaturesResult:
    """What was written, and what it took. `about` is what the file says about itself; shapes are of whole arrays."""

    file: Path
    about: Mapping[str, Any]
    shapes: Mapping[str, tuple[int, ...]]
    listing: Listing
    filled: Filled

    def summary(self) -> dict[str, Any]:
        """For programs."""
        return {
            "file": str(self.file),
            "bytes": self.file.stat().st_size,
            "n": len(self.listing.photos),
            "classes": list(self.listing.classes),
            "arrays": {name: list(shape) for name, shape in self.shapes.items()},
            "quarantined": [to_value(item) for item in self.listing.quarantined],
            "computed": self.filled.computed,
            "reused": self.filled.reused,
            "events": list(self.filled.events),
            "about": dict(self.about),
        }


@working()
def extract_features(
    options: FeatureOptions, *, progress: Progress, tell: Callable[[str], None] | None = None
) -> FeaturesResult:
    """Write the file that `options` ask for. Memory does not grow with the photos but for their names.

    `tell` is given what to mind about the photos, before they are read.

    Raises: `BadInput` for data, names, weights or a file that is already there and holds something else;
    `ResourceProblem` for the machine's limits, before the work where they can be known.
    """
    path = Path(options.output)
    kind_of_file(path)
    _check_place(path)
    reading = resolve_reading(options)
    listing = _listing(options, progress)
    note = depth_note_of((photo.facts for photo in listing.photos), listing.rules, "graft features")
    if note and tell:
        tell(f"Mind: {note}")
    columns = listing.columns()
    about = _about(options, reading, listing, columns)
    _check_same(path, about)
    layout = Layout(_names(reading), len(listing.photos), options.dtype)
    sweep_stray(path.absolute().parent, LEFT_SECONDS)
    with scratch_folder() as scratch, feature_file(path, layout, scratch) as file:
        filled = fill(
            file,
            listing.root,
            listing.photos,
            reading.program,
            reading.weights,
            store=feature_store(),
            cache=machine.cache_directory(),
            rules=listing.rules,
            workers=machine.threads(),
            threads=machine.threads(),
            progress=progress,
            exact=reading.program.precision == "float32",
        )
        with progress.stage(f"Finishing {path.name}", None, ""):
            shapes = file.finish(columns, listing.classes, about)
    return FeaturesResult(path, about, shapes, listing, filled)


def _listing(options: FeatureOptions, progress: Progress) -> Listing:
    data = Path(options.data)
    if is_archive(data):
        data = unpack(data, machine.cache_directory(), progress=progress).root
    if data.is_dir() and not (options.labels and has_classes(data)):
        return _unlabelled(data, options, progress)
    if not options.labels:
        raise BadInput(f"--no-labels is for folders and archives, got {options.data}.", hint="Leave it out.")
    return _labelled(data, options, progress)


def _labelled(data: Path, options: FeatureOptions, progress: Progress) -> Listing:
    intake = read_data(
        data,
        split=options.split,
        seed=options.seed,
        on_bad=options.on_bad,
        split_from=earlier_splits(options.split_from),
        least_classes=1,
        least_photos=0,
        rules=options.rules(),
        duplicates=options.duplicates,
        progress=progress,
    )
    manifest = intake.manifest
    return Listing(
        root=intake.root,
        photos=manifest.photos,
        labels=tuple(manifest.classes[photo.label] for photo in manifest.photos),
        splits=tuple(photo.split for photo in manifest.photos),
        classes=manifest.classes,
        quarantined=manifest.quarantined,
        rules=manifest.rules,
    )


def _unlabelled(data: Path, options: FeatureOptions, progress: Progress) -> Listing:
    if options.split_from:
        raise BadInput(
            "--split-from needs photos in class folders, got photos without labels: they have no splits.",
            hint="Leave it out.",
        )
    source = read_unlabelled(data)
    rules = options.rules()
    found = scan(
        source,
        rules=rules,
        on_bad=options.on_bad,
        progress=progress,
        workers=machine.threads(),
        cache=machine.cache_directory() / "scan",
        least_photos=0,
    )
    photos = tuple(
        Photo(path=each.entry.path, label=0, split="train", sha256=each.sha256, group=each.sha256, facts=each.facts)
        for each in found.good
    )
    nothing = ("",) * len(photos)
    return Listing(source.root, photos, nothing, nothing, (), found.quarantined, rules)


def _names(reading: Reading) -> dict[str, str]:
    """The array of each output: one is called `features`, several are called like their layers."""
    outputs = reading.program.outputs
    if len(outputs) == 1:
        return {outputs[0].name: ONE}
    return {each.name: f"layer_{each.layer}" if each.layer in RESERVED else each.layer for each in outputs}


def _about(options: FeatureOptions, reading: Reading, listing: Listing, columns: Columns) -> dict[str, Any]:
    """Where the numbers come from. Holds no time and no absolute path: equal work gives equal files."""
    program = reading.program
    return {
        "schema": SCHEMA,
        "graft_version": __version__,
        "backbone": program.backbone,
        "weights_sha256": program.weights_sha256,
        "top_sha256": program.top_sha256,
        "side_pixels": program.side_pixels,
        "preprocessing": to_value(program.preprocessing),
        "sixteen_bit_white": listing.rules.sixteen_bit_white,
        "precision": program.precision,
        "dtype": options.dtype,
        "layers": [_told(layer, output) for layer, output in zip(reading.layers, program.outputs, strict=True)],
        "n": len(listing.photos),
        "photos_sha256": sha256_json({name: column.tolist() for name, column in columns.items()}),
    }


def _told(layer: Any, output: Any) -> dict[str, Any]:
    pooling = output.pooling if len(layer.shape) > 1 else "none"
    return {"layer": layer.name, "kind": layer.kind, "shape": list(layer.shape), "pooling": pooling}


def _check_place(path: Path) -> None:
    """Refuse, before any work, a place that cannot be written, or that holds what is no file of features."""
    if not path.absolute().parent.is_dir():
        raise BadInput(
            f"FILE must lie in a folder that exists, got {path}.", hint="Make the folder first.", code="not_found"
        )
    if path.exists() and (not path.is_file() or read_about(path) is None):
        _refuse(path)


def _check_same(path: Path, about: Mapping[str, Any]) -> None:
    """Refuse to replace a file of other features; one of the same features is written again."""
    earlier = read_about(path) if path.exists() else about
    ours: Sequence[str] = [name for name in about if name != "graft_version"]
    if earlier is None or any(earlier.get(name) != about[name] for name in ours):
        _refuse(path)


def _refuse(path: Path) -> None:
    raise BadInput(
        f"FILE must be a new file, or hold the same features, got {path}.",
        hint="Choose another name with -o, or remove this one.",
        code="already_exists",
    )
