"""The network while it is trained: what lies below the cut, what lies above it, and the classifier on top."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from graft.backbones.cuts import Cut, wide_cuts
from graft.backbones.networks import build
from graft.backbones.weights import WeightsFile, load_into, open_weights
from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.features.graphs import pooled
from graft.features.records import Pooling, Precision
from graft.training.heads.network import TrainedHead, layered_head, linear_head, read_shape
from graft.training.tuning.batches import normalizes
from graft.training.tuning.records import Phase
from graft.training.tuning.task import Task

HEAD = "~head"  # of its tensors' names; no layer is called so
LARGEST_SEED = 2**31


@dataclass(frozen=True)
class Tunable:
    """One tensor that training may change. `depth` counts blocks from the top, None for the classifier's own."""

    name: str
    variable: Any  # keras.Variable, float32
    depth: int | None

    @property
    def decays(self) -> bool:
        """Whether weight decay applies to it: to kernels, neither to biases nor to scales."""
        return len(self.variable.shape) > 1

    def factor(self, phase: Phase) -> float:
        """Its share of the phase's learning rate."""
        return phase.head_factor if self.depth is None else float(phase.layer_decay**self.depth)


@dataclass(frozen=True)
class Piece:
    """Where one of the tensors that the classifier reads comes from."""

    place: int | None  # among the upper part's outputs; None: it is given with the cut, in its last array
    columns: slice  # of that array


@dataclass(frozen=True)
class Network:
    """The backbone in two parts, with the classifier. Arrays in, logits out, in the operations of Keras' backend."""

    backbone: Any  # keras.Model, all of it; the parts share its weights
    lower: Any | None  # keras.Model of what is frozen below everything trained; None where its results are given
    upper: Any | None  # keras.Model from the cut's tensors to what is read above; None where nothing is
    pieces: tuple[Piece, ...]  # what the classifier reads, in its order
    head: TrainedHead
    trained: tuple[Tunable, ...]  # of the backbone, from the input up
    tracked: Mapping[str, Any]  # the backbone's statistics that change in training, by `layer/weight`
    events: tuple[str, ...]

    @property
    def tunables(self) -> tuple[Tunable, ...]:
        """What training changes by gradients."""
        own = (Tunable(f"{HEAD}/{name}", each, None) for name, each in self.head.trainable.items())
        return (*self.trained, *own)

    @property
    def statistics(self) -> dict[str, Any]:
        """What training changes otherwise, by name: means and variances of what passes by."""
        return {**self.tracked, **{f"{HEAD}/{name}": each for name, each in self.head.tracked.items()}}

    @property
    def seeds(self) -> list[Any]:
        """States of the random generators of dropout, in the network's order."""
        layers = [layer for layer in self.backbone.layers if getattr(layer, "seed_generator", None) is not None]
        return [*(layer.seed_generator.state for layer in layers), *self.head.seeds]

    @property
    def changing(self) -> dict[str, Any]:
        """All variables that training changes, but for the random generators', by name."""
        return {each.name: each.variable for each in self.tunables} | self.statistics

    @property
    def own(self) -> dict[str, Any]:
        """The classifier's own variables, by name, those that stay among them."""
        variables = {**self.head.trainable, **self.head.tracked, **self.head.frozen}
        return {f"{HEAD}/{name}": each for name, each in variables.items()}

    def variables(self) -> list[Any]:
        """All there are: weights, the classifier's, states of random generators."""
        every = [*self.backbone.variables, *self.seeds, *self.own.values()]
        return list({id(each): each for each in every}.values())

    def below(self, arrays: Sequence[Any]) -> list[Any]:
        """From a source's arrays to what the upper part reads: the cut's tensors, then what is read below it.

        Never in training mode, and no gradient goes through it.
        """
        from keras import ops

        if self.lower is None:
            return list(arrays)
        return [ops.stop_gradient(each) for each in _listed(self.lower(arrays[0], training=False))]

    def logits(self, cut: Sequence[Any], *, training: bool = False) -> Any:
        """Logits `(batch, class)` float32 from what `below` gave; `training`: with dropout, in what is trained."""
        from keras import ops

        above: list[Any] = []
        if self.upper is not None:
            given = list(cut[: len(self.upper.inputs)])
            above = _listed(self.upper(given if len(given) > 1 else given[0], training=training and bool(self.trained)))
        features = [
            ops.cast(cut[-1][:, piece.columns], "float32") if piece.place is None else above[piece.place]
            for piece in self.pieces
        ]
        return self.head.logits(features, training=training)

    def tensors(self) -> dict[str, np.ndarray]:
        """All of the backbone's tensors as they are now, by `layer/weight`: copies, float32."""
        named = {f"{layer.name}/{each.name}": each for layer in self.backbone.layers for each in layer.weights}
        return {name: read(variable) for name, variable in named.items()}


def read(variable: Any) -> np.ndarray:
    """A variable's value as an array of its own: on a CPU some backends would lend their memory."""
    import keras

    return np.array(keras.ops.convert_to_numpy(variable.value), copy=True)


def file_tensors(weights: WeightsFile) -> dict[str, np.ndarray]:
    """The tensors of a weights file by `layer/weight`: copies, float32."""
    with open_weights(weights) as tensors:
        return {name: np.array(tensor, np.float32) for name, tensor in tensors.items()}


def make_network(task: Task) -> Network:
    """Build the backbone with its weights, split where the schedule says, with the classifier on top.

    Raises: `BadInput` where the source's arrays are not those of the cut, or the head does not fit what it reads.
    """
    with _computing_in(task.schedule.precision):
        backbone = build(task.backbone, side_pixels=task.side_pixels)
    load_into(backbone, task.weights)
    position = {operation.name: place for place, operation in enumerate(backbone.operations)}
    cut = task.schedule.cut or _cut_below(task, backbone, position)
    below = _below(backbone, cut)
    start = task.start
    lower_taps = [tap for tap in start.taps if tap in below]
    upper_taps = [tap for tap in start.taps if tap not in below]
    upper = _part(backbone, cut, (), upper_taps, start.pooling) if upper_taps else None
    given = (backbone.operations[0].name,)
    lower = None
    if not task.schedule.cut and cut != given:
        lower = _part(backbone, given, cut if upper_taps else (), lower_taps, start.pooling, joined=True)
    trained, tracked, events = _trained(task, backbone, upper, position)
    _silence_frozen_dropout(task, backbone, position)
    network = Network(
        backbone=backbone,
        lower=lower,
        upper=upper,
        pieces=_pieces(task, set(lower_taps)),
        head=_head(task, backbone),
        trained=trained,
        tracked=tracked,
        events=events,
    )
    for number, state in enumerate(network.seeds):
        drawn = stream(task.seed, "dropout", task.schedule.phase.name, str(number)).integers(LARGEST_SEED)
        state.assign(np.array([drawn, 0], state.dtype))
    _check_source(task, network)
    return network


def _head(task: Task, backbone: Any) -> TrainedHead:
    if task.head is None:
        return linear_head(task.start, task.tuning.dropout)
    (layer,) = task.start.taps
    with _computing_in(task.schedule.precision):
        return layered_head(
            task.head,
            task.start,
            tuple(backbone.get_layer(layer).output.shape[1:]),
            task.head_tensors,
            normalizes=normalizes(task),
            seed=task.seed,
        )


def _trained(
    task: Task, backbone: Any, upper: Any | None, position: Mapping[str, int]
) -> tuple[tuple[Tunable, ...], dict[str, Any], tuple[str, ...]]:
    """The backbone's tensors to train, from the input up, and the statistics that they change; all else stays.

    And a sentence on layers that cannot be trained.
    """
    reached = {operation.name for operation in upper.operations} if upper is not None else set()
    ends = sorted(position[tap] for tap in task.backbone.taps)
    found: list[Tunable] = []
    tracked: dict[str, Any] = {}
    idle: list[str] = []
    for layer in backbone.layers:
        layer.trainable = layer.name in task.schedule.trained
    for name in sorted(task.schedule.trained, key=lambda name: position[name]):
        layer = backbone.get_layer(name)
        normalizing = bool(layer.non_trainable_weights)  # the statistics
        layer.trainable = name in reached and (not normalizing or normalizes(task))
        if name not in reached and not normalizing:
            idle.append(name)
        if layer.trainable:
            depth = sum(end >= position[name] for end in ends)
            found += [Tunable(f"{name}/{each.name}", each, max(0, depth - 1)) for each in layer.trainable_weights]
            tracked |= {f"{name}/{each.name}": each for each in layer.non_trainable_weights}
    if not idle:
        return tuple(found), tracked, ()
    return (
        tuple(found),
        tracked,
        (
            f"{len(idle)} layers from {idle[0]} to {idle[-1]} keep their weights: the classifier does not read above "
            f"{task.start.taps[-1]}.",
        ),
    )


def _part(backbone: Any, given: Cut, whole: Cut, taps: Sequence[str], pooling: Pooling, *, joined: bool = False) -> Any:
    """A model from the outputs of `given` to those of `whole`, and to what is read of `taps`, one by one or joined."""
    import keras

    outputs = {operation.name: operation.output for operation in backbone.operations}
    found = [outputs[tap] if pooling == "none" else pooled(outputs[tap], pooling) for tap in taps]
    if joined and len(found) > 1:
        found = [keras.layers.Concatenate(dtype="float32")(found)]
    return keras.Model([outputs[name] for name in given], [*(outputs[name] for name in whole), *found])


def _pieces(task: Task, lower_taps: set[str]) -> tuple[Piece, ...]:
    """See `Network.pieces`."""
    if task.head is not None:  # reads one layer, of any shape
        return (Piece(None if lower_taps else 0, slice(None)),)
    widths = dict(zip(task.backbone.taps, task.backbone.tap_widths, strict=True))
    found = []
    place = column = 0
    for tap in task.start.taps:
        if tap in lower_taps:
            found.append(Piece(None, slice(column, column + widths[tap])))
            column += widths[tap]
        else:
            found.append(Piece(place, slice(None)))
            place += 1
    return tuple(found)


def _below(backbone: Any, cut: Cut) -> set[str]:
    """Names of all that the cut's tensors are made of, themselves included."""
    import keras

    outputs = {operation.name: operation.output for operation in backbone.operations}
    unknown = [name for name in cut if name not in outputs]
    if unknown:
        raise BadInput(f"The cut must consist of the network's layers, got {unknown[0][:80]!r}.", code="not_found")
    if cut == (backbone.operations[0].name,):
        return set(cut)
    part = keras.Model(backbone.input, [outputs[name] for name in cut])
    return {operation.name for operation in part.operations}


def _cut_below(task: Task, backbone: Any, position: Mapping[str, int]) -> Cut:
    """The highest cut below everything trained: up to there no gradients, never in training mode."""
    first = min((position[name] for name in task.schedule.trained), default=len(position))
    found = wide_cuts(backbone, tensors=task.backbone.cut_tensors)
    return [names for names in found if position[names[-1]] < first][-1]


def _silence_frozen_dropout(task: Task, backbone: Any, position: Mapping[str, int]) -> None:
    """Dropout below everything trained drops nothing: the frozen part gives what it gave when it was stored."""
    first = min((position[name] for name in task.schedule.trained), default=len(position))
    for operation in backbone.operations[:first]:
        if type(operation).__name__ == "Dropout":
            operation.rate = 0.0


def _check_source(task: Task, network: Network) -> None:
    """The arrays must be those that the parts read, in number and shape."""
    inputs = network.upper.inputs if network.upper is not None else []
    expected = [tuple(each.shape[1:]) for each in inputs] + _given_shapes(task, network)
    if network.lower is not None:
        expected = [tuple(network.lower.inputs[0].shape[1:])]
    for source in (task.train, task.validation):
        got = [] if source is None else list(source.shapes)
        if (
            source is not None
            and (got if network.upper is not None or network.lower is not None else got[-1:]) != expected
        ):
            raise BadInput(
                f"A source's arrays must have the shapes {expected} for the cut "
                f"{' + '.join(task.schedule.cut) or 'at the input'}, got {got}."
            )


def _given_shapes(task: Task, network: Network) -> list[tuple[int, ...]]:
    """Of the array that comes with the cut's tensors, where there is one."""
    given = [piece.columns for piece in network.pieces if piece.place is None]
    if not given:
        return []
    if task.head is None:
        return [(sum(each.stop - each.start for each in given),)]
    shape = tuple(network.backbone.get_layer(task.start.taps[0]).output.shape[1:])
    return [read_shape(shape, task.start.pooling)]


def _listed(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


@contextmanager
def _computing_in(precision: Precision) -> Iterator[None]:
    """What is built inside computes in this precision; weights are float32 always."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
