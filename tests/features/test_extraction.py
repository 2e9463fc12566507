import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.hashing import sha256_bytes
from graft.core.progress import SilentProgress
from graft.core.records import record_hash
from graft.data.images import load_pixels
from graft.data.records import ImageRules
from graft.features import extraction, work
from graft.features.engines import open_engine, run_pixels
from graft.features.extraction import extract
from graft.features.store import Store
from graft.features.table import as_stored
from tests.features.samples import OUTPUTS, SIDE, photo_record, sprout, write_photos

ROOT = Path(__file__).parents[2]
RULES = ImageRules()
COUNT = 21  # two full batches and a padded one


class Scene:
    """Photos in a folder, a store, and one way to extract."""

    def __init__(self, folder, cache, count=COUNT, seed=0):
        self.root = folder / "photos"
        self.photos = write_photos(self.root, count, seed=seed)
        self.store = Store(folder / "store", cap_bytes=1 << 30)
        self.program, self.weights = sprout(cache)
        self.options = {
            "store": self.store,
            "scratch": folder / "scratch",
            "cache": cache,
            "rules": RULES,
            "workers": 2,
            "threads": 2,
            "progress": SilentProgress(),
        }

    def extract(self, photos=None, program=None, **changes):
        photos = self.photos if photos is None else photos
        return extract(self.root, photos, program or self.program, self.weights, **{**self.options, **changes})

    def shards(self):
        return sorted(self.store.directory.rglob("*.safetensors"))

    def move(self, photo, name):
        (self.root / photo.path).rename(self.root / name)
        return replace(photo, path=name)


@pytest.fixture
def scene(tmp_path, cache):
    return Scene(tmp_path, cache)


def same(first, second):
    return list(first.values) == list(second.values) and all(
        np.array_equal(first.values[name].view(np.uint16), second.values[name].view(np.uint16)) for name in first.values
    )


def by_hand(scene, geometry="squash"):
    """The rows as an engine gives them for pixels that were decoded outside of the stream."""
    loaded = [
        load_pixels((scene.root / each.path).read_bytes(), side_pixels=SIDE, geometry=geometry, rules=RULES)
        for each in scene.photos
    ]
    with open_engine(scene.program, scene.weights, threads=2, cache=scene.options["cache"]) as engine:
        outputs = run_pixels(engine, np.stack(loaded))
    return {output.name: as_stored(outputs[output.name], output) for output in scene.program.outputs}


def test_rows_are_what_the_engine_gives_for_each_photo(scene):
    result = scene.extract()
    expected = by_hand(scene)
    assert list(result.values) == [output.name for output in OUTPUTS]
    for name, values in result.values.items():
        assert values.dtype == expected[name].dtype and np.array_equal(values, expected[name])
    assert result.values["s3_out:none"].shape == (COUNT, 3, 3, 256)
    assert (result.computed, result.reused, result.events) == (COUNT, 0, ())
    assert result.program_hash == record_hash(scene.program)


def test_sabotage_another_geometry_gives_other_rows_and_another_key(scene):
    first = scene.extract()
    assert not np.array_equal(first.values["head_relu:avg"], by_hand(scene, "crop")["head_relu:avg"])
    cropped = replace(scene.program, preprocessing=replace(scene.program.preprocessing, geometry="crop"))
    second = scene.extract(program=cropped)
    assert second.reused == 0
    assert np.array_equal(second.values["head_relu:avg"], by_hand(scene, "crop")["head_relu:avg"])


def test_the_second_time_everything_comes_from_the_store(scene, monkeypatch):
    first = scene.extract()
    monkeypatch.setattr(extraction, "open_engine", None)
    monkeypatch.setattr(extraction, "stream_views", None)
    second = scene.extract()
    assert (second.computed, second.reused) == (0, COUNT) and same(first, second)


def test_renamed_and_touched_files_are_known(scene):
    first = scene.extract()
    photos = (scene.move(scene.photos[0], "other.png"), *scene.photos[1:])
    os.utime(scene.root / photos[1].path, (1, 1))
    second = scene.extract(photos)
    assert second.computed == 0 and same(first, second)


def test_a_changed_byte_is_another_photo(scene):
    scene.extract()
    path = scene.root / scene.photos[0].path
    content = path.read_bytes() + b"\0"
    path.write_bytes(content)
    photo = photo_record(path.name, content)
    assert scene.extract((photo, *scene.photos[1:])).computed == 1


def test_values_do_not_depend_on_which_photos_are_asked_for(scene, tmp_path):
    together = scene.extract()
    for name, photos in {"odd": scene.photos[1::2], "last": scene.photos[-1:], "reverse": scene.photos[::-1]}.items():
        store = Store(tmp_path / name, cap_bytes=1 << 30)
        some = scene.extract(photos, store=store)
        places = [scene.photos.index(photo) for photo in photos]
        assert some.computed == len(photos)
        for output in OUTPUTS:
            assert np.array_equal(some.values[output.name], together.values[output.name][places])


def test_the_same_bytes_are_computed_once(scene):
    copies = []
    for number in range(3):
        shutil.copy(scene.root / scene.photos[4].path, scene.root / f"copy{number}.png")
        copies.append(replace(scene.photos[4], path=f"copy{number}.png"))
    steps = Steps()
    result = scene.extract((*copies, *scene.photos), progress=steps)
    assert result.computed == COUNT + 3 and steps.done == COUNT
    for values in result.values.values():
        assert all(np.array_equal(values[number], values[3 + 4]) for number in range(3))
    assert scene.extract((*scene.photos, *copies)).reused == COUNT + 3


def test_only_what_is_missing_is_computed(scene):
    scene.extract(scene.photos[:9])
    result = scene.extract()
    assert (result.computed, result.reused) == (COUNT - 9, 9)
    assert np.array_equal(result.values["head_relu:avg"], by_hand(scene)["head_relu:avg"])


def test_a_flipped_byte_in_a_shard_is_computed_again_with_an_event(scene):
    first = scene.extract()
    path = scene.shards()[0]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 16
    path.write_bytes(content)
    second = scene.extract()
    assert same(first, second)
    assert second.computed > 0 and len(second.events) == 1 and "damaged and removed" in second.events[0]
    assert scene.extract().events == ()


def test_a_damaged_form_is_made_again_with_an_event(scene, compile_here, tmp_path):
    own = tmp_path / "cache"
    first = scene.extract(scene.photos[:3], cache=own)
    graph = next(own.rglob("network.bin"))
    graph.write_bytes(graph.read_bytes()[:-1])
    scene.store.clear()
    second = scene.extract(scene.photos[:3], cache=own)
    assert same(first, second) and len(second.events) == 1 and "compiled form" in second.events[0]


def test_a_file_changed_after_the_scan_is_named_and_what_was_read_is_kept(tmp_path, cache):
    scene = Scene(tmp_path, cache, count=60)
    (scene.root / "photo050.png").write_bytes(b"something else")
    with pytest.raises(IntegrityProblem, match="photo050") as caught:
        scene.extract()
    assert caught.value.code == "changed_since_scan"
    assert scene.extract(scene.photos[:8]).reused == 8


class Steps(SilentProgress):
    """Counts what is reported; may interrupt."""

    def __init__(self, interrupt_after=None):
        self.done = 0
        self.stages = []
        self.said = []
        self.interrupt_after = interrupt_after

    @contextmanager
    def stage(self, name, total, unit):
        self.stages.append((name, total, unit))
        yield self

    def say(self, text):
        self.said.append(text)

    def note(self, text):
        pass

    def advance(self, n=1):
        self.done += n
        if self.interrupt_after is not None and self.done >= self.interrupt_after:
            raise KeyboardInterrupt


def test_progress_counts_photos(scene):
    steps = Steps()
    scene.extract(progress=steps)
    assert steps.stages[-1] == ("Reading photos with sprout", COUNT, "photos") and steps.done == COUNT
    again = Steps()
    scene.extract(progress=again)
    assert again.stages == []


def test_an_interrupted_run_keeps_what_it_had(scene, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        scene.extract(progress=Steps(interrupt_after=8))
    resumed = scene.extract()
    assert resumed.reused >= 8 and resumed.computed == COUNT - resumed.reused
    assert same(resumed, scene.extract(store=Store(tmp_path / "fresh", cap_bytes=1 << 30)))


def test_shards_are_bounded(scene, monkeypatch):
    monkeypatch.setattr(work, "SHARD_ROWS", 8)
    scene.extract()
    assert len(scene.shards()) == 3
    monkeypatch.setattr(work, "SHARD_ROWS", 1000)
    monkeypatch.setattr(work, "SHARD_SECONDS", -1.0)
    scene.extract(program=replace(scene.program, batch_images=7))
    assert len(scene.shards()) == 6


def test_a_store_too_small_for_a_shard_still_gives_the_rows(scene, tmp_path):
    result = scene.extract(store=Store(tmp_path / "tiny", cap_bytes=10))
    assert result.computed == COUNT
    assert scene.extract(store=Store(tmp_path / "tiny", cap_bytes=10)).computed == COUNT


def test_no_photos_are_refused(scene):
    with pytest.raises(BadInput) as caught:
        scene.extract(())
    assert caught.value.code == "no_photos"


def test_large_results_live_on_the_disk(scene, monkeypatch):
    in_memory = scene.extract()
    table = extraction.Table
    monkeypatch.setattr(extraction, "Table", lambda scratch, n: table(scratch, n, in_memory_bytes=0))
    mapped = scene.extract()
    assert all(isinstance(values, np.memmap) for values in mapped.values.values()) and same(in_memory, mapped)


def test_four_threads_on_one_store_compute_each_photo_once(scene, tmp_path):
    results = []

    def work(number):
        results.append(scene.extract(scratch=tmp_path / f"scratch{number}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4 and all(same(results[0], each) for each in results)
    assert sum(each.computed for each in results) == COUNT
    assert list(scene.store.directory.rglob("*.tmp")) == []


def test_who_waits_for_another_is_told(scene):
    key = extraction.store_key(
        scene.program,
        engine=extraction.engine_identity(scene.program, kind="openvino", threads=2),
        decoder=extraction.decoder_identity(RULES),
    )
    steps = Steps()
    lock = scene.store.lock(key)
    lock.acquire()
    thread = threading.Thread(target=lambda: scene.extract(progress=steps))
    thread.start()
    until = time.monotonic() + 20
    while not steps.said and time.monotonic() < until:
        time.sleep(0.01)
    assert "Another graft process" in steps.said[0] and steps.done == 0
    lock.release()
    thread.join()
    assert steps.done == COUNT


def test_a_store_cleared_meanwhile_does_no_harm(scene, tmp_path):
    class Clearing(Steps):
        def advance(self, n=1):
            super().advance(n)
            scene.store.clear()

    first = scene.extract(progress=Clearing())
    assert same(first, scene.extract(store=Store(tmp_path / "fresh", cap_bytes=1 << 30)))


CACHED = """
import sys
from pathlib import Path
from tests.features.test_extraction import Scene
scene = Scene(Path(sys.argv[1]), Path(sys.argv[2]))
result = scene.extract()
print(result.reused, "openvino" in sys.modules, "keras" in sys.modules)
"""


def test_a_cached_run_in_a_fresh_process_loads_no_engine(scene, cache):
    first = scene.extract()
    command = [sys.executable, "-c", CACHED, str(scene.root.parent), str(cache)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == [str(first.computed), "False", "False"]


EXTRACT = """
import sys, json
from pathlib import Path
from graft.core.tensors import tensors_sha256
from tests.features.test_extraction import Scene, Steps, work
work.SHARD_ROWS = 16
scene = Scene(Path(sys.argv[1]), Path(sys.argv[2]), count=int(sys.argv[3]))
print("ready", flush=True)
sys.stdin.readline()
class Slow(Steps):
    def advance(self, n=1):
        import time
        time.sleep(float(sys.argv[4]))
        print("read", n, flush=True)
result = scene.extract(progress=Slow())
print("result", result.computed, tensors_sha256(result.values), flush=True)
"""


def start(folder, cache, count, pause=0.0):
    """A process that has everything ready and waits for a line."""
    command = [sys.executable, "-c", EXTRACT, str(folder), str(cache), str(count), str(pause)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    return process


def go(process):
    process.stdin.write("\n")
    process.stdin.flush()


def result_of(process):
    lines = process.communicate()[0].splitlines()
    assert process.returncode == 0
    _, computed, digest = lines[-1].split()
    return int(computed), digest


@pytest.mark.slow
def test_eight_processes_on_one_store_compute_each_photo_once(tmp_path, cache):
    count = 100
    processes = [start(tmp_path, cache, count) for _ in range(8)]
    for process in processes:
        go(process)
    results = [result_of(process) for process in processes]
    assert len({digest for _, digest in results}) == 1
    assert sum(computed for computed, _ in results) == count
    assert list(tmp_path.rglob("*.tmp")) == []
    alone = start(tmp_path, cache, count)
    shutil.rmtree(tmp_path / "store")
    go(alone)
    assert result_of(alone) == (count, results[0][1])


@pytest.mark.slow
def test_others_take_over_from_a_process_that_is_killed(tmp_path, cache):
    count = 64
    processes = [start(tmp_path, cache, count, pause=0.2) for _ in range(3)]
    go(processes[0])
    while "read" not in processes[0].stdout.readline():
        pass
    for process in processes[1:]:
        go(process)
    for _ in range(3):  # so that at least one shard is stored
        processes[0].stdout.readline()
    processes[0].kill()
    processes[0].wait()
    results = [result_of(process) for process in processes[1:]]
    assert len({digest for _, digest in results}) == 1
    assert 0 < sum(computed for computed, _ in results) < count
    assert processes[0].returncode == (-signal.SIGKILL if os.name != "nt" else 1)


@pytest.mark.slow
def test_the_memory_does_not_grow_with_the_photos(tmp_path, cache):
    code = EXTRACT + "\nfrom tests.memory import peak_memory_bytes\nprint('peak', peak_memory_bytes())"
    peaks = []
    for count in (50, 1500):
        command = [sys.executable, "-c", code, str(tmp_path / str(count)), str(cache), str(count), "0"]
        ended = subprocess.run(command, cwd=ROOT, input="\n", capture_output=True, text=True, check=True)
        peaks.append(int(ended.stdout.split()[-1]))
    assert peaks[1] - peaks[0] < 60 << 20


def test_the_row_s_name_is_the_hash_of_the_bytes(scene):
    content = (scene.root / scene.photos[0].path).read_bytes()
    assert extraction.row_id(sha256_bytes(content)) == f"{scene.photos[0].sha256}:0"
