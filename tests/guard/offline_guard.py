"""Refuses every connection that leaves this machine, whoever tries it, and notes the attempt."""

import os
import sys
from pathlib import Path

WATCHED = ("socket.connect", "socket.sendto", "socket.sendmsg")
LOG = "GRAFT_TEST_CONNECTIONS"  # a file that collects refused attempts, so that a swallowed error is still seen


class ConnectionRefusedInTests(OSError):
    """A test, or what it tests, tried to reach another machine."""


def leaves_machine(address: object) -> bool:
    """True for a host and port beyond loopback; False for a Unix socket's path and for no address at all."""
    if not isinstance(address, tuple) or not address:
        return False
    import ipaddress  # here, because child processes should start fast

    host = str(address[0])
    if host in ("localhost", ""):
        return False
    try:
        return not ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return True


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """An audit hook: it sees the call before the operating system does, whoever makes it."""
    if event in WATCHED and leaves_machine(arguments[1]):
        refuse(f"{event} {arguments[1]}")
    if event == "socket.getaddrinfo" and arguments[0] and leaves_machine((_text(arguments[0]), 0)):
        refuse(f"{event} {arguments[0]!r}")


def refuse(attempt: str) -> None:
    """Note the attempt and fail it."""
    if log := os.environ.get(LOG):
        with Path(log).open("a", encoding="utf-8") as file:
            file.write(f"{attempt} in process {os.getpid()}: {' '.join(sys.argv[:3])}\n")
    raise ConnectionRefusedInTests(f"tests run offline; refused: {attempt}")


def _text(host: object) -> str:
    return host.decode("ascii", "replace") if isinstance(host, bytes) else str(host)


def install() -> None:
    """Install the hook in this process, for good: Python has no way to remove one."""
    sys.addaudithook(watch)
