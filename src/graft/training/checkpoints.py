"""Checkpoints: commits of a training's whole state, each one file, each found whole or found out."""

import contextlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import numpy as np
from annotated_types import Ge

from graft.core.errors import BadInput, IntegrityProblem, ResourceProblem
from graft.core.files import (
    crash_point,
    make_directory,
    remove_file,
    remove_tree,
    require_space,
    sweep_stray,
)
from graft.core.hashing import canonical_json
from graft.core.records import from_sealed_json, record, to_sealed_json
from graft.core.tensors import TensorFile, encode_header, read_tensors, tensors_sha256, write_tensors
from graft.training.tuning.state import Saved

WRITER: Final = "checkpoint"
METADATA_KEY: Final = "commit"
NAME: Final = re.compile(r"step-([0-9]{8,12})\.safetensors")
CODE: Final = "checkpoint_corrupt"
LEASE_SECONDS = 30.0  # of the run's lock: what is younger may belong to a living writer
TOLD_CHARACTERS = 60  # of a field's value, in the sentence on what differs

Array = np.ndarray[Any, np.dtype[Any]]


@record
class Commit:
    """What a checkpoint says of itself. Sealed in the file's header; with the tensors' hash it covers every byte."""

    SCHEMA: ClassVar[str] = "graft/checkpoint/1"
    step: Annotated[int, Ge(0)]
    identity: dict[str, str]  # of the training: a commit belongs to one only
    state: dict[str, Any]  # what is no array, as plain JSON values
    tensors_sha256: str
    # What may change the last bits of a training that goes on under others.
    circumstances: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoints:
    """The commits `step-00000120.safetensors` of one training in one folder.

    `identity` names what the training's numbers depend on (plan, backend, versions, …); a commit of another identity
    is refused. `circumstances`, the processor among them, only change last bits: where they are others, `report` says
    so, as it does for each damaged commit that had to be passed over. Callers hold the run's lock. `keep` commits stay:
    where the newest is damaged, the one before it is gone on with.
    """

    folder: Path
    identity: Mapping[str, str]
    report: Callable[[str], None]
    keep: int = 2
    circumstances: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check."""
        if self.keep < 1:
            raise ValueError(f"keep must be at least 1, got {self.keep}")

    def load(self) -> Saved | None:
        """The newest good commit; None where none was ever made. Makes the folder, and removes what crashes left in it.

        Raises: `IntegrityProblem` checkpoint_corrupt where there are commits but no good one, future_schema for one of
        a newer Graft; `BadInput` resume_mismatch for one of another identity; `ResourceProblem` cannot_write.
        """
        make_directory(self.folder)
        sweep_stray(self.folder, LEASE_SECONDS)
        damaged: list[tuple[Path, str]] = []
        for path in reversed(self._commits()):
            try:
                commit, tensors = _read(path)
            except (IntegrityProblem, BadInput) as error:
                if error.code == "future_schema":
                    raise
                damaged.append((path, error.message))
                continue
            self._check_identity(path, commit)
            self._tell_circumstances(commit)
            for bad, problem in damaged:
                self.report(f"{CODE}: {bad.name} is damaged ({problem}) Going on from {path.name} instead.")
            return Saved(commit.step, tensors, commit.state)
        if damaged:
            raise _none_good(self.folder, damaged)
        return None

    def save(self, step: int, tensors: Mapping[str, Array], state: Mapping[str, Any]) -> None:
        """Commit the state after `step` steps; then, once it is durable, remove what it makes superfluous.

        `state` holds what JSON can: text, whole numbers, finite floats (kept to the last bit), booleans, None, and
        lists and objects of them; TypeError or ValueError otherwise. A commit of the same step is replaced, later ones
        go: they belong to a future that was given up. Raises ResourceProblem disk_full or cannot_write; earlier commits
        are then as they were.
        """
        commit = Commit(
            step=step,
            identity=dict(self.identity),
            circumstances=dict(self.circumstances),
            state=json.loads(canonical_json(dict(state))),  # what JSON would bend is refused now, not when it is read
            tensors_sha256=tensors_sha256(tensors),
        )
        path = self.folder / f"step-{step:08d}.safetensors"
        size_bytes = sum(array.nbytes for array in tensors.values())
        require_space(path, size_bytes, "A checkpoint of the training")
        write_tensors(path, tensors, metadata={METADATA_KEY: to_sealed_json(commit).decode()}, writer=WRITER)
        self._remove_superfluous(path)

    def clear(self) -> None:
        """Remove all commits, and the folder: the training's result is elsewhere by now."""
        remove_tree(self.folder)

    def _tell_circumstances(self, commit: Commit) -> None:
        """Say what is another now than when the commit was made, where the training goes on all the same."""
        for name in sorted({*commit.circumstances, *self.circumstances}):
            there, here = commit.circumstances.get(name, "unknown"), self.circumstances.get(name, "unknown")
            if there != here:
                self.report(
                    f"The training goes on with another {name} ({here}) than it was begun with ({there}): its result "
                    "will agree with that of an undisturbed one within rounding, not to the last bit."
                )

    def _commits(self) -> list[Path]:
        """The commits' files, the oldest first."""
        found = [path for path in self.folder.iterdir() if NAME.fullmatch(path.name)]
        return sorted(found, key=_step_of)

    def _remove_superfluous(self, newest: Path) -> None:
        """Keep the newest commit and those just before it."""
        commits = self._commits()
        number = commits.index(newest)
        superfluous = commits[: max(0, number + 1 - self.keep)] + commits[number + 1 :]
        if superfluous:
            crash_point(WRITER, "before_old_removed")
        for path in superfluous:
            with contextlib.suppress(ResourceProblem):  # Windows: somebody reads it; it goes at the next commit
                remove_file(path)

    def _check_identity(self, path: Path, commit: Commit) -> None:
        """Refuse a commit of another training, naming each field that differs."""
        there, now = commit.identity, dict(self.identity)
        differing = [
            f"{name} ({_told(there.get(name))} there, {_told(now.get(name))} now)"
            for name in sorted(there.keys() | now.keys())
            if there.get(name) != now.get(name)
        ]
        if differing:
            raise BadInput(
                f"A training can be gone on with only as it was begun, but {path} differs in {', '.join(differing)}.",
                hint="Use what it was begun with, or choose another folder with -o to begin anew.",
                code="resume_mismatch",
            )


def _read(path: Path) -> tuple[Commit, dict[str, Array]]:
    """A commit with copies of its tensors. IntegrityProblem where a byte is not what was written, or BadInput."""
    with read_tensors(path, source=path.name, code=CODE) as file:
        if file.metadata.keys() != {METADATA_KEY}:
            raise IntegrityProblem(f"{path.name} must hold a commit, got something else.", code=CODE)
        commit = from_sealed_json(Commit, file.metadata[METADATA_KEY].encode(), source=path.name)
        tensors = {name: np.array(array) for name, array in file.tensors.items()}
        _check_header(file)
    if commit.tensors_sha256 != tensors_sha256(tensors):
        raise IntegrityProblem(f"{path.name} must match its hash, but does not.", code=CODE)
    if commit.step != _step_of(path):
        raise IntegrityProblem(f"{path.name} must be named by its step, got {commit.step}.", code=CODE)
    return commit, tensors


def _check_header(file: TensorFile) -> None:
    """Compare the header with the one that would be written today: JSON can say the same in other bytes."""
    layout = {name: (array.dtype, array.shape) for name, array in file.tensors.items()}
    wanted = encode_header(layout, file.metadata)
    with file.path.open("rb") as opened:
        if opened.read(len(wanted)) != wanted:
            raise IntegrityProblem(f"{file.path.name} must have the header that was written.", code=CODE)


def _none_good(folder: Path, damaged: list[tuple[Path, str]]) -> IntegrityProblem:
    problems = " ".join(problem for _, problem in damaged)
    return IntegrityProblem(
        f"{folder} must hold a good checkpoint to go on from, but each of its {len(damaged)} is damaged: {problems}",
        hint=f"Check the disk. To begin the training anew, remove the folder {folder}, or choose another with -o.",
        code=CODE,
    )


def _step_of(path: Path) -> int:
    found = NAME.fullmatch(path.name)
    return int(found[1]) if found else -1


def _told(value: str | None) -> str:
    """A field's value for a sentence."""
    if value is None:
        return "nothing"
    return value if len(value) <= TOLD_CHARACTERS else value[: TOLD_CHARACTERS - 3] + "..."
