"""Turn a weights file into Graft's own form: `python -m graft.backbones.conversion`, one job, one process.

A process of its own, because the library that reads HDF5 is written in C and the file comes from outside.
"""

from pathlib import Path
from typing import Any

import numpy as np

from graft.backbones.catalogue import catalogue
from graft.backbones.efficientnet import with_true_variance
from graft.backbones.hdf5 import open_layers
from graft.backbones.layouts import layout
from graft.backbones.matching import Found, choose, match_layers, match_tensors
from graft.core.child import serve_child
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.hashing import sha256_file
from graft.core.tensors import TensorFile, read_tensors, tensors_sha256, write_tensors

WRITER = "weights"
VERSION = "1"  # part of the converted file's name: raise it when the same source would convert to other numbers
Array = np.ndarray[Any, np.dtype[Any]]


def convert(job: dict[str, Any]) -> dict[str, Any]:
    """Read `path`, find which of the networks `names` it belongs to, and write it to `target`.

    `source_sha256` is the file's hash as seen before; a file that changed meanwhile is refused. Returns the network's
    name and the hash of the tensors.
    """
    path, target = Path(job["path"]), Path(job["target"])
    name, tensors = _read(path, job["kind"], tuple(job["names"]))
    _check_finite(tensors, path.name)
    if sha256_file(path) != job["source_sha256"]:
        raise IntegrityProblem(f"The weights file {path.name} changed while it was read.", code="changed_since_scan")
    if catalogue()[name].constructor == "efficientnet_b0":
        tensors = with_true_variance(tensors)
    digest = tensors_sha256(tensors)
    metadata = {"backbone": name, "source_sha256": job["source_sha256"], "tensors_sha256": digest}
    write_tensors(target, tensors, metadata=metadata, writer=WRITER)
    return {"backbone": name, "sha256": digest}


def _read(path: Path, kind: str, names: tuple[str, ...]) -> tuple[str, dict[str, Array]]:
    """The network's name and its tensors as float32. Shapes are compared before the first number is read."""
    layouts = {name: layout(record) for name, record in catalogue().items()}
    if kind == "safetensors":
        with _open_tensors(path) as file:
            name, found = choose(
                {name: match_tensors(each, file.tensors) for name, each in layouts.items()}, names, path.name
            )
            return name, _loaded(found, path.name)
    with open_layers(path) as stored:
        name, found = choose(
            {name: match_layers(each, stored, path.name) for name, each in layouts.items()}, names, path.name
        )
        return name, _loaded(found, path.name)


def _open_tensors(path: Path) -> TensorFile:
    try:
        return read_tensors(path, source=path.name, follow_links=True)
    except IntegrityProblem as error:  # the file is the user's, not one that Graft keeps
        raise BadInput(error.message, hint=error.hint, code="weights_refused") from None


def _loaded(found: Found, source: str) -> dict[str, Array]:
    try:
        with np.errstate(over="ignore"):  # what overflows is infinite, and refused as such
            return {name: np.asarray(data[()], dtype=np.float32) for name, data in found.items()}
    except (OSError, RuntimeError, ValueError) as error:  # damaged pieces, checksums
        raise BadInput(
            f"The weights file {source} must be readable throughout, got: {str(error)[:120]}.", code="weights_refused"
        ) from error


def _check_finite(tensors: dict[str, Array], source: str) -> None:
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise IntegrityProblem(
                f"The weights file {source} must hold finite numbers, got NaN or infinity in {name}.",
                hint="Take the file from its publisher again.",
                code="weights_not_finite",
            )


if __name__ == "__main__":
    serve_child(convert)
