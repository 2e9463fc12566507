"""The file: what goes in comes out, equal content gives equal bytes, and every change is noticed."""

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors

from graft.bundle.format import MAX_HEADER_BYTES, content_hashes, read_bundle, write_bundle
from graft.core.errors import BadInput, GraftError, IntegrityProblem, ResourceProblem
from tests.bundle.making import COLOURS, contents, rewrite

ROOT = Path(__file__).resolve().parents[2]
MAKE = """
import sys
from pathlib import Path
from tests.bundle.making import install_tiny, write_tiny
install_tiny(setattr)
write_tiny(Path(sys.argv[1]) / "classifier.graft")
"""


def make_in_child(folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    folder.mkdir(exist_ok=True)
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    variables = {**os.environ, "PYTHONPATH": paths, **environment}
    return subprocess.run([sys.executable, "-c", MAKE, str(folder)], cwd=folder, env=variables, capture_output=True)


def test_what_was_written_is_read(tiny: Path) -> None:
    manifest, file = read_bundle(tiny)
    with file:
        assert manifest.classes == COLOURS
        assert manifest.backbone == "tiny"
        assert manifest.head.taps == ("middle", "high")
        assert manifest.golden.count == 4
        assert {name for name in file.tensors if name.startswith("backbone/")} == {
            "backbone/stem/kernel",
            "backbone/stem/bias",
            "backbone/top/kernel",
        }
        assert (manifest.weights_sha256, manifest.tensors_sha256) == content_hashes(file.tensors)
        assert bytes(file.tensors["golden/photo"][:3]) == b"\xff\xd8\xff"


def test_the_reference_library_reads_it_too(tiny: Path) -> None:
    with safetensors.safe_open(tiny, framework="np") as file:
        assert set(file.metadata()) == {"graft", "graft_sha256"}
        assert file.get_tensor("head/kernel").shape == (6, 3)


def test_reading_and_writing_again_gives_the_same_bytes(tiny: Path) -> None:
    manifest, file = read_bundle(tiny)
    with file:
        backwards = {name: np.array(file.tensors[name]) for name in sorted(file.tensors, reverse=True)}
    copy = tiny.with_name("copy.graft")
    assert write_bundle(copy, manifest, backwards) == manifest
    assert copy.read_bytes() == tiny.read_bytes()


def test_two_fresh_processes_write_the_same_bytes(tmp_path: Path) -> None:
    surroundings = [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C"},
        {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C.UTF-8"},
    ]
    digests = set()
    for number, variables in enumerate(surroundings):
        folder = tmp_path / f"place {number}"
        done = make_in_child(folder, **variables)
        assert done.returncode == 0, done.stderr.decode()
        digests.add(hashlib.sha256((folder / "classifier.graft").read_bytes()).hexdigest())
    assert len(digests) == 1


POINTS = ("before_write", "half_written", "before_fsync", "before_rename", "after_rename", "before_old_removed")


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_leaves_the_old_file_or_the_new_one(tiny: Path, tmp_path: Path, point: str) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    target = folder / "classifier.graft"
    target.write_bytes(b"old")
    assert make_in_child(folder, GRAFT_CRASH_AT=f"bundle:{point}").returncode == 137
    expected = tiny.read_bytes() if point == "after_rename" else b"old"
    assert target.read_bytes() == expected


def test_every_flipped_byte_is_noticed(tiny: Path) -> None:
    """Any byte of the file, header included, in steps that meet every region."""
    good = tiny.read_bytes()
    offsets = sorted({*range(0, 12), *range(12, len(good), max(1, len(good) // 400)), len(good) - 1})
    for offset in offsets:
        changed = bytearray(good)
        changed[offset] ^= 0x10
        tiny.write_bytes(changed)
        with pytest.raises(GraftError):
            read_bundle(tiny)
    tiny.write_bytes(good)
    read_bundle(tiny)[1].close()


@pytest.mark.parametrize("name", ["head/kernel", "head/bias", "backbone/stem/kernel", "golden/pixels", "golden/photo"])
def test_one_flipped_bit_is_a_hash_mismatch(tiny: Path, name: str) -> None:
    manifest, tensors = contents(tiny)
    tensors[name].reshape(-1).view(np.uint8)[0] ^= 1
    rewrite(tiny, manifest, tensors, rehash=False)
    with pytest.raises(IntegrityProblem, match="SHA-256") as caught:
        read_bundle(tiny)
    assert caught.value.code == "hash_mismatch"


def test_a_renamed_class_is_a_hash_mismatch(tiny: Path) -> None:
    tiny.write_bytes(tiny.read_bytes().replace(b"green", b"grean"))
    with pytest.raises(IntegrityProblem, match="manifest must have SHA-256") as caught:
        read_bundle(tiny)
    assert caught.value.code == "hash_mismatch"


@pytest.mark.parametrize("classes", [("red", "red", "blue"), ("red\n", "b", "c"), ("<script>x", "b", "c")])
def test_class_names_that_cannot_travel_are_refused_before_writing(tiny: Path, classes: tuple[str, ...]) -> None:
    manifest, file = read_bundle(tiny)
    before = tiny.read_bytes()
    with file, pytest.raises(BadInput, match="class"):
        write_bundle(tiny, replace(manifest, classes=classes), file.tensors)
    assert tiny.read_bytes() == before


def test_what_a_reader_would_refuse_is_not_written(tiny: Path, tmp_path: Path) -> None:
    manifest, file = read_bundle(tiny)
    with file:
        tensors = dict(file.tensors)
        bad = [
            {**tensors, "head/bias": np.zeros(4, np.float32)},
            {**tensors, "head/kernel": tensors["head/kernel"].astype(np.float64)},
            {**tensors, "head/mean": np.full(6, np.nan, np.float32)},
            {name: array for name, array in tensors.items() if name != "golden/photo"},
        ]
        for number, changed in enumerate(bad):
            with pytest.raises(IntegrityProblem):
                write_bundle(tmp_path / f"{number}.graft", manifest, changed)
            assert not (tmp_path / f"{number}.graft").exists()


def test_a_description_too_long_to_read_is_not_written(tiny: Path, tmp_path: Path) -> None:
    manifest, file = read_bundle(tiny)
    with file:
        classes = tuple(f"{i:05d}" + "\N{SNOWMAN}" * 240 for i in range(1000))
        tensors = {
            **file.tensors,
            "head/kernel": np.zeros((6, 1000), np.float32),
            "head/bias": np.zeros(1000, np.float32),
            "golden/probabilities": np.full((4, 1000), 1e-3, np.float32),
        }
        with pytest.raises(BadInput, match=f"below {MAX_HEADER_BYTES} bytes"):
            write_bundle(tmp_path / "long.graft", replace(manifest, classes=classes), tensors)
        shorter = tuple(f"class {i}" for i in range(1000))
        write_bundle(tmp_path / "good.graft", replace(manifest, classes=shorter), tensors)
    read_bundle(tmp_path / "good.graft")[1].close()


def test_a_place_that_is_not_there_is_told(tiny: Path, tmp_path: Path) -> None:
    manifest, file = read_bundle(tiny)
    with file, pytest.raises(ResourceProblem) as caught:
        write_bundle(tmp_path / "nowhere" / "classifier.graft", manifest, file.tensors)
    assert caught.value.code == "cannot_write"


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as caught:
        read_bundle(tmp_path / "none.graft")
    assert caught.value.code == "not_found"


def test_a_refused_file_is_closed(tiny: Path) -> None:
    manifest, tensors = contents(tiny)
    manifest["backbone"] = "unknown"
    rewrite(tiny, manifest, tensors)
    with pytest.raises(IntegrityProblem):
        read_bundle(tiny)
    if Path("/proc/self/maps").exists():
        assert str(tiny) not in Path("/proc/self/maps").read_text()
