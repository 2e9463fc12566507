"""A head in the words of a user: `flatten,dense=256,dropout=0.5`, read and said."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final, NamedTuple

from graft.core.errors import BadInput
from graft.training.heads.records import (
    Activation,
    BatchNormalization,
    Convolution,
    Dense,
    Dropout,
    Flatten,
    GlobalAveragePooling,
    GlobalMaxPooling,
    Head,
    Layer,
)

MOST_LETTERS: Final = 1000
MOST_LAYERS: Final = 32
MOST_UNITS: Final = 65_536
EXAMPLE: Final = "For example: flatten,dense=256,dropout=0.5."
ACTIVATIONS: Final[Mapping[str, Activation]] = MappingProxyType({"relu": "relu", "linear": "linear"})
_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")


class _Word(NamedTuple):
    """One word: what may follow it, and the layer that the parts of it make; None: not what was wanted."""

    wanted: str  # "" where nothing may follow
    read: Callable[[Sequence[str]], Layer | None]


def _dense(parts: Sequence[str]) -> Layer | None:
    units, activation = _whole(parts[0], MOST_UNITS), _activation(parts[1:], "relu")
    return Dense(units=units, activation=activation) if units and activation else None


def _dropout(parts: Sequence[str]) -> Layer | None:
    rate = float(parts[0]) if re.fullmatch(r"0?\.\d{1,9}", parts[0], re.ASCII) else 0.0
    return Dropout(rate=rate) if rate and len(parts) == 1 else None


def _convolution(parts: Sequence[str]) -> Layer | None:
    sizes = re.fullmatch(r"(\d{1,5})x(\d{1,3})", parts[0], re.ASCII)
    activation = _activation(parts[1:], "linear")
    if not sizes or not activation or not int(sizes[1]) or not int(sizes[2]):
        return None
    return Convolution(filters=int(sizes[1]), kernel_pixels=int(sizes[2]), activation=activation)


def _whole(text: str, most: int) -> int:
    """The whole number, or 0 where it is none from 1 to `most`."""
    value = int(text) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else 0
    return value if value <= most else 0


def _activation(parts: Sequence[str], otherwise: Activation) -> Activation | None:
    if len(parts) > 1:
        return None
    return ACTIVATIONS.get(parts[0]) if parts else otherwise


WORDS: Final[Mapping[str, _Word]] = MappingProxyType(
    {
        "flatten": _Word("", lambda _: Flatten()),
        "global-average-pooling": _Word("", lambda _: GlobalAveragePooling()),
        "global-max-pooling": _Word("", lambda _: GlobalMaxPooling()),
        "batch-normalization": _Word("", lambda _: BatchNormalization()),
        "dense": _Word(f"a number of units from 1 to {MOST_UNITS:,}, as 256, or as 256:linear", _dense),
        "dropout": _Word("a share above 0 and below 1, as 0.5", _dropout),
        "convolution": _Word("filters and side of the kernel, as 7x3, or as 7x3:relu", _convolution),
    }
)
NAME: Final = "name"  # of the last layer


def parse(text: str) -> Head:
    """The head whose layers `text` says from the bottom up; `name=softmax` names the last layer.

    Raises: `BadInput` with one sentence that names the nearest word.
    """
    parts = [part.strip().lower() for part in text[: MOST_LETTERS + 1].split(",")]
    if len(text) > MOST_LETTERS or len(parts) > MOST_LAYERS:
        raise BadInput(
            f"A head must have at most {MOST_LAYERS} layers in {MOST_LETTERS} letters, got {len(text):,} letters.",
            hint=EXAMPLE,
        )
    named = [part.partition("=")[2].strip() for part in parts if part.partition("=")[0].strip() == NAME]
    layers = tuple(_layer(part) for part in parts if part.partition("=")[0].strip() != NAME)
    if not named:
        return Head(layers=layers)
    if len(named) > 1 or not _NAME.fullmatch(named[0]):
        raise BadInput(
            f"name must be given once, letters, digits and underscores, got {', '.join(named)[:80]!r}.", hint=EXAMPLE
        )
    return Head(layers=layers, name=named[0])


def say(head: Head) -> str:
    """The words that `parse` reads back as this head."""
    words = [_said(layer) for layer in head.layers]
    return ",".join([*words, f"{NAME}={head.name}"] if head.name != Head(layers=()).name else words)


def _layer(part: str) -> Layer:
    word, _, value = (piece.strip() for piece in part.partition("="))
    word = word.replace("_", "-")
    if word not in WORDS:
        raise BadInput(
            f"A layer of a head must be one of {', '.join(WORDS)}, got {part[:40]!r}.", hint=_nearest(word, WORDS)
        )
    wanted, read = WORDS[word]
    if value and not wanted:
        raise BadInput(f"Nothing may follow {word}, got {value[:40]!r}.", hint=EXAMPLE)
    layer = read([piece.strip() for piece in value.split(":")])
    if layer is None:
        raise BadInput(f"{word} must be followed by {wanted}, got {value[:40]!r}.", hint=EXAMPLE)
    return layer


def _said(layer: Layer) -> str:
    word = layer.kind.replace("_", "-")
    if isinstance(layer, Dense):
        return f"{word}={layer.units}" + (f":{layer.activation}" if layer.activation != "relu" else "")
    if isinstance(layer, Convolution):
        other = f":{layer.activation}" if layer.activation != "linear" else ""
        return f"{word}={layer.filters}x{layer.kernel_pixels}{other}"
    return f"{word}={layer.rate!r}" if isinstance(layer, Dropout) else word


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.4)
    return f"Did you mean {near[0]}? {EXAMPLE}" if near else EXAMPLE
