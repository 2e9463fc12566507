"""Cuts: the places in a network through which everything passes in one tensor, or two, where it can be split."""

from typing import Any

from graft.core.errors import BadInput

Cut = tuple[str, ...]  # names of the layers whose outputs carry everything, in the network's order


def cuts(model: Any) -> tuple[str, ...]:
    """Names of the layers whose one output tensor carries everything, from the input layer to the last.

    The input layer (nothing frozen) and the last one (everything frozen) count. In a plain chain every layer is a cut;
    around a residual block only what lies before and after it.
    """
    return tuple(name for (name,) in wide_cuts(model, tensors=1))


def wide_cuts(model: Any, *, tensors: int) -> tuple[Cut, ...]:
    """The places at which at most `tensors` tensors carry everything: the cuts among them, each as one name.

    Found by going through the network in the order in which it computes: after each layer, what is still needed above.
    """
    operations = list(model.operations)
    position = {operation.name: index for index, operation in enumerate(operations)}
    last_use = list(range(len(operations)))  # how far up the network each output is needed
    last_use[-1] = len(operations)  # the result, by whoever asked
    for index, operation in enumerate(operations):
        for source in _sources(operation):
            last_use[position[source]] = index
    found: dict[Cut, None] = {}
    live: list[int] = []
    for index in range(len(operations)):
        live = [earlier for earlier in (*live, index) if last_use[earlier] > index]
        if len(live) <= tensors:
            found[tuple(operations[each].name for each in live)] = None
    return tuple(found)


def split(model: Any, cut: str | Cut) -> tuple[Any, Any]:
    """The network below and above a cut, as two Keras models `(prefix, suffix)` that share its weights.

    `suffix(prefix(x))` is `model(x)`; the cut layers themselves belong to the prefix. For a cut of one tensor, given as
    a name, each model has one tensor on that side; for a cut of two, a list of two.

    Raises:
        BadInput: the layers are no cut of this network.
    """
    import keras

    names = (cut,) if isinstance(cut, str) else cut
    if names not in wide_cuts(model, tensors=max(1, len(names))):
        what = "one tensor carries" if len(names) == 1 else f"{len(names)} tensors carry"
        raise BadInput(
            f"The network must be cut where {what} everything, got {' + '.join(names)[:80]!r}.",
            hint=f"Nearest cut below it: {_nearest_below(model, names[-1] if names else '')}.",
        )
    layers = {operation.name: operation for operation in model.operations}
    tensors = [layers[name].output for name in names]
    below = tensors[0] if len(tensors) == 1 else tensors
    prefix = keras.Model(model.input, below, name=f"{model.name}_prefix")
    return prefix, keras.Model(*_suffix_ends(model, below), name=f"{model.name}_suffix")


def _suffix_ends(model: Any, tensors: Any) -> tuple[Any, Any]:
    """Input and output of the part above `tensors`; above the last layer, a new input that is its own output."""
    import keras

    if tensors is model.output:
        end = keras.Input(batch_shape=tensors.shape, dtype=tensors.dtype)
        return end, end
    return tensors, model.output


def _sources(operation: Any) -> list[str]:
    """Names of the layers whose outputs this one reads."""
    import keras

    parents = operation.input if not isinstance(operation, keras.layers.InputLayer) else []
    tensors = parents if isinstance(parents, list) else [parents]
    return [tensor._keras_history.operation.name for tensor in tensors]


def _nearest_below(model: Any, layer_name: str) -> str:
    """The last cut before a layer; the input for an unknown one."""
    names = [operation.name for operation in model.operations]
    below = names[: names.index(layer_name)] if layer_name in names else names[:1]
    return next(name for name in reversed(cuts(model)) if name in below)
