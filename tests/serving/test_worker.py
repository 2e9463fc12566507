"""A worker that dies or hangs takes with it what it holds, and nothing else."""

import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from graft.bundle.bundle import BATCH, Bundle
from graft.serving.frames import Message
from graft.serving.supervisor import OUT_BATCHES
from graft.serving.worker import Inbox
from tests.bundle.making import install_tiny
from tests.serving.conftest import RED_PNG
from tests.serving.odd_worker import BROKEN, EXIT, HANG, RAISE
from tests.serving.running import Running, eventually, post_image, request, running

READY = request("GET", "/v2/health/ready")


@pytest.fixture(scope="module")
def service(tiny_bundle, tmp_path_factory):
    with running(tiny_bundle, tmp_path_factory.mktemp("service"), limits={"worker_seconds": 2.0}) as process:
        yield process


def fifty_at_once(service: Running) -> list[int]:
    with ThreadPoolExecutor(50) as pool:
        return list(pool.map(lambda _: service.raw(post_image(RED_PNG)).status, range(50)))


def ends_told(service: Running) -> list[str]:
    """What the log says of the worker, without the times."""
    return [line.split(" ", 2)[2] for line in service.log.splitlines() if "classifier's process" in line]


@pytest.mark.parametrize(
    ("asked", "status", "code", "how"),
    [
        (EXIT, 503, "worker_lost", "exit status 1"),
        (RAISE, 503, "worker_lost", "exit status 1"),
        (BROKEN, 503, "worker_lost", "what it wrote could not be read"),
        (HANG, 504, "timed_out", "it hung"),
    ],
    ids=["exits", "raises", "breaks its protocol", "hangs"],
)
def test_a_worker_that_fails(service, asked, status, code, how):
    before = ends_told(service)
    first = service.worker().pid
    reply = service.raw(post_image(asked))
    began = time.monotonic()
    assert (reply.status, reply.json["code"]) == (status, code)
    assert service.raw(READY).status == 503
    assert fifty_at_once(service) == [200] * 50
    assert time.monotonic() - began < 5
    assert service.raw(READY).status == 200
    assert service.worker().pid != first
    assert not psutil.pid_exists(first)
    assert ends_told(service)[len(before) :] == [f"The classifier's process ended ({how}) and is started again."]


def test_a_worker_that_is_killed_while_it_waits(service):
    """As by the system, for want of memory."""
    before = service.metric("graft_worker_restarts_total")
    service.worker().send_signal(signal.SIGKILL)
    assert eventually(lambda: service.metric("graft_worker_restarts_total") == before + 1)
    assert fifty_at_once(service) == [200] * 50
    assert service.raw(READY).status == 200
    assert ends_told(service)[-1] == "The classifier's process ended (signal SIGKILL) and is started again."


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot stop a process so")
def test_a_worker_that_is_stopped_in_the_middle(service):
    assert service.raw(READY).status == 200
    worker = service.worker()
    worker.send_signal(signal.SIGSTOP)
    assert eventually(lambda: worker.status() == psutil.STATUS_STOPPED)  # its threads go on until one of them is
    assert service.raw(post_image(RED_PNG)).status == 504
    assert fifty_at_once(service) == [200] * 50


def test_what_waits_outlives_a_worker(service):
    """Only what the worker had taken is lost."""
    with ThreadPoolExecutor(20) as pool:
        lost = [pool.submit(service.raw, post_image(HANG)) for _ in range(2)]
        time.sleep(0.2)
        others = [pool.submit(service.raw, post_image(RED_PNG)) for _ in range(18)]
        assert [each.result().status for each in lost] == [504] * 2
        n_out = OUT_BATCHES * BATCH - len(lost)
        assert sorted(other.result().status for other in others) == [200] * (18 - n_out) + [504] * n_out


def test_one_thread_that_hangs_does_not_stop_the_others(service):
    with service.connect() as client:
        client.sendall(post_image(HANG))
        time.sleep(0.2)
        assert [service.raw(post_image(RED_PNG)).status for _ in range(5)] == [200] * 5


def test_the_worker_ends_with_its_parent(tiny_bundle, tmp_path):
    with running(tiny_bundle, tmp_path) as service:
        worker = service.worker()
        service.process.kill()
        assert eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def test_the_worker_ends_with_its_parent_even_while_it_hangs(tiny_bundle, tmp_path):
    with running(tiny_bundle, tmp_path) as service, service.connect() as client:
        client.sendall(post_image(HANG))
        time.sleep(0.3)
        worker = service.worker()
        service.process.kill()
        assert eventually(lambda: not worker.is_running() or worker.status() == psutil.STATUS_ZOMBIE)


def test_a_worker_that_ends_again_and_again(tiny_bundle, tmp_path):
    """Requests are refused instead of waiting for nothing; once the cause is gone, they are answered."""
    hidden = tiny_bundle.with_name("hidden.graft")
    copy = tmp_path / "classifier.graft"
    copy.write_bytes(tiny_bundle.read_bytes())
    with running(copy, tmp_path, worker="tests.serving.odd_worker", quiet=True) as service:
        copy.rename(hidden)
        service.worker().kill()
        assert eventually(lambda: service.raw(post_image(RED_PNG)).json.get("code") == "not_ready", 15)
        assert service.raw(request("GET", "/v2/health/live")).status == 200
        assert eventually(lambda: service.metric("graft_worker_restarts_total") >= 4, 15)
        killed, refused, often = service.log.splitlines()  # and no more lines while it goes on
        assert killed.endswith("The classifier's process ended (signal SIGKILL) and is started again.")
        assert "ended (it refused the classifier: not_found) and is started again." in refused
        assert "ends again and again (it refused the classifier: not_found)" in often
        assert str(tmp_path) not in service.log
        hidden.rename(copy)
        assert eventually(lambda: service.raw(READY).status == 200, 15)
        assert service.raw(post_image(RED_PNG)).status == 200


def test_not_ready_before_it_is_loaded(tiny_bundle, tmp_path, monkeypatch):
    """The front listens at once; it says what it is waiting for."""
    from graft.serving.records import Settings
    from graft.serving.service import Service

    service = Service(Settings(bundle=str(tiny_bundle)))
    with pytest.raises(Exception, match="still being loaded") as caught:
        service.check_ready()
    assert (caught.value.status, caught.value.code) == (503, "not_ready")
    assert caught.value.headers() == {"retry-after": "1"}


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ([0.0, 2.0, 8.0, 9.0], [True, True]),  # six seconds of rest after two of work
        ([0.0, 2.0, 7.9, 9.0], [True, False]),
        ([0.0, 0.0, 0.0, 0.0], [True, True]),
    ],
)
def test_all_threads_help_an_image_after_a_rest(monkeypatch, seconds, expected):
    clock = iter([0.0, *seconds])
    monkeypatch.setattr("graft.serving.worker.time.monotonic", lambda: next(clock))
    inbox, helped = Inbox(), []
    for number in range(len(expected)):
        inbox.put(Message({"numbers": [number], "kinds": ["file"], "left": []}, [b""]))
        with inbox.taken(BATCH) as (_, alone):
            helped.append(alone)
    assert helped == expected


def test_nobody_helps_an_image_that_has_company():
    inbox = Inbox()
    inbox.put(Message({"numbers": [0, 1], "kinds": ["file"] * 2, "left": []}, [b""] * 2))
    with inbox.taken(BATCH) as (first, helped_first), inbox.taken(BATCH) as (second, helped_second):
        assert [each.number for each in (*first, *second)] == [0, 1]
        assert not helped_first and not helped_second


def test_a_batch_is_taken_where_enough_wait_for_all_threads():
    inbox, n = Inbox(), 2 * BATCH + 1
    inbox.put(Message({"numbers": list(range(n)), "kinds": ["file"] * n, "left": []}, [b""] * n))
    sizes, seen = [], []
    while len(seen) < n:
        with inbox.taken(2 * BATCH) as (given, _):
            sizes.append(len(given))
            seen += [each.number for each in given]
    assert seen == list(range(n))  # the oldest first
    assert sizes == [BATCH] + [1] * (BATCH + 1)


def test_the_tiny_bundle_is_a_good_one(tiny_bundle, monkeypatch):
    install_tiny(monkeypatch.setattr)
    assert Bundle.load(tiny_bundle).predict(RED_PNG)[0].label == "red"
