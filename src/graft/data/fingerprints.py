"""A small picture of each photo, made while it is scanned: what near duplicates are found by.

A fingerprint is 32×32 brightness and 16×16 of each colour difference of the whole upright picture, squashed. Resizing
and re-encoding hardly change it, and it is a thousandth of the photo.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from graft.core.errors import GraftError, IntegrityProblem
from graft.core.files import make_directory, mark_used, sweep_stray
from graft.core.tensors import TensorFile, read_tensors, tensors_sha256, write_tensors

LEFT_SECONDS = 3600.0  # no writer of fingerprints takes nearly as long
SIDE = 32
COLOUR_SIDE = SIDE // 2
BYTES = SIDE * SIDE + 2 * COLOUR_SIDE * COLOUR_SIDE
SUFFIX = ".safetensors"
VERSION = "1"  # raise it with every change of what a fingerprint holds


def fingerprint(small: np.ndarray) -> bytes:
    """The fingerprint of a picture of shape (32, 32, 3) uint8 YCbCr: 1,536 bytes."""
    colour = small[..., 1:].astype(np.uint16).reshape(COLOUR_SIDE, 2, COLOUR_SIDE, 2, 2).sum(axis=(1, 3))
    means = ((colour + 2) // 4).astype(np.uint8)
    return bytes(small[..., 0].tobytes()) + bytes(means.transpose(2, 0, 1).tobytes())


def as_array(fingerprints: list[bytes]) -> np.ndarray:
    """Fingerprints as (n, 1536) uint8."""
    return np.frombuffer(b"".join(fingerprints), np.uint8).reshape(len(fingerprints), BYTES)


def brightness(fingerprints: np.ndarray) -> np.ndarray:
    """The brightness of (n, 1536) fingerprints: (n, 32, 32) uint8."""
    return fingerprints[:, : SIDE * SIDE].reshape(-1, SIDE, SIDE)


def colours(fingerprints: np.ndarray) -> np.ndarray:
    """The two colour differences of (n, 1536) fingerprints: (n, 2, 16, 16) uint8."""
    return fingerprints[:, SIDE * SIDE :].reshape(-1, 2, COLOUR_SIDE, COLOUR_SIDE)


def read_fingerprints(path: Path | None) -> Mapping[str, bytes]:
    """Stored fingerprints by content hash; none where there are none or the file is damaged: they are made anew."""
    if path is None or not path.is_file():
        return MappingProxyType({})
    try:
        with read_tensors(path) as file:
            _check(file, path)
            pairs = zip(file.tensors["sha256"], file.tensors["fingerprints"], strict=True)
            found = {hashed.tobytes().hex(): row.tobytes() for hashed, row in pairs}
    except (GraftError, OSError):
        return MappingProxyType({})
    mark_used(path)
    return found


def check_fingerprints(path: Path) -> None:
    """Raise `IntegrityProblem` where a stored file is not what was written."""
    with read_tensors(path) as file:
        _check(file, path)


def _check(file: TensorFile, path: Path) -> None:
    wanted, tensors = {"version": VERSION, "tensors_sha256": tensors_sha256(file.tensors)}, file.tensors
    if dict(file.metadata) != wanted or tensors.keys() != {"sha256", "fingerprints"}:
        raise IntegrityProblem(f"{path.name} must match its hash, but does not.", code="hash_mismatch")
    hashes, rows = tensors["sha256"], tensors["fingerprints"]
    fits = hashes.shape == (len(rows), 32) and rows.shape[1:] == (BYTES,)
    if not fits or hashes.dtype != np.uint8 or rows.dtype != np.uint8:
        raise IntegrityProblem(f"{path.name} must hold fingerprints, got something else.", code="record_invalid")


def write_fingerprints(path: Path, fingerprints: Mapping[str, bytes]) -> None:
    """Store fingerprints by content hash; raises `ResourceProblem`."""
    make_directory(path.parent)
    sweep_stray(path.parent, LEFT_SECONDS)
    names = sorted(fingerprints)
    hashes = np.frombuffer(bytes.fromhex("".join(names)), np.uint8).reshape(-1, 32)
    rows = as_array([fingerprints[name] for name in names])
    tensors = {"sha256": hashes, "fingerprints": rows}
    metadata = {"version": VERSION, "tensors_sha256": tensors_sha256(tensors)}
    write_tensors(path, tensors, metadata=metadata, writer="scan_fingerprints")
