"""The cache as its owner sees it: counted, verified, cleared, and never at the cost of a running process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from graft.backbones.layers import LayerTable
from graft.backbones.records import Preprocessing
from graft.core.errors import BadInput
from graft.core.files import Lock
from graft.core.progress import SilentProgress
from graft.core.records import to_json, to_sealed_json
from graft.core.tensors import tensors_sha256, write_tensors
from graft.data.archives.unpacking import unpack
from graft.data.fingerprints import BYTES, write_fingerprints
from graft.data.inspection.summary import inspect_manifest
from graft.data.scan import ScanMemory, Verdict
from graft.features.forms import CONSTANTS_FILE, GRAPH_FILE, RECORD_FILE
from graft.features.records import CompiledForm, Output, Program
from graft.features.store import Store, row_id
from graft.pipeline import kept, workspace
from graft.pipeline.cache import clear_cache, show_cache, verify_cache
from graft.pipeline.inspect import inspect
from graft.pipeline.kept import RECENT_SECONDS, items, trim
from graft.pipeline.workspace import cap_bytes, feature_store, scratch_folder, working
from tests.pipeline.conftest import write_photos
from tests.report.rankings import make_ranking

KEY = "ab" + "0" * 62
PROGRAM = Program(
    backbone="sprout",
    weights_sha256="a" * 64,
    side_pixels=64,
    preprocessing=Preprocessing(),
    outputs=(Output(layer="s3_out"), Output(layer="head_relu")),
)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """One thing of each kind, none of them just used."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("GRAFT_CACHE", str(cache))
    store = Store(cache / "store", 1 << 30)
    store.describe(KEY, PROGRAM)
    store.put(KEY, [row_id(f"{n:064}") for n in range(5)], {"s3_out:avg": np.ones((5, 4), np.float16)})
    make_form(cache, "c" * 64)
    (cache / "weights").mkdir()
    tensors = {"conv/kernel": np.ones((3, 3), np.float32)}
    metadata = {"tensors_sha256": tensors_sha256(tensors)}
    write_tensors(cache / "weights" / "w.safetensors", tensors, metadata=metadata, writer="test")
    verdicts = {"0" * 64: Verdict(code="corrupt", reason="The image's content is damaged.")}
    write(cache / "scan" / "scans" / "s.json", to_sealed_json(ScanMemory(verdicts=verdicts)))
    write_fingerprints(cache / "scan" / "scans" / "s.safetensors", {"0" * 64: bytes(range(256)) * (BYTES // 256)})
    table = LayerTable(backbone="sprout", side_pixels=64, layers=(), cuts=())
    write(cache / "layers" / "l.json", to_sealed_json(table))
    write(cache / "rankings" / "r.json", to_sealed_json(make_ranking({"sprout": (0.8, 9.0)})))
    write(cache / "downloads" / "vgg.h5.part", b"the first bytes")
    write(cache / "downloads" / "vgg.h5.part.json", b"{}")
    write(cache / "keras" / "keras.json", b"{}")
    make_archive(tmp_path, cache)
    for path in cache.rglob("*"):
        if "archives" not in path.parts or path.parent == cache / "archives":
            os.utime(path, (time.time() - 2 * RECENT_SECONDS,) * 2)
    return cache


def write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def make_form(cache: Path, key: str, used: float | None = None) -> Path:
    from graft.core.hashing import sha256_file

    folder = cache / "compiled" / key
    folder.mkdir(parents=True)
    (folder / GRAPH_FILE).write_bytes(b"<xml/>")
    (folder / CONSTANTS_FILE).write_bytes(b"0123456789" * 100)
    form = CompiledForm(
        key=key,
        graph_sha256=sha256_file(folder / GRAPH_FILE),
        constants_sha256=sha256_file(folder / CONSTANTS_FILE),
        largest_error=0.0,
        repaired=0,
        openvino="",
        keras="",
        backbone="sprout",
        side_pixels=64,
    )
    (folder / RECORD_FILE).write_bytes(to_json(form))
    if used is not None:
        for path in folder.iterdir():
            os.utime(path, (used, used))
    return folder


def make_archive(tmp_path: Path, cache: Path) -> None:
    import shutil

    write_photos(tmp_path / "photos", 1)
    shutil.make_archive(str(tmp_path / "photos"), "zip", tmp_path / "photos")
    unpack(tmp_path / "photos.zip", cache, progress=SilentProgress())


def counts(cache: Path) -> dict[str, int]:
    found = [item.kind for item in items(cache) if item.size_bytes]
    return {kind: found.count(kind) for kind in dict.fromkeys(found)}


ALL = {
    "activations": 1,
    "compiled": 1,
    "weights": 1,
    "scans": 2,
    "archives": 1,
    "tables": 2,
    "downloads": 2,
    "keras": 1,
}
UNCHECKED = ("downloads", "keras")  # nothing says what they should be


def test_what_is_there(cache, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE_CAP", "5GB")
    facts = show_cache()
    assert (facts.path, facts.cap_bytes) == (cache, 5_000_000_000) and facts.free_bytes > 0
    assert {kind.name: kind.count for kind in facts.kinds if kind.count} == ALL
    assert all(kind.size_bytes > 0 and kind.used_seconds for kind in facts.kinds if kind.count)
    stored, compiled = facts.networks
    assert (stored.backbone, stored.side_pixels, stored.rows) == ("sprout", 64, 5)
    assert stored.read == "s3_out:avg … head_relu:avg (2)"
    assert (compiled.kind, compiled.backbone, compiled.side_pixels) == ("compiled", "sprout", 64)


def test_an_empty_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "none"))
    assert sum(kind.count for kind in show_cache().kinds) == 0
    assert verify_cache(repair=False, progress=SilentProgress()).count == 0
    assert clear_cache("all").size_bytes() == 0


def test_a_sound_cache_is_sound(cache):
    verified = verify_cache(repair=False, progress=SilentProgress())
    assert verified.count == sum(n for kind, n in ALL.items() if kind not in UNCHECKED) and verified.damaged == ()


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("activations", "store/**/*.safetensors"),
        ("compiled", f"compiled/*/{CONSTANTS_FILE}"),
        ("compiled", f"compiled/*/{RECORD_FILE}"),
        ("weights", "weights/*.safetensors"),
        ("scans", "scan/scans/*.json"),
        ("scans", "scan/scans/*.safetensors"),
        ("tables", "layers/*.json"),
        ("tables", "rankings/*.json"),
        ("archives", "archives/*/unpacked/archive/checks/*.png"),
    ],
)
def test_one_flipped_byte_is_found_and_repaired(kind, pattern, cache):
    path = next(cache.glob(pattern))
    facts = path.stat()
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # a disk that fails does not tell when
    found = verify_cache(repair=False, progress=SilentProgress())
    assert [each.kind for each in found.left()] == [kind] and found.damaged[0].problem
    repaired = verify_cache(repair=True, progress=SilentProgress())
    assert [each.removed for each in repaired.damaged] == [True] and repaired.left() == ()
    assert verify_cache(repair=False, progress=SilentProgress()).damaged == ()
    assert counts(cache) == {name: left for name, n in ALL.items() if (left := n - (name == kind))}


def test_a_word_of_a_scans_memory_that_was_exchanged_is_found(cache):
    """Still valid JSON of the right schema."""
    path = cache / "scan" / "scans" / "s.json"
    path.write_bytes(path.read_bytes().replace(b"damaged", b"daNaged"))
    (found,) = verify_cache(repair=False, progress=SilentProgress()).damaged
    assert found.kind == "scans" and "hash" in found.problem


@pytest.mark.parametrize("kind", ALL)
def test_one_kind_is_cleared(kind, cache):
    cleared = clear_cache(kind)
    assert cleared.size_bytes() > 0 and cleared.in_use == 0 and cleared.weights_kept == 0
    assert counts(cache) == {name: n for name, n in ALL.items() if name != kind}


def test_all_spares_weights(cache):
    cleared = clear_cache("all")
    assert cleared.weights_kept == 1 and counts(cache) == {"weights": 1}
    left = {
        path.relative_to(cache).as_posix()
        for path in cache.rglob("*")
        if path.is_file() and not path.name.endswith("lock")
    }
    assert left == {"weights/w.safetensors"}


def test_what_killed_writers_left_goes_too_but_not_what_one_writes_now(cache):
    for name, seconds in (("old", 2 * kept.LEFT_SECONDS), ("new", 0.0)):
        write(cache / "rankings" / f".graft-{name}.tmp", b"half")
        os.utime(cache / "rankings" / f".graft-{name}.tmp", (time.time() - seconds,) * 2)
    clear_cache("all")
    assert [path.name for path in (cache / "rankings").iterdir()] == [".graft-new.tmp"]


def test_a_download_that_goes_on_stays(cache):
    with Lock(cache / "downloads" / "vgg.h5.lock"):
        assert clear_cache("downloads").in_use == 2 and counts(cache) == ALL
    assert clear_cache("downloads").in_use == 0 and "downloads" not in counts(cache)


def test_what_is_not_of_graft_stays(cache):
    write(cache / "notes.txt", b"mine")
    clear_cache("all")
    assert (cache / "notes.txt").read_bytes() == b"mine"


def test_an_unknown_kind_is_refused(cache):
    with pytest.raises(BadInput, match="must be one of"):
        clear_cache("everything")


WORKING = """
import sys
from graft.pipeline.workspace import working
with working():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_what_another_process_may_need_stays(cache):
    with subprocess.Popen([sys.executable, "-c", WORKING], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"ready\n"
        for kind in ("weights", "archives"):
            assert clear_cache(kind).in_use == 1
        assert counts(cache) == ALL
        clear_cache("all")
        assert counts(cache) == {"weights": 1, "archives": 1}
        assert len(list(cache.glob("scratch/*/.lock"))) == 1
        process.kill()
    assert clear_cache("weights").in_use == clear_cache("archives").in_use == 0
    assert counts(cache) == {}


def test_an_archive_that_was_just_used_goes_when_nobody_works(cache):
    os.utime(next(cache.glob("archives/*")))
    assert trim(cache, 0) and "archives" in counts(cache)
    assert clear_cache("archives").in_use == 0 and "archives" not in counts(cache)


def test_reading_photos_keeps_their_archive(cache, tmp_path, monkeypatch):
    held = []

    def look(manifest):
        held.append(clear_cache("archives").in_use)
        return inspect_manifest(manifest)

    monkeypatch.setattr("graft.pipeline.inspect.inspect_manifest", look)
    inspect(tmp_path / "photos.zip", progress=SilentProgress())
    assert held == [1]
    assert clear_cache("archives").in_use == 0


def test_a_cache_that_can_only_be_read_lets_commands_work(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("GRAFT_CACHE", str(tmp_path / "file" / "cache"))
    with working(tidy=False):
        pass


def test_a_form_that_is_being_made_stays(cache):
    folder = next(cache.glob("compiled/*"))
    with Lock(folder / "lock"):
        assert clear_cache("compiled").in_use == 1
    assert clear_cache("compiled").in_use == 0 and counts(cache) == {
        name: n for name, n in ALL.items() if name != "compiled"
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("5GB", 5 * 10**9),
        ("5 gb", 5 * 10**9),
        ("1.5GiB", 3 << 29),
        ("700m", 700 * 10**6),
        ("1234", 1234),
        ("2T", 2 * 10**12),
    ],
)
def test_the_cap_as_people_write_it(text, expected, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE_CAP", text)
    assert cap_bytes(tmp_path) == expected


@pytest.mark.parametrize("text", ["much", "-5GB", "5GBB", "1e9", "5 5", "9" * 40])
def test_a_cap_that_is_none_is_refused(text, tmp_path, monkeypatch):
    monkeypatch.setenv("GRAFT_CACHE_CAP", text)
    with pytest.raises(BadInput, match="GRAFT_CACHE_CAP"):
        cap_bytes(tmp_path)


def test_without_a_word_the_cap_is_the_default(tmp_path, monkeypatch):
    monkeypatch.delenv("GRAFT_CACHE_CAP", raising=False)
    monkeypatch.setattr(workspace, "default_cap_bytes", lambda _: 7)
    assert cap_bytes(tmp_path) == 7


def age(cache: Path, kind: str, seconds: float) -> None:
    """Let everything of a kind have been used so long ago."""
    for item in items(cache, [kind]):
        paths = [item.path] if kind == "archives" or item.path.is_file() else [*item.path.rglob("*")]
        for path in paths:
            os.utime(path, (time.time() - seconds,) * 2)


def test_all_that_can_be_made_again_shares_one_cap_and_the_oldest_goes_first(cache):
    order = ["archives", "tables", "compiled", "scans", "activations"]
    for number, kind in enumerate(order):
        age(cache, kind, (9 - number) * RECENT_SECONDS)
    total = sum(item.size_bytes for item in items(cache, order))
    assert trim(cache, total) == 0
    for kind in order:
        size = sum(item.size_bytes for item in items(cache, [kind]))
        assert trim(cache, total - 1) and trim(cache, total - size) == ALL[kind] - 1
        assert kind not in counts(cache)
        total -= size
    assert set(counts(cache)) == {"weights", *UNCHECKED}


def test_what_is_in_use_neither_goes_nor_counts(cache):
    age(cache, "compiled", 0)
    age(cache, "activations", 0)
    with scratch_folder():
        assert trim(cache, 0) == 1 + ALL["scans"] + ALL["tables"]
        assert counts(cache) == {"compiled": 1, "weights": 1, "archives": 1} | {kind: ALL[kind] for kind in UNCHECKED}
    assert trim(cache, 0) == 1
    assert counts(cache) == {"compiled": 1, "weights": 1} | {kind: ALL[kind] for kind in UNCHECKED}


def test_new_activations_make_room_in_the_whole_cache(cache, monkeypatch):
    age(cache, "tables", 5 * RECENT_SECONDS)
    total = sum(item.size_bytes for item in items(cache, kept.CAPPED))
    monkeypatch.setenv("GRAFT_CACHE_CAP", str(total))
    feature_store().put(KEY, [row_id("f" * 64)], {"s3_out:avg": np.ones((1, 4), np.float16)})
    assert counts(cache)["activations"] == 2 and counts(cache).get("tables", 0) < ALL["tables"]
    assert sum(item.size_bytes for item in items(cache, kept.CAPPED)) <= total


def test_a_scratch_folder_is_alive_as_long_as_its_process():
    with scratch_folder() as scratch:
        assert kept.is_alive(scratch)
    assert not kept.is_alive(scratch)
