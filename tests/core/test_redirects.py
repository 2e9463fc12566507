"""Redirects: to another host for a file that is known by its hash, never without encryption, never inwards."""

import http.client
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graft.core import download as downloads
from graft.core import redirects
from graft.core.download import Published, download
from graft.core.errors import GraftError
from graft.core.progress import SilentProgress
from graft.core.redirects import is_public
from tests.core.serving import Publisher, publishing

CONTENT = b"\x89HDF" + bytes(range(256)) * 400
PINNED = {"sha256": Publisher(CONTENT).sha256}
# Names of this machine, as a hostile name server gives them, and what systems read as its address.
LOOKED_UP = ("data.example.org", "mirror.example.org", "127.1", "2130706433")


@pytest.fixture(autouse=True)
def https_without_encryption(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server on this machine can stand for one that has a certificate; names of others lead here."""
    monkeypatch.setattr(http.client.HTTPSConnection, "connect", http.client.HTTPConnection.connect)
    monkeypatch.setattr(downloads, "PAUSE_SECONDS", 0.0)
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("GRAFT_OFFLINE", raising=False)
    look_up = socket.getaddrinfo

    def looked_up(host: Any, *rest: Any, **options: Any) -> Any:
        return look_up("127.0.0.1" if host in LOOKED_UP else host, *rest, **options)

    monkeypatch.setattr(socket, "getaddrinfo", looked_up)


@pytest.fixture
def mirror() -> Iterator[Publisher]:
    with publishing(Publisher(CONTENT)) as each:
        yield each


@pytest.fixture
def publisher(mirror: Publisher) -> Iterator[Publisher]:
    """Leads to the mirror, with https."""
    with publishing(Publisher(b"", status=302)) as each:
        each.location = secure(mirror)
        yield each


def secure(server: Publisher, host: str = "127.0.0.1") -> str:
    return server.url.replace("http://127.0.0.1", f"https://{host}")


def public(server: Publisher) -> str:
    return server.url.replace("127.0.0.1", "data.example.org")


def refused(url: str, folder: Path, hashes: dict[str, str] = PINNED) -> GraftError:
    """The error of a download that must leave nothing behind."""
    with pytest.raises(GraftError) as caught:
        fetched(url, folder, hashes)
    assert list(folder.iterdir()) == []
    assert caught.value.code == "download_refused"
    return caught.value


def fetched(url: str, folder: Path, hashes: dict[str, str] = PINNED) -> bytes:
    wanted = Published(url=url, limit_bytes=1 << 20, otherwise="Bring the file.", **hashes)
    download(wanted, folder / "w.h5", progress=SilentProgress())
    return (folder / "w.h5").read_bytes()


def test_a_file_known_by_its_hash_may_come_from_another_host(
    publisher: Publisher, mirror: Publisher, tmp_path: Path
) -> None:
    assert fetched(publisher.url, tmp_path) == CONTENT
    assert (publisher.asked, mirror.asked) == ([""], [""])


def test_what_was_cut_on_the_mirror_is_continued_there(publisher: Publisher, mirror: Publisher, tmp_path: Path) -> None:
    mirror.cuts = [30_000]
    assert fetched(publisher.url, tmp_path) == CONTENT
    assert mirror.asked == ["", "bytes=30000-"]


def test_another_file_on_the_mirror_is_refused(publisher: Publisher, mirror: Publisher, tmp_path: Path) -> None:
    mirror.content = CONTENT[:-1] + b"!"
    with pytest.raises(GraftError) as caught:
        fetched(publisher.url, tmp_path)
    assert caught.value.code == "hash_mismatch"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("hashes", [{}, {"md5": Publisher(CONTENT).md5}], ids=["no hash", "MD5"])
def test_without_a_sha256_no_other_host_is_asked(
    publisher: Publisher, mirror: Publisher, tmp_path: Path, hashes: dict[str, str]
) -> None:
    assert "got led to https://127.0.0.1" in refused(publisher.url, tmp_path, hashes).message
    publisher.location = mirror.url.replace("127.0.0.1", "localhost")
    assert "got led to http://localhost" in refused(publisher.url, tmp_path, hashes).message
    assert mirror.asked == []


def test_the_same_host_is_followed_to_without_a_hash(mirror: Publisher, tmp_path: Path) -> None:
    mirror.status, mirror.location = 302, f"{mirror.base}/other"
    assert fetched(mirror.url, tmp_path, {}) == CONTENT
    assert len(mirror.asked) == 2


@pytest.mark.parametrize("place", ["http://mirror.example.org/w.h5", "ftp://mirror.example.org/w.h5"])
def test_encryption_is_not_given_up(publisher: Publisher, tmp_path: Path, place: str) -> None:
    publisher.location = place
    assert "lead to plain https addresses only" in refused(publisher.url, tmp_path).message


def test_a_mirror_gives_no_encryption_up_either(publisher: Publisher, mirror: Publisher, tmp_path: Path) -> None:
    with publishing(Publisher(CONTENT)) as third:
        mirror.status, mirror.location = 302, third.url
        assert "lead to plain https addresses only" in refused(publisher.url, tmp_path).message
        assert third.asked == []


def test_an_address_with_a_password_is_refused(publisher: Publisher, mirror: Publisher, tmp_path: Path) -> None:
    publisher.location = secure(mirror, "name:word@127.0.0.1")
    assert "plain https addresses" in refused(publisher.url, tmp_path).message
    assert mirror.asked == []


@pytest.mark.parametrize("place", ["https://[::1/w.h5", "https://[nothing]/w.h5"])
def test_an_address_that_is_none_is_one_sentence(publisher: Publisher, tmp_path: Path, place: str) -> None:
    publisher.location = place
    assert "must lead to an address, got: " in refused(publisher.url, tmp_path).message


@pytest.mark.parametrize(
    "host",
    [*("127.0.0.1", "localhost", "LOCALHOST.", "a.localhost", "10.0.0.7", "192.168.1.1", "172.16.0.1"),
     *("169.254.169.254", "100.64.0.1", "0.0.0.0", "[::1]", "[fe80::1]", "[fd00::1]", "[::ffff:10.0.0.1]")],
)  # fmt: skip
def test_a_public_host_does_not_lead_inwards(
    publisher: Publisher, mirror: Publisher, tmp_path: Path, host: str
) -> None:
    publisher.location = secure(mirror, host)
    error = refused(public(publisher), tmp_path)
    assert f"lead to public addresses only, got led to https://{host}" in error.message
    assert mirror.asked == []


@pytest.mark.parametrize("host", ["mirror.example.org", "127.1", "2130706433"])
def test_a_name_that_turns_out_to_be_inside_is_not_asked(
    publisher: Publisher, mirror: Publisher, tmp_path: Path, host: str
) -> None:
    publisher.location = secure(mirror, host)
    error = refused(public(publisher), tmp_path)
    assert f"lead to public addresses only, got led to {host} at 127.0.0.1" in error.message
    assert mirror.asked == []


def test_a_second_step_inwards_is_not_taken(
    publisher: Publisher, mirror: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = iter([True, False])
    monkeypatch.setattr(redirects, "is_public", lambda address: next(seen) if address == "127.0.0.1" else True)
    with publishing(Publisher(CONTENT)) as third:
        publisher.location = secure(mirror, "mirror.example.org")
        mirror.status, mirror.location = 302, secure(third, "data.example.org")
        assert "got led to data.example.org at 127.0.0.1" in refused(public(publisher), tmp_path).message
        assert (len(mirror.asked), third.asked) == (1, [])


def test_sabotage_without_the_address_a_way_inwards_would_be_taken(
    publisher: Publisher, mirror: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher.location = secure(mirror, "mirror.example.org")
    refused(public(publisher), tmp_path)
    monkeypatch.setattr(redirects, "is_public", lambda address: True)
    assert fetched(public(publisher), tmp_path) == CONTENT
    assert len(mirror.asked) == 1


def test_a_proxy_looks_names_up_itself_and_its_password_stays_there(
    publisher: Publisher, mirror: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The publisher's server is the proxy here; the mirror needs none."""
    monkeypatch.setenv("http_proxy", publisher.base.replace("http://", "http://name:word@"))
    monkeypatch.setenv("no_proxy", "mirror.example.org")
    publisher.location = secure(mirror, "mirror.example.org")
    monkeypatch.setattr(redirects, "is_public", lambda address: True)
    assert fetched("http://far.example.org/w.h5", tmp_path) == CONTENT
    assert publisher.credentials[0].startswith("Basic ")
    assert mirror.credentials == [""]


def test_the_proxy_of_a_mirror_may_be_a_neighbour(
    publisher: Publisher, mirror: Publisher, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its address says nothing of the mirror's: no tunnel is refused for it."""
    monkeypatch.setenv("https_proxy", mirror.base)
    monkeypatch.setenv("no_proxy", "data.example.org")
    publisher.location = "https://far.example.org/w.h5"
    assert fetched(public(publisher), tmp_path) == CONTENT
    assert mirror.asked == ["far.example.org:443", ""]


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *(("8.8.8.8", True), ("2606:4700::1111", True), ("::ffff:8.8.8.8", True)),
        *(("127.0.0.1", False), ("10.1.2.3", False), ("192.168.0.1", False), ("169.254.169.254", False)),
        *(("::1", False), ("fe80::1%1", False), ("fc00::1", False), ("::ffff:127.0.0.1", False), ("::", False)),
    ],
)
def test_which_addresses_are_public(address: str, expected: bool) -> None:
    assert is_public(address) is expected
