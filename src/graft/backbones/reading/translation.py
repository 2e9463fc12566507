"""The names and axes of torch's published weights, put into those of Graft's own networks.

Torch keeps kernels as (out, in, height, width) and Keras as (height, width, in, out); a dense layer is (out, in) there
and (in, out) here. A table for each network says what its layers are called there. Only networks that compute the very
same thing are in the tables: ResNet-50, for one, is another network in torchvision (its blocks stride elsewhere).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from graft.backbones.layouts import LayerLayout, Layout, Shape
from graft.backbones.reading.matching import Difference, Found

Array = np.ndarray[Any, np.dtype[Any]]
COUNTERS = re.compile(r".*\.num_batches_tracked")  # of torch's BatchNormalization: steps it was trained for
NAMES: Mapping[str, str] = MappingProxyType(
    {
        "kernel": "weight",
        "bias": "bias",
        "gamma": "weight",
        "beta": "bias",
        "moving_mean": "running_mean",
        "moving_variance": "running_var",
    }
)
# torchvision's alexnet numbers its layers, those without weights too.
ALEXNET: Mapping[str, str] = MappingProxyType(
    {
        **{f"conv{number}": f"features.{place}" for number, place in zip(range(1, 6), (0, 3, 6, 8, 10), strict=True)},
        "fc6": "classifier.1",
        "fc7": "classifier.4",
        "predictions": "classifier.6",
    }
)
# timm's seresnet50; the parts of a block by what stands behind its number here.
SE_RESNET: Mapping[str, str] = MappingProxyType({"conv1_conv": "conv1", "conv1_bn": "bn1", "predictions": "fc"})
SE_RESNET_BLOCK: Mapping[str, str] = MappingProxyType(
    {
        "0_conv": "downsample.0",
        "0_bn": "downsample.1",
        **{f"{number}_conv": f"conv{number}" for number in (1, 2, 3)},
        **{f"{number}_bn": f"bn{number}" for number in (1, 2, 3)},
        "se_reduce": "se.fc1",
        "se_expand": "se.fc2",
    }
)
# timm's vit_base_patch16_224.
VIT: Mapping[str, str] = MappingProxyType(
    {"patches": "patch_embed.proj", "encoder_norm": "norm", "predictions": "head"}
)
VIT_BLOCK: Mapping[str, str] = MappingProxyType(
    {
        "attention_norm": "norm1",
        "projection": "attn.proj",
        "mlp_norm": "norm2",
        "mlp_expand": "mlp.fc1",
        "mlp_reduce": "mlp.fc2",
    }
)
QUERY_KEY_VALUE = ("query", "key", "value")


@dataclass(frozen=True)
class Piece:
    """A tensor as the publisher keeps it: its name and shape there, and the way to ours."""

    name: str
    shape: Shape
    ours: Callable[[Array], Array]


@dataclass(frozen=True, eq=False)
class Translated:
    """A tensor of a file, in our axes; `tensor[()]` reads it."""

    shape: Shape
    _stored: Any
    _ours: Callable[[Array], Array]

    def __getitem__(self, everything: tuple[()]) -> Array:
        """The numbers, a view of what the file holds."""
        return self._ours(np.asarray(self._stored[()]))


@dataclass(frozen=True)
class Translation:
    """How one network is published. `pieces` gives a layer's tensors in the order of our weights."""

    pieces: Callable[[LayerLayout], tuple[Piece, ...]]
    left_out: re.Pattern[str] = COUNTERS  # names of the file that have no counterpart, and need none


def match_translated(layout: Layout, translation: Translation, tensors: Mapping[str, Any]) -> Found | Difference:
    """Pair every tensor of the layout with the publisher's, or say in the publisher's words what differs first.

    As for Keras' files: the network's own top may be there or not, one for other classes is left, and a tensor that
    belongs to no layer makes it another network.
    """
    found: dict[str, Any] = {}
    used: set[str] = set()
    for count, layer in enumerate(layout.layers):
        for name, shape, piece in _named(layer, translation):
            if piece.name not in tensors:
                return Difference(count, f"must have a tensor {piece.name}, got none")
            if tuple(tensors[piece.name].shape) != piece.shape:
                got = tuple(tensors[piece.name].shape)
                return Difference(count, f"must have {piece.name} of shape {piece.shape}, got {got}")
            used.add(piece.name)
            found[name] = Translated(shape, tensors[piece.name], piece.ours)
    of_top = [each for layer in layout.top for each in _named(layer, translation)]
    known = used | {piece.name for _, _, piece in of_top}
    surplus = next((name for name in tensors if name not in known and not translation.left_out.fullmatch(name)), None)
    if surplus is not None:
        return Difference(len(layout.layers), f"must have no tensor besides the network's own, got {surplus[:80]!r}")
    whole = all(piece.name in tensors and tuple(tensors[piece.name].shape) == piece.shape for _, _, piece in of_top)
    top = {name: Translated(shape, tensors[piece.name], piece.ours) for name, shape, piece in of_top} if whole else {}
    return Found(found, top)


def _named(layer: LayerLayout, translation: Translation) -> list[tuple[str, Shape, Piece]]:
    """Our full name and shape of each tensor of a layer, with the publisher's."""
    pairs = zip(layer.weights, translation.pieces(layer), strict=True)
    return [(f"{layer.name}/{name}", shape, piece) for (name, shape), piece in pairs]


def plain_pieces(layer: LayerLayout, theirs: str) -> tuple[Piece, ...]:
    """The tensors of an ordinary layer that is called `theirs` there: convolution, dense or normalisation."""
    return tuple(_plain(f"{theirs}.{NAMES[name]}", name, shape) for name, shape in layer.weights)


def _plain(theirs: str, name: str, shape: Shape) -> Piece:
    if name == "kernel" and len(shape) == 4:
        return Piece(theirs, (shape[3], shape[2], shape[0], shape[1]), lambda array: array.transpose(2, 3, 1, 0))
    if name == "kernel":
        return Piece(theirs, shape[::-1], np.transpose)
    return Piece(theirs, shape, lambda array: array)


def _after_map(piece: Piece, channels: int, side: int) -> Piece:
    """The first dense layer after a map: torch flattens channel by channel, Keras position by position."""

    def ours(array: Array) -> Array:
        by_place = array.reshape(len(array), channels, side, side)
        return by_place.transpose(2, 3, 1, 0).reshape(channels * side * side, len(array))

    return Piece(piece.name, piece.shape, ours)


def _alexnet(layer: LayerLayout) -> tuple[Piece, ...]:
    pieces = plain_pieces(layer, ALEXNET[layer.name])
    return (_after_map(pieces[0], 256, 6), *pieces[1:]) if layer.name == "fc6" else pieces


def _googlenet(layer: LayerLayout) -> tuple[Piece, ...]:
    """`inception3a_branch2_1_conv` is `inception3a.branch2.0.conv` there; the fourth branch has its pooling as 0."""
    if layer.name == "predictions":
        return plain_pieces(layer, "fc")
    *parts, kind = layer.name.split("_")
    if parts[-1] == "branch4":
        parts.append("1")
    elif parts[-1].isdigit():
        parts[-1] = str(int(parts[-1]) - 1)
    return plain_pieces(layer, ".".join((*parts, kind)))


def _se_resnet50(layer: LayerLayout) -> tuple[Piece, ...]:
    """`conv2_block1_3_bn` is `layer1.0.bn3` there; what widens a block's input is `downsample`."""
    if layer.name in SE_RESNET:
        return plain_pieces(layer, SE_RESNET[layer.name])
    stage, block, part = layer.name.split("_", 2)
    place = f"layer{int(stage.removeprefix('conv')) - 1}.{int(block.removeprefix('block')) - 1}"
    return plain_pieces(layer, f"{place}.{SE_RESNET_BLOCK[part]}")


def _vit(layer: LayerLayout) -> tuple[Piece, ...]:
    """Query, key and value are three layers here and one there, their outputs one after the other."""
    if layer.name == "tokens":
        (_, token), (_, positions) = layer.weights
        return (
            Piece("cls_token", (1, 1, *token), lambda array: array[0, 0]),
            Piece("pos_embed", (1, *positions), lambda array: array[0]),
        )
    if layer.name in VIT:
        return plain_pieces(layer, VIT[layer.name])
    block, part = layer.name.split("_", 1)
    place = f"blocks.{int(block.removeprefix('block')) - 1}"
    if part in QUERY_KEY_VALUE:
        pieces = plain_pieces(layer, f"{place}.attn.qkv")
        return tuple(_third(piece, QUERY_KEY_VALUE.index(part)) for piece in pieces)
    return plain_pieces(layer, f"{place}.{VIT_BLOCK[part]}")


def _third(piece: Piece, number: int) -> Piece:
    """One of three equal parts of a tensor, split along its first axis."""
    outputs = piece.shape[0]

    def ours(array: Array) -> Array:
        return piece.ours(array[number * outputs : (number + 1) * outputs])

    return Piece(piece.name, (3 * outputs, *piece.shape[1:]), ours)


TRANSLATIONS: Mapping[str, Translation] = MappingProxyType(
    {
        "alexnet": Translation(_alexnet),
        # Two classifiers that only training used; torchvision itself drops them.
        "googlenet": Translation(_googlenet, re.compile(rf"aux[12]\..*|{COUNTERS.pattern}")),
        "se_resnet50": Translation(_se_resnet50),
        "vit_b16": Translation(_vit),
    }
)
