"""Stand-ins for the pipeline: the command line is tested by what it passes on and what it says."""

import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ModuleType]:
    """Put a module with the given functions in the place of `graft.pipeline.NAME` (or another full name)."""

    def replace(name: str, **functions: Any) -> ModuleType:
        full = name if name.startswith("graft.") else f"graft.pipeline.{name}"
        fake = ModuleType(full)
        vars(fake).update(functions)
        monkeypatch.setitem(sys.modules, full, fake)
        return fake

    return replace
