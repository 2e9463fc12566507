"""Where a network is cut for each phase of training, what is trained above, and what is stored below."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np

from graft.backbones.freezing import Freeze, Freezing, cut_at, resolve
from graft.backbones.layers import LayerTable, layer_table
from graft.core import machine
from graft.core.files import free_bytes
from graft.data.records import Split
from graft.features.engines import best_precision
from graft.features.records import Output, Precision, Program
from graft.features.table import bytes_needed
from graft.pipeline.planning import program_of
from graft.pipeline.scoring import Probed, rows_of
from graft.pipeline.work import Work
from graft.pipeline.workspace import cap_bytes
from graft.training.heads.network import fresh_start
from graft.training.heads.records import Head
from graft.training.records import Classifier, Plan
from graft.training.taps import TapTable, tap_scaler
from graft.training.tuning.depth import auto_layer, unlikeness
from graft.training.tuning.records import OptimizerName, Phase, Schedule, Tuning

HEAD_EPOCHS: Final = 5
HEAD_RATE: Final = 1e-3
BATCH_IMAGES: Final = 32
SMALL_BATCH_IMAGES: Final = 16
SMALL_PHOTOS: Final = 256  # up to which the small batch is taken
# Of each optimiser, with averaged weights and a head that starts at the probe's solution: the rate for photos that are
# as unlike those of the backbone as can be.
RATES: Final[dict[OptimizerName, float]] = {"adam": 1e-3, "adamw": 1e-3, "sgd": 1e-2, "rmsprop": 1e-4}
GENTLEST: Final = 0.1  # of that rate, for photos that are like those of the backbone
WEIGHT_DECAY: Final = 4e-3  # AdamW's in Keras
ON_DISK: Final = 2  # times that stored views lie on the disk: in the store, and joined for the training
FREE_SHARE: Final = 0.5  # of the free disk that they may take
# Layers that gain nothing from bfloat16 while training on a CPU: their work is moving numbers, not multiplying them.
DEPTHWISE: Final = ("DepthwiseConv2D", "SeparableConv2D")


@dataclass(frozen=True)
class Layout:
    """Where the network is cut, what is trained above, and the head to begin with: everything but the time.

    `shared` is what other phases read of the same views beside this one: read together, the part of the network that
    they have in common is computed once.
    """

    table: LayerTable
    freezing: Freezing
    start: Classifier
    shared: tuple[Output, ...] = ()

    @property
    def cut(self) -> tuple[str, ...]:
        """The layers whose outputs are stored; () where everything runs from pixels."""
        return self.freezing.cut

    def cut_at(self, cut: tuple[str, ...]) -> Self:
        """The same with the network cut elsewhere, or with () not at all."""
        return self if cut == self.cut else replace(self, freezing=cut_at(self.table, self.freezing, cut))

    @property
    def outputs(self) -> tuple[Output, ...]:
        """What a phase reads of each view: the cut, where the head reads above it, and what the head reads below."""
        highest = max((self.table.find(name).number for name in self.cut), default=-1)
        lower = tuple(each for each in self.start.outputs if self.table.find(each.layer).number <= highest)
        reads_cut = len(lower) < len(self.start.outputs)
        return (*(Output(layer=name, pooling="none") for name in self.cut if reads_cut), *lower)

    @property
    def stored(self) -> tuple[Output, ...]:
        """What is stored for each view: what is read, and what others read."""
        return tuple(dict.fromkeys((*self.shared, *self.outputs))) if self.cut else ()

    def program(self, plan: Plan, weights_sha256: str = "") -> Program:
        """What the engine runs for each view."""
        return replace(program_of(plan, weights_sha256), outputs=self.stored)

    def view_bytes(self) -> int:
        """Of one stored view; 0 where nothing is stored."""
        shapes = {output.layer: self.table.find(output.layer).shape for output in self.stored}
        return bytes_needed(self.stored, shapes, photos=1, views=1) if self.cut else 0


def table_of(work: Work) -> LayerTable:
    """The layers of the plan's network at the plan's size."""
    resolved = work.resolved
    return layer_table(resolved.record, resolved.plan.side_pixels, machine.cache_directory())


def layouts(work: Work, probed: Probed) -> Iterator[Layout]:
    """Where the network may be cut, from the lowest place up: one, or with `--freeze auto` those that cost less too."""
    freeze = work.tuning.freeze
    profile = probed.result.summary.depth_profile
    taps = [depth.layer for depth in profile]
    first = taps.index(auto_layer(profile))
    table, start = table_of(work), start_of(work, probed)
    for tap in taps[first : -1 if freeze.kind == "auto" else first + 1]:
        freezing = resolve(table, freeze, profile_layer=tap, normalizes=from_nothing(work))
        yield _layout(work, Layout(table, freezing, start))


def phase_layout(work: Work, probed: Probed, phase: Phase) -> Layout:
    """The layout of a phase that says itself what it freezes."""
    table = table_of(work)
    freezing = resolve(table, phase.freeze, normalizes=phase.batch_normalization == "trained")
    return _layout(work, Layout(table, freezing, start_of(work, probed)))


def from_nothing(work: Work) -> bool:
    """Whether the network's weights are random: what is tracked of them says nothing, and must be learned too."""
    return work.resolved.plan.random_weights


def _layout(work: Work, layout: Layout) -> Layout:
    """As the words about storing have it. Where nothing but taps are read, all of them: as the probe did already."""
    if work.tuning.storing == "never":
        return layout.cut_at(())
    taps = tuple(Output(layer=tap) for tap in work.resolved.plan.taps)
    return replace(layout, shared=taps) if set(layout.outputs) <= set(taps) else layout


def start_of(work: Work, probed: Probed) -> Classifier:
    """The head before fine-tuning, fitted without the validation photos.

    With "probe" the probe's own, up to the last tap where layers are trained: what it did not read has no say at
    first. Its temperature is left out: see docs/decisions/0008-the-fine-tuned-form.md. With "trained" a linear one on
    the last layer, without what the probe knows; with layers of its own these, drawn anew.
    """
    tuning = work.tuning
    if isinstance(tuning.head, Head):
        return _fresh(work, tuning.head)
    if tuning.head == "trained":
        last = probed.result.held_out_last_layer
        return replace(last, kernel=np.zeros_like(last.kernel), bias=np.zeros_like(last.bias), temperature=1.0)
    head = replace(probed.result.held_out, temperature=1.0)
    taps = work.resolved.plan.taps
    unread = taps[taps.index(head.taps[-1]) + 1 :]
    if tuning.freeze.kind == "none" or not unread:
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


def _fresh(work: Work, head: Head) -> Classifier:
    """A head of its own layers on the network's last one."""
    plan, classes = work.resolved.plan, len(work.intake.manifest.classes)
    last = table_of(work).without_top()[-1]
    units = 1 if classes == 2 and plan.binary_units == 1 else classes
    return fresh_start(head, last.name, last.shape, classes=classes, units=units, seed=plan.seed)


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


def head_phase() -> Phase:
    """The phase that trains a new head before anything else."""
    return Phase(
        name="head",
        freeze=Freeze(kind="none"),
        epochs=HEAD_EPOCHS,
        rate=HEAD_RATE,
        warmup_epochs=0.0,
        decay="none",
    )


def main_phase(work: Work, probed: Probed, layout: Layout, epochs: int) -> Phase:
    """The phase that trains what is to be trained."""
    tuning, first = work.tuning, layout.freezing.first_trained
    decided = Freeze(kind="until", layer=first) if first else Freeze(kind="none")
    return Phase(
        name="upper layers" if first else "head",
        freeze=decided if tuning.freeze.kind == "auto" else tuning.freeze,
        batch_normalization="trained" if from_nothing(work) else "frozen",
        epochs=epochs,
        optimizer=tuning.optimizer,
        rate=tuning.rate or _rate(tuning.optimizer, probed),
        layer_decay=tuning.layer_decay,
        weight_decay=WEIGHT_DECAY if tuning.optimizer == "adamw" else 0.0,
        warmup_epochs=min(1.0, epochs / 4),
        patience=max(4, epochs // 2),
    )


def draft(work: Work, layout: Layout, phase: Phase, *, views: int, batch: int | None = None) -> Schedule:
    """The schedule of one phase; without its reason."""
    freezing = layout.freezing
    return Schedule(
        cut=layout.cut,
        trained=freezing.trained,
        n_trained_parameters=freezing.n_trained_parameters,
        n_frozen_parameters=freezing.n_frozen_parameters,
        views=views if layout.cut else 1,
        store_bytes=layout.view_bytes() * count_of(work, "train") * views,
        batch_images=batch or work.tuning.batch_images or usual_batch(work),
        precision=_precision(work.tuning, layout),
        phase=phase,
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
