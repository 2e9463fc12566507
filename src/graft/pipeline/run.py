"""The run: one directory with everything a training left behind."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import ClassVar, Final, TypeVar

import numpy as np

from graft.bundle.format import FILE_NAME
from graft.core.errors import BadInput, GraftError
from graft.core.files import STRAY_PATTERN, make_directory, sweep_stray, write_atomic
from graft.core.locks import Lock
from graft.core.records import from_json, record, to_json
from graft.core.tensors import read_tensors, write_tensors
from graft.data.archives.unpacking import plain_name
from graft.data.inspection.summary import Inspection
from graft.data.records import Manifest
from graft.evaluation.comparison import Comparison
from graft.evaluation.records import Evaluation
from graft.training.records import Plan, ProbeSummary
from graft.training.tuning.records import TuningSummary

RecordType = TypeVar("RecordType")
REPORT: Final = "report.html"
LOCK: Final = ".lock"


@record
class Made:
    """How, when and where a run was made. Stands outside every hash: it differs between equal runs."""

    SCHEMA: ClassVar[str] = "graft/made/1"
    command: str
    data: str  # absolute path of the folder that the manifest's paths are relative to, or of an archive of it
    archive_sha256: str = ""  # of the archive, where `data` is one
    created: str  # ISO 8601 with offset
    seconds: dict[str, float]
    versions: dict[str, str]
    machine: dict[str, str]
    n_computed: int  # photos that went through the backbone in this run
    n_reused: int  # photos whose features an earlier run had left in the store
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """A run's directory: `plan.json`, `manifest.json`, … `classifier.graft`, `report.html`; each whole or absent."""

    path: Path

    @property
    def bundle(self) -> Path:
        """The file that ships."""
        return self.path / FILE_NAME

    @property
    def report(self) -> Path:
        """The page to open."""
        return self.path / REPORT

    @property
    def lock(self) -> Path:
        """Held while a training writes here."""
        return self.path / LOCK

    @classmethod
    def open(cls, path: Path) -> "Run":
        """A finished run; `BadInput` not_found where there is none."""
        run = cls(path)
        needed = (FILE_NAME, "made.json")
        missing = [name for name in needed if not (path / name).is_file()]
        if len(missing) == len(needed) and not run.has(Plan):
            raise BadInput(
                f"RUN must be a folder that graft train wrote, got {path}.", hint="Check the path.", code="not_found"
            )
        if missing:
            raise BadInput(
                f"RUN must hold a finished training, but {path} has no {missing[0]}.",
                hint="Run graft train again with the same options; what was computed is reused.",
                code="not_found",
            )
        return run

    def sweep(self) -> int:
        """Remove what killed writers left here and return how many files; called by the holder of the lock."""
        return sweep_stray(self.path, Lock(self.lock).lease_seconds)

    def write(
        self, item: Manifest | Inspection | Plan | ProbeSummary | TuningSummary | Evaluation | Comparison | Made
    ) -> None:
        """Store a record under its own name."""
        write_atomic(self._record_path(type(item)), to_json(item), writer="record")

    def read(self, cls: type[RecordType]) -> RecordType:
        """Read a stored record; `IntegrityProblem` where it is damaged, `BadInput` not_found where it is missing."""
        path = self._record_path(cls)
        try:
            return from_json(cls, path.read_bytes(), source=str(path))
        except OSError as error:
            raise BadInput(
                f"{path} must be readable: {error.strerror}.", hint="Train again to write it.", code="not_found"
            ) from None

    def has(self, cls: type[object]) -> bool:
        """Whether the record was stored."""
        return self._record_path(cls).is_file()

    def write_arrays(self, name: str, arrays: dict[str, np.ndarray]) -> None:
        """Store named arrays as NAME.safetensors."""
        write_tensors(self.path / f"{name}.safetensors", arrays, metadata={}, writer="arrays")

    def read_arrays(self, name: str) -> dict[str, np.ndarray]:
        """Copies of the arrays stored under `name`."""
        with read_tensors(self.path / f"{name}.safetensors") as file:
            return {key: np.array(value) for key, value in file.tensors.items()}

    def _record_path(self, cls: type[object]) -> Path:
        name = cls.SCHEMA.split("/")[1]  # type: ignore[attr-defined]  # each stored record names its schema
        return self.path / f"{name}.json"


def place_run(output: str | None, data: Path, plan: Plan) -> Run:
    """The directory to write: the one asked for, or DATA-run with the next free number.

    One that holds a run of the same plan is written again; any other content is left alone (`BadInput` already_exists).
    """
    if output is None:
        return _next_free(data, plan)
    run = Run(Path(output))
    check_free(run, plan)
    make_directory(run.path)
    return run


def as_begun(run: Run, plan: Plan) -> Plan:
    """`plan` with what an earlier, interrupted or finished training of it in this run had decided for its machine.

    Its schedules are followed, and its number of threads, on which the last bits of all numbers depend; what was said
    of the recipe stays said, for the bundle quotes the hash of its plan.
    """
    if not run.has(Plan):
        return plan
    earlier = run.read(Plan)
    return replace(
        plan,
        schedules=plan.schedules or earlier.schedules,
        threads=earlier.threads,
        recipe_reason=earlier.recipe_reason,
    )


def check_free(run: Run, plan: Plan) -> None:
    """Refuse a directory that holds anything but a run of this plan; asked again once its lock is held.

    Raises `BadInput`: `resume_mismatch` where it holds a run of another plan, naming each difference, `already_exists`
    where it holds something else.
    """
    if _is_free(run.path) or _holds(run, plan):
        return
    differences = _differences(run, plan)
    if differences:
        raise BadInput(
            f"The output must hold a run of the same plan to go on with, but {run.path} differs in {differences}.",
            hint="Give the same data and options as for that run, or choose another folder with -o.",
            code="resume_mismatch",
        )
    raise BadInput(
        f"The output must be a new or empty folder, or hold a run of the same plan, got {run.path}.",
        hint="Choose another folder, with -o on the command line, or remove this one.",
        code="already_exists",
    )


def _next_free(data: Path, plan: Plan) -> Run:
    stem = plain_name(data.resolve()).removesuffix(".csv") or "data"
    number = 1
    while True:
        run = Run(Path(f"{stem}-run" if number == 1 else f"{stem}-run-{number}"))
        if _is_free(run.path) or _holds(run, plan):
            make_directory(run.path)
            return run
        number += 1


def _is_free(path: Path) -> bool:
    """Whether nothing is there but what a training killed before its first record leaves: a lock and strays."""
    return not path.exists() or (path.is_dir() and all(_is_left_over(item) for item in path.iterdir()))


def _is_left_over(item: Path) -> bool:
    return item.name == LOCK or item.match(STRAY_PATTERN)


def _holds(run: Run, plan: Plan) -> bool:
    """Whether a run of this plan is there; a plan that does not read is another one."""
    try:
        return run.has(Plan) and _same(run.read(Plan), plan)
    except GraftError:
        return False


def _same(earlier: Plan, plan: Plan) -> bool:
    """Whether two plans are equal, as far as both are decided and but for what a training that goes on takes over."""
    return next(_unequal(earlier, plan), None) is None


def _differences(run: Run, plan: Plan) -> str:
    """In which fields the plan of a run differs, as `seed (0 there, 4 now)`; empty where no plan reads."""
    try:
        earlier = run.read(Plan)
    except GraftError:
        return ""
    told = [f"{name} ({shortened(old)} there, {shortened(new)} now)" for name, old, new in _unequal(earlier, plan)]
    return ", ".join(told).replace("manifest_hash", "the photos or their splits: manifest_hash")


def _unequal(old: object, new: object, name: str = "") -> Iterator[tuple[str, object, object]]:
    """The innermost fields in which two values differ, as `tuning.epochs`.

    Schedules that are yet to come do not differ, nor do the number of threads and the words for the recipe: see
    `as_begun`.
    """
    if old == new or name in ("threads", "recipe_reason") or (name == "schedules" and () in (old, new)):
        return
    if is_dataclass(old) and is_dataclass(new) and type(old) is type(new):
        for field in fields(old):
            inner = f"{name}.{field.name}" if name else field.name
            yield from _unequal(getattr(old, field.name), getattr(new, field.name), inner)
    else:
        yield name, old, new


def shortened(value: object) -> str:
    """A plan's value for a sentence."""
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "..."
