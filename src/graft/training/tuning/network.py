"""The network while it is trained: what lies below the cut, what lies above it, and the classifier on top."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from graft.backbones.cuts import Cut, wide_cuts
from graft.backbones.networks import build
from graft.backbones.weights import WeightsFile, load_into, open_weights
from graft.core.errors import BadInput
from graft.core.randomness import stream
from graft.features.records import Precision
from graft.training.linear import as_sigmoid, as_softmax
from graft.training.records import LinearClassifier
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
class Network:
    """The backbone in two parts, with the classifier. Arrays in, logits out, in the operations of Keras' backend."""

    backbone: Any  # keras.Model, all of it; the parts share its weights
    lower: Any | None  # keras.Model of what is frozen below everything trained; None where its results are given
    upper: Any | None  # keras.Model from the cut's tensors to the averages of the taps above; None where there is none
    pieces: tuple[tuple[bool, int, int], ...]  # of each tap: above the cut?; there its place, or its columns below
    start: LinearClassifier  # with one unit for each class
    kernel: Any
    bias: Any
    dropout: float
    generator: Any  # keras.random.SeedGenerator of that dropout
    trained: tuple[Tunable, ...]  # of the backbone, from the input up
    events: tuple[str, ...]

    @property
    def head(self) -> tuple[Tunable, ...]:
        """The classifier's own tensors."""
        return Tunable(f"{HEAD}/kernel", self.kernel, None), Tunable(f"{HEAD}/bias", self.bias, None)

    def tunables(self, phase: Phase) -> tuple[Tunable, ...]:
        """What a phase trains."""
        return self.head if phase.trains == "head" else (*self.trained, *self.head)

    def variables(self) -> list[Any]:
        """All there are: weights, the classifier's, states of random generators."""
        every = [*self.backbone.variables, *self.seeds(), self.kernel, self.bias]
        return list({id(each): each for each in every}.values())

    def seeds(self) -> list[Any]:
        """States of the random generators of dropout, in the network's order."""
        layers = [layer for layer in self.backbone.layers if getattr(layer, "seed_generator", None) is not None]
        return [*(layer.seed_generator.state for layer in layers), self.generator.state]

    def prepare(self, phase: Phase) -> None:
        """Mark what this phase trains. BatchNormalization stays frozen, and so uses its stored statistics."""
        names = {each.name.rpartition("/")[0] for each in self.trained} if phase.trains == "all" else set()
        for layer in self.backbone.layers:
            layer.trainable = layer.name in names

    def below(self, arrays: Sequence[Any]) -> list[Any]:
        """From a source's arrays to what the upper part reads: the cut's tensors, then the lower taps' averages.

        Never in training mode, and no gradient goes through it.
        """
        from keras import ops

        if self.lower is None:
            return list(arrays)
        return [ops.stop_gradient(each) for each in _listed(self.lower(arrays[0], training=False))]

    def logits(self, cut: Sequence[Any], *, trains: Phase | None = None) -> Any:
        """Logits `(batch, class)` float32 from what `below` gave; dropout acts in what `trains` trains."""
        import keras
        from keras import ops

        features: list[Any] = []
        above: list[Any] = []
        if self.upper is not None:
            given = list(cut[: len(self.upper.inputs)])
            backbone_trains = trains is not None and trains.trains == "all"
            above = _listed(self.upper(given if len(given) > 1 else given[0], training=backbone_trains))
        for is_above, begin, end in self.pieces:
            features.append(above[begin] if is_above else ops.cast(cut[-1][:, begin:end], "float32"))
        joined = ops.concatenate(features, axis=1) if len(features) > 1 else features[0]
        joined = (joined - ops.convert_to_tensor(self.start.mean)) * ops.convert_to_tensor(self.start.scale)
        if trains is not None and self.dropout:
            joined = keras.random.dropout(joined, self.dropout, seed=self.generator)
        return ops.matmul(joined, self.kernel) + self.bias

    def tensors(self) -> dict[str, np.ndarray]:
        """All of the backbone's tensors as they are now, by `layer/weight`: copies, float32."""
        named = {f"{layer.name}/{each.name}": each for layer in self.backbone.layers for each in layer.weights}
        return {name: read(variable) for name, variable in named.items()}

    def classifier(self, kernel: np.ndarray, bias: np.ndarray, *, units: int) -> LinearClassifier:
        """The classifier with these tensors, in the form in which the start came."""
        made = replace(self.start, kernel=kernel, bias=bias, temperature=1.0)
        return as_sigmoid(made) if units == 1 else made


def read(variable: Any) -> np.ndarray:
    """A variable's value as an array of its own: on a CPU some backends would lend their memory."""
    import keras

    return np.array(keras.ops.convert_to_numpy(variable.value), copy=True)


def file_tensors(weights: WeightsFile) -> dict[str, np.ndarray]:
    """The tensors of a weights file by `layer/weight`: copies, float32."""
    with open_weights(weights) as tensors:
        return {name: np.array(tensor, np.float32) for name, tensor in tensors.items()}


def make_network(task: Task) -> Network:
    """Build the backbone with its weights, split where the schedule says, with the probe's classifier on top.

    Raises: `BadInput` where the source's arrays are not those of the cut.
    """
    import keras

    with _computing_in(task.schedule.precision):
        backbone = build(task.backbone, side_pixels=task.side_pixels)
    load_into(backbone, task.weights)
    position = {operation.name: place for place, operation in enumerate(backbone.operations)}
    cut = task.schedule.cut or _cut_below(task, backbone, position)
    below = _below(backbone, cut)
    lower_taps = [tap for tap in task.start.taps if tap in below]
    upper_taps = [tap for tap in task.start.taps if tap not in below]
    upper = _part(backbone, cut, (), upper_taps) if upper_taps else None
    given = (backbone.operations[0].name,)
    lower = None
    if not task.schedule.cut and cut != given:
        lower = _part(backbone, given, cut if upper_taps else (), lower_taps, joined=True)
    start = as_softmax(task.start)
    trained, events = _trained(task, backbone, upper, position)
    _silence_frozen_dropout(task, backbone, position)
    network = Network(
        backbone=backbone,
        lower=lower,
        upper=upper,
        pieces=_pieces(task, set(lower_taps)),
        start=start,
        kernel=keras.Variable(np.asarray(start.kernel, np.float32), name="kernel"),
        bias=keras.Variable(np.asarray(start.bias, np.float32), name="bias"),
        dropout=task.tuning.dropout,
        generator=keras.random.SeedGenerator(0),
        trained=trained,
        events=events,
    )
    for number, state in enumerate(network.seeds()):
        drawn = stream(task.seed, "dropout", str(number)).integers(LARGEST_SEED)
        state.assign(np.array([drawn, 0], state.dtype))
    _check_source(task, network)
    return network


def _trained(
    task: Task, backbone: Any, upper: Any | None, position: Mapping[str, int]
) -> tuple[tuple[Tunable, ...], tuple[str, ...]]:
    """The backbone's tensors to train, from the input up; and a sentence on layers that cannot be."""
    reached = {operation.name for operation in upper.operations} if upper is not None else set()
    ends = sorted(position[tap] for tap in task.backbone.taps)
    found: list[Tunable] = []
    idle: list[str] = []
    for name in sorted(task.schedule.trained, key=lambda name: position[name]):
        layer = backbone.get_layer(name)
        if type(layer).__name__ == "BatchNormalization":
            continue
        if name not in reached:
            idle.append(name)
            continue
        layer.trainable = True
        depth = sum(end >= position[name] for end in ends)
        found += [Tunable(f"{name}/{each.name}", each, max(0, depth - 1)) for each in layer.trainable_variables]
    if not idle:
        return tuple(found), ()
    return tuple(found), (
        f"{len(idle)} layers from {idle[0]} to {idle[-1]} keep their weights: the classifier does not read above "
        f"{task.start.taps[-1]}.",
    )


def _part(backbone: Any, given: Cut, whole: Cut, taps: Sequence[str], *, joined: bool = False) -> Any:
    """A model from the outputs of `given` to those of `whole`, and to the averages of `taps`, one by one or joined."""
    import keras

    outputs = {operation.name: operation.output for operation in backbone.operations}
    averages = [_average(outputs[tap]) for tap in taps]
    if joined and len(averages) > 1:
        averages = [keras.layers.Concatenate(dtype="float32")(averages)]
    return keras.Model([outputs[name] for name in given], [*(outputs[name] for name in whole), *averages])


def _average(tensor: Any) -> Any:
    """The mean over positions, in float32; of what has none, the vector itself."""
    import keras

    if len(tensor.shape) == 4:
        return keras.layers.GlobalAveragePooling2D(data_format="channels_last", dtype="float32")(tensor)
    return keras.ops.cast(tensor, "float32")


def _pieces(task: Task, lower_taps: set[str]) -> tuple[tuple[bool, int, int], ...]:
    """See `Network.pieces`."""
    widths = dict(zip(task.backbone.taps, task.backbone.tap_widths, strict=True))
    found = []
    place = column = 0
    for tap in task.start.taps:
        if tap in lower_taps:
            found.append((False, column, column + widths[tap]))
            column += widths[tap]
        else:
            found.append((True, place, place + 1))
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
    n_columns = sum(end - begin for is_above, begin, end in network.pieces if not is_above)
    expected = [tuple(each.shape[1:]) for each in inputs] + ([(n_columns,)] if n_columns else [])
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
