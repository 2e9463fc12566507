"""A file that is replaced: the new classifier answers, nobody notices the change, and a bad file changes nothing."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from graft.core.hashing import sha256_file
from graft.serving.succession import FileWatch
from tests.bundle.making import install_tiny, write_tiny
from tests.serving.conftest import RED_PNG
from tests.serving.odd_worker import SLOW
from tests.serving.running import Running, eventually, post_image, read_reply, request, running

LOOK_SECONDS = 0.1
CLIENTS = 4


@pytest.fixture(scope="module")
def other_bundle(tmp_path_factory) -> Path:
    """The same network with other names."""
    with pytest.MonkeyPatch.context() as patch:
        install_tiny(patch.setattr)
        return write_tiny(tmp_path_factory.mktemp("other") / "classifier.graft", classes=("rot", "grün", "blau"))


@pytest.fixture
def own(tiny_bundle, tmp_path) -> Path:
    """A copy that a test may replace."""
    path = tmp_path / "own" / "classifier.graft"
    path.parent.mkdir()
    path.write_bytes(tiny_bundle.read_bytes())
    return path


@pytest.fixture
def service(own, tmp_path):
    with running(own, tmp_path, reload=True, limits={"look_seconds": LOOK_SECONDS}) as process:
        yield process


def replace(path: Path, content: bytes) -> None:
    new = path.with_name("new")
    new.write_bytes(content)
    new.replace(path)


def about(service: Running) -> dict:
    return service.raw(request("GET", "/about")).json


def reloads(service: Running) -> float:
    return service.metric("graft_reloads_total")


class Asking:
    """Clients that ask without a pause, each on its connection; `answers` are the statuses and labels in order."""

    def __init__(self, service: Running) -> None:
        self.answers: list[tuple[int, str]] = []
        self._service = service
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> "Asking":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        with self._service.connect() as client:
            while not self._stop.is_set():
                client.sendall(post_image(RED_PNG))
                reply = read_reply(client)
                self.answers.append((reply.status, reply.json.get("label", "")))


def test_a_new_file_is_served_without_a_pause(service, own, other_bundle):
    worker = service.worker()
    with Asking(service) as asking:
        replace(own, other_bundle.read_bytes())
        assert eventually(lambda: reloads(service) == 1)
        n_before = len(asking.answers)
        assert eventually(lambda: len(asking.answers) > n_before + 20)
    assert {status for status, _ in asking.answers} == {200}
    labels = [label for _, label in asking.answers]
    assert (labels[0], labels[-1], set(labels)) == ("red", "rot", {"red", "rot"})
    assert set(labels[n_before + CLIENTS :]) == {"rot"}
    assert about(service)["bundle_sha256"] == sha256_file(other_bundle)
    assert eventually(lambda: not worker.is_running())
    assert len(service.front().children()) == 1


def test_what_the_old_one_had_taken_is_its_to_answer(service, own, other_bundle):
    with service.connect() as slow, service.connect() as half:
        data = post_image(RED_PNG)
        half.sendall(data[:-1])
        slow.sendall(post_image(SLOW))
        replace(own, other_bundle.read_bytes())
        assert read_reply(slow).status == 422  # it is no image
        assert eventually(lambda: about(service)["classes"][0] == "rot")
        half.sendall(data[-1:])
        assert read_reply(half).json["label"] == "rot"


def test_a_bad_file_changes_nothing(service, own, other_bundle):
    good = own.read_bytes()
    damaged = bytearray(good)
    damaged[-100] ^= 1
    with Asking(service) as asking:
        replace(own, bytes(damaged))
        assert eventually(lambda: reloads(service) == 1)
        assert eventually(lambda: len(asking.answers) > 50)
    assert set(asking.answers) == {(200, "red")}
    assert "refused (hash_mismatch)" in service.log
    assert str(own) not in service.log
    time.sleep(5 * LOOK_SECONDS)
    assert reloads(service) == 1, "it is not tried again"
    assert len(service.front().children()) == 1
    replace(own, other_bundle.read_bytes())
    assert eventually(lambda: about(service)["classes"][0] == "rot")


def test_a_file_that_is_gone_changes_nothing(service, own):
    own.unlink()
    time.sleep(3 * LOOK_SECONDS)
    assert service.raw(post_image(RED_PNG)).json["label"] == "red"
    assert reloads(service) == 0


def test_unless_asked_to_the_service_keeps_what_it_loaded(own, other_bundle, tmp_path):
    with running(own, tmp_path, limits={"look_seconds": LOOK_SECONDS}) as service:
        replace(own, other_bundle.read_bytes())
        time.sleep(5 * LOOK_SECONDS)
        assert (reloads(service), service.raw(post_image(RED_PNG)).json["label"]) == (0, "red")


def test_a_worker_that_finds_another_file_serves_that(own, other_bundle, tmp_path):
    """Started again after it died: what waited for the old classes is not answered with the new ones."""
    with running(own, tmp_path) as service:
        replace(own, other_bundle.read_bytes())
        with ThreadPoolExecutor(5) as pool:
            service.worker().kill()
            assert eventually(lambda: service.raw(request("GET", "/v2/health/ready")).status == 503)
            waiting = [pool.submit(service.raw, post_image(RED_PNG)) for _ in range(5)]
            assert [each.result().status for each in waiting] == [503] * 5
        assert service.raw(post_image(RED_PNG)).json["label"] == "rot"


def test_the_service_ends_while_a_file_is_loaded(service, own, other_bundle):
    replace(own, other_bundle.read_bytes())
    assert eventually(lambda: len(service.front().children()) == 2)
    children = service.front().children()
    assert service.stop() == 0
    assert eventually(lambda: not any(child.is_running() for child in children))


def test_a_file_is_new_once_nobody_writes_it_any_more(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"first")
    watch = FileWatch(path)
    assert not watch.is_new()
    path.write_bytes(b"half of the sec")
    assert not watch.is_new()
    path.write_bytes(b"the second one, whole")
    assert [watch.is_new() for _ in range(3)] == [False, True, False]
    path.unlink()
    assert not watch.is_new()
    path.write_bytes(b"third")
    assert [watch.is_new() for _ in range(3)] == [False, True, False]
