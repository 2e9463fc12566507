"""Limits: what is allowed to the byte is answered, one byte more is not, and nothing of it stays in memory."""

import socket
import time

import pytest

from tests.serving.conftest import RED_PNG
from tests.serving.running import form, post_form, post_image, read_reply, request, running

MEGABYTE = 1 << 20
FORM_BYTES = len(form(RED_PNG))


def test_a_body_at_the_limit_and_above(tiny_bundle, tmp_path):
    with running(tiny_bundle, tmp_path, limits={"body_bytes": FORM_BYTES}) as service:
        assert service.raw(post_form(RED_PNG)).status == 200
        reply = service.raw(post_form(RED_PNG, filename="photo1.png"))
        assert (reply.status, reply.json["code"]) == (413, "too_many_bytes")


def test_requests_hold_so_much_together(tiny_bundle, tmp_path):
    with running(tiny_bundle, tmp_path, limits={"memory_bytes": 100_000}) as service, service.connect() as other:
        assert service.raw(post_image(b"x" * 90_000)).status == 422
        other.sendall(request("POST", "/predict", content_type="image/png", content_length="90001") + b"x" * 90_000)
        reply = service.raw(post_image(b"x" * 90_000))
        assert (reply.status, reply.json["code"]) == (503, "queue_full")
        other.close()
        time.sleep(0.1)
        assert service.raw(post_image(RED_PNG)).status == 200


def test_a_file_of_a_form_above_the_classifiers_limit(tiny_bundle, tmp_path):
    """25 MB is the limit of a file in the tiny bundle; the rest of the form is answered."""
    with running(tiny_bundle, tmp_path) as service:
        first, second = service.raw(post_form(b"x" * 26_000_000, RED_PNG)).json
        assert (first["code"], second["label"]) == ("too_many_bytes", "red")
        assert service.raw(post_form(b"x" * 26_000_000)).status == 413
        assert service.raw(post_form(b"x" * 50_000_000, filename=None)).status == 413
        assert service.raw(post_image(b"x" * 25_000_001)).status == 413


@pytest.mark.parametrize("chunked", [True, False])
def test_a_stream_above_the_limit_is_cut_without_being_kept(service, chunked):
    """A client that would send 1 GB, however it announces it."""
    how = {"transfer_encoding": "chunked"} if chunked else {"content_length": str(1 << 30)}
    head = request("POST", "/predict", content_type="image/png", **how)
    piece = b"10000\r\n" + b"x" * 0x10000 + b"\r\n" if chunked else b"x" * 0x10000
    service.raw(post_form(RED_PNG))
    before, sent = service.front().memory_info().rss, 0
    with service.connect() as client:
        client.settimeout(5)
        client.sendall(head)
        try:
            while sent < 1 << 30:
                sent += client.send(piece)
        except OSError:
            pass  # cut off, as it must be
    assert sent < 24 * MEGABYTE
    assert service.front().memory_info().rss - before < 10 * MEGABYTE


def test_the_answer_to_a_stream_above_the_limit_can_be_read(service):
    body = b"x" * (5 * MEGABYTE)
    for head in (
        request("POST", "/predict", body, content_type="image/png"),
        request("POST", "/predict", b"500000\r\n" + body, content_type="image/png", transfer_encoding="chunked"),
    ):
        assert service.raw(head).status == 413


def test_refusing_leaves_nothing_in_memory(service):
    """100 requests above a limit and 100 malformed ones, after as many to warm up: below 1 MiB."""
    large, malformed = post_image(b"x" * (4 * MEGABYTE + 1)), post_form(RED_PNG)[:-6] + b"------"
    sizes = []
    for _ in range(3):
        for _ in range(100):
            assert service.raw(large).status == 413
            assert service.raw(malformed).status == 400
        sizes.append(service.front().memory_info().rss)
    assert min(sizes[1:]) - sizes[0] < MEGABYTE, sizes


@pytest.mark.slow
def test_answering_leaves_nothing_in_memory(service):
    """20,000 answers over one connection, after some to warm up: below 1 MiB."""
    sizes = []
    with service.connect() as client:
        for _ in range(3):
            for _ in range(10_000):
                client.sendall(post_image(RED_PNG))
                assert read_reply(client).status == 200
            sizes.append(service.front().memory_info().rss)
    assert sizes[-1] - sizes[0] < MEGABYTE, sizes


def slow(service, head: bytes, piece: bytes, seconds: float = 6) -> tuple[int, float]:
    """The status that a client gets who sends `piece` now and then, and after how long."""
    began = time.monotonic()
    with service.connect() as client:
        client.sendall(head)
        client.settimeout(0.05)
        while time.monotonic() - began < seconds:
            try:
                client.send(piece)
                if client.recv(1, socket.MSG_PEEK) is not None:
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        return read_reply(client).status, time.monotonic() - began


def test_slow_headers_and_bodies_are_cut(service):
    """One second in this service; each client sends a byte now and then."""
    head = b"GET /about HTTP/1.1\r\nhost: x\r\nx-slow: "
    body = request("POST", "/predict", content_type="image/png", content_length="1000")
    for sent in (head, body):
        status, seconds = slow(service, sent, b"a")
        assert status == 408
        assert 0.9 < seconds < 2.0


def test_sabotage_without_the_limit_a_slow_client_stays(tiny_bundle, tmp_path):
    with running(tiny_bundle, tmp_path, limits={"slow_seconds": 60.0}) as service, service.connect(2.5) as client:
        client.sendall(b"GET /about HTTP/1.1\r\nhost: x\r\nx-slow: ")
        with pytest.raises(TimeoutError):
            client.recv(1)


def test_a_client_that_sends_nothing_is_cut(service):
    with service.connect() as client:
        began = time.monotonic()
        assert read_reply(client).status == 408
        assert 0.9 < time.monotonic() - began < 2.0


def test_a_client_that_never_reads_is_cut(service):
    """It asks again and again without reading; what it is owed fills the buffers and then it is cut off."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.settimeout(3)
    with client:
        client.connect(("127.0.0.1", service.port))
        asked = request("GET", "/openapi.json") * 50
        with pytest.raises(ConnectionError):
            began = time.monotonic()
            while time.monotonic() - began < 20:
                try:
                    client.send(asked)
                except TimeoutError:
                    time.sleep(0.1)


def test_a_body_that_comes_steadily_may_take_longer_than_that(service):
    """Above 16 KiB in each second of this service: slow, and not cut."""
    with service.connect() as client:
        client.sendall(request("POST", "/predict", content_type="image/png", content_length="250000"))
        for _ in range(25):
            client.sendall(b"x" * 10_000)
            time.sleep(0.1)
        assert read_reply(client).status == 422


def test_an_unused_connection_is_closed(service):
    with service.connect() as client:
        client.sendall(request("GET", "/v2/health/live"))
        assert read_reply(client).status == 200
        began = time.monotonic()
        assert client.recv(1) == b""
        assert 0.5 < time.monotonic() - began < 2.0


def test_connections_above_the_cap_are_told(tiny_bundle, tmp_path):
    with running(tiny_bundle, tmp_path, limits={"connections": 5}) as service:
        held = [service.connect() for _ in range(5)]
        time.sleep(0.1)
        reply = service.raw(request("GET", "/about"))
        assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, "queue_full", "1")
        held.pop().close()
        time.sleep(0.1)
        assert service.raw(request("GET", "/about")).status == 200
        for client in held:
            client.close()


def test_a_request_may_take_so_long(tiny_bundle, tmp_path):
    from tests.serving.odd_worker import HANG

    with running(tiny_bundle, tmp_path, limits={"request_seconds": 0.5}) as service:
        reply = service.raw(post_image(HANG))
        assert (reply.status, reply.json["code"]) == (504, "timed_out")
