"""What goes through several steps, or through a child process, on its way into the cache: one row each.

A row is a function of the photos' folder and the cache; it leaves files in `cache/FOLDER`. Run as a program
(`python -m tests.crash.caches ROW PHOTOS CACHE [LARGEST_FILE_BYTES]`) it writes once; a refusal is told as JSON.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path


def write_scan(photos: Path, cache: Path) -> None:
    from graft.core.progress import SilentProgress
    from graft.data.records import ImageRules
    from graft.data.scan import scan
    from graft.data.sources import read_source

    scan(
        read_source(photos),
        rules=ImageRules(),
        on_bad="quarantine",
        progress=SilentProgress(),
        workers=2,
        cache=cache,
        fingerprints=True,
    )


def write_weights(photos: Path, cache: Path) -> None:
    from graft.backbones.weights import ASSETS, WEIGHTS_FILE, import_weights

    import_weights(ASSETS / WEIGHTS_FILE, ("sprout",), cache)


def write_compiled(photos: Path, cache: Path) -> None:
    from graft.features.compiled import compiled_form
    from tests.features.samples import sprout

    compiled_form(*sprout(cache), cache)


@dataclass(frozen=True)
class Cached:
    """A row: what writes, the folder it writes to, and the names it gives to crash points."""

    write: Callable[[Path, Path], None]
    folder: str
    writers: tuple[str, ...]


CACHES: Mapping[str, Cached] = {
    "scan": Cached(write_scan, "scans", ("scan_memory", "scan_fingerprints")),
    "weights": Cached(write_weights, "weights", ("weights",)),
    "compiled": Cached(write_compiled, "compiled", ("compiled",)),
}


def main(row: str, photos: str, cache: str, largest_file_bytes: str = "") -> int:
    from graft.core.errors import GraftError

    if largest_file_bytes:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (int(largest_file_bytes),) * 2)
    try:
        CACHES[row].write(Path(photos), Path(cache))
    except GraftError as error:
        print(json.dumps({"code": error.code, "message": error.message}))
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
