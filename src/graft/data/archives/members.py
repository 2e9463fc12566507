"""What may be in an archive: each member is judged by name, kind, size and first bytes before anything is written."""

import os
import re
import stat
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

from graft.core.errors import BadInput

MAX_ENTRIES = 100_000
MAX_NAME_BYTES = 255  # of a file or folder: no common file system takes more
MAX_PATH_BYTES = 800  # of all folders together: some systems take 1,024, the cache's own folders among them
MAX_RATIO = 100  # photos are compressed already: what shrank more than this is none
RATIO_FREE_BYTES = 1 << 20  # a blank bitmap of this size harms nobody
SHOWN_CHARACTERS = 120

_SYSTEM_FOLDERS = frozenset(("__macosx",))
_SYSTEM_FILES = frozenset((".ds_store", "thumbs.db", "desktop.ini"))
_KINDS = {
    stat.S_IFLNK: "is a link",
    stat.S_IFCHR: "is a device",
    stat.S_IFBLK: "is a device",
    stat.S_IFIFO: "is a pipe",
    stat.S_IFSOCK: "is a socket",
}
_NESTED = (
    (0, b"PK\x03\x04"),
    (0, b"PK\x05\x06"),
    (0, b"\x1f\x8b"),
    (0, b"BZh"),
    (0, b"\xfd7zXZ\x00"),
    (0, b"7z\xbc\xaf\x27\x1c"),
    (0, b"Rar!\x1a\x07"),
    (257, b"ustar"),
)
# Documents of office programs are zips inside; nobody means them as an archive, and they are never unpacked.
_DOCUMENTS = re.compile(rb"PK\x03\x04.{26}(\[Content_Types\]\.xml|mimetype|_rels/)", re.DOTALL)
_WINDOWS_NAME = re.compile(r'(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?|.*[<>:"|?*\x00-\x1f].*|.*[. ]', re.DOTALL)


@dataclass(frozen=True)
class Member:
    """One entry as the archive describes it. `kind` is "" for files and folders, else why it cannot be unpacked."""

    name: str  # as spelled in the archive
    size: int  # bytes it says to have when unpacked
    packed: int | None = None  # bytes it takes in the archive; None where only the archive as a whole is compressed
    is_folder: bool = False
    kind: str = ""
    mode: int = 0  # Unix permission bits


@dataclass(frozen=True)
class Found:
    """A member with its content, in pieces that may be taken or left; the first one is small."""

    member: Member
    pieces: Iterator[bytes]


def unsafe(archive: str, member: str, problem: str, hint: str = "") -> NoReturn:
    """Refuse a whole archive for one member."""
    raise BadInput(
        f"The archive {archive} must be safe to unpack, but its member {shown(member)} {problem}.",
        hint=hint or "Nothing was unpacked. Pack the photos again without it, or give their folder.",
        code="archive_unsafe",
    )


def damaged(archive: str, problem: str) -> NoReturn:
    """Refuse an archive that does not read as it should."""
    raise BadInput(
        f"The archive {archive} must be whole, but {problem}.",
        hint="Copy or download it again; nothing was unpacked.",
        code="archive_damaged",
    )


def shown(name: str) -> str:
    """A member's name for a message, however long it is."""
    return repr(name if len(name) <= SHOWN_CHARACTERS else name[:SHOWN_CHARACTERS] + "…")


def text_of(raw: bytes, fallback: str) -> str:
    """A name's text: UTF-8, as nearly all programs write without always saying so, else the old `fallback`."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode(fallback, "replace")


def kind_of_mode(mode: int) -> str:
    """What a Unix mode says is neither file nor folder, in words; "" for those."""
    return _KINDS.get(stat.S_IFMT(mode), "")


def name_problem(name: str, *, windows: bool = os.name == "nt") -> str:
    """Why a member's name cannot be a place below the folder to unpack into; "" where it can."""
    parts = name.split("/")
    longest = max(len(part.encode("utf-8", "surrogatepass")) for part in parts)
    checks = (
        ("\x00" in name, "has a NUL character in its name"),
        (re.match(r"[A-Za-z]:", name), "names a drive"),
        ("\\" in name, "has a backslash in its name"),
        (name.startswith("/"), "has an absolute path"),
        (".." in parts, "leads out of its folder with '..'"),
        (longest > MAX_NAME_BYTES, f"has a name of more than {MAX_NAME_BYTES} bytes"),
        (
            len(name.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES,
            f"has a path of more than {MAX_PATH_BYTES} bytes",
        ),
        (re.search("[\ud800-\udfff]", name), "has a name that is not Unicode"),
        (windows and any(_WINDOWS_NAME.fullmatch(part) for part in parts if part != "."), "has no name for Windows"),
    )
    return next((problem for found, problem in checks if found), "")


def path_of(name: str) -> str:
    """A harmless name as a relative path: without `./` and doubled slashes; "" for the archive's own top."""
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def is_of_system(path: str) -> bool:
    """Whether only an operating system put this member in: it is left out without a word."""
    *folders, last = path.lower().split("/")
    inside = not _SYSTEM_FOLDERS.isdisjoint([*folders, last])
    return inside or last in _SYSTEM_FILES or last.startswith("._")


def is_nested(head: bytes) -> bool:
    """Whether a member's first bytes are those of another archive."""
    if _DOCUMENTS.match(head):
        return False
    return any(head[place : place + len(magic)] == magic for place, magic in _NESTED)


@dataclass
class Checker:
    """Judges the members of one archive, one after the other; each refusal is of the whole archive."""

    archive: str
    archive_bytes: int
    total_bytes: int = 0
    kept: int = 0
    left_out: int = 0
    places: dict[str, tuple[str, bool]] = field(default_factory=dict)  # folded path -> path, whether it is a folder
    files: set[str] = field(default_factory=set)

    def check(self, member: Member) -> str:
        """The path to unpack to, below the folder; "" for a member that is left out. Raises BadInput."""
        problem = name_problem(member.name) or member.kind or self._size_problem(member)
        if problem:
            unsafe(self.archive, member.name, problem)
        path = path_of(member.name)
        if not path or is_of_system(path):
            self.left_out += 1
            self._count(member, self.left_out)
            return ""
        self.kept += 1
        self._count(member, self.kept)
        self._place(member, path)
        return path

    def check_head(self, member: Member, head: bytes) -> None:
        """Refuse an archive in the archive: what it holds was not judged."""
        if is_nested(head):
            hint = "Unpack that one first, and give the folder with the photos or an archive of it."
            unsafe(self.archive, member.name, "is an archive itself", hint)

    def _count(self, member: Member, n: int) -> None:
        if n > MAX_ENTRIES:
            unsafe(self.archive, member.name, f"is one more than {MAX_ENTRIES:,}", "Give the photos' folder.")

    def _size_problem(self, member: Member) -> str:
        if member.size < 0:
            return f"says to have {member.size} bytes"
        self.total_bytes += member.size
        if member.is_folder:
            return f"is a folder, but has {member.size} bytes of content" if member.size else ""
        if member.mode & (stat.S_ISUID | stat.S_ISGID):
            return "has setuid or setgid permissions"
        if member.packed is not None and member.size > max(RATIO_FREE_BYTES, MAX_RATIO * member.packed):
            return f"unpacks to more than {MAX_RATIO} times its packed size"
        if self.total_bytes > max(RATIO_FREE_BYTES, MAX_RATIO * self.archive_bytes):
            return f"makes the content more than {MAX_RATIO} times as large as the archive"
        return ""

    def _place(self, member: Member, path: str) -> None:
        """Remember the path and its folders; refuse what some file system could not keep apart."""
        parts = path.split("/")
        folders = ("/".join(parts[:depth]) for depth in range(1, len(parts)))
        for place, is_folder in ((path, member.is_folder), *((each, True) for each in folders)):
            known = self.places.setdefault(_folded(place), (place, is_folder))
            if known[0] != place:
                unsafe(self.archive, member.name, f"differs from {shown(known[0])} in case or spelling only")
            if known[1] != is_folder:
                unsafe(self.archive, member.name, f"needs {shown(place)} to be a file and a folder at once")
        if not member.is_folder and path in self.files:
            unsafe(self.archive, member.name, "is there twice")
        if not member.is_folder:
            self.files.add(path)


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())
