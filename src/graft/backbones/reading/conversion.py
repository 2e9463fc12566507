"""Turn a weights file into Graft's own form: `python -m graft.backbones.reading.conversion`, one job, one process.

A process of its own, because the library that reads HDF5 is written in C and the file comes from outside.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from graft.backbones.builders.efficientnet import with_true_variance
from graft.backbones.catalogue import catalogue
from graft.backbones.layouts import Layout, layout
from graft.backbones.reading.hdf5 import open_layers
from graft.backbones.reading.matching import Difference, Found, choose, match_layers, match_tensors
from graft.backbones.reading.torch_files import open_torch
from graft.backbones.reading.translation import TRANSLATIONS, match_translated
from graft.core.child import serve_child
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.hashing import sha256_file
from graft.core.tensors import read_tensors, tensors_sha256, write_tensors

WRITER = "weights"
HDF5, TORCH = "hdf5", "torch"  # kinds of files; the third is safetensors
READ_OF_TORCH = f"Graft reads for {', '.join(TRANSLATIONS)} only"
VERSION = "1"  # part of the converted file's name: raise it when the same source would convert to other numbers
EFFICIENTNET = "efficientnet"  # the family whose published weights need mending
TOP_KEY = "top_sha256"  # in a converted file's metadata: hash of the top beside it, or ""; older files lack it
Array = np.ndarray[Any, np.dtype[Any]]


def convert(job: dict[str, Any]) -> dict[str, Any]:
    """Read `path`, find which of the networks `names` it belongs to, and write it to `target`.

    The network's own classifier, where the file has it, goes to `top_target`: what is computed without it depends on
    the file `target` alone. `source_sha256` is the file's hash as seen before; a file that changed meanwhile is
    refused. Returns the network's name and the hashes of the tensors and of the top's ("" without one).
    """
    path = Path(job["path"])
    name, tensors, top = _read(path, job["kind"], tuple(job["names"]))
    _check_finite({**tensors, **top}, path.name)
    if sha256_file(path) != job["source_sha256"]:
        raise IntegrityProblem(f"The weights file {path.name} changed while it was read.", code="changed_since_scan")
    if catalogue()[name].family == EFFICIENTNET:
        tensors = with_true_variance(tensors)
    digest, top_digest = tensors_sha256(tensors), tensors_sha256(top) if top else ""
    metadata = {"backbone": name, "source_sha256": job["source_sha256"], TOP_KEY: top_digest}
    if top:  # first, so that the file which names it is never without it
        _write(Path(job["top_target"]), top, {**metadata, "tensors_sha256": top_digest})
    _write(Path(job["target"]), tensors, {**metadata, "tensors_sha256": digest})
    return {"backbone": name, "sha256": digest, "top_sha256": top_digest}


def _write(target: Path, tensors: dict[str, Array], metadata: dict[str, str]) -> None:
    write_tensors(target, tensors, metadata=metadata, writer=WRITER)


def _read(path: Path, kind: str, names: tuple[str, ...]) -> tuple[str, dict[str, Array], dict[str, Array]]:
    """The network's name, its tensors and its top's as float32; shapes are compared before a number is read."""
    layouts = {name: layout(record) for name, record in catalogue().items()}
    if kind == HDF5:
        with open_layers(path) as stored:
            outcomes = {name: match_layers(each, stored, path.name) for name, each in layouts.items()}
            name, found = choose(outcomes, names, path.name)
            return name, _loaded(found.tensors, path.name), _loaded(found.top, path.name)
    with open_torch(path) if kind == TORCH else _open_tensors(path) as tensors:
        outcomes = {name: _match(name, each, tensors) for name, each in layouts.items()}
        name, found = choose(outcomes, names, path.name)
        return name, _loaded(found.tensors, path.name), _loaded(found.top, path.name)


def _match(name: str, of_network: Layout, tensors: Mapping[str, Any]) -> Found | Difference:
    """What a file of named tensors is to one network. Our own names are `layer/weight`, torch's have points only."""
    if not tensors or any("/" in each for each in tensors):
        return match_tensors(of_network, tensors)
    if name in TRANSLATIONS:
        return match_translated(of_network, TRANSLATIONS[name], tensors)
    return Difference(-1, f"must be weights that Keras saved, got a file of torch, which {READ_OF_TORCH}")


@contextmanager
def _open_tensors(path: Path) -> Iterator[Mapping[str, Array]]:
    try:
        file = read_tensors(path, source=path.name, follow_links=True)
    except IntegrityProblem as error:  # the file is the user's, not one that Graft keeps
        raise BadInput(error.message, hint=error.hint, code="weights_refused") from None
    with file:
        yield file.tensors


def _loaded(found: Mapping[str, Any], source: str) -> dict[str, Array]:
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
