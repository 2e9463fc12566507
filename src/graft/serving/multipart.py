"""Forms with files: a stream of chunks in, the files of one field out. Stricter than the standard asks for.

No text before the first boundary, none after the last one, and no boundary of a single character: no browser or
library sends such, and attacks on parsers are made of them.
"""

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from graft.serving.errors import Refusal

LEAST_BOUNDARY, MOST_BOUNDARY = 2, 70  # characters; 70 is the standard's
MOST_OTHER_BYTES = 64 << 10  # of a field that is not looked at
MOST_HEADERS, MOST_HEADER_BYTES = 8, 4096
NEW_LINE = b"\r\n"


class Multipart:
    """One form that is being read. Every method raises `Refusal`."""

    def __init__(
        self, content_type: str, *, field_name: str, most_bytes: int, most_files: int, most_parts: int
    ) -> None:
        boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
        if not LEAST_BOUNDARY <= len(boundary) <= MOST_BOUNDARY:
            raise Refusal(
                f"A form's boundary must have {LEAST_BOUNDARY} to {MOST_BOUNDARY} characters, got {len(boundary)}."
            )
        self._field_name = field_name.encode()
        self._most_bytes, self._most_files, self._most_parts = most_bytes, most_files, most_parts
        self._delimiter = b"--" + boundary
        self._start = b""
        self._end = b""
        self._ended = False
        self._n_parts = 0
        self._files: list[bytearray] = []
        self._header = bytearray()
        self._disposition = b""
        self._file: bytearray | None = None  # of the part that is being read; None: a field that is not looked at
        self._other_bytes = 0
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin_part,
                "on_header_begin": self._header.clear,
                "on_header_field": self._add_header,
                "on_header_value": self._add_value,
                "on_header_end": self._end_header,
                "on_headers_finished": self._end_headers,
                "on_part_data": self._add_data,
                "on_end": self._finish,
            },
            max_header_count=MOST_HEADERS,
            max_header_size=MOST_HEADER_BYTES,
        )

    def feed(self, chunk: bytes) -> None:
        """Read the next bytes."""
        if len(self._start) < len(self._delimiter):
            self._start += chunk[: len(self._delimiter) - len(self._start)]
            if not self._delimiter.startswith(self._start):
                raise _malformed()
        if self._ended and len(chunk) > len(NEW_LINE):
            raise _malformed()
        self._end = (self._end + chunk[-len(self._delimiter) - 8 :])[-len(self._delimiter) - 8 :]
        try:
            self._parser.write(chunk)
        except FormParserError:
            raise _malformed() from None

    def files(self) -> list[bytes]:
        """The files, in order, once all was fed; at least one."""
        last = self._delimiter + b"--"
        if not self._ended or not self._end.endswith((last, last + NEW_LINE)):
            raise _malformed()
        if not self._files:
            raise Refusal(f"A form must have a file in a field named {self._field_name.decode()!r}, got none.")
        return [bytes(file) for file in self._files]

    def _begin_part(self) -> None:
        self._n_parts += 1
        if self._n_parts > self._most_parts:
            raise _too_many("parts", self._most_parts)
        self._disposition = b""
        self._header.clear()

    def _add_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _add_value(self, data: bytes, start: int, end: int) -> None:
        if b":" not in self._header:
            self._header += b":"
        self._header += data[start:end]

    def _end_header(self) -> None:
        name, _, value = bytes(self._header).partition(b":")
        if name.strip().lower() == b"content-disposition":
            self._disposition = value
        self._header.clear()

    def _end_headers(self) -> None:
        self._file, self._other_bytes = None, 0
        if parse_options_header(self._disposition)[1].get(b"name") != self._field_name:
            return
        if len(self._files) == self._most_files:
            raise _too_many("images", self._most_files)
        self._file = bytearray()
        self._files.append(self._file)

    def _add_data(self, data: bytes, start: int, end: int) -> None:
        if self._file is not None:
            room = self._most_bytes + 1 - len(self._file)  # one more than allowed: it will be seen to be too large
            self._file += data[start : min(end, start + room)]
            return
        self._other_bytes += end - start
        if self._other_bytes > MOST_OTHER_BYTES:
            raise Refusal(
                f"Images must be sent in the field {self._field_name.decode()!r}, got more than {MOST_OTHER_BYTES} "
                "bytes in another one.",
                status=413,
                code="too_many_bytes",
            )

    def _finish(self) -> None:
        self._ended = True


def _malformed() -> Refusal:
    return Refusal("The body must be a form as its boundary promises, got something else.")


def _too_many(what: str, most: int) -> Refusal:
    return Refusal(f"A request must hold at most {most} {what}, got more.", status=413, code="too_many_images")
