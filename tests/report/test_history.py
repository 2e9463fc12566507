import csv
import io
from dataclasses import fields, replace

from graft.report.history import history_csv
from graft.training.tuning.records import Epoch
from tests.report.factory import make_epochs, make_tuning


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode())))


def test_each_epoch_is_a_row_that_reads_back_exactly() -> None:
    summary = make_tuning()
    found = rows(history_csv(summary))
    assert list(found[0]) == [field.name for field in fields(Epoch)]
    for row, epoch in zip(found, summary.epochs, strict=True):
        for name in ("loss", "accuracy", "validation_loss", "validation_accuracy", "rate"):
            assert float(row[name]) == getattr(epoch, name)
        assert (int(row["number"]), int(row["step"]), row["phase"]) == (epoch.number, epoch.step, epoch.phase)


def test_what_was_not_measured_is_empty() -> None:
    found = rows(history_csv(make_tuning(epochs=make_epochs(validation=False))))
    assert {(row["validation_loss"], row["validation_accuracy"]) for row in found} == {("", "")}


def test_lines_end_in_a_line_feed_and_names_are_quoted() -> None:
    data = history_csv(make_tuning(epochs=(replace(make_epochs()[0], phase='head, "new"'),)))
    assert b"\r" not in data
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 2
    assert rows(data)[0]["phase"] == 'head, "new"'


def test_no_epochs_are_a_header_alone() -> None:
    assert history_csv(make_tuning(epochs=(), best_epoch=0)).count(b"\n") == 1
