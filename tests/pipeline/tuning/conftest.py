"""A training that tests of fine-tuning begin as the words ask."""

from pathlib import Path
from typing import Any

import pytest

from graft.pipeline import asking
from graft.pipeline.intake import Intake
from graft.pipeline.work import Work
from tests.pipeline.works import intake_of, work_of


@pytest.fixture(scope="module")
def intake(photos: Path) -> Intake:
    return intake_of(photos)


@pytest.fixture
def begin(intake: Intake, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A training as the words ask."""
    monkeypatch.setattr(asking.backend, "choose", lambda wanted: "tensorflow" if wanted == "auto" else wanted)

    def work(**words: Any) -> Work:
        return work_of(intake, photos, tmp_path, **words)

    return work
