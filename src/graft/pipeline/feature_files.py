"""Files of features: NumPy's .npz, filled in any order, and Parquet, a group of rows after the other."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, Protocol, get_args

import numpy as np

from graft.core.errors import BadInput
from graft.core.files import Assembly, assemble_atomic
from graft.core.npz import NpzRows
from graft.features.extraction import Sink
from graft.features.table import FLOAT16_LARGEST, Table

Kind = Literal["npz", "parquet"]
Columns = Mapping[str, np.ndarray]  # one value a photo
ABOUT = "about"
GROUP_BYTES = 64 << 20
METADATA_KEY = b"graft"


@dataclass(frozen=True)
class Layout:
    """What a file will hold: the array for each output of the program by its name there, how many rows, which type."""

    names: Mapping[str, str]
    n_rows: int
    dtype: Literal["float32", "float16"]

    def cast(self, values: np.ndarray) -> np.ndarray:
        """Values in the file's type; what float16 cannot hold becomes its largest."""
        if self.dtype == "float16" and values.dtype != np.float16:
            values = np.clip(values.astype(np.float32), -FLOAT16_LARGEST, FLOAT16_LARGEST)
        return values.astype(self.dtype, copy=False)


class FeatureFile(Sink, Protocol):
    """A file under way."""

    def finish(
        self, columns: Columns, classes: tuple[str, ...], about: Mapping[str, Any]
    ) -> dict[str, tuple[int, ...]]:
        """Add everything else, once every row is there; returns the shapes of the arrays of features."""


def kind_of_file(path: Path) -> Kind:
    """What the name asks for; `BadInput` for another ending, or extra_missing where Parquet cannot be written here."""
    kind = path.suffix.lower().removeprefix(".")
    if kind not in get_args(Kind):
        raise BadInput(f"FILE must end in .npz or .parquet, got {path.name!r}.", hint="Give another name with -o.")
    if kind == "parquet" and find_spec("pyarrow") is None:
        raise BadInput(
            "Writing Parquet needs pyarrow, which is not installed.",
            hint="Type: pip install 'graft-vision[parquet]'. Or give a name that ends in .npz.",
            code="extra_missing",
        )
    return "npz" if kind == "npz" else "parquet"


@contextmanager
def feature_file(path: Path, layout: Layout, scratch: Path) -> Iterator[FeatureFile]:
    """The file at `path`, which appears there whole when the context ends without an error."""
    with assemble_atomic(path, writer="features") as file:
        if kind_of_file(path) == "npz":
            yield _Npz(file, layout)
        else:
            yield _Parquet(file, layout, Table(scratch, layout.n_rows))


def read_about(path: Path) -> dict[str, Any] | None:
    """What a file of features says about itself; None where it is no such file."""
    try:
        text = _about_npz(path) if kind_of_file(path) == "npz" else _about_parquet(path)
        value = json.loads(text)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):  # pyarrow's errors are OSError or ValueError
        return None
    return value if isinstance(value, dict) else None


def as_text(about: Mapping[str, Any]) -> str:
    """The one text of what a file says about itself."""
    return json.dumps(about, sort_keys=True, ensure_ascii=False)


class _Npz:
    def __init__(self, file: Assembly, layout: Layout) -> None:
        self._file = file
        self._layout = layout
        self._rows: NpzRows | None = None
        self._shapes: dict[str, tuple[int, ...]] = {}

    def write(self, positions: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        cast = {self._layout.names[name]: self._layout.cast(array) for name, array in values.items()}
        if self._rows is None:
            fields = {name: (cast[name].dtype, cast[name].shape[1:]) for name in self._layout.names.values()}
            self._shapes = {name: (self._layout.n_rows, *shape) for name, (_, shape) in fields.items()}
            self._rows = NpzRows(self._file, fields, self._layout.n_rows)
        for name, array in cast.items():
            self._rows.rows(name, positions, array)

    def finish(
        self, columns: Columns, classes: tuple[str, ...], about: Mapping[str, Any]
    ) -> dict[str, tuple[int, ...]]:
        if self._rows is not None:
            others = {"classes": np.array(classes, np.str_), ABOUT: np.array(as_text(about))}
            self._rows.finish({**columns, **others})
        return self._shapes


class _Parquet:
    def __init__(self, file: Assembly, layout: Layout, table: Table) -> None:
        self._file = file
        self._layout = layout
        self._table = table

    def write(self, positions: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
        self._table.write(positions, {name: self._layout.cast(array) for name, array in values.items()})

    def finish(
        self, columns: Columns, classes: tuple[str, ...], about: Mapping[str, Any]
    ) -> dict[str, tuple[int, ...]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        found = self._table.finish(list(self._layout.names))
        arrays = {self._layout.names[name]: array for name, array in found.items()}
        described = {
            **about,
            "classes": list(classes),
            "shapes": {name: each.shape[1:] for name, each in arrays.items()},
        }
        schema = _schema(columns, arrays, as_text(described))
        texts = [name for name, column in columns.items() if name != "sha256" and column.dtype.kind == "U"]
        rows = max(1, GROUP_BYTES // max(1, sum(each[:1].nbytes for each in arrays.values())))
        with pq.ParquetWriter(pa.PythonFile(_Unclosed(self._file), "w"), schema, use_dictionary=texts) as writer:
            for start in range(0, self._layout.n_rows, rows):
                part = slice(start, start + rows)
                cells = [pa.array(column[part].tolist(), schema.field(name).type) for name, column in columns.items()]
                cells += [_lists(each[part], schema.field(name).type) for name, each in arrays.items()]
                writer.write_table(pa.Table.from_arrays(cells, schema=schema))
        return {name: each.shape for name, each in arrays.items()}


class _Unclosed:
    """What pyarrow may do with a file that others finish."""

    closed = False

    def __init__(self, file: Assembly) -> None:
        self.write = file.write
        self.tell = file.tell
        self.seek = file.seek

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """Left open."""


def _schema(columns: Columns, arrays: Mapping[str, np.ndarray], about: str) -> Any:
    import pyarrow as pa

    plain = [pa.field(name, pa.string() if each.dtype.kind == "U" else pa.int64()) for name, each in columns.items()]
    lists = [
        pa.field(
            name,
            pa.list_(pa.from_numpy_dtype(each.dtype), int(np.prod(each.shape[1:]))),
            metadata={"shape": json.dumps(each.shape[1:])},
        )
        for name, each in arrays.items()
    ]
    return pa.schema(plain + lists, metadata={METADATA_KEY: about.encode()})


def _lists(rows: np.ndarray, kind: Any) -> Any:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(np.asarray(rows).reshape(-1)), type=kind)


def _about_npz(path: Path) -> str:
    with np.load(path, allow_pickle=False) as file:
        return str(file[ABOUT].item())


def _about_parquet(path: Path) -> str:
    import pyarrow.parquet as pq

    return str((pq.read_schema(path).metadata or {})[METADATA_KEY].decode())
