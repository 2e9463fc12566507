"""Epochs for TensorBoard, while training goes on: scalars in TensorBoard's own records, without TensorFlow.

TensorBoard draws rows of one name from several folders into one chart: `train` holds loss, accuracy and the learning
rate, `validation` loss and accuracy. The horizontal axis counts epochs.
"""

import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from graft.core.errors import BadInput
from graft.core.files import Journal, make_directory
from graft.training.tuning.records import Epoch

if TYPE_CHECKING:
    from tensorboard.compat.proto.event_pb2 import Event

FILE_VERSION: Final = "brain.Event:2"  # the first record of every event file says so


def require_tensorboard() -> None:
    """Refuse (extra_missing) where TensorBoard is not installed; asked before anything is computed."""
    if find_spec("tensorboard") is None:
        raise BadInput(
            "Writing rows for TensorBoard needs tensorboard, which is not installed.",
            hint="Type: pip install 'graft-vision[tensorboard]'. history.csv holds the same figures without it.",
            code="extra_missing",
        )


class TensorBoardWriter:
    """Writes each epoch as it ends; TensorBoard shows it with its next look at `folder`.

    A training that goes on after an interruption opens a writer on the same folder: from its first row on, TensorBoard
    drops what earlier files of the folder held. Equal rows give equal files but for their names and times.
    Raises: BadInput extra_missing, ResourceProblem.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        require_tensorboard()
        self._folder = folder
        self._clock = clock  # seconds since 1970
        self._logs: dict[str, _Log] = {}

    def epoch(self, row: Epoch) -> None:
        """Add one finished epoch."""
        self._add("train", row.number, {"loss": row.loss, "accuracy": row.accuracy, "learning_rate": row.rate})
        measured = {"loss": row.validation_loss, "accuracy": row.validation_accuracy}
        self._add("validation", row.number, {name: value for name, value in measured.items() if value is not None})

    def close(self) -> None:
        """Close the files; nothing is added after it."""
        for log in self._logs.values():
            log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _add(self, name: str, epoch: int, values: Mapping[str, float]) -> None:
        if not values:
            return
        if name not in self._logs:
            self._logs[name] = _Log(self._folder / name, epoch, self._clock())
        self._logs[name].add(epoch, values, self._clock())


class _Log:
    """One event file: records of TensorBoard's form, each complete in the file as soon as it is added."""

    def __init__(self, folder: Path, first_epoch: int, seconds: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.summary.writer.record_writer import RecordWriter

        make_directory(folder)
        # TensorBoard reads the files of a folder in the order of their names: time first, padded.
        self._journal = Journal(folder / f"events.out.tfevents.{seconds:017.6f}.graft")
        self._records = RecordWriter(self._journal)
        self._write(Event(wall_time=seconds, file_version=FILE_VERSION))
        begun = SessionLog(status=SessionLog.START)
        self._write(Event(wall_time=seconds, step=first_epoch, session_log=begun))

    def add(self, epoch: int, values: Mapping[str, float], seconds: float) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        rows = [Summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(Event(wall_time=seconds, step=epoch, summary=Summary(value=rows)))

    def close(self) -> None:
        self._journal.close()

    def _write(self, event: "Event") -> None:
        self._records.write(event.SerializeToString(deterministic=True))
