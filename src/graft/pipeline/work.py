"""A training under way, as its steps hand it on."""

from dataclasses import dataclass
from pathlib import Path

from graft.backbones.weights import WeightsFile
from graft.core.progress import Progress
from graft.features.store import Store
from graft.pipeline.clock import Clock
from graft.pipeline.intake import Intake
from graft.pipeline.options import TrainOptions
from graft.pipeline.planning import Resolved
from graft.pipeline.run import Run
from graft.pipeline.workspace import feature_store
from graft.training.tuning.records import Tuning

NO_CAP_BYTES = 1 << 40  # of a store that goes with the training: nobody asks for its content again


@dataclass(frozen=True)
class Work:
    """A training under way: what was asked, what was decided, where it works and where it writes."""

    run: Run
    intake: Intake
    resolved: Resolved
    options: TrainOptions
    scratch: Path
    clock: Clock
    progress: Progress

    @property
    def tuning(self) -> Tuning:
        """The fine-tuning of the plan; a plan without one is not asked."""
        if self.resolved.plan.tuning is None:
            raise ValueError("the plan must have a tuning")
        return self.resolved.plan.tuning

    @property
    def judged_augmented(self) -> bool:
        """Whether validation and test photos are augmented too, as a recipe may have it to be what was published."""
        return self.resolved.plan.tuning is not None and self.resolved.plan.tuning.augments == "all"

    def store_for(self, weights: WeightsFile) -> Store:
        """Where activations are kept: the user's, or for weights that were trained here one that goes with the work."""
        if weights.sha256 == self.resolved.plan.weights_sha256:
            return feature_store()
        return Store(self.scratch / "trained", cap_bytes=NO_CAP_BYTES)
