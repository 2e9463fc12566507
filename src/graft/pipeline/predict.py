"""What is on photos: a bundle's answers for files and folders."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from graft.bundle.bundle import Bundle
from graft.bundle.records import Failure, Prediction
from graft.core.errors import BadInput
from graft.core.progress import Progress
from graft.data.limits import chosen_rules
from graft.pipeline.photos import each_answer
from graft.pipeline.run import Run
from graft.pipeline.workspace import working


def bundle_of(source: Path) -> Path:
    """The bundle file of what a user named: a run's folder or the file itself, links followed."""
    if not source.exists():
        raise BadInput(
            f"RUN must be a run's folder or a classifier.graft file, got {source}.",
            hint="Check the path.",
            code="not_found",
        )
    return (Run.open(source).bundle if source.is_dir() else source).resolve()


def predict(
    source: Path,
    inputs: Iterable[str],
    *,
    top: int,
    max_megapixels: float | None = None,
    max_megabytes: float | None = None,
    min_side: int | None = None,
    progress: Progress,
) -> Iterator[Prediction | Failure]:
    """Answer for each photo in order; folders are walked, names sorted, and what is no photo by name skipped.

    A photo that fails becomes a `Failure`, and so does a folder that cannot be read. Photos are held to the limits of
    the training or to those given here; how they are read is always as in the training.
    """
    with working(tidy=False), Bundle.load(bundle_of(source)) as loaded:
        rules = chosen_rules(
            loaded.rules, max_megapixels=max_megapixels, max_megabytes=max_megabytes, min_side=min_side
        )
        bundle = replace(loaded, rules=rules)
        yield from each_answer(inputs, lambda paths: bundle.predict_each(paths, top=top), progress)
