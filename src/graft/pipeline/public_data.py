"""The tutorials' own data on request: one pinned archive, checked, turned into the tutorial's folders, and removed."""

import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NoReturn

from graft.core.download import Published, download
from graft.core.errors import BadInput, IntegrityProblem, ResourceProblem
from graft.core.files import make_directory, remove_file, require_space, sweep_stray
from graft.core.folders import whole_folder, write_copy
from graft.core.hashing import hashed, sha256_file, sha256_json
from graft.core.locks import Lock
from graft.core.progress import Progress
from graft.core.records import from_json, to_json
from graft.data.public.catalogue import find_data
from graft.data.public.layouts import items
from graft.data.public.records import PublicData, PublicFolder
from graft.data.sources import is_photo

WRITER = "public_data"
TERMS = "TERMS.txt"
RECORD = ".graft-data.json"
LEASE_SECONDS = 60.0
STRAY_SECONDS = 24 * 3600.0  # no fetch takes a day
BLOCK_BYTES = 4096  # what the last piece of a file may take more than its size


@dataclass(frozen=True)
class FetchedData:
    """A data set on this machine. `source`: the archive it came from now, "" where it was here before."""

    data: PublicData
    folder: Path
    record: PublicFolder
    source: str = ""

    @property
    def terms(self) -> Path:
        """The file that says whose the photos are."""
        return self.folder / TERMS

    @property
    def checked(self) -> str:
        """What was compared with what is known: the archive's hash, or that of the photos in it."""
        return "archive" if self.data.sha256 else "photos"


def fetch_data(
    name: str,
    *,
    output: Path | None = None,
    archive: Path | None = None,
    cache: Path,
    tell: Callable[[PublicData], None],
    progress: Progress,
) -> FetchedData:
    """Put a tutorial's own data into the folder `output` (else one of its name), from its public home.

    `archive` names the published file where it was brought here by hand: nothing is downloaded then. `tell` is called
    with what is about to come, its terms among it, before anything is fetched. A folder that has them is left as it is.

    Raises:
        BadInput: not_found for the name or the archive; already_exists where the folder holds anything else.
        ResourceProblem: no_download where there is no connection, or nobody publishes the data; the disk; locked.
        IntegrityProblem: hash_mismatch or download_refused, where what came is not what is known. Nothing is left then.
    """
    data = find_data(name)
    folder = Path(os.path.abspath(output or data.name))  # noqa: PTH100 - a link at its place is to be seen, not followed
    if not data.url:
        _bring_it(data)
    known = _here(data, folder, progress)
    if known is not None:
        return FetchedData(data, folder, known)
    tell(data)
    make_directory(folder.parent)
    sweep_stray(folder.parent, STRAY_SECONDS)  # what a killed call left there, as large as the photos
    require_space(folder.parent, data.folder_bytes, f"The photos of {data.title}")
    if archive is not None:
        _check(data, archive, progress)
        return FetchedData(data, folder, _fill(data, archive, folder, progress), str(archive))
    downloads = cache / "downloads"
    make_directory(downloads)
    kept = downloads / data.file
    with Lock(kept.with_name(f"{kept.name}.lock"), lease_seconds=LEASE_SECONDS, wait_seconds=0.0):
        record = _from_home(data, kept, folder, progress)
    return FetchedData(data, folder, record, data.url)


def _here(data: PublicData, folder: Path, progress: Progress) -> PublicFolder | None:
    """The record of the data where `folder` has them whole; None where there is nothing yet."""
    if not os.path.lexists(folder) or _is_empty(folder):
        return None
    problem = "it holds something else"
    try:
        record = from_json(PublicFolder, (folder / RECORD).read_bytes(), source=RECORD)
    except (OSError, IntegrityProblem):
        record = None  # whatever it is, it was not fetched
    if record is not None and record.name == data.name:
        found = _photo_hashes(folder, record.photos, progress)
        if sha256_json(found) == record.contents_sha256:
            return record
        problem = f"of its {record.photos:,} photos some were removed, added or changed"
    raise BadInput(
        f"The folder for {data.name} must be new, empty, or hold those very photos, got {str(folder)!r}: {problem}.",
        hint="Name another place with -o DIR, or remove that folder.",
        code="already_exists",
    )


def _is_empty(folder: Path) -> bool:
    """Whether a new folder may take the place of this one: nobody is in it, and there is nothing to lose."""
    try:
        return folder.is_dir() and not folder.is_symlink() and folder != Path.cwd() and not any(folder.iterdir())
    except OSError:
        return False  # what cannot be looked into is left alone


def _photo_hashes(folder: Path, n_photos: int, progress: Progress) -> dict[str, str]:
    """The SHA-256 of each photo below the class or split folders."""
    found: dict[str, str] = {}
    with progress.stage(f"Checking {folder.name}", n_photos, "photos") as stage:
        for place, _, names in os.walk(folder):
            for path in (Path(place, name) for name in names if Path(place) != folder):
                if is_photo(path):
                    found[path.relative_to(folder).as_posix()] = sha256_file(path)
                    stage.advance()
    return found


def _from_home(data: PublicData, kept: Path, folder: Path, progress: Progress) -> PublicFolder:
    """Download, unless the archive is still here from a call that found the disk full; then fill the folder."""
    came_before = kept.exists()
    if not came_before:
        require_space(kept.parent, data.archive_bytes, f"Fetching {data.title}")
        pinned = Published(url=data.url, limit_bytes=data.archive_bytes, sha256=data.sha256, otherwise=otherwise(data))
        download(pinned, kept, progress=progress)
    try:
        if came_before:
            _check(data, kept, progress)
        record = _fill(data, kept, folder, progress)
    except (BadInput, IntegrityProblem) as error:  # it is no file of the user's: its publisher gave something else
        remove_file(kept)
        raise IntegrityProblem(
            f"{data.url} must hold {data.title} as it is known: {error.message}",
            hint=f"Nothing was kept. {otherwise(data)}",
            code="download_refused",
        ) from None
    remove_file(kept)
    return record


def _check(data: PublicData, archive: Path, progress: Progress) -> None:
    """Refuse a file brought by hand that is not the published one, where that is known by its hash."""
    if not archive.is_file():
        raise BadInput(f"The archive must exist, got {str(archive)!r}.", hint="Check the path.", code="not_found")
    if not data.sha256:
        return  # its photos are compared one by one
    with progress.stage(f"Reading {archive.name}", None, "bytes"):
        found = sha256_file(archive)
    if found != data.sha256:
        raise IntegrityProblem(
            f"{archive} must have the SHA-256 {data.sha256}, got {found}.",
            hint=f"It is not the file that is at {data.url}, or not all of it.",
            code="hash_mismatch",
        )


def _fill(data: PublicData, archive: Path, folder: Path, progress: Progress) -> PublicFolder:
    """Write photos, documents, terms and the record into a folder that appears whole."""
    hashes: dict[str, str] = {}
    now = time.time()
    with (
        _opened(archive) as file,
        progress.stage(f"Unpacking {data.title}", data.photos, "photos") as stage,
        whole_folder(folder, writer=WRITER) as unfinished,
    ):
        for item in items(data, file, archive.name):
            digest = hashlib.sha256()
            write_copy(
                unfinished / item.path,
                hashed(item.pieces, digest.update),
                writer=WRITER,
                needed_bytes=item.size + BLOCK_BYTES,
                mtime=now,
            )
            if item.is_photo:
                hashes[item.path] = digest.hexdigest()
                stage.advance()
        contents = _recognised(data, archive, hashes)
        record = PublicFolder(
            name=data.name,
            url=data.url,
            photos=len(hashes),
            archive_sha256=data.sha256,
            contents_sha256=contents,
        )
        for name, content in ((TERMS, terms_text(data).encode()), (RECORD, to_json(record))):
            write_copy(unfinished / name, [content], writer=WRITER, needed_bytes=len(content), mtime=now)
    return record


def _opened(archive: Path) -> BinaryIO:
    try:
        return archive.open("rb")
    except OSError as error:
        message = f"The archive must be readable, got {archive}: {error.strerror or error}."
        raise BadInput(message, hint="Check the path and its permissions.", code="unreadable") from error


def _recognised(data: PublicData, archive: Path, hashes: dict[str, str]) -> str:
    """The hash of all photos; refused where they are not those that are known."""
    if len(hashes) != data.photos:
        raise IntegrityProblem(
            f"{archive.name} must hold the {data.photos:,} photos of {data.title}, got {len(hashes):,}.",
            hint=f"It is not the file that is at {data.url}.",
            code="download_refused",
        )
    contents = sha256_json(hashes)
    if data.contents_sha256 and contents != data.contents_sha256:
        raise IntegrityProblem(
            f"The photos in {archive.name} must have the SHA-256 {data.contents_sha256} together, got {contents}.",
            hint=f"It is not the file that is at {data.url}.",
            code="hash_mismatch",
        )
    return contents


def otherwise(data: PublicData) -> str:
    """What to do where the data cannot be fetched."""
    return (
        f"Open that address where there is a connection, bring the file here, "
        f"then: graft data fetch {data.name} --from FILE."
    )


def _bring_it(data: PublicData) -> NoReturn:
    raise ResourceProblem(
        f"{data.title} must be brought by you: nobody is known to publish these photos at a lasting address.",
        hint=f"Put yours into a folder {data.name}/ so: {data.shape}. Then: graft train {data.name}.",
        code="no_download",
    )


def terms_text(data: PublicData) -> str:
    """What is kept beside the photos: what they are, whose, and where from."""
    documents = ", ".join(data.documents)
    rows = [
        ("from", data.url),
        ("home", data.home),
        ("terms", data.terms),
        ("cite", data.cite),
        ("beside", f"{documents}: its publisher's own words" if documents else ""),
        ("archive", f"SHA-256 {data.sha256}" if data.sha256 else ""),
        (
            "photos",
            f"SHA-256 {data.contents_sha256}, of the JSON of their paths and SHA-256" if data.contents_sha256 else "",
        ),
    ]
    facts = "\n".join(f"{word:<8} {text}" for word, text in rows if text)
    return (
        f"{data.title}: {data.photos:,} photos\n\n{facts}\n\nGraft fetched them for you and claims no right in them.\n"
    )
