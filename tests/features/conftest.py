"""The forms that several tests of this folder need are compiled once a run, whoever asks first."""

from pathlib import Path

import pytest

from graft.core import machine


@pytest.fixture(scope="session")
def cache() -> Path:
    """The run's own cache folder, shared by all workers."""
    return machine.cache_directory()


@pytest.fixture
def compile_here(monkeypatch):
    """Compile in this process: a child would import Keras once more. The child itself is tested elsewhere."""
    from graft.core.telemetry import without_telemetry
    from graft.features import compiled

    with without_telemetry():
        from graft.features import compile_worker

    monkeypatch.setattr(compiled, "run_child", lambda module, job, **_: compile_worker.main(dict(job)))
