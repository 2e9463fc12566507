"""Archives as DATA: a zip or tar is judged as a whole, unpacked once into the cache, and found there the next time."""

import hashlib
import os
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, ClassVar, NoReturn

from graft.core.errors import BadInput, IntegrityProblem, ResourceProblem
from graft.core.files import STRAY_PATTERN, make_directory, mark_used, remove_tree, require_space
from graft.core.folders import add_folder, whole_folder, write_copy
from graft.core.hashing import CHUNK_BYTES, hashed, sha256_file
from graft.core.locks import Lock
from graft.core.progress import Progress
from graft.core.records import from_json, record, to_json
from graft.data.archives.members import Checker, Found, Member, unsafe
from graft.data.archives.tars import BLOCK_BYTES, is_tar_header, walk_tar
from graft.data.archives.zips import ZIP_MAGIC, walk_zip
from graft.data.sources import is_ignored_folder, is_photo

COMPRESSIONS: Mapping[bytes, str] = MappingProxyType({b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz"})
SUFFIXES = (".tar.gz", ".tar.bz2", ".tar.xz", ".tgz", ".tbz2", ".txz", ".tar", ".zip")
WRITER = "archive"
WHOLE = "unpacked"  # below the archive's hash: a folder with the record and the files
FILES = "archive"
RECORD = "unpacked.json"
LEASE_SECONDS = 30.0
WAIT_SECONDS = 24 * 3600.0  # a holder that died is replaced at once; a living one makes progress
# All unpacked files bear this time: one that was written to since has another. Chosen so that every file system can
# hold it: FAT begins in 1980 and counts in steps of two seconds.
UNPACKED_TIME = 1_000_000_000.0
BLOCK_ON_DISK_BYTES = 4096  # what a small file takes on most disks


@record
class Unpacked:
    """What a whole unpacked archive holds; stands beside its files."""

    SCHEMA: ClassVar[str] = "graft/unpacked/2"
    archive_sha256: str
    files: dict[str, int]  # path -> bytes
    hashes: dict[str, str]  # path -> SHA-256 of the content
    folders: tuple[str, ...]


@dataclass(frozen=True)
class Archive:
    """An archive that was given as DATA, unpacked. `root` is where its class or split folders are."""

    path: Path
    sha256: str
    root: Path


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar, or compressed as tars are, by its content."""
    try:
        if not path.is_file():
            return False  # never open what may be a pipe
        with path.open("rb") as file:
            return _kind(file.read(BLOCK_BYTES)) is not None
    except OSError:
        return False  # whoever reads it as something else says what is wrong with it


def plain_name(path: Path) -> str:
    """The name of DATA without an archive's ending: photos.tar.gz -> photos."""
    name = path.name
    if not path.is_dir():
        for suffix in SUFFIXES:
            if name.lower().endswith(suffix) and len(name) > len(suffix):
                return name[: -len(suffix)]
    return name


def unpack(path: Path, cache: Path, *, progress: Progress) -> Archive:
    """Unpack an archive into `cache`, or find it there from the last time.

    Nothing is written before the whole archive was read once and every member judged by name, kind, size and content.

    Raises: `BadInput` archive_unsafe naming the member, or archive_damaged; `ResourceProblem` disk_full, cannot_write;
    `IntegrityProblem` changed_since_scan where the file is written to meanwhile.
    """
    try:
        with path.open("rb") as file:
            sha256 = _hash(file, path.name, progress)
            place = cache / "archives" / sha256
            if not is_whole(place / WHOLE, sha256):
                members = _judge(file, path.name, progress)
                make_directory(place)
                with _alone(place, progress):
                    if not is_whole(place / WHOLE, sha256):  # another process may have unpacked it meanwhile
                        _unpack(file, path.name, sha256, place / WHOLE, members, progress)
    except OSError as error:
        message = f"The archive must be readable, got {path}: {error.strerror or error}."
        raise BadInput(message, hint="Check the path and its permissions.", code="unreadable") from error
    return Archive(path.absolute(), sha256, _used(place / WHOLE))


def find_unpacked(path: Path, sha256: str, cache: Path, *, progress: Progress) -> Archive:
    """An archive of which only path and hash are known: from the cache, else unpacked anew.

    Raises `BadInput` not_found where neither the unpacked photos nor the archive as it was are there.
    """
    folder = cache / "archives" / sha256 / WHOLE
    if is_whole(folder, sha256):
        return Archive(path, sha256, _used(folder))
    if not path.is_file():
        _gone(path, "it is not there")
    found = unpack(path, cache, progress=progress)
    if found.sha256 != sha256:
        _gone(path, "it holds something else now")
    return found


def _gone(path: Path, problem: str) -> NoReturn:
    raise BadInput(
        f"The run's photos must still be in the archive {path}, but {problem}.",
        hint="Put the archive back, or name labelled photos to measure on.",
        code="not_found",
    )


def _kind(head: bytes) -> str | None:
    """`zip`, `tar`, or the compression of what is probably a tar; None for anything else."""
    if head.startswith(ZIP_MAGIC):
        return "zip"
    for magic, name in COMPRESSIONS.items():
        if head.startswith(magic):
            return name
    return "tar" if head.strip(b"\0") and is_tar_header(head) else None


def _hash(file: BinaryIO, name: str, progress: Progress) -> str:
    digest, total = hashlib.sha256(), file.seek(0, os.SEEK_END)
    file.seek(0)
    with progress.stage(f"Reading {name}", total >> 20, "MB") as stage:
        done = 0
        while piece := file.read(CHUNK_BYTES):
            digest.update(piece)
            done += len(piece)
            stage.advance((done >> 20) - (done - len(piece) >> 20))
    return digest.hexdigest()


def _walk(file: BinaryIO, name: str) -> Iterator[Found]:
    file.seek(0)
    kind = _kind(file.read(BLOCK_BYTES))
    if kind == "zip":
        return walk_zip(file, name)
    return walk_tar(file, name, "" if kind == "tar" else str(kind))


def _judge(file: BinaryIO, name: str, progress: Progress) -> list[tuple[Member, str]]:
    """All members with the paths they go to ("" for what is left out); the whole archive is refused for one of them."""
    checker = Checker(name, file.seek(0, os.SEEK_END))
    members = []
    with progress.stage(f"Checking {name}", None, "files") as stage:
        for found in _walk(file, name):
            path = checker.check(found.member)
            if path:
                checker.check_head(found.member, next(found.pieces, b""))
                for _ in found.pieces:
                    pass  # counts bytes and compares checksums, so that all damage shows before anything is written
            members.append((found.member, path))
            stage.advance()
    return members


@contextmanager
def _alone(place: Path, progress: Progress) -> Iterator[None]:
    """Hold the lock of one archive's place, telling the user where another process has it; then clean up there."""
    lock = Lock(place / "lock", lease_seconds=LEASE_SECONDS, wait_seconds=0.0)
    try:
        lock.acquire()
    except ResourceProblem as error:
        if error.code != "locked":
            raise
        progress.say("Another graft process is unpacking this archive: waiting for it.")
        lock = Lock(place / "lock", lease_seconds=LEASE_SECONDS, wait_seconds=WAIT_SECONDS)
        lock.acquire()
    try:
        for left in list(place.glob(STRAY_PATTERN)):
            if left.is_dir():  # only the lock's owner unpacks here, so a folder is what a killed one left
                remove_tree(left)
        yield
    finally:
        lock.release()


def _unpack(
    file: BinaryIO, name: str, sha256: str, folder: Path, members: list[tuple[Member, str]], progress: Progress
) -> None:
    """Write what was judged, and the record of it last, into a folder that appears whole."""
    kept = [(member, path) for member, path in members if path]
    needed = sum(member.size + BLOCK_ON_DISK_BYTES for member, _ in kept)
    require_space(folder, needed, f"Unpacking {name}")
    folders = tuple(sorted(_folders(kept)))
    hashes: dict[str, str] = {}
    with (
        progress.stage(f"Unpacking {name}", len(kept), "files") as stage,
        whole_folder(folder, writer=WRITER) as unfinished,
    ):
        for found, judged in zip_longest(_walk(file, name), members):
            if found is None or judged is None or found.member != judged[0]:
                raise IntegrityProblem(
                    f"The archive {name} must stay as it is while it is unpacked, but it changed.",
                    hint="Run the command again.",
                    code="changed_since_scan",
                )
            member, path = judged
            if path and not member.is_folder:
                target = _target(unfinished / FILES, member, path, name)
                digest = hashlib.sha256()
                pieces = hashed(found.pieces, digest.update)
                write_copy(target, pieces, writer=WRITER, needed_bytes=member.size, mtime=UNPACKED_TIME)
                hashes[path] = digest.hexdigest()
                stage.advance()
        for path in ("", *folders):
            add_folder(unfinished / FILES / path)
        sizes = {path: member.size for member, path in kept if not member.is_folder}
        content = to_json(Unpacked(archive_sha256=sha256, files=sizes, hashes=hashes, folders=folders))
        write_copy(unfinished / RECORD, [content], writer=WRITER, needed_bytes=len(content), mtime=UNPACKED_TIME)


def _target(root: Path, member: Member, path: str, archive: str) -> Path:
    """Where a member goes. Its name was judged before; what would lie elsewhere all the same is refused here."""
    target = Path(os.path.normpath(root / path))
    if not target.is_relative_to(root):
        unsafe(archive, member.name, "leads out of the folder to unpack into")
    return target


def _folders(kept: list[tuple[Member, str]]) -> set[str]:
    """All folders that the members are or lie in."""
    found: set[str] = set()
    for member, path in kept:
        parts = path.split("/")
        found.update("/".join(parts[:depth]) for depth in range(1, len(parts) + member.is_folder))
    return found


def is_whole(folder: Path, sha256: str) -> bool:
    """Whether the unpacked folder holds exactly what was written: names, sizes, and nothing written to since.

    The contents are not hashed again: the scan that follows reads and hashes every photo anyway.
    """
    try:
        if folder.is_symlink() or not (folder / RECORD).is_file():
            return False
        wanted = from_json(Unpacked, (folder / RECORD).read_bytes(), source=RECORD)
        files: dict[str, int] = {}
        folders: set[str] = set()
        _list(folder / FILES, "", files, folders)
    except (OSError, IntegrityProblem):
        return False  # damaged or going away: it is unpacked anew
    same_files = {_composed(path): size for path, size in wanted.files.items()} == files
    return wanted.archive_sha256 == sha256 and same_files and {_composed(path) for path in wanted.folders} == folders


def damage(folder: Path, sha256: str) -> str:
    """What of an unpacked folder is not what was written, by the hash of every file; empty where nothing is."""
    if not is_whole(folder, sha256):
        return "its files are not those that were unpacked"
    record = from_json(Unpacked, (folder / RECORD).read_bytes(), source=RECORD)
    hashes = {_composed(path): hashed for path, hashed in record.hashes.items()}
    for place, _, names in os.walk(folder / FILES):
        for name in names:
            path = Path(place, name)
            inside = path.relative_to(folder / FILES).as_posix()
            if sha256_file(path) != hashes.get(_composed(inside)):
                return f"{inside} is not what was unpacked"
    return ""


def _list(folder: Path, inside: str, files: dict[str, int], folders: set[str]) -> None:
    """Sizes of all files below `folder` by path; -1 for one that is a link or was written to later."""
    with os.scandir(folder) as items:
        for item in items:
            path = _composed(f"{inside}{item.name}")
            if item.is_dir(follow_symlinks=False):
                folders.add(path)
                _list(Path(item.path), path + "/", files, folders)
            else:
                facts = item.stat(follow_symlinks=False)
                untouched = item.is_file(follow_symlinks=False) and facts.st_mtime == UNPACKED_TIME
                files[path] = facts.st_size if untouched else -1


def _composed(path: str) -> str:
    return unicodedata.normalize("NFC", path)  # some file systems hand out decomposed letters


def _used(folder: Path) -> Path:
    """The root of an unpacked archive; its place in the cache then bears the time of this use, for eviction."""
    mark_used(folder.parent)
    return _root(folder)


def _root(folder: Path) -> Path:
    """Where the class or split folders are: below a single top folder, or several, that hold nothing else of use."""
    root = folder / FILES
    while True:
        inside = [item for item in root.iterdir() if not is_ignored_folder(item)] if root.is_dir() else []
        tops = [item for item in inside if item.is_dir()]
        if len(tops) != 1 or any(is_photo(item) for item in inside if not item.is_dir()):
            return root
        below = list(tops[0].iterdir())
        if not any(item.is_dir() and not is_ignored_folder(item) for item in below):
            return root  # the single folder is a class
        if any(not item.is_dir() and is_photo(item) for item in below):
            return root  # a class with photos of its own and more in folders
        root = tops[0]
