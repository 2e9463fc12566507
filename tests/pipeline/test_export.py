"""`graft export` leaves a whole folder or nothing: also nothing of the folders above it."""

from graft.bundle.export import exporting
from graft.cli.main import main
from graft.core.interrupts import Stopped
from tests.pipeline.conftest import finished, photos

__all__ = ["finished", "photos"]  # fixtures


def test_an_interrupted_export_leaves_nothing(finished, tmp_path, monkeypatch, capsys):
    above = tmp_path / "for" / "phones"

    def stopped(*words: object, **named: object) -> None:
        assert above.is_dir()
        raise Stopped(2)

    monkeypatch.setattr(exporting, "run_child", stopped)
    assert main(["export", str(finished.run), "--format", "keras", "-o", str(above / "photos")]) == 130
    assert capsys.readouterr().err.endswith("Interrupted. Nothing was written: the same command begins anew.\n")
    assert list(tmp_path.iterdir()) == []


def test_folders_that_hold_something_stay(finished, tmp_path, monkeypatch):
    above = tmp_path / "for" / "phones"

    def failing(*words: object, **named: object) -> None:
        (tmp_path / "for" / "notes.txt").touch()
        raise Stopped(2)

    monkeypatch.setattr(exporting, "run_child", failing)
    assert main(["export", str(finished.run), "--format", "keras", "-o", str(above / "photos")]) == 130
    assert [path.name for path in (tmp_path / "for").iterdir()] == ["notes.txt"]
