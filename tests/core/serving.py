"""A publisher on this machine: a server with one file and every vice a real one may have."""

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Publisher:
    """What the server does. `cuts`: after how many bytes each of the next answers ends, too early."""

    content: bytes
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    validator: bool = True
    status: int = 200
    kind: str = "application/octet-stream"
    location: str = ""
    says_length: bool = True
    base: str = ""
    asked: list[str] = field(default_factory=list)  # the Range of each request
    credentials: list[str] = field(default_factory=list)  # for a proxy, as each request had them

    @property
    def url(self) -> str:
        return f"{self.base}/weights.h5"

    @property
    def md5(self) -> str:
        return hashlib.md5(self.content).hexdigest()

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


@contextmanager
def publishing(publisher: Publisher) -> Iterator[Publisher]:
    """Serve until the context ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self, publisher)

        def do_CONNECT(self) -> None:
            """A proxy's tunnel, to itself: the next request on this connection is the one for the other end."""
            publisher.asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            self.close_connection = False

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that refuses what comes leaves early."""

    with Server(("127.0.0.1", 0), Handler) as server:
        publisher.base = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield publisher
        finally:
            server.shutdown()
            thread.join()


def answer(request: BaseHTTPRequestHandler, publisher: Publisher) -> None:
    wanted = request.headers.get("Range", "")
    publisher.asked.append(wanted)
    publisher.credentials.append(request.headers.get("Proxy-Authorization", ""))
    tag = f'"{publisher.md5}"'
    start = 0
    if wanted and publisher.ranges and request.headers.get("If-Range") == tag:
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
    if start >= len(publisher.content) > 0:
        request.send_error(416)
        return
    body = publisher.content[start:]
    led = publisher.location != f"{publisher.base}{request.path}"  # a redirect to this very place is the file
    request.send_response(206 if start else publisher.status if led else 200)
    request.send_header("Content-Type", publisher.kind)
    if publisher.says_length:
        request.send_header("Content-Length", str(len(body)))
    if publisher.validator:
        request.send_header("ETag", tag)
    if start:
        request.send_header("Content-Range", f"bytes {start}-{len(publisher.content) - 1}/{len(publisher.content)}")
    if publisher.location:
        request.send_header("Location", publisher.location)
    request.end_headers()
    request.wfile.write(body[: publisher.cuts.pop(0)] if publisher.cuts else body)
