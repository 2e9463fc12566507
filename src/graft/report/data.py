"""What a report is made from: records other steps left, thumbnails, and how the run was made."""

from dataclasses import dataclass, field
from typing import Any

from graft.core.errors import IntegrityProblem
from graft.core.hashing import canonical_json
from graft.core.records import from_json
from graft.data.inspection.summary import Inspection
from graft.data.records import Manifest
from graft.evaluation.comparison import Comparison
from graft.evaluation.records import Evaluation
from graft.training.recipes.records import OWN_RECIPES
from graft.training.records import ProbeSummary
from graft.training.tuning.records import Schedule, Tuning, TuningSummary


@dataclass(frozen=True)
class Answered:
    """One photo of the scored split: its class, the one it was taken for and how surely; `thumbnail` is a JPEG."""

    path: str
    true: str
    predicted: str
    probability: float
    thumbnail: bytes


@dataclass(frozen=True)
class Viewed:
    """One training photo and augmented views of it: JPEGs, the photo first, and what was done to each in words."""

    path: str
    label: str
    pictures: tuple[tuple[bytes, str], ...]


@dataclass(frozen=True)
class Pictures:
    """JPEG thumbnails of some photos by path, and which of them stand for each class on the contact sheet."""

    thumbnails: dict[str, bytes] = field(default_factory=dict)
    sheet: dict[str, tuple[str, ...]] = field(default_factory=dict)  # class: paths, in the order of the classes


@dataclass(frozen=True, kw_only=True)
class InspectionData:
    """What the page of `graft inspect` is made from."""

    name: str
    created: str  # ISO 8601 with its offset from UTC; the page never asks the clock
    command: str
    manifest: Manifest
    inspection: Inspection
    pictures: Pictures = Pictures()
    next_commands: tuple[tuple[str, str], ...] = ()  # (command, what it does)


@dataclass(frozen=True, kw_only=True)
class ReportData:
    """Everything the page may say. The report computes no score: each figure comes from these records.

    `comparison_with_last_layer` holds the values of a `Comparison` whose first classifier reads the last layer only and
    whose second is this one. `seconds` maps a stage to its duration. `next_commands` holds (command, what it does).
    """

    name: str
    created: str  # ISO 8601 with its offset from UTC; the page never asks the clock
    command: str
    manifest: Manifest
    inspection: Inspection
    plan: dict[str, Any]
    probe: ProbeSummary
    tuning: TuningSummary | None = None  # None: the probe was all
    evaluation: Evaluation
    comparison_with_last_layer: dict[str, Any] | None = None
    mistakes: tuple[Answered, ...] = ()  # most confident first
    answers: tuple[Answered, ...] = ()  # some of all scored photos, drawn by chance
    views: tuple[Viewed, ...] = ()  # of some training photos, as fine-tuning saw them
    pictures: Pictures = Pictures()
    seconds: dict[str, float]
    n_computed: int = 0  # photos that went through the backbone for this run
    n_reused: int = 0  # photos whose features were in the store
    versions: dict[str, str]
    machine: dict[str, str]
    bundle_name: str
    bundle_bytes: int
    licences: tuple[tuple[str, str], ...] = ()  # (what, terms)
    events: tuple[str, ...] = ()
    next_commands: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        """Refuse records that do not belong together: their figures would be shown under wrong names."""
        classes, scored = self.manifest.classes, self.evaluation.classes
        if scored != classes:
            raise IntegrityProblem(
                f"The evaluation must have the manifest's {len(classes)} classes in the same order, got {len(scored)}.",
                hint="Evaluate the run again: graft evaluate RUN.",
                code="record_invalid",
            )
        rows = {len(self.evaluation.per_class), len(self.evaluation.confusion), *map(len, self.evaluation.confusion)}
        if rows != {len(classes)}:
            raise IntegrityProblem(
                f"The evaluation's tables must have one row and one column for each of {len(classes)} classes.",
                hint="Evaluate the run again: graft evaluate RUN.",
                code="record_invalid",
            )
        _ = self.comparison, self.asked, self.schedules

    @property
    def comparison(self) -> Comparison | None:
        """The comparison with the last layer as a record; `IntegrityProblem` where its values are not those of one."""
        values = self.comparison_with_last_layer
        return None if values is None else from_json(Comparison, canonical_json(values), source="comparison")

    @property
    def asked(self) -> Tuning | None:
        """What was asked for of fine-tuning; `IntegrityProblem` where the plan's values are not those of a `Tuning`."""
        values = self.plan.get("tuning")
        return None if values is None else from_json(Tuning, canonical_json(values), source="plan.tuning")

    @property
    def schedules(self) -> tuple[Schedule, ...]:
        """The plan's decisions about each phase; `IntegrityProblem` where they are not those of a schedule."""
        values = self.plan.get("schedules") or ()
        return tuple(from_json(Schedule, canonical_json(each), source="plan.schedules") for each in values)

    @property
    def recipe(self) -> str:
        """The plan's recipe: probe, finetune, auto, or the name of a reference recipe."""
        return str(self.plan.get("recipe", ""))

    @property
    def random_weights(self) -> bool:
        """Whether the network began with random weights, to be trained from nothing."""
        return bool(self.plan.get("random_weights"))

    @property
    def is_reference(self) -> bool:
        """Whether that is a published system by its name."""
        return self.recipe not in ("", *OWN_RECIPES)
