"""`graft train` killed at any moment and started again until it ends: the result is that of a run nobody killed.

The whole process group is killed without warning, at times drawn from a named stream, up to five times a trial. Each
trial has a cache of its own; every tenth begins with an empty one, so that the network is compiled under fire too.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from graft.core.files import STRAY_PATTERN
from graft.core.randomness import stream
from tests.crash.faults import let_leases_pass
from tests.pipeline.conftest import write_photos

TRIALS = 50
MOST_KILLS = 5
COLD_EVERY = 10
SECONDS_TO_END = 600.0
# Everything that is the same whenever a training ran; made.json and the report tell times.
SAME = (
    *("classifier.graft", "evaluation.json", "predictions.safetensors", "comparison.json", "manifest.json"),
    *("plan.json", "probe.json", "inspection.json"),
)
# What a killed attempt had written last tells where it was.
STAGES = (
    ("report.html", "end"),
    ("made.json", "report"),
    ("classifier.graft", "results"),
    ("probe.json", "bundle"),
    ("inspection.json", "features or head"),
    ("plan.json", "records"),
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(7200),
    pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to kill"),
]


@dataclass
class Trial:
    """One run's folder and cache. `landed` says where each kill found the training."""

    photos: Path
    place: Path
    landed: list[str] = field(default_factory=list)

    @property
    def run(self) -> Path:
        return self.place / "run"

    @property
    def cache(self) -> Path:
        return self.place / "cache"

    def start(self) -> "subprocess.Popen[bytes]":
        words = ["train", str(self.photos), "-o", str(self.run), "--backbone", "sprout", "--image-size", "64"]
        return subprocess.Popen(
            [sys.executable, "-m", "graft", *words, "--precision", "float32", "--quiet"],
            env=os.environ | {"GRAFT_CACHE": str(self.cache)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def finish(self) -> float:
        """Run to the end; returns how many seconds that took."""
        began = time.monotonic()
        process = self.start()
        _, told = process.communicate(timeout=SECONDS_TO_END)
        assert process.returncode == 0, told.decode()
        return time.monotonic() - began

    def kill_after(self, seconds: float) -> None:
        """Begin, and kill after a while; a training that ends before that must have ended well."""
        began = time.time()
        process = self.start()
        try:
            process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            self.landed.append(self.stage(began))
            let_leases_pass(self.place)
        else:
            _, told = process.communicate()
            assert process.returncode == 0, told.decode()

    def stage(self, began: float) -> str:
        """What the attempt that began at this time had reached."""
        written = {path.name for path in self.run.glob("*") if path.stat().st_mtime >= began}
        stage = next((stage for name, stage in STAGES if name in written), "start or scan")
        shards = [path for path in self.cache.glob("store/*/*/*.safetensors") if path.stat().st_mtime >= began]
        locked = self.cache.glob(f"compiled/*/{STRAY_PATTERN}")  # the lock's, then also unfinished files
        compiling = any(path.stat().st_mtime >= began for path in locked)
        if stage == "features or head":
            stage = "compiling" if compiling else "head" if shards else "features"
        return stage


def results(run: Path) -> dict[str, bytes]:
    return {name: (run / name).read_bytes() for name in SAME}


def strays(place: Path) -> list[Path]:
    """Temporary files that are left; folders of scratch memory maps wait for their own sweep."""
    return [path for path in place.rglob(STRAY_PATTERN) if "scratch" not in path.parts]


@dataclass(frozen=True)
class Reference:
    """The run nobody killed, and how long it takes with an empty cache and with a compiled network."""

    trial: Trial
    cold_seconds: float
    warm_seconds: float


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    place = tmp_path_factory.mktemp("kills")
    photos = write_photos(place / "photos", per_class=20)
    trial = Trial(photos, place / "reference")
    trial.place.mkdir()
    cold = trial.finish()
    warmed = Trial(photos, place / "warmed")
    shutil.copytree(trial.cache / "compiled", warmed.cache / "compiled")
    yield Reference(trial, cold, warmed.finish())


@pytest.fixture(scope="module")
def landings() -> Iterator[Counter[str]]:
    """Where the kills of all trials fell; shown at the end."""
    counts: Counter[str] = Counter()
    yield counts
    print("\nkills landed in:", ", ".join(f"{stage} {n}" for stage, n in counts.most_common()))


@pytest.mark.parametrize("number", range(TRIALS))
def test_killed_and_started_again(number: int, reference: Reference, tmp_path: Path, landings: Counter[str]) -> None:
    draw = stream(0, "random kills", str(number))
    trial = Trial(reference.trial.photos, tmp_path)
    cold = number % COLD_EVERY == 0
    if not cold:
        shutil.copytree(reference.trial.cache / "compiled", trial.cache / "compiled")
    longest = reference.cold_seconds if cold else reference.warm_seconds
    for _ in range(int(draw.integers(1, MOST_KILLS + 1))):
        trial.kill_after(float(draw.uniform(0, longest)))  # one that ended first is begun again, on its own run
    landings.update(trial.landed)
    trial.finish()
    assert results(trial.run) == results(reference.trial.run)
    assert strays(tmp_path) == []
    shutil.rmtree(trial.cache)


def test_sabotage_another_result_and_a_stray_are_noticed(reference: Reference, tmp_path: Path) -> None:
    shutil.copytree(reference.trial.run, tmp_path / "run")
    assert results(tmp_path / "run") == results(reference.trial.run)
    evaluation = tmp_path / "run" / "evaluation.json"
    evaluation.write_bytes(evaluation.read_bytes().replace(b"0.", b"1.", 1))
    assert results(tmp_path / "run") != results(reference.trial.run)
    (tmp_path / "run" / ".graft-host-1-00.tmp").write_bytes(b"")
    assert len(strays(tmp_path)) == 1
