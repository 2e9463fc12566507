"""A whole training on a disk that is full at some point: told in bytes, nothing broken, continued later."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from graft.core.files import STRAY_PATTERN
from graft.core.hashing import sha256_file
from graft.pipeline.train import TrainResult
from tests.pipeline.conftest import finished, photos  # noqa: F401 - fixtures

posix_only = pytest.mark.skipif(os.name == "nt", reason="Windows knows no limit of a file's size")
SAME = ("classifier.graft", "evaluation.json", "predictions.safetensors", "manifest.json", "plan.json", "probe.json")


def train(data: Path, place: Path, largest: int | None) -> "subprocess.CompletedProcess[str]":
    """`graft train` where no file may be larger than `largest` bytes."""

    def limit() -> None:
        import resource

        if largest:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))

    words = ["train", str(data), "-o", str(place / "run"), "--backbone", "sprout", "--image-size", "64"]
    return subprocess.run(
        [sys.executable, "-m", "graft", *words, "--precision", "float32", "--json"],
        env=os.environ | {"GRAFT_CACHE": str(place / "cache")},
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )


@posix_only
@pytest.mark.parametrize(
    ("largest", "stopped_at"),
    [
        pytest.param(1_000, "scans", marks=pytest.mark.slow),
        pytest.param(150_000, "store", marks=pytest.mark.slow),
        (1_000_000, "classifier.graft"),
    ],
)
def test_a_full_disk_stops_a_training_and_the_same_command_ends_it(
    largest: int,
    stopped_at: str,
    photos: Path,  # noqa: F811
    finished: TrainResult,  # noqa: F811
    tmp_path: Path,
) -> None:
    compiled = Path(os.environ["GRAFT_CACHE"]) / "compiled"  # where other tests may be writing
    shutil.copytree(compiled, tmp_path / "cache" / "compiled", ignore=shutil.ignore_patterns(STRAY_PATTERN))
    ended = train(photos, tmp_path, largest)
    told = json.loads(ended.stdout)["error"]
    assert (ended.returncode, told["code"]) == (3, "disk_full"), told
    assert "bytes are free" in told["message"]
    assert not list(tmp_path.rglob(STRAY_PATTERN)), "a part was left"
    assert not (tmp_path / "run" / "classifier.graft").exists()
    assert stopped_at in told["message"]
    again = train(photos, tmp_path, None)
    assert again.returncode == 0, again.stdout
    for name in SAME:
        assert sha256_file(tmp_path / "run" / name) == sha256_file(finished.run / name), name
