"""Arrays that are filled row by row, in memory while small and in a file on disk when large."""

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from graft.core.errors import ResourceProblem
from graft.core.files import allocate, make_directory, require_space
from graft.features.records import Output

IN_MEMORY_BYTES = 64 << 20  # of one array
SPACE_MARGIN_BYTES = 64 << 20
FLOAT16_LARGEST = 65504.0


class Table:
    """One array for each output, `n_rows` long; made when its first rows arrive, for only they tell its shape."""

    def __init__(self, scratch: Path, n_rows: int, in_memory_bytes: int = IN_MEMORY_BYTES) -> None:
        self.scratch = scratch
        self.n_rows = n_rows
        self.in_memory_bytes = in_memory_bytes
        self._arrays: dict[str, np.ndarray] = {}

    def write(self, positions: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        """Put `values[name][i]` into row `positions[i]`."""
        for name, rows in values.items():
            if name not in self._arrays:
                self._arrays[name] = self._make(rows)
            self._arrays[name][positions] = rows

    def finish(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The arrays in the order of `names`, from now on read-only."""
        for array in self._arrays.values():
            array.flags.writeable = False
        return {name: self._arrays[name] for name in names}

    def _make(self, like: np.ndarray) -> np.ndarray:
        return spacious(self.scratch, (self.n_rows, *like.shape[1:]), like.dtype, self.in_memory_bytes)


def spacious(
    scratch: Path, shape: tuple[int, ...], dtype: npt.DTypeLike, in_memory_bytes: int = IN_MEMORY_BYTES
) -> np.ndarray:
    """An array of any content: in memory, or, where it is larger than that, in a file in the folder `scratch`.

    Raises: `ResourceProblem` disk_full.
    """
    size = math.prod(shape) * np.dtype(dtype).itemsize
    if size <= in_memory_bytes:
        return np.empty(shape, dtype)
    make_directory(scratch)
    require_space(scratch, size + SPACE_MARGIN_BYTES, "Keeping the activations")
    # A file without a name: its space is given back with the last reference to the array, whatever happens.
    with tempfile.TemporaryFile(dir=scratch) as file:
        _allocate(file.fileno(), size, scratch)
        return np.memmap(file, dtype, "r+", shape=shape)


def bytes_needed(
    outputs: Sequence[Output], shapes: Mapping[str, tuple[int, ...]], *, photos: int, views: int, exact: bool = False
) -> int:
    """Bytes that the views of photos take as `as_stored` keeps them, or with `exact` in float32.

    `shapes` are those of the layers' outputs for one image, channels last, as in a `LayerTable`. They lie in the
    scratch folder, and as far as its cap allows in the store too.
    """
    numbers = sum(math.prod(_output_shape(output, shapes[output.layer])) for output in outputs)
    return photos * views * numbers * (4 if exact else 2)


def _output_shape(output: Output, layer: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of an output of one image, from that of its layer."""
    return layer if output.pooling == "none" else layer[-1:]


def as_stored(values: np.ndarray, output: Output) -> np.ndarray:
    """Half the bytes: float16 for vectors (three digits; larger values become its largest), bfloat16 for activations.

    Averages and maxima feed linear classifiers, which were chosen and measured on float16. Whole activations feed a
    network that may have been trained with values beyond float16's range.
    """
    if output.pooling != "none":
        clipped: np.ndarray = np.clip(values, -FLOAT16_LARGEST, FLOAT16_LARGEST)
        return clipped.astype(np.float16)
    import ml_dtypes

    halved: np.ndarray = values.astype(ml_dtypes.bfloat16)
    return halved


def _allocate(descriptor: int, size: int, folder: Path) -> None:
    """Give a file `size` bytes, its disk blocks taken: a full disk must be an error here, not a crash later."""
    try:
        allocate(descriptor, size)
    except OSError as error:
        raise ResourceProblem(
            f"{folder} must take {size} bytes of activations, got: {(error.strerror or str(error)).lower()}.",
            hint="Free some space or set GRAFT_CACHE to a folder on another disk.",
            code="disk_full",
        ) from error
