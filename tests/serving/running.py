"""A service in a process of its own, and ways to speak to it: with a client library, and byte by byte."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from tests.architecture.sources import ROOT

START_SECONDS = 60
BOUNDARY = b"graft-boundary"
ODD, REAL = "tests.serving.odd_worker", "graft.serving.worker"


@dataclass(frozen=True)
class Running:
    """A service that answers; `log` is what it wrote to standard error so far."""

    process: "subprocess.Popen[bytes]"
    port: int
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def worker(self) -> psutil.Process:
        return psutil.Process(self.process.pid).children()[0]

    def front(self) -> psutil.Process:
        return psutil.Process(self.process.pid)

    def connect(self, timeout: float = 20) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def raw(self, *pieces: bytes, shut: bool = False, timeout: float = 20) -> "Reply":
        """Send bytes, and read what comes until the other side closes or one answer is whole."""
        with self.connect(timeout) as client:
            for piece in pieces:
                try:
                    client.sendall(piece)
                except OSError:
                    break  # refused before it was all sent: the answer says why
            if shut:
                client.shutdown(socket.SHUT_WR)
            return read_reply(client)

    def stop(self) -> int:
        """Ask it to end; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(40)

    def metric(self, name: str) -> float:
        """A figure without labels, or the sum over its labels."""
        text = self.raw(request("GET", "/metrics")).body.decode()
        found = [line.rsplit(" ", 1) for line in text.splitlines() if line.split("{")[0].split(" ")[0] == name]
        return sum(float(value) for _, value in found)


@dataclass(frozen=True)
class Reply:
    """One answer; the status is 0 where the other side closed without one."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def read_reply(client: socket.socket) -> Reply:
    began, data = time.monotonic(), b""
    try:
        while b"\r\n\r\n" not in data:
            if not (more := client.recv(65536)):
                return Reply(0, {}, data, time.monotonic() - began)
            data += more
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)) and (more := client.recv(65536)):
            body += more
    except ConnectionError:
        return Reply(0, {}, data, time.monotonic() - began)
    return Reply(int(first.split()[1]), headers, body, time.monotonic() - began)


def request(method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
    """A request's bytes, head and body; `content_type` becomes Content-Type."""
    lines = {"host": "test", **{name.replace("_", "-"): value for name, value in headers.items()}}
    if body is not None and "content-length" not in lines and "transfer-encoding" not in lines:
        lines["content-length"] = str(len(body))
    text = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"{method} {path} HTTP/1.1\r\n{text}\r\n".encode("latin-1") + (body or b"")


def form(*files: bytes, name: str = "image", filename: str | None = "photo.png", boundary: bytes = BOUNDARY) -> bytes:
    """A form's body."""
    shown = "" if filename is None else f'; filename="{filename}"'
    head = f'Content-Disposition: form-data; name="{name}"{shown}\r\n\r\n'.encode()
    parts = b"".join(b"--" + boundary + b"\r\n" + head + file + b"\r\n" for file in files)
    return parts + b"--" + boundary + b"--\r\n"


def post_form(*files: bytes, path: str = "/predict", **named: Any) -> bytes:
    return request(
        "POST", path, form(*files, **named), content_type=f"multipart/form-data; boundary={BOUNDARY.decode()}"
    )


def post_image(data: bytes, path: str = "/predict") -> bytes:
    return request("POST", path, data, content_type="application/octet-stream")


def post_json(value: Any, path: str = "/v2/models/classifier/infer") -> bytes:
    body = value if isinstance(value, bytes) else json.dumps(value).encode()
    return request("POST", path, body, content_type="application/json")


@contextmanager
def running(
    bundle: Path, folder: Path, *, worker: str = ODD, limits: Mapping[str, Any] | None = None, **settings: Any
) -> Iterator[Running]:
    """A service on a free port, ready; ended with the context, and its worker with it."""
    told = {
        "bundle": str(bundle),
        "port": 0,
        "threads": 1,
        "limits": {"notice_seconds": 0.0, **(limits or {})},
        **settings,
    }
    command = [sys.executable, "-m", "tests.serving.launch", json.dumps(told), worker]
    with start(command, folder) as process:
        yield process


@contextmanager
def start(command: Sequence[str], folder: Path) -> Iterator[Running]:
    """Start a command that names its address as JSON in the first line of its output."""
    log = folder / f"log-{time.monotonic_ns()}"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ["PYTHONPATH"]]),
    }
    with log.open("wb") as file:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=file, env=environment, cwd=folder)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, log.read_text()
        yield Running(process, int(json.loads(line)["address"].rstrip("/").rpartition(":")[2]), log)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait(10)
        process.stdout.close()


def eventually(true: Any, seconds: float = 10.0) -> bool:
    """Whether `true()` comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.01)
    return False
