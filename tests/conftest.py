"""What every test shares: an own cache, no network, the fast backend, and the optional folder of real data."""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.core.telemetry import REPORTER
from tests.guard import offline_guard

ROOT = Path(__file__).resolve().parents[1]
SCRATCH = pytest.StashKey[Path]()

# Before anything imports Keras. Tests of training set TensorFlow in a child process of their own.
os.environ["KERAS_BACKEND"] = "openvino"
# `--recipe auto` is the probe alone where a test does not ask for more: fine-tuning takes minutes.
os.environ["GRAFT_TIME_BUDGET"] = "0"


def pytest_configure(config: pytest.Config) -> None:
    """Give the whole run one scratch folder with one cache, which workers and child processes inherit."""
    worker = getattr(config, "workerinput", {}).get("workerid", "")
    if not worker:
        scratch = Path(tempfile.mkdtemp(prefix="graft-tests-"))
        config.stash[SCRATCH] = scratch
        os.environ["GRAFT_CACHE"] = str(scratch / "cache")
        os.environ[offline_guard.LOG] = str(scratch / "connections")
        paths = [str(ROOT / "tests" / "guard"), os.environ.get("PYTHONPATH", "")]
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
    os.environ[offline_guard.LOG] += worker
    # Tests import Keras plainly, whose backend would then report to an analytics server, at each conversion too.
    sys.modules[REPORTER] = None  # type: ignore[assignment]
    if "offline_guard" not in sys.modules:  # workers were already guarded when they started
        offline_guard.install()


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the scratch folder."""
    if scratch := config.stash.get(SCRATCH, None):
        shutil.rmtree(scratch, ignore_errors=True)


@pytest.fixture(autouse=True)
def offline() -> Iterator[None]:
    """Fail the test in which anything, children included, tried to reach another machine, even if it coped."""
    log = Path(os.environ[offline_guard.LOG])
    before = log.stat().st_size if log.exists() else 0
    yield
    attempts = log.read_bytes()[before:].decode() if log.exists() else ""
    if attempts:
        pytest.fail(f"tests run offline, but a connection was tried:\n{attempts}")


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder `shared` beside the repository: real weights and photos that are no part of it."""
    folder = ROOT.parent / "shared"
    if not folder.is_dir():
        pytest.skip("needs the folder 'shared' beside the repository (real weights and photos)")
    return folder
