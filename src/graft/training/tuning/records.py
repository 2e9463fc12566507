"""Fine-tuning as data: what was asked for, what was decided, and what happened epoch by epoch."""

import math
from typing import Annotated, ClassVar, Final, Literal

from annotated_types import Ge, Gt, Interval

from graft.backbones.freezing import Freeze
from graft.core.records import record
from graft.data.augmentation.records import Augmentation
from graft.evaluation.comparison import Comparison
from graft.evaluation.records import Score
from graft.features.records import Precision
from graft.training.heads.records import Head

OptimizerName = Literal["adam", "adamw", "sgd", "rmsprop"]
Backend = Literal["tensorflow", "jax", "torch"]
Count = Annotated[int, Ge(1)]
Share = Annotated[float, Interval(ge=0, lt=1)]
USUAL_VIEWS: Final = 8  # of each training photo, where nobody says how many


@record
class Phase:
    """A stretch of training with one set of trained layers and one course of the learning rate.

    The rate rises evenly from zero over `warmup_epochs`, then falls along half a cosine to `final_share` of `rate` at
    the end of the phase; or it stays (none), or it is `rate / (1 + decay_rate * step)` (inverse_time). A layer's own
    rate is `rate * layer_decay ** d`, `d` counting the trained layers' blocks from the top; the head's is
    `rate * head_factor`.
    """

    name: str  # for people: "head", "upper layers"
    freeze: Freeze  # of the backbone; the head is trained always
    batch_normalization: Literal["frozen", "trained"] = "frozen"  # among the trained layers, and in the head
    epochs: Count
    steps_per_epoch: Count | None = None  # None: as many as all photos make
    optimizer: OptimizerName = "adam"
    rate: Annotated[float, Gt(0)] = 1e-3
    head_factor: Annotated[float, Gt(0)] = 1.0
    layer_decay: Annotated[float, Interval(gt=0, le=1)] = 1.0
    momentum: Share = 0.9  # sgd's, Nesterov's form; of no meaning to the others
    weight_decay: Annotated[float, Ge(0)] = 0.0  # decoupled, of kernels only (adamw)
    warmup_epochs: Annotated[float, Ge(0)] = 1.0
    decay: Literal["cosine", "none", "inverse_time"] = "cosine"
    decay_rate: Annotated[float, Ge(0)] = 0.0  # of each step, for inverse_time
    final_share: Annotated[float, Interval(ge=0, le=1)] = 0.0
    patience: Annotated[int, Ge(0)] = 0  # epochs without a better validation loss after which the phase ends; 0: never

    def photos_an_epoch(self, *, batch_images: int, n_train: int) -> int:
        """How many training photos an epoch looks at, the same one more than once where its steps need more."""
        return n_train if self.steps_per_epoch is None else self.steps_per_epoch * batch_images


@record
class Tuning:
    """Fine-tuning as asked for. None, and a freeze of kind "auto", are left to the `Schedule`."""

    freeze: Freeze = Freeze()
    # begins as the probe's solution, or is trained before the rest, or has layers of its own and is trained so too
    head: Literal["probe", "trained"] | Head = "probe"
    phases: tuple[Phase, ...] = ()  # as a recipe names them; (): decided
    augmentation: Augmentation = Augmentation()
    augments: Literal["train", "all"] = "train"  # "all": photos are judged as augmented too, as some tutorials do
    views: Count | None = None  # of each training photo, the photo itself among them
    epochs: Count | None = None
    batch_images: Count | None = None
    optimizer: OptimizerName = "adam"
    rate: Annotated[float, Gt(0)] | None = None
    layer_decay: Annotated[float, Interval(gt=0, le=1)] = 0.9  # of the rate from each trained block to the one below
    label_smoothing: Share = 0.1
    mixup: Annotated[float, Ge(0)] = 0.0  # alpha of the beta distribution; 0: none
    averaging: Share = 0.98  # decay of the exponential moving average of the weights; 0: none
    dropout: Share = 0.0  # before the head
    precision: Literal["auto", "bfloat16", "float32"] = "auto"
    storing: Literal["auto", "always", "never"] = "auto"  # activations at the cut, or end to end from pixels
    backend: Backend = "tensorflow"
    time_budget_seconds: Annotated[float, Gt(0)] | None = None


@record
class Schedule:
    """What was decided for a phase of a `Tuning` on this data and machine, once. Training follows it to the letter."""

    cut: tuple[str, ...]  # the layers whose outputs are stored; () where everything runs from pixels
    trained: tuple[str, ...]  # layers whose weights change, from the input up
    n_trained_parameters: int  # of the backbone
    n_frozen_parameters: int  # of the backbone, BatchNormalization's statistics among them
    views: Count  # stored for each training photo; from pixels each epoch draws fresh ones
    store_bytes: int
    batch_images: Count
    precision: Precision  # the suffix computes in
    phase: Phase
    reason: str  # one line for people: cut, views, epochs, and what they follow from


@record
class Epoch:
    """One finished epoch. Losses are natural logarithms; validation is measured with averaged weights where kept."""

    number: Count  # over all phases, from 1
    phase: str
    step: Count  # steps done when it ended, over all phases
    rate: float  # of the last step
    loss: float
    accuracy: float  # on the augmented training views, while the weights changed
    validation_loss: float | None
    validation_accuracy: float | None


@record
class PhaseSummary:
    """How one phase of several went. `accuracy` is of its classifier, on the photos that the run is judged by."""

    name: str
    best_epoch: int  # counted over all phases
    frozen_sha256: str  # of the tensors it did not train, equal before and after
    accuracy: Score
    bundle: str = ""  # file in the run with the classifier as this phase left it; "": the run's own


@record
class TuningSummary:
    """How fine-tuning went, and what was kept."""

    SCHEMA: ClassVar[str] = "graft/tuning/1"
    epochs: tuple[Epoch, ...]
    best_epoch: int  # whose weights were kept
    finished: bool  # False: stopped by the user, to be gone on with
    stopped_early: bool  # no better validation loss for the phase's patience
    frozen_sha256: str  # of the frozen tensors, equal before and after
    comparison: Comparison | None  # on the validation photos: first the probe, second the fine-tuned network
    comparison_on_test: Comparison | None = None  # the same on the test photos: told, never used to choose
    probe_validation_loss: float | None
    tuned_validation_loss: float | None
    kept: Literal["probe", "finetune"]
    reason: str  # why, in one sentence
    phases: tuple[PhaseSummary, ...] = ()
    events: tuple[str, ...] = ()


def usual_views(augmentation: Augmentation, phase: Phase, *, batch_images: int, n_train: int) -> int:
    """How many views of each of so many training photos a recipe's phase reads.

    No more than there are times to see a photo in, but two at least: the first view is the photo as it is.
    """
    if augmentation.changes_nothing:
        return 1
    n_seen = phase.epochs * phase.photos_an_epoch(batch_images=batch_images, n_train=n_train)
    return min(USUAL_VIEWS, max(2, math.ceil(n_seen / n_train)))
