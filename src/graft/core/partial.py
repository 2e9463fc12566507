"""A file that grows over several tries, beside a note on what it is a part of: what a download leaves when it is cut.

No reader takes it for whole: it has a name of its own until `finish` gives it the final one.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from graft.core.errors import IntegrityProblem
from graft.core.files import disk_problem, remove_file, write_atomic
from graft.core.hashing import CHUNK_BYTES, canonical_json
from graft.core.records import strict_json

WRITER = "partial"
MAX_NOTE_BYTES = 1 << 16


@dataclass(frozen=True)
class Partial:
    """The first bytes of `path`, in `path.part`, and the note `path.part.json`. One process at a time, by a lock."""

    path: Path

    @property
    def content(self) -> Path:
        """The bytes so far."""
        return self.path.with_name(f"{self.path.name}.part")

    @property
    def _note(self) -> Path:
        return self.path.with_name(f"{self.path.name}.part.json")

    def size_bytes(self) -> int:
        """How many bytes are here."""
        try:
            return self.content.stat().st_size
        except FileNotFoundError:
            return 0

    def note(self) -> dict[str, str]:
        """What was noted when the part was begun; empty where there is nothing of use."""
        try:
            value = strict_json(self._note.read_bytes()[:MAX_NOTE_BYTES], source=self._note.name)
        except (OSError, IntegrityProblem):
            return {}
        sound = isinstance(value, dict) and all(isinstance(text, str) for text in value.values())
        return value if sound else {}

    def begin(self, note: Mapping[str, str]) -> None:
        """Forget what was here, and note what the next bytes will be."""
        self.drop()
        write_atomic(self._note, canonical_json(dict(note)), writer=WRITER)

    def append(self, pieces: Iterator[bytes]) -> None:
        """Add bytes at the end, as they come; what came stays when `pieces` raises, or the disk refuses the next."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        with self._told():
            descriptor = os.open(self.content, flags, 0o666)
        try:
            for piece in pieces:
                view = memoryview(piece)
                with self._told():
                    while view:
                        view = view[os.write(descriptor, view) :]
            with self._told():
                os.fsync(descriptor)
        finally:
            with self._told():
                os.close(descriptor)

    def digest(self, algorithm: str) -> str:
        """The hash of the bytes so far, in hexadecimal digits; `md5` recognises a published file, it guards nothing."""
        found = hashlib.new(algorithm, usedforsecurity=algorithm != "md5")
        with self.content.open("rb") as file:
            while piece := file.read(CHUNK_BYTES):
                found.update(piece)
        return found.hexdigest()

    def first(self, count: int) -> bytes:
        """The first bytes."""
        with self.content.open("rb") as file:
            return file.read(count)

    def finish(self) -> Path:
        """Give the bytes their final name."""
        with self._told():
            self.content.replace(self.path)
        remove_file(self._note)
        return self.path

    def drop(self) -> None:
        """Remove it all."""
        remove_file(self.content)
        remove_file(self._note)

    @contextlib.contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise disk_problem(error, self.path, 0) from error
