"""The cache as its owner sees it: counted, verified, cleared, and never at the cost of a running process."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from graft.backbones.records import Preprocessing
from graft.core.errors import BadInput
from graft.core.files import Lock
from graft.core.progress import SilentProgress
from graft.core.records import to_json
from graft.core.tensors import tensors_sha256, write_tensors
from graft.data.archives.unpacking import unpack
from graft.data.scan import ScanMemory
from graft.features.forms import CONSTANTS_FILE, GRAPH_FILE, RECORD_FILE
from graft.features.records import CompiledForm, Output, Program
from graft.features.store import Store, row_id
from graft.pipeline import kept, workspace
from graft.pipeline.cache import clear_cache, show_cache, verify_cache
from graft.pipeline.kept import RECENT_SECONDS, items, trim
from graft.pipeline.workspace import cap_bytes, scratch_folder
from tests.pipeline.conftest import write_photos

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
    (cache / "scan" / "scans").mkdir(parents=True)
    (cache / "scan" / "scans" / "s.json").write_bytes(to_json(ScanMemory(verdicts={})))
    make_archive(tmp_path, cache)
    for path in cache.rglob("*"):
        if "archives" not in path.parts or path.parent == cache / "archives":
            os.utime(path, (time.time() - 2 * RECENT_SECONDS,) * 2)
    return cache


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


ALL = {"activations": 1, "compiled": 1, "weights": 1, "scans": 1, "archives": 1}


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
    assert verified.count == sum(ALL.values()) and verified.damaged == ()


@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("activations", "store/**/*.safetensors"),
        ("compiled", f"compiled/*/{CONSTANTS_FILE}"),
        ("compiled", f"compiled/*/{RECORD_FILE}"),
        ("weights", "weights/*.safetensors"),
        ("scans", "scan/scans/*.json"),
        ("archives", "archives/*/unpacked/archive/checks/*.png"),
    ],
)
def test_one_flipped_byte_is_found_and_repaired(kind, pattern, cache):
    path = next(cache.glob(pattern))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    found = verify_cache(repair=False, progress=SilentProgress())
    assert [each.kind for each in found.left()] == [kind] and found.damaged[0].problem
    repaired = verify_cache(repair=True, progress=SilentProgress())
    assert [each.removed for each in repaired.damaged] == [True] and repaired.left() == ()
    assert verify_cache(repair=False, progress=SilentProgress()).damaged == ()
    assert counts(cache) == {name: n for name, n in ALL.items() if name != kind}


@pytest.mark.parametrize("kind", ALL)
def test_one_kind_is_cleared(kind, cache):
    cleared = clear_cache(kind)
    assert cleared.size_bytes() > 0 and cleared.in_use == 0 and cleared.weights_kept == 0
    assert counts(cache) == {name: n for name, n in ALL.items() if name != kind}


def test_all_spares_weights(cache):
    cleared = clear_cache("all")
    assert cleared.weights_kept == 1 and counts(cache) == {"weights": 1}


def test_an_unknown_kind_is_refused(cache):
    with pytest.raises(BadInput, match="must be one of"):
        clear_cache("everything")


WORKING = """
import sys
from graft.pipeline.workspace import scratch_folder
with scratch_folder():
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


def test_an_archive_that_was_just_used_stays(cache):
    os.utime(next(cache.glob("archives/*")))
    assert clear_cache("archives").in_use == 1 and counts(cache) == ALL


def test_a_form_that_is_being_made_stays(cache):
    folder = next(cache.glob("compiled/*"))
    with Lock(folder / "lock"):
        assert clear_cache("compiled").in_use == 1
    assert clear_cache("compiled").in_use == 0 and counts(cache) == {name: 1 for name in ALL if name != "compiled"}


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


def test_forms_and_archives_go_when_they_outgrow_the_cap_the_oldest_first(cache):
    now = time.time()
    oldest = make_form(cache, "d" * 64, now - 5 * RECENT_SECONDS)
    recent = make_form(cache, "e" * 64, now)
    total = sum(item.size_bytes for item in items(cache, ("compiled", "archives")))
    assert trim(cache, total) == 0
    assert trim(cache, total - 1) == 1 and not (oldest / RECORD_FILE).exists()
    with scratch_folder():
        assert trim(cache, 0) == 1  # the other old form; the archive may be in use
        assert counts(cache)["archives"] == 1
    assert trim(cache, 0) == 1 and "archives" not in counts(cache)
    assert (recent / RECORD_FILE).exists()


def test_a_scratch_folder_is_alive_as_long_as_its_process():
    with scratch_folder() as scratch:
        assert kept.is_alive(scratch)
    assert not kept.is_alive(scratch)
