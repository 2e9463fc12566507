"""HTTP/1.1 with limits that uvicorn alone does not have: on headers, chunks, slow clients, connections."""

import asyncio
import socket
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from graft.serving.errors import Refusal
from graft.serving.records import Limits

FREE_CHUNKS = 4096  # a body may come in so many chunks, however short …
LEAST_CHUNK_BYTES = 1024  # … and in more only where they have so many bytes on average
MOST_CHUNK_BYTES = 2**63 - 1
LEAST_PROGRESS_BYTES = 16 << 10  # what a body or the reading of an answer must do in `slow_seconds`
LOOKS = 8  # at each connection in `slow_seconds`
MORE_CONNECTIONS = 64  # beyond the cap that are told so; further ones are dropped


class StrictConnection(h11.Connection):
    """h11's rules, and ours; `refusal` says what the last error is answered with."""

    def __init__(self, limits: Limits) -> None:
        super().__init__(h11.SERVER, limits.header_bytes)
        self.refusal = Refusal("The request must be HTTP/1.1, got something else.")
        self._header_bytes = limits.header_bytes
        self._n_chunks = self._n_bytes = 0

    def next_event(self) -> Any:
        """As h11's; raises `h11.RemoteProtocolError` for what our rules forbid too."""
        try:
            event = super().next_event()
        except h11.RemoteProtocolError as error:
            if error.error_status_hint == 431:
                self.refusal = _long_header(self._header_bytes)
            raise
        if isinstance(event, h11.Request):
            self._check_head(event)
            self._n_chunks = self._n_bytes = 0
        elif isinstance(event, h11.Data):
            self._check_chunks(event)
        elif event is h11.NEED_DATA:
            self._check_announced()
        return event

    def _check_head(self, event: h11.Request) -> None:
        size = len(event.target) + sum(len(name) + len(value) + 4 for name, value in event.headers)
        if size > self._header_bytes:
            self._refuse(_long_header(self._header_bytes))
        names = [name for name, _ in event.headers]
        if b"content-length" in names and b"transfer-encoding" in names:
            self._refuse(Refusal("A request must have either Content-Length or Transfer-Encoding, got both."))

    def _check_chunks(self, event: h11.Data) -> None:
        self._n_chunks += event.chunk_start
        self._n_bytes += len(event.data)
        if self._n_chunks > FREE_CHUNKS + self._n_bytes // LEAST_CHUNK_BYTES:
            self._refuse(Refusal("A body must come in larger chunks."))

    def _check_announced(self) -> None:
        """Refuse a chunk announced with a size that other programs cannot hold; only h11's reader of chunks knows."""
        if getattr(self._reader, "_bytes_in_chunk", 0) > MOST_CHUNK_BYTES:
            self._refuse(Refusal(f"A chunk must have at most {MOST_CHUNK_BYTES} bytes."))

    def _refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal
        raise h11.RemoteProtocolError(str(refusal), error_status_hint=refusal.status)


class Protocol(H11Protocol):
    """One connection, looked at several times in `limits.slow_seconds` for whether its client still moves."""

    def __init__(self, *arguments: Any, limits: Limits, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.limits = limits
        self.conn: StrictConnection = StrictConnection(limits)
        self._n_received = 0
        self._watch = Watch(limits.slow_seconds)
        self._looking: asyncio.TimerHandle | None = None
        self._crowded = False
        self._n_dropped = 0
        self._refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to look at the client; one above the cap will be refused with its first bytes."""
        super().connection_made(transport)
        # asyncio does so only for sockets made in one of several ways; without it, answers wait 40 ms for the client.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        excess = len(self.connections) - self.limits.connections
        if excess > MORE_CONNECTIONS:
            transport.abort()
        self._crowded = excess > 0
        self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """End looking."""
        if self._looking is not None:
            self._looking.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Count, drop what comes after a refusal, and refuse where there are too many connections."""
        self._n_received += len(data)
        if self.transport.is_closing():
            return
        if self._is_dropping():
            self._n_dropped += len(data)
            if self._n_dropped > self.limits.body_bytes:
                self.transport.abort()
        if self._refused:
            return
        if self._crowded:
            self.refuse(
                Refusal("There are too many connections.", hint="Try again soon.", status=503, code="queue_full")
            )
            return
        super().data_received(data)

    def eof_received(self) -> None:
        """A body that ends too early is answered, for the client may still read."""
        if self.conn.their_state is h11.SEND_BODY and not self._is_dropping():
            self.data_received(b"")

    def send_400_response(self, msg: str) -> None:
        """Answer what is no request (uvicorn calls this from its error handler)."""
        self.refuse(self.conn.refusal)

    def refuse(self, why: Refusal) -> None:
        """Answer with `why`, unless an answer has begun, and end the connection.

        What still comes is read and dropped for a while: closing at once would take the answer from the client too.
        """
        self._refused = True
        cycle = self._last_cycle()
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # whoever works on an answer stops
            cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            body = why.body()
            headers = {**why.headers(), "content-type": "application/json", "content-length": str(len(body))}
            answer = h11.Response(
                status_code=why.status, headers=[*headers.items(), ("connection", "close")], reason=b"Refused"
            )
            for event in (answer, h11.Data(data=body), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event) or b"")
            self.flow.resume_reading()
            try:
                self.transport.write_eof()
            except OSError:  # the client has left
                self.transport.abort()
        else:
            self.transport.close()

    def _is_dropping(self) -> bool:
        """Whether a request is answered whose body still comes."""
        cycle = self._last_cycle()
        answered = cycle is not None and cycle.response_complete
        return self._refused or (answered and self.conn.their_state is h11.SEND_BODY)

    def _look(self) -> None:
        self._looking = self.loop.call_later(self.limits.slow_seconds / LOOKS, self._look)
        state, progress = self._state()
        if not self._watch.is_stuck(self.loop.time(), state, progress):
            return
        if state in ("head", "body"):  # the other states: it was answered
            self.refuse(Refusal("A request must come faster.", hint="Send it again.", status=408, code="too_slow"))
        else:
            self.transport.abort()

    def _last_cycle(self) -> RequestResponseCycle | None:
        return self.cycle  # uvicorn declares it without the None that it begins with

    def _state(self) -> tuple[str, int]:
        """What we wait for the client to do, "" for nothing, and a number that grows while it does."""
        unsent = self.transport.get_write_buffer_size()
        if unsent or self.transport.is_closing():
            return "reading", -unsent
        if self._is_dropping():
            return "dropping", 0
        if self.conn.their_state is h11.SEND_BODY and not self.flow.read_paused:
            return "body", self._n_received
        if self.conn.their_state is h11.IDLE and (self._last_cycle() is None or self.conn.trailing_data[0]):
            return "head", 0
        return "", 0


class Watch:
    """Tells a client that stands still from one that moves."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._state = ""
        self._since = 0.0
        self._progress = 0

    def is_stuck(self, now: float, state: str, progress: int) -> bool:
        """Whether `state` has lasted too long without enough progress; "" never has."""
        if state != self._state or progress >= self._progress + LEAST_PROGRESS_BYTES:
            self._state, self._since, self._progress = state, now, progress
        return bool(state) and now - self._since >= self._seconds


def _long_header(most_bytes: int) -> Refusal:
    return Refusal(f"A header must have at most {most_bytes} bytes.", status=431, code="header_too_large")
