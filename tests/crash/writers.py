"""The writers that the crash tests go through: add a row for each new kind of artefact.

A row is a function of a folder and a version number. It writes the artefact's version (same version, same bytes) and
returns its path. Its name is the `writer` it gives to `graft.core.files`. Imports stand inside the functions: each case
is a new process.

Run as a program (`python -m tests.crash.writers ROW FOLDER VERSION [LARGEST_FILE_BYTES]`) it writes once; a refusal is
told as JSON and by the exit status.
"""

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

Writer = Callable[[Path, int], Path]


def write_bytes(folder: Path, version: int) -> Path:
    from graft.core.files import write_atomic

    path = folder / "record.json"
    write_atomic(path, f'{{"version": {version}}}\n'.encode() * 50_000, writer="bytes")
    return path


def write_pieces(folder: Path, version: int) -> Path:
    from graft.core.files import write_atomic

    path = folder / "pieces.bin"
    write_atomic(path, (bytes([version]) * 50_000 for _ in range(20)), writer="pieces")
    return path


def write_tensors(folder: Path, version: int) -> Path:
    import numpy as np

    from graft.core import tensors

    path = folder / "shard.safetensors"
    values = np.random.default_rng(version).normal(size=(1000, 100))
    tensors.write_tensors(path, {"rows": values}, metadata={"version": str(version)}, writer="tensors")
    return path


WRITERS: Mapping[str, Writer] = {
    "bytes": write_bytes,
    "pieces": write_pieces,
    "tensors": write_tensors,
}


def write_naively(folder: Path, version: int) -> Path:
    """No row but the sabotage: a writer that the tests must catch, for it has all the hooks and none of the care."""
    from graft.core.files import CRASH_POINTS, crash_point

    path = folder / "naive.bin"
    with path.open("wb") as file:
        for point in CRASH_POINTS[:2]:
            file.write(bytes([version]) * 1000)
            file.flush()
            crash_point("naive", point)
        for point in CRASH_POINTS[2:]:
            crash_point("naive", point)
    return path


def write_never(folder: Path, version: int) -> Path:
    """The other sabotage: success without a file."""
    return folder / "never.bin"


SABOTAGE: Mapping[str, Writer] = {"naive": write_naively, "never": write_never}


def main(row: str, folder: str, version: str, largest_file_bytes: str = "") -> int:
    from graft.core.errors import GraftError

    if largest_file_bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_file_bytes),) * 2)
    try:
        {**WRITERS, **SABOTAGE}[row](Path(folder), int(version))
    except GraftError as error:
        print(json.dumps({"code": error.code, "message": error.message}))
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
