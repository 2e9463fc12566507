"""Where a network may be cut for fine-tuning, what is trained above, and what is stored below."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from graft.backbones.freezing import Freezing, cut_at, resolve
from graft.backbones.layers import LayerTable, layer_table
from graft.core import machine
from graft.core.files import free_bytes
from graft.data.records import Split
from graft.features.engines import best_precision
from graft.features.records import Output, Precision, Program
from graft.features.table import bytes_needed
from graft.pipeline.leaving import Work
from graft.pipeline.planning import program_of
from graft.pipeline.scoring import Probed, rows_of
from graft.pipeline.workspace import cap_bytes
from graft.training.records import LinearClassifier, Plan
from graft.training.taps import TapTable, tap_scaler
from graft.training.tuning.depth import auto_layer, unlikeness
from graft.training.tuning.records import OptimizerName, Phase, Schedule, Tuning

HEAD_EPOCHS: Final = 5
HEAD_RATE: Final = 1e-3
BATCH_IMAGES: Final = 32
SMALL_BATCH_IMAGES: Final = 16
SMALL_PHOTOS: Final = 256  # up to which the small batch is taken
# Of each optimiser, with averaged weights and a head that starts at the probe's solution.
# The largest, for photos that are unlike those of the backbone; see `_rate`.
RATES: Final[dict[OptimizerName, float]] = {"adam": 1e-3, "adamw": 1e-3, "sgd": 1e-2, "rmsprop": 1e-4}
GENTLEST: Final = 0.1  # of that rate, for photos that are like those of the backbone
WEIGHT_DECAY: Final = 4e-3  # AdamW's in Keras
ON_DISK: Final = 2  # times that stored views lie on the disk: in the store, and joined for the training
FREE_SHARE: Final = 0.5  # of the free disk that they may take
# Layers that gain nothing from bfloat16 while training on a CPU: their work is moving numbers, not multiplying them.
DEPTHWISE: Final = ("DepthwiseConv2D", "SeparableConv2D")


@dataclass(frozen=True)
class Layout:
    """Where the network is cut, what is trained above, and the head to begin with: everything but the time."""

    table: LayerTable
    freezing: Freezing
    start: LinearClassifier

    @property
    def cut(self) -> tuple[str, ...]:
        """The layers whose outputs are stored; () where everything runs from pixels."""
        return self.freezing.cut

    def cut_at(self, cut: tuple[str, ...]) -> Self:
        """The same with the network cut elsewhere, or with () not at all."""
        return self if cut == self.cut else replace(self, freezing=cut_at(self.table, self.freezing, cut))

    @property
    def lower(self) -> tuple[str, ...]:
        """Taps of the head that lie at or below the cut: their averages are stored with it."""
        highest = max((self.table.find(name).number for name in self.cut), default=-1)
        return tuple(tap for tap in self.start.taps if self.table.find(tap).number <= highest)

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What is stored for each view: the cut, where a tap of the head lies above it, and the lower taps."""
        lower = self.lower
        reads_cut = len(lower) < len(self.start.taps)
        whole = tuple(Output(layer=name, pooling="none") for name in self.cut if reads_cut)
        return (*whole, *(Output(layer=tap) for tap in lower))

    def program(self, plan: Plan) -> Program:
        """What the engine runs for each view."""
        return replace(program_of(plan), outputs=self.outputs)

    def view_bytes(self) -> int:
        """Of one stored view; 0 where nothing is stored."""
        shapes = {output.layer: self.table.find(output.layer).shape for output in self.outputs}
        return bytes_needed(self.outputs, shapes, photos=1, views=1) if self.cut else 0


def layouts(work: Work, probed: Probed) -> Iterator[Layout]:
    """Where the network may be cut, from the lowest place up: one, or with `--freeze auto` those that cost less too."""
    resolved, tuning = work.resolved, asked(work)
    table = layer_table(resolved.record, resolved.plan.side_pixels, machine.cache_directory())
    profile = probed.result.summary.depth_profile
    taps = [depth.layer for depth in profile]
    first = taps.index(auto_layer(profile))
    for tap in taps[first : -1 if tuning.freeze.kind == "auto" else first + 1]:
        freezing = resolve(table, tuning.freeze, profile_layer=tap)
        layout = Layout(table, freezing, _start(work, probed, tuning, trains=bool(freezing.trained)))
        yield layout.cut_at(()) if tuning.storing == "never" else layout


def asked(work: Work) -> Tuning:
    """The fine-tuning of the plan."""
    tuning = work.resolved.plan.tuning
    if tuning is None:
        raise ValueError("the plan must have a tuning")
    return tuning


def _start(work: Work, probed: Probed, tuning: Tuning, *, trains: bool) -> LinearClassifier:
    """The head before fine-tuning, fitted without the validation photos.

    The probe's own, up to the last tap where layers are trained: what it did not read has no say at first. Its
    temperature is left out: strongly regularised as it was fitted, it moves the layers below gently, where one as sure
    as the probe's answers pulls so hard that sign digits lose 1.5 points. With `head="trained"` the last layer's,
    without what the probe knows.
    """
    if tuning.head == "trained":
        last = probed.result.held_out_last_layer
        return replace(last, kernel=np.zeros_like(last.kernel), bias=np.zeros_like(last.bias), temperature=1.0)
    head = replace(probed.result.held_out, temperature=1.0)
    taps = work.resolved.plan.taps
    unread = taps[taps.index(head.taps[-1]) + 1 :]
    if not (trains and unread):
        return head
    readable = np.array([photo.split != "test" for photo in work.intake.manifest.photos])
    table = TapTable(probed.activations.values, taps, readable)
    scaler = tap_scaler(table, len(taps) - len(unread), len(taps), rows_of(work.intake.manifest, "train"))
    silent = np.zeros((len(scaler.mean), head.kernel.shape[1]), np.float32)
    return replace(
        head,
        taps=(*head.taps, *unread),
        mean=np.concatenate([head.mean, scaler.mean]),
        scale=np.concatenate([head.scale, scaler.scale]),
        kernel=np.concatenate([head.kernel, silent]),
    )


def count_of(work: Work, split: Split) -> int:
    """How many photos are in a split."""
    return sum(photo.split == split for photo in work.intake.manifest.photos)


def usual_batch(work: Work) -> int:
    """Photos that a training step looks at, unless something else was asked for."""
    return BATCH_IMAGES if count_of(work, "train") > SMALL_PHOTOS else SMALL_BATCH_IMAGES


def most_views(work: Work, layout: Layout) -> int:
    """How many views of each training photo the disk and the store's cap have room for."""
    cache = machine.cache_directory()
    room = min(cap_bytes(cache), int(free_bytes(cache) * FREE_SHARE / ON_DISK))
    validation = layout.view_bytes() * count_of(work, "validation")
    return max(0, room - validation) // max(1, layout.view_bytes() * count_of(work, "train"))


def draft(work: Work, probed: Probed, layout: Layout, *, epochs: int, views: int, batch: int | None = None) -> Schedule:
    """The schedule for one place to cut; without its reason."""
    tuning, freezing = asked(work), layout.freezing
    n_train = count_of(work, "train")
    main = Phase(
        name="upper layers" if freezing.trained else "head",
        trains="all" if freezing.trained else "head",
        epochs=epochs,
        optimizer=tuning.optimizer,
        rate=tuning.rate or _rate(tuning.optimizer, probed),
        layer_decay=tuning.layer_decay,
        weight_decay=WEIGHT_DECAY if tuning.optimizer == "adamw" else 0.0,
        warmup_epochs=min(1.0, epochs / 4),
        patience=max(4, epochs // 2),
    )
    head = Phase(name="head", trains="head", epochs=HEAD_EPOCHS, rate=HEAD_RATE, warmup_epochs=0.0, decay="none")
    return Schedule(
        cut=layout.cut,
        trained=freezing.trained,
        n_trained_parameters=freezing.n_trained_parameters,
        n_frozen_parameters=freezing.n_frozen_parameters,
        views=views if layout.cut else 1,
        store_bytes=layout.view_bytes() * n_train * views,
        batch_images=batch or tuning.batch_images or usual_batch(work),
        precision=_precision(tuning, layout),
        phases=(head, main) if tuning.head == "trained" and freezing.trained else (main,),
        reason="",
    )


def _rate(optimizer: OptimizerName, probed: Probed) -> float:
    """The learning rate: the more the backbone's knowledge fits the photos, the more gently it is changed."""
    return float(f"{RATES[optimizer] * GENTLEST ** (1 - unlikeness(probed.result.summary.depth_profile)):.2g}")


def _precision(tuning: Tuning, layout: Layout) -> Precision:
    """bfloat16 where the processor computes in it and the trained part gains from it."""
    if tuning.precision != "auto":
        return tuning.precision
    prefix = set(layout.freezing.prefix)
    above = [layer.kind for layer in layout.table.without_top() if layer.name not in prefix]
    return "float32" if any(kind in DEPTHWISE for kind in above) else best_precision()
