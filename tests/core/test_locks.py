"""The lock: one holder at a time, whatever becomes of the holder."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from graft.core import locks
from graft.core.errors import ResourceProblem
from graft.core.files import STRAY_PATTERN, Lock

HOLD = """
import sys, time
from pathlib import Path
from graft.core.files import Lock
with Lock(Path(sys.argv[1]), lease_seconds=float(sys.argv[2])):
    print("held", flush=True)
    time.sleep(60)
"""
COUNT = """
import sys, time
from pathlib import Path
from graft.core.files import Lock
path = Path(sys.argv[1])
for _ in range(20):
    with Lock(path.with_name("lock"), wait_seconds=60):
        number = int(path.read_text())
        time.sleep(0.001)
        path.write_text(str(number + 1))
"""
posix_only = pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    source = str(Path(locks.__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)


def start_holder(path: Path, lease_seconds: float) -> subprocess.Popen[str]:
    holder = start(HOLD, path, lease_seconds)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    counters = [start(COUNT, counter) for _ in range(4)]
    assert [each.wait(60) for each in counters] == [0, 0, 0, 0]
    assert counter.read_text() == "80"
    assert list(tmp_path.glob(STRAY_PATTERN)) == []


def test_sabotage_without_the_lock_counts_are_lost(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    unlocked = COUNT.replace('with Lock(path.with_name("lock"), wait_seconds=60):', "if True:").replace("001", "01")
    both = [start(unlocked.replace("path.read_text()", "path.read_text() or 0"), counter) for _ in range(2)]
    assert [each.wait(60) for each in both] == [0, 0]
    assert counter.read_text() != "40"


def test_threads_exclude_each_other(tmp_path: Path) -> None:
    inside: list[int] = []
    most: list[int] = []

    def work() -> None:
        for _ in range(5):
            with Lock(tmp_path / "lock", wait_seconds=30):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.001)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == [1] * 20


def test_waiting_ends_with_a_coded_error_that_names_the_holder(tmp_path: Path) -> None:
    with Lock(tmp_path / "lock"), pytest.raises(ResourceProblem, match=rf"held by .*-{os.getpid()}-") as caught:
        Lock(tmp_path / "lock", wait_seconds=0.1).acquire()
    assert caught.value.code == "locked"
    with Lock(tmp_path / "lock", wait_seconds=0.0):
        pass


@posix_only
def test_a_killed_holder_is_succeeded_at_once(tmp_path: Path) -> None:
    holder = start_holder(tmp_path / "lock", 30.0)
    holder.kill()
    holder.wait(10)
    began = time.monotonic()
    with Lock(tmp_path / "lock", lease_seconds=30.0, wait_seconds=5.0) as lock:
        lock.check()
    assert time.monotonic() - began < 1.0
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]


@posix_only
def test_a_hanging_holder_is_succeeded_after_its_lease(tmp_path: Path) -> None:
    holder = start_holder(tmp_path / "lock", 0.5)
    try:
        time.sleep(0.7)  # longer than the lease: a living holder keeps it
        with pytest.raises(ResourceProblem):
            Lock(tmp_path / "lock", lease_seconds=0.5, wait_seconds=0.2).acquire()
        holder.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        with Lock(tmp_path / "lock", lease_seconds=0.5, wait_seconds=10.0) as lock:
            assert 0.3 < time.monotonic() - began < 5.0
            lock.check()
            holder.send_signal(signal.SIGCONT)
            time.sleep(0.3)
            lock.check()  # the holder that came back has not taken it again
    finally:
        holder.kill()
        holder.wait(10)


def test_a_holder_that_lost_the_lock_learns_it(tmp_path: Path) -> None:
    lost = Lock(tmp_path / "lock")
    lost.acquire()
    lost.check()
    (tmp_path / "lock").write_text("another-1-abc")
    with pytest.raises(ResourceProblem) as caught:
        lost.check()
    assert caught.value.code == "locked"
    lost.release()
    assert (tmp_path / "lock").read_text().strip() == "another-1-abc"


@pytest.mark.parametrize("content", [b"", b"\x00\xff torn", b"../../elsewhere", b"dead-1-abc", b"x" * 10_000])
def test_what_no_living_holder_wrote_does_not_block(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "lock").write_bytes(content)
    with Lock(tmp_path / "lock", wait_seconds=0.0) as lock:
        lock.check()


def test_one_object_is_not_taken_twice(tmp_path: Path) -> None:
    lock = Lock(tmp_path / "lock")
    lock.release()
    with lock, pytest.raises(ResourceProblem, match="twice"):
        lock.acquire()
    with lock:
        lock.check()
    with pytest.raises(ResourceProblem):
        lock.check()


def test_a_place_that_cannot_be_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ResourceProblem) as caught:
        Lock(tmp_path / "missing" / "lock").acquire()
    assert caught.value.code == "cannot_write"

    def refuse(_: int) -> bool:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(locks, "_try_lock", refuse)
    with pytest.raises(ResourceProblem, match="no locks available") as caught:
        Lock(tmp_path / "lock").acquire()
    assert caught.value.code == "cannot_write"
    assert re.search("GRAFT_CACHE", caught.value.hint)
