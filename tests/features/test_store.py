import os
import subprocess
import sys
import threading
import time
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from graft.backbones.records import Preprocessing
from graft.core.errors import ResourceProblem
from graft.core.files import CRASH_EXIT_STATUS, CRASH_POINTS
from graft.core.records import from_json
from graft.data.augmentation.records import Augmentation
from graft.features import store as module
from graft.features.records import Output, Program
from graft.features.store import Store, default_cap_bytes, row_id, store_key

KEY = "ab" + "0" * 62
OTHER = "cd" + "1" * 62
ROWS = tuple(row_id(f"{number:064}") for number in range(5))


def values(rows=ROWS, width=3):
    numbers = np.array([int(row.split(":")[0]) for row in rows])
    return {"tap:avg": (numbers[:, None] * 10 + np.arange(width)).astype(np.float16)}


def read(store, rows, key=KEY):
    """What the store has of `rows`, as a dictionary, and the events."""
    events = []
    found = {}
    for block in store.get(key, rows, events.append):
        for at, position in enumerate(block.positions):
            assert rows[position] not in found
            found[rows[position]] = block.values["tap:avg"][at].tolist()
    return found, events


def expected(rows):
    return {row: values([row])["tap:avg"][0].tolist() for row in rows}


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store", cap_bytes=1 << 20)


def shards(store):
    return sorted(store.directory.rglob("*.safetensors"))


def test_rows_come_back_by_name_in_any_order(store):
    store.put(KEY, ROWS[:3], values(ROWS[:3]))
    store.put(KEY, ROWS[3:], values(ROWS[3:]))
    wanted = [ROWS[4], row_id("f" * 64), ROWS[0]]
    assert read(store, wanted) == (expected([ROWS[4], ROWS[0]]), [])


def test_an_empty_store_has_nothing(store):
    assert read(store, ROWS) == ({}, [])
    assert store.size_bytes() == 0 and store.evict() == 0 and store.clear() == 0


def test_views_of_one_photo_are_different_rows(store):
    store.put(KEY, [row_id("a" * 64, 0)], values([ROWS[1]]))
    assert read(store, [row_id("a" * 64, 1)]) == ({}, [])


def test_keys_do_not_mix(store):
    store.put(KEY, ROWS, values())
    assert read(store, ROWS, OTHER) == ({}, [])


def test_rows_stored_twice_are_given_once(store):
    store.put(KEY, ROWS[:3], values(ROWS[:3]))
    store.put(KEY, ROWS[2:], values(ROWS[2:]))
    assert read(store, ROWS) == (expected(ROWS), [])


def test_the_same_content_is_one_file(store):
    store.put(KEY, ROWS, values())
    store.put(KEY, ROWS, values())
    assert len(shards(store)) == 1


def test_every_flipped_byte_is_found_and_the_shard_removed(store):
    store.put(KEY, ROWS, values())
    path = shards(store)[0]
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 4]) + good[place + 1 :])
        found, events = read(store, ROWS)
        assert found == {} and len(events) == 1, place
        assert "damaged and removed" in events[0] and not path.exists()


@pytest.mark.parametrize("keep", [0, 4, 40, -1])
def test_a_shard_that_was_cut_is_removed(store, keep):
    store.put(KEY, ROWS, values())
    path = shards(store)[0]
    path.write_bytes(path.read_bytes()[:keep])
    found, events = read(store, ROWS)
    assert found == {} and len(events) == 1 and not path.exists()


def test_a_shard_under_another_key_is_not_believed(store):
    store.put(KEY, ROWS, values())
    path = shards(store)[0]
    strange = store.directory / OTHER[:2] / OTHER / path.name
    strange.parent.mkdir(parents=True)
    path.rename(strange)
    found, events = read(store, ROWS, OTHER)
    assert found == {} and "its own key" in events[0]


def test_sabotage_without_the_check_a_flipped_byte_would_be_given_out(store, monkeypatch):
    store.put(KEY, ROWS, values())
    path = shards(store)[0]
    content = bytearray(path.read_bytes())
    content[8 + int.from_bytes(content[:8], "little")] ^= 1  # the first value
    path.write_bytes(content)
    monkeypatch.setattr(module, "_verify", lambda *_: None)
    found, _ = read(store, ROWS)
    assert len(found) == len(ROWS) and found != expected(ROWS)


def test_the_least_recently_used_shard_goes_first(store):
    for number in range(3):
        store.put(KEY, [ROWS[number]], values([ROWS[number]], width=1000))
        for path in shards(store):
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 10**9))
    read(store, [ROWS[0]])  # used: now the youngest
    small = replace(store, cap_bytes=2 * store.size_bytes() // 3)
    assert small.evict() == 1
    assert set(read(store, ROWS)[0]) == {ROWS[0], ROWS[2]}


def test_writing_keeps_the_cap(tmp_path):
    store = Store(tmp_path, cap_bytes=5000)
    for row in ROWS:
        store.put(KEY, [row], values([row], width=900))
        assert store.size_bytes() <= 5000
    assert ROWS[-1] in read(store, ROWS)[0]


def test_what_is_larger_than_the_cap_is_not_stored(tmp_path):
    store = Store(tmp_path, cap_bytes=1000)
    store.put(KEY, ROWS, values(width=900))
    assert shards(store) == []


def test_a_shard_evicted_between_listing_and_reading_is_a_miss(store, monkeypatch):
    store.put(KEY, ROWS, values())
    listed = shards(store)
    store.clear()
    monkeypatch.setattr(Store, "_shards", lambda *_: listed)
    assert read(store, ROWS) == ({}, [])


def test_a_shard_that_cannot_be_removed_is_ignored(store, monkeypatch):
    store.put(KEY, ROWS, values())
    shards(store)[0].write_bytes(b"no shard")

    def refuse(path):
        raise ResourceProblem("in use", code="cannot_write")

    monkeypatch.setattr(module, "remove_file", refuse)
    found, events = read(store, ROWS)
    assert found == {} and "damaged and ignored" in events[0]


def test_the_default_cap_is_a_fifth_of_the_free_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "free_bytes", lambda _: 1000)
    assert default_cap_bytes(tmp_path) == 200
    monkeypatch.setattr(module, "free_bytes", lambda _: 1 << 50)
    assert default_cap_bytes(tmp_path) == 20 << 30


def test_everything_a_value_depends_on_is_in_the_key():
    program = Program(
        backbone="sprout",
        weights_sha256="a" * 64,
        side_pixels=64,
        preprocessing=Preprocessing(),
        outputs=(Output(layer="head_relu"),),
    )
    changes = {
        "backbone": "vgg16",
        "weights_sha256": "b" * 64,
        "top_sha256": "c" * 64,
        "side_pixels": 65,
        "preprocessing": Preprocessing(geometry="crop"),
        "outputs": (Output(layer="head_relu", pooling="none"),),
        "precision": "bfloat16",
        "batch_images": 16,
    }
    assert set(changes) == {field.name for field in fields(Program)}  # a new field must be thought of here
    keys = {store_key(replace(program, **{name: value}), engine="e", decoder="d") for name, value in changes.items()}
    keys |= {store_key(program, engine="e", decoder="d"), store_key(program, engine="f", decoder="d")}
    keys |= {store_key(program, engine="e", decoder="f")}
    assert len(keys) == len(changes) + 3


def test_the_layout_s_version_is_in_the_key(monkeypatch):
    program = Program(
        backbone="sprout", weights_sha256="a" * 64, side_pixels=64, preprocessing=Preprocessing(), outputs=()
    )
    before = store_key(program, engine="e", decoder="d")
    monkeypatch.setattr(module, "STORE_VERSION", 999)
    assert store_key(program, engine="e", decoder="d") != before


def test_readers_see_a_whole_shard_or_none_while_others_write_and_clear(store):
    stop = threading.Event()
    problems = []

    def write(number):
        row = ROWS[number]
        while not stop.is_set():
            store.put(KEY, [row], values([row], width=50))
            if number == 0:
                store.clear()

    wanted = ROWS[:3]
    correct = {row: values([row], width=50)["tap:avg"][0].tolist() for row in wanted}
    writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
    for writer in writers:
        writer.start()
    hits = 0
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        found, events = read(store, wanted)
        hits += len(found)
        problems += events + [row for row in found if found[row] != correct[row]]
    stop.set()
    for writer in writers:
        writer.join()
    assert problems == [] and hits > 0


CRASH = """
import sys
from pathlib import Path
from tests.features.test_store import KEY, ROWS, values
from graft.features.store import Store
Store(Path(sys.argv[1]), cap_bytes=1 << 20).put(KEY, ROWS[:2], values(ROWS[:2]))
"""


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_crash_while_writing_leaves_the_store_whole(store, point):
    store.put(KEY, ROWS[2:], values(ROWS[2:]))
    if point == "before_old_removed":
        store.put(KEY, ROWS[:2], values(ROWS[:2]))  # so that there is an old one
    root = Path(__file__).parents[2]
    environment = {**os.environ, "GRAFT_CRASH_AT": f"{module.WRITER}:{point}"}
    ended = subprocess.run([sys.executable, "-c", CRASH, store.directory], env=environment, cwd=root, check=False)
    assert ended.returncode == CRASH_EXIT_STATUS
    found, events = read(store, ROWS)
    assert events == []
    assert found in (expected(ROWS), expected(ROWS[2:]))
    store.put(KEY, ROWS[:2], values(ROWS[:2]))
    assert read(store, ROWS) == (expected(ROWS), [])


def one_by_one(store, n):
    """As many runs as there are rows, on one new photo each; one row is stored twice."""
    rows = [row_id(f"{number:064}") for number in range(n)]
    for row in rows:
        store.put(KEY, [row], values([row]))
    store.put(KEY, rows[:2], values(rows[:2]))
    return rows


def test_many_small_shards_become_one(store):
    rows = one_by_one(store, module.MANY_SHARDS)
    assert store.compact(KEY) == len(rows) + 1
    assert len(shards(store)) == 1
    assert read(store, rows) == (expected(rows), [])
    assert store.compact(KEY) == 0


def test_a_few_small_shards_and_large_ones_stay(store, monkeypatch):
    one_by_one(store, 5)
    assert store.compact(KEY) == 0
    monkeypatch.setattr(module, "MANY_SHARDS", 1)
    monkeypatch.setattr(module, "SMALL_BYTES", 1)
    assert store.compact(KEY) == 0 and len(shards(store)) == 6


def test_joined_shards_are_bounded(store, monkeypatch):
    monkeypatch.setattr(module, "MANY_SHARDS", 1)
    rows = one_by_one(store, 20)
    monkeypatch.setattr(module, "JOINED_BYTES", 5 * shards(store)[0].stat().st_size)
    store.compact(KEY)
    assert 3 <= len(shards(store)) <= 7
    assert read(store, rows) == (expected(rows), [])


def test_a_damaged_shard_is_not_joined(store, monkeypatch):
    monkeypatch.setattr(module, "MANY_SHARDS", 1)
    rows = one_by_one(store, 4)
    path = shards(store)[0]
    path.write_bytes(path.read_bytes()[:-1])
    assert store.compact(KEY) == 0
    _, events = read(store, rows)
    assert len(events) == 1 and "damaged" in events[0]


def test_a_reader_that_listed_the_folder_before_misses_what_was_joined(store, monkeypatch):
    rows = one_by_one(store, module.MANY_SHARDS + 1)
    listed = shards(store)
    store.compact(KEY)
    with monkeypatch.context() as patch:
        patch.setattr(Store, "_shards", lambda *_: listed)
        assert read(store, rows) == ({}, [])  # it then waits for the lock and looks again
    assert read(store, rows)[0] == expected(rows)


def test_what_is_kept_is_described(store):
    program = Program(
        backbone="sprout", weights_sha256="a" * 64, side_pixels=64, preprocessing=Preprocessing(), outputs=()
    )
    store.describe(KEY, program)
    store.describe(KEY, program)
    path = store.directory / KEY[:2] / KEY / module.PROGRAM_FILE
    assert from_json(Program, path.read_bytes(), source="it") == program
    assert read(store, ROWS) == ({}, [])
    store.put(KEY, ROWS, values())
    assert module.shard_rows(shards(store)[0]) == len(ROWS) and module.shard_problem(shards(store)[0]) == ""


def test_exact_values_have_a_key_of_their_own():
    program = Program(
        backbone="sprout", weights_sha256="a" * 64, side_pixels=64, preprocessing=Preprocessing(), outputs=()
    )
    assert store_key(program, engine="e", decoder="d") != store_key(program, engine="e", decoder="d", exact=True)


def test_everything_a_view_depends_on_is_in_the_key(monkeypatch):
    program = Program(
        backbone="sprout", weights_sha256="a" * 64, side_pixels=64, preprocessing=Preprocessing(), outputs=()
    )

    def key(augmentation, seed=0, **changes):
        return store_key(program, engine="e", decoder="d", augmentation=augmentation, seed=seed, **changes)

    plain = Augmentation()
    changes = {
        "rotation_degrees": 1.0,
        "width_shift": 0.1,
        "height_shift": 0.1,
        "shear_degrees": 1.0,
        "zoom": (0.9, 1.0),
        "horizontal_flip": True,
        "vertical_flip": True,
        "quarter_turns": True,
        "turn_degrees": 90,
        "brightness": (0.9, 1.0),
        "channel_shift": 1.0,
        "fill_mode": "wrap",
        "fill_value": 1,
    }
    assert set(changes) == {field.name for field in fields(Augmentation)}  # a new field must be thought of here
    keys = {key(replace(plain, **{name: value})) for name, value in changes.items()}
    keys |= {key(plain), key(plain, seed=1), key(plain, exact=True), key(None)}
    monkeypatch.setattr(module, "AUGMENTATION_VERSION", "another")
    keys |= {key(plain)}
    assert len(keys) == len(changes) + 5
    assert row_id("a" * 64, 1) != row_id("a" * 64, 2)  # the view's number is in the row's name


def test_the_key_of_photos_as_they_are_knows_nothing_of_views(monkeypatch):
    program = Program(
        backbone="sprout", weights_sha256="a" * 64, side_pixels=64, preprocessing=Preprocessing(), outputs=()
    )
    before = store_key(program, engine="e", decoder="d")
    monkeypatch.setattr(module, "AUGMENTATION_VERSION", "another")
    assert store_key(program, engine="e", decoder="d", seed=7) == before


WRITE_AND_CLEAR = """
import sys
from pathlib import Path
from tests.features.test_store import KEY, ROWS, values
from graft.features.store import Store
store = Store(Path(sys.argv[1]), cap_bytes=1 << 20)
print("ready", flush=True)
number = 0
while True:
    for row in ROWS:
        store.put(KEY, [row], values([row], width=50))
    number += 1
    if sys.argv[2] == "clear":
        store.clear()
    elif sys.argv[2] == "evict":
        Store(store.directory, cap_bytes=1500).evict()
"""


@pytest.mark.parametrize(("also", "least"), [("nothing", 10_000), ("clear", 2_000), ("evict", 2_000)])
def test_thousands_of_opens_see_whole_shards_or_misses(store, also, least):
    """While another process writes, and clears or evicts."""
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", WRITE_AND_CLEAR, str(store.directory), also]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        correct = {row: values([row], width=50)["tap:avg"][0].tolist() for row in ROWS}
        opens = hits = 0
        try:
            while opens < least:
                found, events = read(store, ROWS)
                assert events == [] and all(found[row] == correct[row] for row in found)
                hits += len(found)
                opens += max(len(found), 1)
        finally:
            process.kill()
    assert hits > 0
