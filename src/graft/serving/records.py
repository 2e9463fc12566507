"""What a service is told: the classifier, the address, the limits."""

from typing import Annotated

from annotated_types import Ge, Gt, Interval, Len

from graft.core.records import record

Count = Annotated[int, Ge(1)]
Seconds = Annotated[float, Gt(0)]


@record
class Limits:
    """What a client may ask for at most. All sizes in bytes, all times in seconds."""

    body_bytes: Count = 64 << 20
    json_bytes: Count = 16 << 20  # of a body that must be parsed as a whole before anything of it can be refused
    memory_bytes: Count = 256 << 20  # of all requests' bodies together
    images: Annotated[int, Interval(ge=1, le=256)] = 32  # in one request
    parts: Count = 64
    header_bytes: Count = 16 << 10
    queue_images: Count | None = None  # None: eight full batches of all threads, and at least 64
    connections: Count = 512
    request_seconds: Seconds = 30.0
    worker_seconds: Seconds = 20.0  # without an answer while it has images; then the worker counts as hung
    look_seconds: Seconds = 1.0  # between two looks at the classifier's file
    load_seconds: Seconds = 600.0  # a network that was never compiled on this machine takes minutes
    slow_seconds: Seconds = 10.0  # for a header, for each 16 KiB of a body, and for reading the answer
    keep_alive_seconds: Seconds = 5.0
    notice_seconds: Annotated[float, Ge(0)] = 1.0  # from "not ready" to the end of accepting connections
    drain_seconds: Seconds = 30.0


@record
class Settings:
    """One service. `bundle` is the path of the classifier's file, `name` what it is called in the protocol's routes."""

    bundle: str
    name: Annotated[str, Len(1, 64)] = "classifier"
    host: str = "127.0.0.1"
    port: Annotated[int, Interval(ge=0, le=65_535)] = 8000
    threads: Annotated[int, Interval(ge=1, le=4096)] | None = None
    reload: bool = False  # load the classifier again when its file is replaced
    limits: Limits = Limits()
    quiet: bool = False
    debug: bool = False
