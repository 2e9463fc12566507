"""What a crash or a full disk leaves in the cache: nothing, or what an undisturbed process writes; then it goes on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from graft.core.files import CRASH_EXIT_STATUS, CRASH_POINTS, STRAY_PATTERN
from tests.crash.caches import CACHES
from tests.crash.faults import let_leases_pass
from tests.data.folders import make_folder

ROOT = Path(__file__).resolve().parents[2]
POINTS = [point for point in CRASH_POINTS if point != "before_old_removed"]  # nothing is replaced here
QUICK = {"scan": ("half_written", "before_rename"), "weights": ("before_rename",), "compiled": ("half_written",)}
posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows knows no limit of a file's size")
CASES = [
    pytest.param(row, writer, point, marks=[] if point in QUICK[row] else pytest.mark.slow)
    for row, cached in CACHES.items()
    for writer in cached.writers
    for point in POINTS
]


def write(row: str, photos: Path, cache: Path, *, crash_at: str = "", largest: str = "") -> tuple[int, str]:
    """Exit status and output of a process that writes once."""
    paths = [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    if crash_at:
        environment["GRAFT_CRASH_AT"] = crash_at
    words = [sys.executable, "-m", "tests.crash.caches", row, str(photos), str(cache), *filter(None, [largest])]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=170, check=False)
    assert "Traceback" not in ended.stderr, ended.stderr
    return ended.returncode, ended.stdout


def kept(cache: Path, row: str) -> dict[str, bytes]:
    """What the row has in the cache; a compiled form counts from its record on."""
    folder = cache / CACHES[row].folder
    files = {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != "lock"}
    whole = {name: data for name, data in files.items() if not name.startswith(".graft-")}
    return whole if row != "compiled" or any(name.endswith(".json") for name in whole) else {}


def strays(cache: Path) -> list[Path]:
    return list(cache.rglob(STRAY_PATTERN))


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("data") / "photos", {"a": 6, "b": 6})


@pytest.fixture(scope="module")
def expected(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, bytes]]:
    """What each row leaves when nothing disturbs it; filled when asked for."""
    return {}


def undisturbed(row: str, photos: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path) -> dict[str, bytes]:
    if row not in expected:
        assert write(row, photos, tmp_path / "undisturbed") == (0, "")
        expected[row] = kept(tmp_path / "undisturbed", row)
        assert expected[row] and not strays(tmp_path / "undisturbed")
    return expected[row]


@pytest.mark.parametrize(("row", "writer", "point"), CASES)
def test_a_crash_leaves_nothing_or_all(
    row: str, writer: str, point: str, photos: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    whole, cache = undisturbed(row, photos, expected, tmp_path), tmp_path / "cache"
    status, told = write(row, photos, cache, crash_at=f"{writer}:{point}")
    # Where a child process crashed, its parent lives and says so.
    assert status == CRASH_EXIT_STATUS or (status in (2, 3) and "status 137" in json.loads(told)["message"]), told
    found = kept(cache, row)
    assert all(whole[name] == content for name, content in found.items())
    let_leases_pass(cache)
    assert write(row, photos, cache) == (0, "")
    assert kept(cache, row) == whole
    assert strays(cache) == [], "what the killed process left was not swept"


@posix_only
@pytest.mark.parametrize(
    ("row", "largest"),
    [("scan", "200"), ("weights", "65536"), pytest.param("compiled", "65536", marks=pytest.mark.slow)],
)
def test_a_full_disk_is_told_and_the_next_time_all_is_written(
    row: str, largest: str, photos: Path, expected: dict[str, dict[str, bytes]], tmp_path: Path
) -> None:
    whole, cache = undisturbed(row, photos, expected, tmp_path), tmp_path / "cache"
    status, told = write(row, photos, cache, largest=largest)
    assert (status, json.loads(told)["code"]) == (3, "disk_full"), told
    assert kept(cache, row) == {} and strays(cache) == []
    assert write(row, photos, cache) == (0, "")
    assert kept(cache, row) == whole
