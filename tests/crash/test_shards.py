"""The store's shards: named by their content, so a crash while one is written can touch no other."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from graft.core.files import CRASH_EXIT_STATUS, CRASH_POINTS
from graft.features.store import WRITER, Store

KEY = "5" * 64
ROWS = [f"{number:064x}:0" for number in range(500)]
# A shard replaces nothing, so the point before an old one goes is never passed.
POINTS = [point for point in CRASH_POINTS if point != "before_old_removed"]


def put(folder: Path, version: int) -> None:
    """Store 500 rows of one version."""
    rows = [row if version == 1 else row.replace(":0", ":1") for row in ROWS]
    Store(folder, 1 << 30).put(KEY, rows, {"tap:avg": np.full((500, 64), version, np.float16)})


def found(folder: Path, version: int) -> int:
    """How many rows of a version can be read, all of them right."""
    rows = [row if version == 1 else row.replace(":0", ":1") for row in ROWS]
    reports: list[str] = []
    blocks = list(Store(folder, 1 << 30).get(KEY, rows, reports.append))
    assert not reports
    assert all((block.values["tap:avg"] == version).all() for block in blocks)
    return sum(len(block.positions) for block in blocks)


@pytest.mark.parametrize("point", POINTS)
def test_a_crash_leaves_whole_shards_only(point: str, tmp_path: Path) -> None:
    put(tmp_path, 1)
    code = f"from pathlib import Path; from tests.crash.test_shards import put; put(Path({str(tmp_path)!r}), 2)"
    environment = os.environ | {"GRAFT_CRASH_AT": f"{WRITER}:{point}"}
    root = Path(__file__).resolve().parents[2]
    ended = subprocess.run([sys.executable, "-c", code], env=environment, cwd=root, timeout=120, check=False)
    assert ended.returncode == CRASH_EXIT_STATUS, f"the store never passed {point}"
    assert found(tmp_path, 1) == 500
    assert found(tmp_path, 2) == (500 if point in ("after_rename", "before_directory_fsync") else 0)
    put(tmp_path, 2)
    assert found(tmp_path, 2) == 500


def test_sabotage_a_shard_with_one_flipped_byte_is_noticed(tmp_path: Path) -> None:
    put(tmp_path, 1)
    (shard,) = tmp_path.rglob("*.safetensors")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(AssertionError):
        found(tmp_path, 1)
    assert not shard.exists()
