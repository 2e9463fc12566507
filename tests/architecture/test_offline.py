"""The suite runs without a network: the guard that shows it is itself shown to work."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.guard import offline_guard

ELSEWHERE = ("192.0.2.1", 9)  # an address that belongs to nobody (RFC 5737)
TRY = f"""
import socket
try:
    socket.create_connection({ELSEWHERE!r}, timeout=1)
except OSError as error:
    print(error)
"""


@pytest.fixture
def attempts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Attempts are noted here, so that those of this file fail no test."""
    monkeypatch.setenv(offline_guard.LOG, str(tmp_path / "attempts"))
    return tmp_path / "attempts"


def test_a_connection_elsewhere_is_refused(attempts):
    with pytest.raises(OSError, match="tests run offline"), socket.socket() as client:
        client.connect(ELSEWHERE)
    assert "192.0.2.1" in attempts.read_text()


def test_a_name_is_not_looked_up(attempts):
    with pytest.raises(OSError, match="tests run offline"):
        socket.getaddrinfo("example.org", 443)
    assert "example.org" in attempts.read_text()


def test_a_datagram_elsewhere_is_refused(attempts):
    with (
        pytest.raises(OSError, match="tests run offline"),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        client.sendto(b"x", ELSEWHERE)
    assert attempts.exists()


def test_a_child_process_is_guarded(attempts):
    ended = subprocess.run([sys.executable, "-c", TRY], capture_output=True, text=True, check=True)
    assert "tests run offline" in ended.stdout
    assert "192.0.2.1" in attempts.read_text()


def test_this_machine_can_be_reached():
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname(), timeout=5):
        pass
    assert socket.getaddrinfo("localhost", 80)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs Unix sockets")
def test_unix_sockets_are_allowed(tmp_path):
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        place = os.path.relpath(tmp_path / "s")  # a Unix socket's path may have about 100 bytes
        server.bind(place)
        server.listen()
        client.connect(place)


def test_tests_have_their_own_cache():
    assert "graft-tests-" in os.environ["GRAFT_CACHE"]
