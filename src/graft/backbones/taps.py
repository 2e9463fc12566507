"""Taps: the activation at the end of each block, averaged over positions into one short vector."""

from collections.abc import Sequence
from typing import Any

from graft.backbones.networks import data_format_of
from graft.backbones.records import BackboneRecord
from graft.core.errors import BadInput


def tap_outputs(record: BackboneRecord) -> tuple[str, ...]:
    """Names of the record's taps as outputs of a program, from the input upwards: `conv_pw_1_relu:avg`."""
    return tuple(f"{layer}:avg" for layer in record.taps)


def check_taps(record: BackboneRecord, layers: Sequence[str]) -> None:
    """Refuse layers that are no taps of this backbone (BadInput)."""
    unknown = next((layer for layer in layers if layer not in record.taps), None)
    if unknown is not None:
        raise BadInput(
            f"Taps of {record.name} must be among {', '.join(record.taps)}, got {unknown[:80]!r}.",
            hint=f"See: graft backbones show {record.name}.",
        )


def tap_model(model: Any, layers: Sequence[str]) -> Any:
    """A `keras.Model` on the same weights whose outputs are the layers' global averages, a list in the given order.

    Output shape: `(batch, channels)` float32 for each layer.
    """
    import keras

    data_format = data_format_of(model)
    outputs = [
        keras.layers.GlobalAveragePooling2D(data_format=data_format, name=f"{layer}_avg")(model.get_layer(layer).output)
        for layer in layers
    ]
    return keras.Model(model.input, outputs, name=f"{model.name}_taps")
