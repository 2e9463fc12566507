"""The one file `classifier.graft`: a tensor file whose metadata holds the manifest. Written whole, read strictly."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from graft.bundle.checks import BACKBONE, check_layout, check_manifest, check_values, class_problem, refuse
from graft.bundle.foreign import refuse_foreign
from graft.bundle.records import BundleManifest
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.hashing import sha256_bytes
from graft.core.records import from_json, to_json
from graft.core.tensors import TensorFile, encode_header, read_tensors, tensors_sha256, write_tensors

FILE_NAME = "classifier.graft"
MANIFEST = "graft"
MANIFEST_HASH = "graft_sha256"
MAX_HEADER_BYTES = 1 << 20  # bounds what hostile JSON can cost; a thousand classes on the largest network need a tenth
MAX_COMMAS = 50_000  # in the manifest, for the same reason: ten thousand classes need as many
DAMAGED = "The file was damaged or changed. Copy it again, or train again."


def write_bundle(path: Path, manifest: BundleManifest, tensors: Mapping[str, np.ndarray]) -> BundleManifest:
    """Write a bundle atomically and return its manifest as written, with the hashes of `tensors` filled in.

    `tensors` are named `backbone/<layer>/<weight>`, `head/…` and `golden/…`. Equal content gives equal bytes. What a
    reader would refuse is not written: raises `BadInput` for class names, `IntegrityProblem` for anything else.
    """
    problem = class_problem(manifest.classes)
    if problem:
        raise BadInput(f"The {problem}.", hint="Rename the class folders or the labels in the table.")
    weights_sha256, rest_sha256 = content_hashes(tensors)
    manifest = replace(manifest, weights_sha256=weights_sha256, tensors_sha256=rest_sha256)
    record = check_manifest(manifest, str(path))
    check_layout(manifest, record, tensors, str(path))
    check_values(tensors, str(path))
    text = to_json(manifest)
    metadata = {MANIFEST: text.decode(), MANIFEST_HASH: sha256_bytes(text)}
    header = encode_header({name: (array.dtype, array.shape) for name, array in tensors.items()}, metadata)
    if len(header) > MAX_HEADER_BYTES or text.count(b",") > MAX_COMMAS:
        raise BadInput(
            f"The class names must leave the description below {MAX_HEADER_BYTES} bytes and {MAX_COMMAS} commas, "
            f"got {len(header)} and {text.count(b',')}.",
            hint="Use shorter names.",
        )
    write_tensors(path, tensors, metadata=metadata, writer="bundle")
    return manifest


def read_bundle(path: Path) -> tuple[BundleManifest, TensorFile]:
    """Open a bundle and check everything that can be checked without running the network.

    The tensors are views of the mapped file: close it when done. Raises `BadInput` (`not_found`, `unreadable`,
    `format_not_allowed`) or `IntegrityProblem` (`bundle_invalid`, `record_invalid`, `future_schema`,
    `hash_mismatch`, `weights_not_finite`).
    """
    refuse_foreign(path)
    source = path.name
    file = read_tensors(path, source=source, max_header_bytes=MAX_HEADER_BYTES)
    try:
        manifest = _manifest(file.metadata, source)
        record = check_manifest(manifest, source)
        check_layout(manifest, record, file.tensors, source)
        _check_hashes(manifest, file.tensors, source)
        check_values(file.tensors, source)
    except BaseException:
        file.close()
        raise
    return manifest, file


def content_hashes(tensors: Mapping[str, np.ndarray]) -> tuple[str, str]:
    """The two hashes of a manifest: of the backbone's weights without their prefix, and of all other tensors."""
    weights = {name.removeprefix(BACKBONE): array for name, array in tensors.items() if name.startswith(BACKBONE)}
    rest = {name: array for name, array in tensors.items() if not name.startswith(BACKBONE)}
    return tensors_sha256(weights), tensors_sha256(rest)


def _manifest(metadata: Mapping[str, str], source: str) -> BundleManifest:
    if metadata.keys() != {MANIFEST, MANIFEST_HASH}:
        refuse(
            source,
            f"must be a Graft bundle with the metadata {MANIFEST} and {MANIFEST_HASH}, "
            f"got a tensor file with {', '.join(sorted(metadata))[:80] or 'none'}",
            hint="Give a run folder or the classifier.graft in it.",
        )
    try:
        text = metadata[MANIFEST].encode()
    except UnicodeEncodeError:
        refuse(source, "the manifest must be text, got half of a surrogate pair")
    if text.count(b",") > MAX_COMMAS:
        refuse(source, f"the manifest must have at most {MAX_COMMAS} commas, got {text.count(b',')}")
    manifest = from_json(BundleManifest, text, source=source)
    # After the schema: a bundle of a newer Graft should say so, not that it is damaged.
    if sha256_bytes(text) != metadata[MANIFEST_HASH]:
        raise IntegrityProblem(
            f"{source}: the manifest must have SHA-256 {metadata[MANIFEST_HASH][:64]}, got {sha256_bytes(text)}.",
            hint=DAMAGED,
            code="hash_mismatch",
        )
    return manifest


def _check_hashes(manifest: BundleManifest, tensors: Mapping[str, np.ndarray], source: str) -> None:
    expected = (manifest.weights_sha256, manifest.tensors_sha256)
    for what, wanted, got in zip(("weights", "head and examples"), expected, content_hashes(tensors), strict=True):
        if got != wanted:
            raise IntegrityProblem(
                f"{source}: the {what} must have SHA-256 {wanted}, got {got}.", hint=DAMAGED, code="hash_mismatch"
            )
