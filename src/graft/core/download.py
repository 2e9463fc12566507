"""One file from its publisher: a pinned address, resumed where it was cut, and used only when it is what was published.

Everything that arrives is suspect until its hash fits. Nothing here decides to download: a user does, with a command.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import Any, NoReturn
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import Request

from graft.core.errors import IntegrityProblem, ResourceProblem
from graft.core.hashing import CHUNK_BYTES, SHA256_CHARACTERS
from graft.core.partial import Partial
from graft.core.progress import Progress, Stage
from graft.core.redirects import redirecting_opener
from graft.core.version import __version__

TIMEOUT_SECONDS = 30.0  # of silence
TRIES = 4
PAUSE_SECONDS = 1.0
HTTP_PARTIAL, HTTP_RANGE_REFUSED = 206, 416


@dataclass(frozen=True)
class Published:
    """A file as its publisher states it. Hashes are empty where none is stated; `otherwise` is what a user can do.

    With a SHA-256 the file may come from another host that the publisher leads to: whoever sent it, it is what was
    published. An MD5 is no such proof, and neither are the first digits of a SHA-256, where no more are stated.
    """

    url: str
    limit_bytes: int
    sha256: str = ""
    md5: str = ""
    otherwise: str = ""


class _Cut(Exception):
    """The connection ended before the file did."""


def download(wanted: Published, path: Path, *, progress: Progress) -> str:
    """Bring the file to `path`, and return what was checked: `sha256`, `md5`, or "" where no hash is published.

    What a cut connection left is kept beside `path` and continued, now and in a later call. A file that is not what was
    published is removed.

    Raises:
        ResourceProblem: `no_download`, where there is no connection or none is allowed; the disk.
        IntegrityProblem: `hash_mismatch`, or `download_refused` for a page in place of the file, another host, a size.
    """
    if os.environ.get("GRAFT_OFFLINE", "").strip() not in ("", "0"):
        _no_download(wanted, f"GRAFT_OFFLINE is set, so {wanted.url} must not be downloaded")
    partial = Partial(path)
    for left in reversed(range(TRIES)):
        try:
            _continue(wanted, partial, progress)
            break
        except _Cut as cut:
            if not left:
                reason = f"The download of {wanted.url} must arrive whole, got {partial.size_bytes()} bytes: {cut}"
                _no_download(wanted, reason, "Type the same command again: it goes on where it stopped. Or: ")
            time.sleep(PAUSE_SECONDS)
    for algorithm, stated in (("sha256", wanted.sha256), ("md5", wanted.md5)):
        if stated and (got := partial.digest(algorithm))[: len(stated)] != stated:
            partial.drop()
            raise IntegrityProblem(
                f"{wanted.url} must have the {algorithm.upper()} {stated}, got {got}.",
                hint=f"Nothing was kept. Try again later. {wanted.otherwise}".strip(),
                code="hash_mismatch",
            )
    partial.finish()
    return "sha256" if wanted.sha256 else "md5" if wanted.md5 else ""


def _continue(wanted: Published, partial: Partial, progress: Progress) -> None:
    """One request: for the rest of what is here, or for all of it. Raises `_Cut` where it did not become whole."""
    note, have = partial.note(), partial.size_bytes()
    goes_on = bool(have and note.get("url") == wanted.url and note.get("validator"))
    headers = {"User-Agent": f"graft/{__version__}", "Accept-Encoding": "identity"}
    if goes_on:
        headers |= {"Range": f"bytes={have}-", "If-Range": note["validator"]}
    try:
        known = len(wanted.sha256) == SHA256_CHARACTERS
        opener = redirecting_opener(wanted.url, elsewhere=known, refuse=lambda problem: _refuse(wanted, problem))
        response = opener.open(Request(wanted.url, headers=headers), timeout=TIMEOUT_SECONDS)
    except HTTPError as error:
        error.close()
        if error.code == HTTP_RANGE_REFUSED and goes_on:
            partial.drop()
            raise _Cut("the rest of it is not offered any more") from None
        _no_download(wanted, f"{wanted.url} must be there, got {error.code} {error.reason}")
    except (URLError, OSError, HTTPException) as error:
        _no_download(wanted, f"{wanted.url} must be reached, got: {_reason(error)}")
    except ValueError as error:  # urllib's own, of an address that is none
        _refuse(wanted, f"lead to an address, got: {_reason(error)}")
    with response:
        with _dropped(partial):
            _check_headers(wanted, response.headers)
            total = _begin(wanted, partial, response, have if goes_on else 0, note.get("total", ""))
        name = Path(urlsplit(wanted.url).path).name
        with progress.stage(f"Downloading {name}", total // 1000 if total else None, "kB") as stage:
            stage.advance(partial.size_bytes() // 1000)
            with _dropped(partial):
                partial.append(_pieces(wanted, response, partial.size_bytes(), stage))
    if total and partial.size_bytes() != total:
        raise _Cut(f"{total} bytes were announced")


def _begin(wanted: Published, partial: Partial, response: Any, have: int, noted_total: str) -> int:
    """Make `partial` ready for the response's bytes, and return the size of the whole file (0: not said)."""
    length = int(response.headers.get("Content-Length") or 0)
    if response.status == HTTP_PARTIAL:
        said = response.headers.get("Content-Range", "")
        total = said.rpartition("/")[2]
        if have and said.startswith(f"bytes {have}-") and noted_total in ("", "0", total):
            return int(total) if total.isdecimal() else have + length
        partial.drop()
        raise _Cut("another part than the one asked for came")
    etag = response.headers.get("ETag", "")
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    partial.begin({"url": wanted.url, "validator": validator, "total": str(length)})
    return length


def _pieces(wanted: Published, response: Any, have: int, stage: Stage) -> Iterator[bytes]:
    """The response's bytes as they come; `_Cut` where the connection breaks."""
    arrived = have
    while True:
        try:
            piece: bytes = response.read(CHUNK_BYTES)
        except (OSError, HTTPException) as error:
            raise _Cut(_reason(error)) from error
        if not piece:
            return
        if not arrived and piece.lstrip()[:1] == b"<":
            _refuse(wanted, "be the file that is published, got a page for people")
        stage.advance((arrived + len(piece)) // 1000 - arrived // 1000)
        arrived += len(piece)
        if arrived > wanted.limit_bytes:
            _refuse(wanted, f"have at most {wanted.limit_bytes} bytes, got more")
        yield piece


def _check_headers(wanted: Published, headers: HTTPMessage) -> None:
    if headers.get_content_type() == "text/html":
        _refuse(wanted, "be the file that is published, got a page for people")
    if headers.get("Content-Encoding", "identity") != "identity":
        _refuse(wanted, f"come as it is, got it packed as {headers['Content-Encoding'][:20]!r}")
    length = headers.get("Content-Length") or "0"
    if not length.isdecimal() or int(length) > wanted.limit_bytes:
        _refuse(wanted, f"have at most {wanted.limit_bytes} bytes, got {length[:20]}")


@contextlib.contextmanager
def _dropped(partial: Partial) -> Iterator[None]:
    """Keep nothing of what is refused."""
    try:
        yield
    except IntegrityProblem:
        partial.drop()
        raise


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, OSError) and reason.strerror:
        return reason.strerror[:200]
    return (str(reason) or type(reason).__name__)[:200]


def _refuse(wanted: Published, problem: str) -> NoReturn:
    raise IntegrityProblem(
        f"{wanted.url} must {problem}.",
        hint=f"Nothing was kept. {wanted.otherwise}".strip(),
        code="download_refused",
    )


def _no_download(wanted: Published, problem: str, hint: str = "") -> NoReturn:
    raise ResourceProblem(f"{problem.rstrip('.')}.", hint=f"{hint}{wanted.otherwise}", code="no_download")
