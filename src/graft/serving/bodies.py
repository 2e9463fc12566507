"""Reading a request's body under limits: nothing is kept beyond them, nothing goes to disk."""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import Request

from graft.serving.errors import ClientLeft, Refusal, too_large
from graft.serving.metrics import Metrics
from graft.serving.multipart import Multipart

FORM = "multipart/form-data"
OCTETS = "application/octet-stream"
JSON = "application/json"


class Memory:
    """Bytes that all requests hold together."""

    def __init__(self, most_bytes: int, metrics: Metrics) -> None:
        self._most = most_bytes
        self._held = 0
        self._metrics = metrics

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """A function to be called with each number of bytes before they are kept; given back with the context.

        It raises `Refusal` (503) where all requests together would hold too much.
        """
        mine = 0

        def take(count: int) -> None:
            nonlocal mine
            if self._held + count > self._most:
                raise Refusal(
                    f"All requests together may hold {self._most} bytes, and hold them.",
                    hint="Try again soon.",
                    status=503,
                    code="queue_full",
                )
            mine += count
            self._add(count)

        try:
            yield take
        finally:
            self._add(-mine)

    def _add(self, count: int) -> None:
        self._held += count
        self._metrics.body_bytes.set(self._held)


@dataclass(frozen=True)
class Body:
    """One request's body: `most_bytes` are read, each counted by `take` first."""

    request: Request
    most_bytes: int
    take: Callable[[int], None] = field(repr=False)

    @property
    def content_type(self) -> str:
        """The type without its parameters, in small letters."""
        return self.request.headers.get("content-type", "").partition(";")[0].strip().lower()

    def check_head(self) -> None:
        """Refuse what the head alone shows: no body, one that is too large, one that is compressed."""
        headers = self.request.headers
        if headers.get("content-encoding", "identity").strip().lower() != "identity":
            raise Refusal("A body must be sent as it is, got a compressed one.", status=415, code="type_not_allowed")
        length = headers.get("content-length")
        if length == "0" or (length is None and "transfer-encoding" not in headers):
            raise Refusal("The request must have a body, got none.", hint="Send an image.")
        if length is not None and int(length) > self.most_bytes:
            raise too_large("A request's body", self.most_bytes)

    async def whole(self, most_bytes: int) -> bytes:
        """All of it; raises `Refusal` (413) above `most_bytes`."""
        kept = bytearray()
        async for chunk in self._chunks():
            if len(kept) + len(chunk) > most_bytes:
                raise too_large("A request's body", most_bytes)
            kept += chunk
        return bytes(kept)

    async def json(self, most_bytes: int) -> Any:
        """Its JSON; NaN and infinity are refused, as JSON has none."""
        data = await self.whole(most_bytes)
        try:
            return json.loads(data, parse_constant=_no_constant)
        except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError; RecursionError: nested too deeply
            raise Refusal("The body must be JSON, got something else.") from None

    async def images(self, field_name: str, *, most_bytes: int, most_images: int, most_parts: int) -> list[bytes]:
        """The files of a form's field; of one above `most_bytes` as many bytes and one more are kept."""
        form = Multipart(
            self.request.headers.get("content-type", ""),
            field_name=field_name,
            most_bytes=most_bytes,
            most_files=most_images,
            most_parts=most_parts,
        )
        async for chunk in self._chunks():
            form.feed(chunk)
        return form.files()

    async def _chunks(self) -> AsyncIterator[bytes]:
        count, more = 0, True
        while more:
            message = await self.request.receive()
            if message["type"] == "http.disconnect":
                raise ClientLeft
            chunk, more = message["body"], message["more_body"]
            count += len(chunk)
            if count > self.most_bytes:
                raise too_large("A request's body", self.most_bytes)
            self.take(len(chunk))
            yield chunk


def _no_constant(name: str) -> None:
    raise ValueError(name)
