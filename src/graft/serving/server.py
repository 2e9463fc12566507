"""`serve`: the front process, from its socket to its end."""

import asyncio
import functools
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn

from graft.core.errors import ResourceProblem
from graft.core.interrupts import Stop, cooperative
from graft.serving.app import make_app
from graft.serving.process import COMMAND
from graft.serving.protocol import Protocol
from graft.serving.records import Settings
from graft.serving.service import Service

BACKLOG = 512
ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # what listens everywhere cannot be opened by that name
TAIL = " (while attempting"  # of what Python says of an address: it repeats it
QUIET_LOGGERS = ("uvicorn", "python_multipart", "asyncio")  # they quote clients and print tracebacks


def serve(settings: Settings, on_ready: Callable[[str], None], command: Sequence[str] = COMMAND) -> None:
    """Serve until SIGINT or SIGTERM, then answer what was asked and return. `on_ready` gets an address to open, once.

    Raises: `ResourceProblem` where the address cannot be had, and what keeps the classifier from being loaded.
    """
    _set_up_logs(settings)
    with _listen(settings.host, settings.port) as listener:
        Server(settings, listener, on_ready, command).serve_all()


class Server(uvicorn.Server):
    """uvicorn's server with another way to end: first it says that it is not ready, then it stops accepting."""

    def __init__(
        self, settings: Settings, listener: socket.socket, on_ready: Callable[[str], None], command: Sequence[str]
    ) -> None:
        self.service = Service(settings, command)
        self._listener = listener
        self._stop = Stop()
        self._tell: Callable[[str], None] | None = on_ready
        super().__init__(_config(self.service, self._ready, self._end))

    def serve_all(self) -> None:
        """Serve until asked to end; raises what kept the classifier from being loaded."""
        self.run(sockets=[self._listener])
        if self.service.problem is not None:
            raise self.service.problem

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The first signal asks to end, the second ends at once."""
        with cooperative() as self._stop:
            yield

    async def on_tick(self, counter: int) -> bool:
        """Whether to end now. Before that, for a moment, who asks learns that this server is not ready any more."""
        if self._stop() and not self.service.draining:
            self.service.draining = True
            asyncio.get_running_loop().call_later(self.service.limits.notice_seconds, self._end)
        return await super().on_tick(counter)

    def _ready(self) -> None:
        if self._tell is not None:
            self._tell(_address(self._listener))
            self._tell = None

    def _end(self) -> None:
        self.should_exit = True


def _config(service: Service, on_ready: Callable[[], None], on_problem: Callable[[], None]) -> uvicorn.Config:
    limits = service.limits
    protocol: Any = functools.partial(Protocol, limits=limits)
    return uvicorn.Config(
        make_app(service, on_ready, on_problem),
        http=protocol,
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=limits.keep_alive_seconds,  # type: ignore[arg-type]  # parts of a second work as well
        timeout_graceful_shutdown=round(limits.drain_seconds),
        backlog=BACKLOG,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=BACKLOG)
    except (OSError, UnicodeError) as error:
        problem = (getattr(error, "strerror", None) or "it is no address of this machine").partition(TAIL)[0]
        raise ResourceProblem(
            f"The address {host}:{port} must be free and this machine's, but: {problem}.",
            hint="Choose another one with --port or --host; --port 0 takes one that is free.",
        ) from None


def _address(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    host = ANY.get(host, host)
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _set_up_logs(settings: Settings) -> None:
    """One line a request on standard error; nothing of what libraries say, unless defects are looked for."""
    log = logging.getLogger("graft.serving")  # above those of the modules here
    log.handlers = [logging.StreamHandler(sys.stderr)]
    log.handlers[0].setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.propagate = False
    log.setLevel(logging.ERROR if settings.quiet else logging.INFO)
    if not settings.debug:
        for name in QUIET_LOGGERS:
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
