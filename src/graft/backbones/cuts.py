"""Cuts: the layers of a network through whose output everything passes, where it can be split in two."""

from typing import Any

from graft.core.errors import BadInput


def cuts(model: Any) -> tuple[str, ...]:
    """Names of the layers whose one output tensor carries everything, from the input layer to the last.

    The input layer (nothing frozen) and the last one (everything frozen) count. In a plain chain every layer is a cut;
    around a residual block only what lies before and after it.
    """
    position = {layer.name: index for index, layer in enumerate(model.layers)}
    # furthest[i]: how far up the network the output of any layer up to i is still needed.
    furthest = list(range(len(model.layers)))
    for layer in model.layers:
        for source in _sources(layer):
            index = position[source]
            furthest[index] = max(furthest[index], position[layer.name])
    found = []
    reach = 0
    for index, layer in enumerate(model.layers):
        if reach <= index:  # nothing from below is needed above this layer
            found.append(layer.name)
        reach = max(reach, furthest[index])
    return tuple(found)


def split(model: Any, layer_name: str) -> tuple[Any, Any]:
    """The network below and above a cut, as two Keras models `(prefix, suffix)` that share its weights.

    `suffix(prefix(x))` is `model(x)`; the cut layer itself belongs to the prefix.

    Raises:
        BadInput: the layer is no cut of this network.
    """
    import keras

    if layer_name not in cuts(model):
        raise BadInput(
            f"The network must be cut where one tensor carries everything, got {layer_name[:80]!r}.",
            hint=f"Nearest cut below it: {_nearest_below(model, layer_name)}.",
        )
    tensor = model.get_layer(layer_name).output
    prefix = keras.Model(model.input, tensor, name=f"{model.name}_prefix")
    return prefix, keras.Model(*_suffix_ends(model, tensor), name=f"{model.name}_suffix")


def _suffix_ends(model: Any, tensor: Any) -> tuple[Any, Any]:
    """Input and output of the part above `tensor`; above the last layer, a new input that is its own output."""
    import keras

    if tensor is model.output:
        end = keras.Input(batch_shape=tensor.shape, dtype=tensor.dtype)
        return end, end
    return tensor, model.output


def _sources(layer: Any) -> list[str]:
    """Names of the layers whose outputs this one reads."""
    import keras

    parents = layer.input if not isinstance(layer, keras.layers.InputLayer) else []
    tensors = parents if isinstance(parents, list) else [parents]
    return [tensor._keras_history.operation.name for tensor in tensors]


def _nearest_below(model: Any, layer_name: str) -> str:
    """The last cut before a layer; the input for an unknown one."""
    names = [layer.name for layer in model.layers]
    below = names[: names.index(layer_name)] if layer_name in names else names[:1]
    return next(name for name in reversed(cuts(model)) if name in below)
