"""What an engine is: batches of pixels in, outputs by name out; and the checks that every engine makes."""

from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

import numpy as np

from graft.core.errors import BadInput, IntegrityProblem
from graft.features.records import Program

Rows = tuple[int, ...]  # numbers by which the caller knows the images of a batch
Batch = tuple[Rows, np.ndarray]
Outputs = dict[str, np.ndarray]


class Engine(Protocol):
    """Runs one program. Use it as a context manager, or call `close` when done."""

    @property
    def name(self) -> str:
        """`openvino` or `keras`."""

    @property
    def identity(self) -> str:
        """Everything beside the program that may change a result's bits: part of every cache key."""

    @property
    def program(self) -> Program:
        """What is run."""

    @property
    def events(self) -> tuple[str, ...]:
        """What had to be repaired while the engine was opened, one sentence each."""

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Rows, Outputs]]:
        """Results in the order of `batches`.

        In: row numbers and (n, side, side, 3) uint8 with 1 <= n <= `program.batch_images`; short batches are padded, so
        that a result never depends on how the images were divided. Out: for each `Output.name` an array (n, width)
        float32 for averages and maxima, (n, height, width, channel) float32 for whole activations.
        """

    def close(self) -> None:
        """Give back memory and threads."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


def padded(pixels: np.ndarray, program: Program) -> np.ndarray:
    """The batch filled up with black images to `(batch_images, side, side, 3)`; another shape or type is refused."""
    side = program.side_pixels
    fits = pixels.ndim == 4 and 1 <= len(pixels) <= program.batch_images and pixels.shape[1:] == (side, side, 3)
    if not fits or pixels.dtype != np.uint8:
        raise BadInput(
            f"'pixels' must have shape (1..{program.batch_images}, {side}, {side}, 3) and type uint8, "
            f"got {pixels.shape} {pixels.dtype}."
        )
    if len(pixels) == program.batch_images:
        return np.ascontiguousarray(pixels)
    filled = np.zeros((program.batch_images, side, side, 3), np.uint8)
    filled[: len(pixels)] = pixels
    return filled


def check_finite(outputs: Outputs, rows: Sequence[int]) -> None:
    """Refuse NaN and infinity: they come from damaged weights and would poison everything downstream."""
    for name, values in outputs.items():
        if not np.isfinite(values).all():
            raise IntegrityProblem(
                f"The output {name} must be finite, got NaN or infinity in images {rows[0]} to {rows[-1]}.",
                hint="The weights are damaged or do not belong to this network; fetch them again.",
                code="weights_not_finite",
            )
