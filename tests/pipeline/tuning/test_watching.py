"""What a training tells of each epoch while it goes on."""

from pathlib import Path

import pytest

from graft.pipeline.tuning import finetuning
from graft.report import tensorboard
from tests.report.factory import make_epochs

needs_tensorboard = pytest.mark.skipif(tensorboard.find_spec("tensorboard") is None, reason="needs tensorboard")


@needs_tensorboard
def test_epochs_are_drawn_where_it_was_asked_for(tmp_path: Path) -> None:
    with finetuning._watched(str(tmp_path / "curves")) as tell:
        for row in make_epochs():
            tell(row)
            files = [path for path in (tmp_path / "curves").rglob("*.graft") if path.stat().st_size]
            assert {file.parent.name for file in files} == {"train", "validation"}, "while it goes on"


def test_nothing_is_written_unless_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)  # nor is TensorBoard needed
    with finetuning._watched(None) as tell:
        for row in make_epochs():
            tell(row)
    assert list(tmp_path.iterdir()) == []
