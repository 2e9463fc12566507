import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from graft.core.errors import BadInput
from graft.report import tensorboard as tensorboard_module
from graft.report.tensorboard import TensorBoardWriter, require_tensorboard
from graft.training.tuning.records import TuningSummary
from tests.report.factory import make_epochs, make_tuning

needs_tensorboard = pytest.mark.skipif(
    tensorboard_module.find_spec("tensorboard") is None, reason="needs the extra [tensorboard]"
)


def write_all(folder: Path, summary: TuningSummary) -> None:
    with TensorBoardWriter(folder) as writer:
        for row in summary.epochs:
            writer.epoch(row)


def clock() -> Iterator[float]:
    yield from (1_800_000_000.0 + second / 8 for second in range(1000))


def events(folder: Path) -> list[object]:
    """The events of a folder's only file, every checksum compared."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

    (path,) = folder.iterdir()
    data, found = path.read_bytes(), []
    while data:
        (size,), (sum_of_size,) = struct.unpack("<Q", data[:8]), struct.unpack("<I", data[8:12])
        content = data[12 : 12 + size]
        assert sum_of_size == masked_crc32c(data[:8])
        assert struct.unpack("<I", data[12 + size : 16 + size]) == (masked_crc32c(content),)
        found.append(Event.FromString(content))
        data = data[16 + size :]
    return found


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    return {(value.tag, event.step): value.simple_value for event in events(folder) for value in event.summary.value}


@needs_tensorboard
def test_every_figure_stands_under_its_epoch(tmp_path: Path) -> None:
    summary = make_tuning()
    write_all(tmp_path / "board", summary)
    train, validation = scalars(tmp_path / "board" / "train"), scalars(tmp_path / "board" / "validation")
    assert len(train) == 3 * len(summary.epochs)
    assert len(validation) == 2 * len(summary.epochs)
    for row in summary.epochs:
        assert train["loss", row.number] == pytest.approx(row.loss, rel=1e-6)
        assert train["accuracy", row.number] == pytest.approx(row.accuracy, rel=1e-6)
        assert train["learning_rate", row.number] == pytest.approx(row.rate, rel=1e-6)
        assert validation["loss", row.number] == pytest.approx(row.validation_loss, rel=1e-6)
        assert validation["accuracy", row.number] == pytest.approx(row.validation_accuracy, rel=1e-6)


@needs_tensorboard
def test_rows_are_there_while_training_goes_on(tmp_path: Path) -> None:
    with TensorBoardWriter(tmp_path) as writer:
        assert list(tmp_path.iterdir()) == []  # nothing is shown before there is something to show
        for done, row in enumerate(make_epochs(), 1):
            writer.epoch(row)
            assert len({step for _, step in scalars(tmp_path / "train")}) == done


@needs_tensorboard
def test_without_validation_photos_there_is_no_such_curve(tmp_path: Path) -> None:
    write_all(tmp_path, make_tuning(epochs=make_epochs(validation=False)))
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


@needs_tensorboard
def test_equal_rows_give_equal_files_but_for_times(tmp_path: Path) -> None:
    contents = []
    for name in ("one", "other"):
        times = clock()
        with TensorBoardWriter(tmp_path / name, clock=lambda times=times: next(times)) as writer:
            for row in make_epochs():
                writer.epoch(row)
        contents.append([(path.name, path.read_bytes()) for path in sorted((tmp_path / name).rglob("*.graft"))])
    assert len(contents[0]) == 2
    assert contents[0] == contents[1]


@needs_tensorboard
def test_a_training_that_goes_on_begins_where_it_says(tmp_path: Path) -> None:
    with TensorBoardWriter(tmp_path) as writer:
        writer.epoch(make_epochs()[6])
    first, begun, *_ = events(tmp_path / "train")
    assert first.file_version == "brain.Event:2"
    assert (begun.session_log.status, begun.step) == (begun.session_log.START, 7)


@needs_tensorboard
def test_it_loads_no_training_library(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from graft.report.tensorboard import TensorBoardWriter\n"
        "from graft.training.tuning.records import Epoch\n"
        "row = Epoch(number=1, phase='all', step=9, rate=0.1, loss=0.5, accuracy=0.9, validation_loss=0.6, "
        "validation_accuracy=0.8)\n"
        f"with TensorBoardWriter(Path({str(tmp_path)!r})) as writer:\n    writer.epoch(row)\n"
        "print(sorted({'tensorflow', 'keras', 'torch', 'jax', 'grpc'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "[]"


@needs_tensorboard
@pytest.mark.slow
def test_tensorboard_itself_reads_an_interrupted_training_as_one(tmp_path: Path) -> None:
    """In a child that is told to do without TensorFlow, which TensorBoard's reader loads where it is installed."""
    for rows in (make_epochs()[:6], make_epochs()[4:]):
        with TensorBoardWriter(tmp_path) as writer:
            for row in rows:
                writer.epoch(row)
    program = (
        "import sys, types; sys.modules['tensorboard.compat.notf'] = types.ModuleType('notf')\n"
        "from tensorboard.backend.event_processing.event_accumulator import EventAccumulator\n"
        f"for name in ('train', 'validation'):\n    read = EventAccumulator({str(tmp_path)!r} + '/' + name).Reload()\n"
        "    print([event.step for event in read.Scalars('loss')])"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ended.stdout.splitlines() == [str(list(range(1, 13)))] * 2


def test_a_missing_tensorboard_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tensorboard_module, "find_spec", lambda name: None)
    for ask in (require_tensorboard, lambda: TensorBoardWriter(tmp_path)):
        with pytest.raises(BadInput, match="needs tensorboard, which is not installed") as told:
            ask()
        assert told.value.code == "extra_missing"
        assert "pip install 'graft-vision[tensorboard]'" in told.value.hint
    assert list(tmp_path.iterdir()) == []
