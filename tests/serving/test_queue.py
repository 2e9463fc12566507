"""The queue: full, left by its clients, drained."""

import asyncio
import socket
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from graft.bundle.bundle import BATCH
from graft.serving.process import END_SECONDS
from tests.serving.conftest import RED_PNG
from tests.serving.odd_worker import HANG, SLOW
from tests.serving.running import Running, eventually, post_form, post_image, read_reply, request, running

QUEUE, N_DRAINED = 6, 500


@pytest.fixture(scope="module")
def service(tiny_bundle, tmp_path_factory):
    limits = {"queue_images": QUEUE, "notice_seconds": 0.5}
    with running(tiny_bundle, tmp_path_factory.mktemp("service"), limits=limits) as process:
        yield process


@contextmanager
def busy(service: Running) -> Iterator[None]:
    """Both threads of the worker are at work on slow images; afterwards those were answered."""
    with service.connect() as first, service.connect() as second:
        for client in (first, second):
            client.sendall(post_image(SLOW))
            time.sleep(0.05)
        yield
        assert [read_reply(client).status for client in (first, second)] == [422, 422]


def filled(service: Running) -> list[socket.socket]:
    """Clients whose images fill the queue: both threads of the worker are at work on slow ones."""
    clients = [service.connect() for _ in range(QUEUE)]
    for number, client in enumerate(clients):
        client.sendall(post_image(SLOW if number < 2 else RED_PNG))
        time.sleep(0.05 if number < 2 else 0.0)
    time.sleep(0.05)
    return clients


def test_a_full_queue_refuses_at_once(service):
    """As many images as may wait do: the next is told to come again."""
    seconds = []
    for _ in range(5):
        clients = filled(service)
        reply = service.raw(post_image(RED_PNG))
        assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (429, "queue_full", "1")
        seconds.append(reply.seconds)
        assert [read_reply(client).status for client in clients] == [422] * 2 + [200] * (QUEUE - 2)
        for client in clients:
            client.close()
    assert statistics.median(seconds) < 0.05


def test_a_full_queue_refuses_before_the_body_comes(service):
    clients = filled(service)
    assert service.raw(request("POST", "/predict", content_type="image/png", content_length="1000")).status == 429
    for client in clients:
        read_reply(client)
        client.close()


def test_who_leaves_gives_the_place_back(service):
    answered, computed = service.metric("graft_images_total"), service.metric("graft_group_images_sum")
    with busy(service):
        waiting = [service.connect() for _ in range(QUEUE - 2)]
        for client in waiting:
            client.sendall(post_image(RED_PNG))
        assert eventually(lambda: service.metric("graft_waiting_images") == QUEUE, 0.1)
        for client in waiting:
            client.close()
        assert eventually(lambda: service.metric("graft_waiting_images") == 2, 0.1)
        assert service.raw(post_image(RED_PNG)).status == 200
    assert service.metric("graft_images_total") == answered + 3
    assert service.metric("graft_group_images_sum") == computed + 3, "images of clients who left are not computed"


def test_clients_that_leave_at_any_time_leave_nothing_behind(service):
    """1,000 of them, in the head, in the body, while they wait."""
    for sent in (post_image(RED_PNG), post_image(RED_PNG)[:-1], b"POST /predict HT"):
        with service.connect() as client:
            client.sendall(sent)
    time.sleep(0.2)
    before = service.front().num_fds()
    whole = post_image(RED_PNG)
    for number in range(1000):
        with service.connect() as client:
            client.sendall(whole[: len(whole) * (number % 4 + 1) // 4])
    assert eventually(lambda: service.front().num_fds() <= before)
    assert eventually(lambda: service.metric("graft_waiting_images") == 0)
    assert eventually(lambda: service.metric("graft_body_bytes") == 0)
    assert service.raw(whole).status == 200
    assert "Traceback" not in service.log


def test_a_lone_image_waits_for_nobody(service):
    """No delay to fill a group: the median of a lone image is far below any that one would wait."""
    with service.connect() as client:
        seconds = []
        for _ in range(30):
            began = time.monotonic()
            client.sendall(post_image(RED_PNG))
            read_reply(client)
            seconds.append(time.monotonic() - began)
    assert statistics.median(seconds) < 0.02


def test_what_waits_is_answered_together(service):
    before = service.metric("graft_group_images_count")
    with busy(service):
        assert len(service.raw(post_form(*[RED_PNG] * BATCH)).json) == BATCH
    assert service.metric("graft_group_images_count") == before + 3


async def _ask(port: int, ready: asyncio.Event) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    await ready.wait()
    writer.write(post_image(RED_PNG))
    await writer.drain()
    status = int((await reader.readline()).split()[1])
    writer.close()
    return status


def test_ending_drops_nobody(tiny_bundle, tmp_path):
    """All requests that are on the way when SIGTERM comes are answered, then the process ends with status 0."""

    async def ask_all(service: Running) -> list[int]:
        ready = asyncio.Event()
        asking = [asyncio.create_task(_ask(service.port, ready)) for _ in range(N_DRAINED)]
        await asyncio.sleep(0.5)
        ready.set()
        await asyncio.sleep(0.05)
        service.process.terminate()
        return list(await asyncio.gather(*asking))

    with running(tiny_bundle, tmp_path, limits={"queue_images": 1000, "notice_seconds": 0.5}) as service:
        assert asyncio.run(ask_all(service)) == [200] * N_DRAINED
        assert service.process.wait(20) == 0


def test_ending_does_not_wait_for_ever(tiny_bundle, tmp_path):
    """What has no answer after `drain_seconds` is cut, and so is a worker that hangs; the status is 0 all the same."""
    limits = {"drain_seconds": 1.0, "worker_seconds": 60.0, "request_seconds": 60.0}
    with running(tiny_bundle, tmp_path, limits=limits) as service, service.connect() as client:
        client.sendall(post_image(HANG))
        assert eventually(lambda: service.metric("graft_waiting_images") == 1)
        worker, began = service.worker(), time.monotonic()
        assert service.stop() == 0
        assert 1.0 <= time.monotonic() - began < 1.0 + END_SECONDS + 3
        reply = read_reply(client)
        assert (reply.status, reply.json["code"], reply.headers["retry-after"]) == (503, "not_ready", "1")
        assert not worker.is_running()
        assert "POST /predict 503" in service.log and "Traceback" not in service.log


def test_ending_says_so_first(tiny_bundle, tmp_path):
    """Not ready for a moment, with new requests still answered; then nobody listens any more."""
    with running(tiny_bundle, tmp_path, limits={"notice_seconds": 1.0}) as service:
        threading.Timer(0.0, service.process.terminate).start()
        assert eventually(lambda: service.raw(request("GET", "/v2/health/ready")).status == 503, 0.9)
        reply = service.raw(request("GET", "/v2/health/live"))
        assert (reply.status, reply.headers["connection"]) == (200, "close")
        assert service.raw(post_image(RED_PNG)).status == 200
        assert service.process.wait(20) == 0
        with pytest.raises(ConnectionError):
            service.connect()


def test_ending_waits_for_nobody_who_asks_nothing(tiny_bundle, tmp_path):
    """Connections that were refused, are unused, or have sent half a head are closed at once."""
    with running(tiny_bundle, tmp_path) as service:
        sent = (b"nothing\r\n\r\n", post_image(RED_PNG), b"GET /abo", b"")
        clients = [service.connect() for _ in sent]
        for client, data in zip(clients, sent, strict=True):
            client.sendall(data)
        time.sleep(0.3)
        began = time.monotonic()
        assert service.stop() == 0
        assert time.monotonic() - began < 5
        for client in clients:
            client.close()


def test_a_second_signal_ends_at_once(tiny_bundle, tmp_path):
    with running(tiny_bundle, tmp_path, limits={"notice_seconds": 20.0}) as service:
        service.process.terminate()
        time.sleep(0.5)
        service.process.terminate()
        assert service.process.wait(2) == 143
