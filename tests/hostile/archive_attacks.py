"""Archives that must be refused as a whole, each built by hand from the bytes up: what packing programs refuse to make.

`attacks()` gives (id, bytes, what the refusal must name). Zips are built by `Zip`, whose every field can lie; tars by
`tarfile`, which packs anything it is told to.
"""

import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

GOOD = b"\xff\xd8\xff" + b"photo" * 20
Attack = tuple[str, Callable[[], bytes], str]


@dataclass
class Line:
    """One member of a hand-made zip. Fields named `local_` and `central_` lie in one header only."""

    name: bytes
    data: bytes = GOOD
    method: int = 0
    flags: int = 0
    mode: int = 0o100644
    size: int | None = None
    packed: int | None = None
    crc: int | None = None
    offset: int | None = None
    extra: bytes = b""
    local_name: bytes | None = None
    local_size: int | None = None
    local_method: int | None = None


@dataclass
class Zip:
    """A zip whose headers say what they are told to."""

    lines: list[Line] = field(default_factory=list)
    count: int | None = None
    wide_end: tuple[int, int, int] | None = None  # count, size and offset in a 64-bit end record

    def build(self) -> bytes:
        out, central = io.BytesIO(), io.BytesIO()
        for line in self.lines:
            content = line.data
            if line.method == 8:
                engine = zlib.compressobj(9, zlib.DEFLATED, -15)
                content = engine.compress(line.data) + engine.flush()
            size = len(line.data) if line.size is None else line.size
            packed = len(content) if line.packed is None else line.packed
            crc = zlib.crc32(line.data) if line.crc is None else line.crc
            offset = out.tell() if line.offset is None else line.offset
            name = line.name if line.local_name is None else line.local_name
            local_size = size if line.local_size is None else line.local_size
            method = line.method if line.local_method is None else line.local_method
            fields = (20, line.flags, method, 0, 33, crc, packed, local_size, len(name), 0)
            if line.offset is None:
                out.write(struct.pack("<4s5H3L2H", b"PK\3\4", *fields) + name + content)
            fields = (0x031E, 20, line.flags, line.method, 0, 33, crc, packed, size)
            lengths = (len(line.name), len(line.extra), 0, 0, 0, line.mode << 16, offset)
            central.write(struct.pack("<4s6H3L5H2L", b"PK\1\2", *fields, *lengths) + line.name + line.extra)
        start, directory = out.tell(), central.getvalue()
        out.write(directory)
        if self.wide_end:
            place = out.tell()
            out.write(struct.pack("<4sQ2H2L2Q2Q", b"PK\6\6", 44, 45, 45, 0, 0, self.wide_end[0], *self.wide_end))
            out.write(struct.pack("<4sLQL", b"PK\6\7", 0, place, 1))
        count = len(self.lines) if self.count is None else self.count
        out.write(struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, count & 0xFFFF, count & 0xFFFF, len(directory), start, 0))
        return out.getvalue()


def zip_of(*lines: Line) -> bytes:
    """A zip with two good photos and then `lines`."""
    return Zip([Line(b"cats/1.jpg"), Line(b"dogs/1.jpg"), *lines]).build()


def tar_of(*infos: tarfile.TarInfo | tuple[str, bytes], mode: str = "w", tail: int = tarfile.RECORDSIZE) -> bytes:
    """A tar with two good photos and then members: headers without content, or names with content."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        for item in (("cats/1.jpg", GOOD), ("dogs/1.jpg", GOOD), *infos):
            if isinstance(item, tarfile.TarInfo):
                tar.addfile(item, io.BytesIO(GOOD) if item.isreg() else None)
            else:
                info = tarfile.TarInfo(item[0])
                info.size = len(item[1])
                tar.addfile(info, io.BytesIO(item[1]))
    return out.getvalue()


def tar_member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, mode
    info.size = len(GOOD) if kind == tarfile.REGTYPE else 0
    return info


NAMES = (
    ("parent", "../evil.jpg"),
    ("parent of parents", "../../../../../../tmp/evil.jpg"),
    ("absolute", "/evil.jpg"),
    ("drive", "C:\\evil.jpg"),
    ("drive without backslash", "c:evil.jpg"),
    ("backslash", "cats\\..\\..\\evil.jpg"),
    ("parent after a valid prefix", "cats/../../evil.jpg"),
    ("destination prefix", "../archive-evil/evil.jpg"),
    ("name of 256 bytes", "n" * 252 + ".jpg"),
    ("path without end", "a/" * 450 + "evil.jpg"),
    ("only dots", ".."),
    ("twice", "cats/1.jpg"),
    ("twice, spelled otherwise", "./cats//1.jpg"),
    ("case twin", "cats/1.JPG"),
    ("case twin of a folder", "Cats/2.jpg"),
    ("file and folder at once", "cats"),
    ("file where a folder must be", "cats/1.jpg/evil.jpg"),
)


def _zip_bombs() -> Iterator[Attack]:
    yield "zip: ratio", lambda: zip_of(Line(b"cats/big.bmp", b"\0" * (4 << 20), 8)), "cats/big.bmp"
    many = [Line(f"cats/{n}.bmp".encode(), b"\0" * (1 << 20), 8) for n in range(2, 12)]
    yield "zip: ratio of all together", lambda: Zip(many).build(), "cats/"
    small = Line(b"cats/lie.jpg", b"\0" * (1 << 16), 8, size=100)
    yield "zip: unpacks to more than it says", lambda: zip_of(small), "cats/lie.jpg"
    late = Line(b"cats/lie.jpg", bytes(range(256)) * 8192, 8, size=2_000_000)
    yield "zip: unpacks to a little more than it says", lambda: zip_of(late), "cats/lie.jpg"

    def too_many() -> bytes:
        return Zip([Line(b"c/%d.jpg" % n, b"") for n in range(100_001)]).build()

    yield "zip: 100,001 entries", too_many, "c/100000.jpg"
    shared = Line(b"cats/2.jpg", offset=0, local_name=b"cats/1.jpg")
    yield "zip: overlapping entries", lambda: zip_of(shared), "cats/2.jpg"

    def quoted() -> bytes:
        """David Fifield's better bomb: the first member's content is the second member, header and all."""
        inner = struct.pack("<4s5H3L2H", b"PK\3\4", 20, 0, 0, 0, 33, zlib.crc32(GOOD), len(GOOD), len(GOOD), 5, 0)
        outer = Line(b"a.jpg", inner + b"b.jpg" + GOOD)
        return Zip([outer, Line(b"b.jpg", GOOD, offset=30 + len(outer.name))]).build()

    yield "zip: one member inside another", quoted, "b.jpg"
    yield "zip: 42.zip", lambda: zip_of(Line(b"lib 0.zip", zip_of())), "lib 0.zip"
    yield "zip: nested zip under a photo's name", lambda: zip_of(Line(b"cats/2.jpg", zip_of(), 8)), "cats/2.jpg"
    yield "zip: nested tar.gz", lambda: zip_of(Line(b"more.tgz", tar_of(mode="w:gz"))), "more.tgz"


def _zip_lies() -> Iterator[Attack]:
    renamed = Line(b"cats/2.jpg", local_name=b"../../2.jp")
    yield "zip: headers disagree on the name", lambda: zip_of(renamed), "cats/2.jpg"
    yield "zip: headers disagree on the size", lambda: zip_of(Line(b"cats/2.jpg", local_size=7)), "cats/2.jpg"
    yield "zip: headers disagree on the method", lambda: zip_of(Line(b"cats/2.jpg", local_method=8)), "cats/2.jpg"
    yield "zip: encrypted", lambda: zip_of(Line(b"cats/2.jpg", flags=1)), "cats/2.jpg"
    yield "zip: strongly encrypted", lambda: zip_of(Line(b"cats/2.jpg", flags=1 << 6 | 1)), "cats/2.jpg"
    full = 0xFFFFFFFF
    yield "zip: 64-bit size that is not there", lambda: zip_of(Line(b"cats/2.jpg", size=full)), "cats/2.jpg"
    wide = struct.pack("<2H2Q", 1, 16, 1 << 40, 1 << 40)
    lie = Line(b"cats/2.jpg", size=full, packed=full, extra=wide)
    yield "zip: 64-bit size beyond the archive", lambda: zip_of(lie), "cats/2.jpg"
    other = Line(b"cats/2.jpg", extra=struct.pack("<2H2Q", 1, 16, 1 << 40, 9))
    yield "zip: two sizes in one header", lambda: zip_of(other), "cats/2.jpg"
    ends = Zip([Line(b"cats/1.jpg"), Line(b"dogs/1.jpg")], wide_end=(7, 99, 3))
    yield "zip: two ends disagree", ends.build, "list of members"
    stored = Line(b"cats/2.jpg", size=1 << 30)
    yield "zip: stored content that grows", lambda: zip_of(stored), "cats/2.jpg"
    yield "zip: begins beyond the archive", lambda: zip_of(Line(b"cats/2.jpg", offset=1 << 30)), "cats/2.jpg"


def _zip_kinds() -> Iterator[Attack]:
    for name, mode in (("link", 0o120777), ("device", 0o020666), ("disk", 0o060666), ("pipe", 0o010644)):
        line = Line(b"cats/odd", b"/etc/passwd", mode=mode)
        yield f"zip: {name}", lambda line=line: zip_of(line), "cats/odd"
    through = (Line(b"cats/odd", b"/tmp", mode=0o120777), Line(b"cats/odd/evil.jpg"))
    yield "zip: file through a link", lambda: zip_of(*through), "cats/odd"
    yield "zip: setuid", lambda: zip_of(Line(b"cats/2.jpg", mode=0o104755)), "cats/2.jpg"
    yield "zip: NUL in a name", lambda: zip_of(Line(b"cats/2.jpg\0.exe")), "cats/2.jpg"
    yield "zip: folder with content", lambda: zip_of(Line(b"cats/odd/", b"x")), "cats/odd/"


def _tar_kinds() -> Iterator[Attack]:
    kinds = (
        ("link out", tarfile.SYMTYPE, "/etc/passwd"),
        ("link inside", tarfile.SYMTYPE, "1.jpg"),
        ("hard link", tarfile.LNKTYPE, "cats/1.jpg"),
        ("hard link out", tarfile.LNKTYPE, "../../etc/passwd"),
        ("device", tarfile.CHRTYPE, ""),
        ("disk", tarfile.BLKTYPE, ""),
        ("pipe", tarfile.FIFOTYPE, ""),
        ("unknown kind", b"Z", ""),
    )
    for name, kind, target in kinds:
        info = tar_member("cats/odd", kind, target)
        yield f"tar: {name}", lambda info=info: tar_of(info), "cats/odd"
    through = (tar_member("cats/odd", tarfile.SYMTYPE, "/tmp"), tar_member("cats/odd/evil.jpg"))
    yield "tar: file through a link", lambda: tar_of(*through), "cats/odd"
    yield "tar: setuid", lambda: tar_of(tar_member("cats/2.jpg", mode=0o4755)), "cats/2.jpg"
    nul = tar_member("cats/2.jpg")
    nul.pax_headers = {"path": "cats/2.jpg\0.exe"}
    yield "tar: NUL in a name", lambda: tar_of(nul), "cats/2.jpg"
    sparse = tar_member("cats/2.jpg")
    sparse.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": str(1 << 50)}
    yield "tar: sparse", lambda: tar_of(sparse), "cats/2.jpg"


def _tar_bombs() -> Iterator[Attack]:
    zeros = ("cats/big.bmp", b"\0" * (4 << 20))
    for suffix in ("gz", "bz2", "xz"):
        yield f"tar.{suffix}: ratio", lambda suffix=suffix: tar_of(zeros, mode=f"w:{suffix}"), "cats/big.bmp"
    yield "tar: nested zip", lambda: tar_of(("photos.zip", zip_of())), "photos.zip"
    yield "tar: nested tar", lambda: tar_of(("photos.tar", tar_of())), "photos.tar"

    def too_many() -> bytes:
        folder = tarfile.TarInfo("many")
        folder.type = tarfile.DIRTYPE
        return folder.tobuf() * 100_001 + bytes(1024)

    yield "tar: 100,001 entries", too_many, "many"
    huge = tarfile.TarInfo("././@LongLink")
    huge.type, huge.size = tarfile.GNUTYPE_LONGNAME, 1 << 40
    yield "tar: long name without end", lambda: huge.tobuf(tarfile.GNU_FORMAT), "@LongLink"
    whole = tarfile.TarInfo("cats/2.jpg")
    whole.size = 1 << 40
    yield "tar.gz: says to be larger than all", lambda: _gzipped(whole.tobuf(tarfile.GNU_FORMAT)), "cats/2.jpg"


def _gzipped(data: bytes) -> bytes:
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    return engine.compress(data) + engine.flush()


def attacks() -> Iterator[Attack]:
    """Every attack; the bytes are made when asked for."""
    twins = (("Unicode twin", "cats/K\u00e4fer.jpg", "cats/Ka\u0308fer.jpg"),)
    for name, member in NAMES:
        yield f"zip: {name}", lambda member=member: zip_of(Line(member.encode())), member[:60]
        yield f"tar: {name}", lambda member=member: tar_of((member, GOOD)), member[:60]
    for name, one, other in twins:
        lines = (Line(one.encode()), Line(other.encode()))
        yield f"zip: {name}", lambda lines=lines: zip_of(*lines), other
        yield f"tar: {name}", lambda one=one, other=other: tar_of((one, GOOD), (other, GOOD)), other
    for family in (_zip_bombs, _zip_lies, _zip_kinds, _tar_kinds, _tar_bombs):
        yield from family()


def good_archives() -> Iterator[tuple[str, bytes]]:
    """The same two photos in each kind that is read, and what usual programs add to them."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in ("cats/1.jpg", "dogs/1.jpg"):
            packed.writestr(name, GOOD)
    yield "zip", out.getvalue()
    for mode in ("w", "w:gz", "w:bz2", "w:xz"):
        yield mode.replace("w", "tar").replace(":", "."), tar_of(mode=mode)
    junk = [Line(name) for name in (b"__MACOSX/cats/._1.jpg", b".DS_Store", b"cats/Thumbs.db", b"dogs/desktop.ini")]
    yield "zip with what systems add", zip_of(Line(b"cats/", b"", mode=0o040755), *junk)
    yield "zip with 64-bit sizes", _wide_zip()
    yield "zip with data descriptors", _streamed_zip()
    yield "tar that begins with ./", _dotted_tar()


def _wide_zip() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name in ("cats/1.jpg", "dogs/1.jpg"):
            with packed.open(name, "w", force_zip64=True) as member:
                member.write(GOOD)
    return out.getvalue()


def _streamed_zip() -> bytes:
    class Pipe(io.RawIOBase):
        """What can only be written to the end, so that sizes follow the content."""

        def __init__(self) -> None:
            super().__init__()
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object) -> int:
            self.data += bytes(data)  # type: ignore[arg-type]
            return len(data)  # type: ignore[arg-type]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as packed:  # type: ignore[arg-type]
        packed.writestr("cats/1.jpg", GOOD)
        packed.writestr("dogs/1.jpg", GOOD)
    return bytes(pipe.data)


def _dotted_tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in (".", "./cats", "./cats/1.jpg", "./dogs/1.jpg", "./cats/._1.jpg"):
            info = tarfile.TarInfo(name)
            info.type = tarfile.REGTYPE if name.endswith("jpg") else tarfile.DIRTYPE
            info.size = len(GOOD) if info.isreg() else 0
            info.mode = 0o644 if info.isreg() else 0o2775  # folders that pass their group on are usual in laboratories
            tar.addfile(info, io.BytesIO(GOOD) if info.isreg() else None)
    return out.getvalue()
