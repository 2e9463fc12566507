"""What is on photos: a bundle's answers for files and folders."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from graft.bundle.bundle import Bundle
from graft.bundle.records import Failure, Prediction
from graft.core.errors import BadInput
from graft.core.progress import Progress
from graft.pipeline.run import Run


def bundle_of(source: Path) -> Path:
    """The bundle file of what a user named: a run's folder or the file itself, links followed."""
    return (Run.open(source).bundle if source.is_dir() else source).resolve()


def predict(source: Path, inputs: Iterable[str], *, top: int, progress: Progress) -> Iterator[Prediction | Failure]:
    """Answer for each photo in order; folders are walked, names sorted. A photo that fails becomes a `Failure`."""
    with Bundle.load(bundle_of(source)) as bundle:
        paths = list(_photos(inputs)) if not isinstance(inputs, Iterator) else _photos(inputs)
        total = len(paths) if isinstance(paths, list) else None
        if total == 0:
            raise BadInput("PATHS must name at least one photo, got none.", code="no_photos")
        with progress.stage("Looking at photos", total, "photos") as stage:
            for answer in bundle.predict_each(paths, top=top):
                stage.advance()
                yield answer


def _photos(inputs: Iterable[str]) -> Iterator[Path]:
    for name in inputs:
        path = Path(name)
        if path.is_dir():
            yield from _walk(path)
        else:
            yield path


def _walk(folder: Path) -> Iterator[Path]:
    """All files below a folder but hidden ones, in the order of their names; linked folders are not entered."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Path(place, name) for name in sorted(files) if not name.startswith("."))
