"""A pretrained network used as it is: which of the classes it was trained on are on photos."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from graft.backbones.records import BackboneRecord, Geometry
from graft.backbones.tops import check_side, imagenet_classes, resolve_with_top
from graft.backbones.weights import WeightsFile
from graft.bundle.bundle import BATCH, LEAST_GROUP_IMAGES, SINGLE
from graft.bundle.records import Failure
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.parallel import in_groups
from graft.core.progress import Progress
from graft.data.depth import depth_note_of, is_deep
from graft.data.images import check_and_load, read_bytes
from graft.data.records import ImageFacts, ImageRules
from graft.features.engines import best_precision, run_pixels
from graft.features.extraction import opened_engine
from graft.features.protocol import Engine
from graft.features.records import Output, Program
from graft.pipeline.choosing import side_pixels
from graft.pipeline.photos import each_answer
from graft.pipeline.workspace import working


@dataclass(frozen=True)
class Guess:
    """One class: its WordNet id, its name, and how sure the network is of it."""

    id: str
    name: str
    probability: float


@dataclass(frozen=True)
class Recognised:
    """One photo's likeliest classes, the likeliest first."""

    path: str
    top: tuple[Guess, ...]


@dataclass(frozen=True)
class Recogniser:
    """A network with its own classifier, ready to be run. `classes` are (id, name) in the order of its outputs."""

    record: BackboneRecord
    program: Program
    weights: WeightsFile
    classes: tuple[tuple[str, str], ...]
    rules: ImageRules


def recogniser(
    backbone: str = "auto",
    weights: Path | None = None,
    *,
    geometry: Geometry = "crop",
    image_size: int | None = None,
    rules: ImageRules | None = None,
) -> Recogniser:
    """The network for what a user typed. Preprocessing is the network's own; `crop` is how it was evaluated.

    Raises: `BadInput` where no weights with a top are here, or the top does not fit the image size.
    """
    record, files = resolve_with_top(backbone, weights, machine.cache_directory())
    if not record.top_labels or files.top is None:
        raise BadInput(
            f"The classes of the backbone's own classifier must be known to Graft, got {record.title}.",
            hint="Choose another with --backbone.",
        )
    side = side_pixels(image_size, record)
    check_side(record, side)
    program = Program(
        backbone=record.name,
        weights_sha256=files.sha256,
        top_sha256=files.top.sha256,
        side_pixels=side,
        preprocessing=replace(record.preprocessing, geometry=geometry),
        outputs=(Output(layer=record.top_output, pooling="none"),),
        precision=best_precision(),
    )
    return Recogniser(record, program, files, imagenet_classes(), rules or ImageRules())


def classify(
    chosen: Recogniser,
    inputs: Iterable[str],
    *,
    top: int,
    progress: Progress,
    tell: Callable[[str], None] | None = None,
) -> Iterator[Recognised | Failure]:
    """The likeliest classes for each photo in order; folders are walked, and what is no photo by name skipped.

    A photo that fails becomes a `Failure`, and so does a folder that cannot be read. `tell` is given what to mind about
    the photos, once all were read.
    """
    with working(tidy=False), ExitStack() as stack:
        network = _Network(chosen, progress, stack)
        yield from each_answer(inputs, lambda paths: network.each(paths, top), progress)
    note = depth_note_of(network.deep, chosen.rules, "graft classify")
    if note and tell:
        tell(f"Mind: {note}")


@dataclass
class _Network:
    """The network in the batch shapes that were needed so far; `stack` closes them."""

    chosen: Recogniser
    progress: Progress
    stack: ExitStack
    threads: int = field(default_factory=machine.threads)
    engines: dict[int, Engine] = field(default_factory=dict)
    deep: list[ImageFacts] = field(default_factory=list)  # of the photos that are stored with 16 bits

    def each(self, paths: Iterable[Path], top: int) -> Iterator[Recognised | Failure]:
        """Answers in the order of `paths`."""
        group_size = max(LEAST_GROUP_IMAGES, BATCH * self.threads)
        for group in in_groups(paths, self._pixels, threads=self.threads, group_size=group_size):
            good = [found for _, found in group if isinstance(found, np.ndarray)]
            chances = iter(self._probabilities(np.stack(good)) if good else ())
            for path, found in group:
                yield found if isinstance(found, Failure) else self._answer(path, next(chances), top)

    def _pixels(self, path: Path) -> np.ndarray | Failure:
        program, rules = self.chosen.program, self.chosen.rules
        try:
            facts, pixels = check_and_load(
                read_bytes(path, rules=rules),
                side_pixels=program.side_pixels,
                geometry=program.preprocessing.geometry,
                rules=rules,
            )
        except BadInput as error:
            return Failure(path=str(path), code=error.code, message=str(error))
        if is_deep(facts):
            self.deep.append(facts)
        return pixels

    def _probabilities(self, pixels: np.ndarray) -> np.ndarray:
        """(photo, class) for (photo, side, side, 3) uint8."""
        busy = len(pixels) >= BATCH * self.threads  # every thread gets a full batch
        (values,) = run_pixels(self._engine(BATCH if busy else SINGLE), pixels).values()
        limited: np.ndarray = np.clip(values, 0.0, 1.0)  # bfloat16 may round a sure answer above 1
        return limited

    def _engine(self, batch_images: int) -> Engine:
        if batch_images not in self.engines:
            program = replace(self.chosen.program, batch_images=batch_images)
            weights, cache = self.chosen.weights, machine.cache_directory()
            opened = opened_engine(program, weights, "openvino", self.threads, cache, self.progress)
            self.engines[batch_images] = self.stack.enter_context(opened)
        return self.engines[batch_images]

    def _answer(self, path: Path, chances: np.ndarray, top: int) -> Recognised:
        order = [int(index) for index in np.argsort(-chances, kind="stable")[:top]]
        named = ((*self.chosen.classes[index], float(chances[index])) for index in order)
        return Recognised(str(path), tuple(Guess(number, name, chance) for number, name, chance in named))
