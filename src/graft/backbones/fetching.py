"""Weights from their publisher, on demand: one pinned file, checked, imported, and then removed."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from graft.backbones.catalogue import BUILTIN
from graft.backbones.records import BackboneRecord, WeightsSource
from graft.backbones.weights import WeightsFile, builtin, import_weights, imported
from graft.core.download import Published, download
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.files import make_directory, remove_file, require_space
from graft.core.locks import Lock
from graft.core.progress import Progress

LEASE_SECONDS = 60.0
BYTES_OF_A_NUMBER = 4
SLACK_SHARE, SLACK_BYTES = 1.25, 16 << 20  # what the file may hold besides its numbers


@dataclass(frozen=True)
class Fetched:
    """What is on this machine now. `checked`: the hash that fitted, "" where the publisher states none."""

    record: BackboneRecord
    weights: WeightsFile
    source: WeightsSource | None  # None: it was here before
    checked: str = ""


def fetch(record: BackboneRecord, *, top: bool, cache: Path, progress: Progress, again: bool = False) -> Fetched:
    """Download a network's published weights, with its `top` or without, into `cache`; what is here is left alone.

    Raises: `BadInput` where none are published; what `download` raises; `IntegrityProblem` download_refused where the
    file is not this network's. The cache holds nothing new then.
    """
    known = None if again else _here(record, top, cache)
    if known is not None:
        return Fetched(record, known, None)
    source = published_source(record, top)
    parameters = (record.parameters_with_top if holds_top(source) else None) or record.parameters
    limit = round(BYTES_OF_A_NUMBER * (parameters + source.more_parameters) * SLACK_SHARE) + SLACK_BYTES
    wanted = Published(
        url=pinned_url(source),
        limit_bytes=limit,
        sha256=source.sha256,
        md5=source.md5,
        otherwise=f"Open that address where there is a connection, bring the file here, then: {_use(record, top)}.",
    )
    folder = cache / "downloads"
    make_directory(folder)
    require_space(folder, 2 * limit, f"Fetching {record.title}")
    path = folder / Path(source.file).name
    with Lock(path.with_name(f"{path.name}.lock"), lease_seconds=LEASE_SECONDS, wait_seconds=0.0):
        checked = download(wanted, path, progress=progress)
        with _removed(path):
            weights = _imported(path, record, top, wanted, cache)
    return Fetched(record, weights, source, checked)


def published_source(record: BackboneRecord, top: bool) -> WeightsSource:
    """Where the weights are published; a file with the top serves where there is none without.

    Raises: `BadInput` weights_missing.
    """
    with_top = [source for source in record.weights if holds_top(source)]
    without = [source for source in record.weights if not holds_top(source)]
    found = with_top if top else [*without, *with_top]
    if not found or record.name == BUILTIN:
        what = "with its own classifier " if top else ""
        raise BadInput(
            f"The weights of {record.title} {what}must be published where Graft can fetch them, got none.",
            hint=f"See: graft backbones show {record.name}.",
            code="weights_missing",
        )
    return found[0]


def holds_top(source: WeightsSource) -> bool:
    """Whether a published file has the network's classifier: those without say so in their names."""
    return "notop" not in source.file.lower().replace("_", "").replace("-", "")


def pinned_url(source: WeightsSource) -> str:
    """The source's address; only an encrypted one is opened."""
    if not source.url.startswith("https://"):
        raise IntegrityProblem(f"A published address must begin with https://, got {source.url}.", code="internal")
    return source.url


def _here(record: BackboneRecord, top: bool, cache: Path) -> WeightsFile | None:
    if record.name == BUILTIN and not top:
        return builtin(record.name, cache)
    found = (weights for known, weights in imported(cache) if known.name == record.name)
    return next((weights for weights in found if weights.top is not None or not top), None)


def _imported(path: Path, record: BackboneRecord, top: bool, wanted: Published, cache: Path) -> WeightsFile:
    try:
        _, weights = import_weights(path, (record.name,), cache)
    except BadInput as error:  # it is no file of the user's: what the publisher's address gave is not what it must be
        raise IntegrityProblem(
            f"{wanted.url} must hold the weights of {record.title}: {error.message}",
            hint=f"Nothing was kept. {wanted.otherwise}",
            code="download_refused",
        ) from None
    if top and weights.top is None:
        raise IntegrityProblem(
            f"{wanted.url} must hold the classifier of {record.title}, got none.", code="download_refused"
        )
    return weights


def _use(record: BackboneRecord, top: bool) -> str:
    if top:
        return f"graft classify PHOTO --backbone {record.name} --weights FILE"
    return f"graft train DATA --backbone {record.name} --weights FILE"


@contextlib.contextmanager
def _removed(path: Path) -> Iterator[None]:
    """The raw file goes, whatever became of it: what is used was converted."""
    try:
        yield
    finally:
        remove_file(path)
