"""Which layers of which network are read: from what a user typed to a program."""

from dataclasses import dataclass

from graft.backbones.catalogue import candidates, find
from graft.backbones.layers import Layer, LayerTable, layer_table
from graft.backbones.records import BackboneRecord
from graft.backbones.tops import check_side
from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.errors import BadInput
from graft.features.records import Output, Program
from graft.pipeline.choosing import choose_backbone, side_pixels
from graft.pipeline.options import FeatureOptions
from graft.pipeline.planning import precision


@dataclass(frozen=True)
class Reading:
    """A program with the weights that it needs, and the layers whose outputs it reads, in the same order."""

    program: Program
    weights: WeightsFile
    record: BackboneRecord
    layers: tuple[Layer, ...]


def resolve_reading(options: FeatureOptions) -> Reading:
    """Find network, weights and layers.

    Raises: `BadInput` not_found for names, weights_missing for the weights, or for a layer of a classifier that is not
    on this machine.
    """
    _check_one_way(options)
    chosen = choose_backbone(options.backbone, options.weights)
    record, weights = chosen.record, chosen.weights
    side = side_pixels(options.image_size, record)
    table = layer_table(record, side, machine.cache_directory())
    layers = _wanted(options, table, record, has_top=weights.top is not None)
    for layer in layers:
        _check_layer(layer, record, weights, side)
    program = Program(
        backbone=record.name,
        weights_sha256=weights.sha256,
        top_sha256=weights.top.sha256 if weights.top is not None and any(layer.top for layer in layers) else "",
        side_pixels=side,
        preprocessing=record.preprocessing,
        outputs=tuple(_output(layer, options) for layer in layers),
        precision=precision(options.precision, "openvino"),
    )
    return Reading(program, weights, record, layers)


def list_layers(backbone: str, weights: str | None, image_size: int | None) -> LayerTable:
    """The table of a network's layers; weights are needed only to find which member of a family is meant."""
    sure = len(candidates(backbone)) == 1 and weights is None
    record = find(backbone) if sure else choose_backbone(backbone, weights).record
    return layer_table(record, side_pixels(image_size, record), machine.cache_directory())


def _check_one_way(options: FeatureOptions) -> None:
    ways = [
        name
        for name, given in (
            ("--layer", bool(options.layers)),
            ("--taps", options.taps),
            ("--drop-last", options.drop_last is not None),
        )
        if given
    ]
    if len(ways) > 1:
        raise BadInput(f"Layers must be chosen in one way, got {' and '.join(ways)}.", hint="Leave one out.")


def _wanted(options: FeatureOptions, table: LayerTable, record: BackboneRecord, *, has_top: bool) -> tuple[Layer, ...]:
    if options.taps:
        return tuple(table.find(name) for name in record.taps)
    if options.layers:
        return tuple(table.find(name) for name in dict.fromkeys(options.layers))
    if options.drop_last is None:
        return table.without_top()[-1:]
    layers = table.layers if has_top else table.without_top()
    if options.drop_last >= len(layers) - 1:
        with_top = "with its classifier" if has_top else "without its classifier"
        raise BadInput(
            f"--drop-last must leave a layer above the input, got {options.drop_last} of the {len(layers)} layers of "
            f"{record.title} {with_top}."
        )
    return (layers[len(layers) - 1 - options.drop_last],)


def _check_layer(layer: Layer, record: BackboneRecord, weights: WeightsFile, side: int) -> None:
    if layer.kind == "InputLayer":
        raise BadInput(f"The layer must be one that computes, got {layer.name}, the input of {record.title}.")
    if not layer.top:
        return
    if weights.top is None:
        files = [source.file for source in record.weights if "no_top" not in source.file and "notop" not in source.file]
        named = f" It is published as {files[0]}." if files else ""
        raise BadInput(
            f"The layer {layer.name} belongs to the classifier of {record.title}, whose weights are not here.",
            hint=f"Give the file that holds them too with --weights FILE.{named}",
            code="weights_missing",
        )
    check_side(record, side)


def _output(layer: Layer, options: FeatureOptions) -> Output:
    # a vector has nothing to pool: the same name whatever was asked for, so that it is computed once
    return Output(layer=layer.name, pooling=options.pooling if len(layer.shape) > 1 else "avg")
