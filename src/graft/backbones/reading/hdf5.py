"""A strict reader for Keras weights in HDF5: which layers a file stores, without reading one number.

Both layouts are known: Keras 3 (`layers/conv2d_1/vars/0`, with the layer's own name in an attribute, which older
versions lack) and the legacy one (attributes `layer_names` and `weight_names`, at the root or below `model_weights`).
Only what a plain weights file needs is followed: hard links, contiguous or sanely chunked numbers in the file itself.
A model's configuration in the file is never looked at.
"""

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from graft.core.errors import BadInput

MAX_OBJECTS = 20_000
MAX_NAMES = 10_000
MAX_NAME_CHARACTERS = 300
MAX_ATTRIBUTE_BYTES = 8 << 20
MAX_CHUNK_ELEMENTS = 1 << 20  # a chunk is allocated whole when it is read
MAX_DIMENSIONS = 8
MAX_NESTED_MODELS = 2  # models within models, as ConvNeXt's stem is one
ALLOWED_FILTERS = frozenset({1, 2, 3})  # deflate, shuffle, fletcher32: built in; others would load a plug-in
KERAS_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # the second: the first releases of this layout


@dataclass(frozen=True)
class StoredLayer:
    """One layer of a file: its data sets in order. `kind` and `number` are known in the Keras 3 layout only."""

    name: str | None
    kind: str | None
    number: int
    datasets: tuple[Any, ...]  # h5py.Dataset


@dataclass
class _Walk:
    """Counts what was visited, so that a file of a million groups is refused early."""

    source: str
    visited: int = 0
    seen: set[int] = field(default_factory=set)

    def has(self, group: Any, name: str) -> bool:
        """Whether a link of that name is there, without following it: h5py's own `in` opens what it leads to."""
        return bool(group.id.links.exists(name.encode()))

    def child(self, group: Any, name: str) -> Any:
        """The object that `name` (no path) links to in `group`, if the link is a plain one within the file."""
        import h5py

        if not self.has(group, name):
            raise refusal(self.source, f"must hold {name[:80]!r} where its attributes say so")
        if group.id.links.get_info(name.encode()).type != h5py.h5l.TYPE_HARD:
            raise refusal(self.source, f"must hold its data itself, got a link named {name[:80]!r}")
        self.visited += 1
        if self.visited > MAX_OBJECTS:
            raise refusal(self.source, f"must have at most {MAX_OBJECTS} groups and data sets")
        return group[name]

    def group(self, parent: Any, name: str) -> Any:
        """A child that must be a group."""
        import h5py

        child = self.child(parent, name)
        if not isinstance(child, h5py.Group):
            raise refusal(self.source, f"must have a group named {name[:80]!r}, got something else")
        if len(child) > MAX_NAMES:
            raise refusal(
                self.source, f"must have at most {MAX_NAMES} entries in the group {name[:80]!r}, got {len(child)}"
            )
        return child

    def descend(self, group: Any, names: list[str]) -> Any:
        """The group at the end of a path, one checked step after another."""
        for name in names:
            group = self.group(group, name)
        return group

    def dataset(self, parent: Any, name: str) -> Any:
        """A child that must be a plain numeric data set, each stored one used once."""
        import h5py

        child = self.child(parent, name)
        if not isinstance(child, h5py.Dataset):
            raise refusal(self.source, f"must have a data set named {name[:80]!r}, got something else")
        address = h5py.h5o.get_info(child.id).addr
        if address in self.seen:
            raise refusal(self.source, f"data set {name[:80]!r} must be stored once, got two links to it")
        self.seen.add(address)
        _check_storage(child, self.source)
        return child


@contextmanager
def open_layers(path: Path) -> Iterator[tuple[StoredLayer, ...]]:
    """The layers with weights that an HDF5 file stores; their data sets are open inside the `with`.

    Raises:
        BadInput: `weights_refused`, with one sentence on what the file must not hold.
    """
    import h5py

    source = path.name
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise refusal(source, f"must be a sound HDF5 file, got: {str(error)[:120]}") from error
    with file:
        try:
            layers = tuple(layer for layer in _layers(file, _Walk(source)) if layer.datasets)
        except (OSError, RuntimeError, KeyError, ValueError, TypeError, UnicodeDecodeError) as error:
            raise refusal(source, f"must be a sound HDF5 file, got: {str(error)[:120]}") from error
        yield layers


def refusal(source: str, problem: str, hint: str = "") -> BadInput:
    """The error that refuses a weights file in one sentence."""
    return BadInput(f"The weights file {source} {problem}.", hint=hint, code="weights_refused")


def _layers(file: Any, walk: _Walk) -> Iterator[StoredLayer]:
    root = walk.group(file, "model_weights") if walk.has(file, "model_weights") else file
    if "layer_names" in root.attrs or "layer_names0" in root.attrs:
        return _legacy_layers(root, walk)
    for container in KERAS_CONTAINERS:
        if walk.has(root, container):
            return _keras_layers(walk.group(root, container), walk)
    raise refusal(walk.source, "must hold Keras weights, got neither 'layers' nor 'layer_names'")


def _legacy_layers(root: Any, walk: _Walk) -> Iterator[StoredLayer]:
    for layer_name in _names(root, "layer_names", walk.source):
        group = walk.descend(root, layer_name.split("/"))
        owners: dict[str, list[Any]] = {}
        for weight_name in _names(group, "weight_names", walk.source):
            *parents, last = weight_name.split("/")
            owner = parents[-1] if parents else layer_name
            owners.setdefault(owner, []).append(walk.dataset(walk.descend(group, parents), last))
        if len(owners) == 1:  # a layer's weights; whatever it calls itself in their names
            yield StoredLayer(layer_name, None, 0, tuple(*owners.values()))
        else:  # a model within the model
            for owner, datasets in owners.items():
                yield StoredLayer(owner, None, 0, tuple(datasets))


def _keras_layers(container: Any, walk: _Walk, depth: int = 0) -> Iterator[StoredLayer]:
    for key in container:
        group = walk.group(container, key)
        if depth < MAX_NESTED_MODELS and walk.has(group, KERAS_CONTAINERS[0]):
            yield from _keras_layers(walk.group(group, KERAS_CONTAINERS[0]), walk, depth + 1)
        if not walk.has(group, "vars"):
            continue
        variables = walk.group(group, "vars")
        numbers = sorted(variables, key=lambda text: (len(text), text))
        if numbers != [str(number) for number in range(len(numbers))]:
            raise refusal(walk.source, f"must number the weights of {key[:80]!r} from 0")
        datasets = tuple(walk.dataset(variables, number) for number in numbers)
        kind, number = _kind_and_number(key)
        yield StoredLayer(_own_name(variables, walk.source), kind, number, datasets)


def _kind_and_number(key: str) -> tuple[str, int]:
    """`conv2d_12` is the twelfth after the first layer of kind `conv2d`."""
    match = re.fullmatch(r"(.+?)(?:_([1-9][0-9]{0,4}))?", key)
    return (match[1], int(match[2] or 0)) if match else (key, 0)


def _own_name(group: Any, source: str) -> str | None:
    if "name" not in group.attrs:
        return None
    if group.attrs.get_id("name").shape != ():
        raise refusal(source, "must name each layer once")
    return _texts(group, "name", source)[0]


def _names(group: Any, attribute: str, source: str) -> list[str]:
    """A list of names from an attribute, which Keras cuts into `attribute0`, `attribute1`, … when it is long."""
    parts = [attribute] if attribute in group.attrs else []
    while not parts or parts[0] != attribute:
        part = f"{attribute}{len(parts)}"
        if part not in group.attrs:
            break
        parts.append(part)
    names: list[str] = []
    for part in parts:
        stored = group.attrs.get_id(part)
        if len(stored.shape) != 1 or len(names) + stored.shape[0] > MAX_NAMES:
            raise refusal(source, f"attribute {attribute!r} must be a list of at most {MAX_NAMES} names")
        names += _texts(group, part, source)
    if len(set(names)) != len(names):
        raise refusal(source, f"attribute {attribute!r} must name each thing once")
    return names


def _texts(group: Any, attribute: str, source: str) -> list[str]:
    """The texts of one attribute, whose size is checked before it is read."""
    import h5py
    import numpy as np

    stored = group.attrs.get_id(attribute)
    if 0 in stored.shape:  # a layer without weights; Keras 2 then wrote an empty list of numbers
        return []
    if stored.dtype.kind != "S" and h5py.check_string_dtype(stored.dtype) is None:
        raise refusal(source, f"attribute {attribute!r} must be text")
    if stored.get_storage_size() > MAX_ATTRIBUTE_BYTES:
        raise refusal(source, f"attribute {attribute!r} must have at most {MAX_ATTRIBUTE_BYTES} bytes")
    return [_text(value, source) for value in np.atleast_1d(group.attrs[attribute])]


def _text(value: Any, source: str) -> str:
    text = value.decode("utf-8") if isinstance(value, bytes) else value
    if not isinstance(text, str) or not 0 < len(text) <= MAX_NAME_CHARACTERS:
        raise refusal(source, f"must have names of 1 to {MAX_NAME_CHARACTERS} characters")
    if any(part in {"", ".", ".."} for part in text.split("/")):
        raise refusal(source, f"must have plain names, got {text[:80]!r}")
    return text


def _check_storage(dataset: Any, source: str) -> None:
    """Refuse data that lies elsewhere, needs a plug-in, is no number, or is stored in absurd pieces."""
    name = dataset.name[:80]
    if dataset.external is not None:
        raise refusal(source, f"must hold its data itself, got {name!r} stored in another file")
    if dataset.is_virtual:
        raise refusal(source, f"must hold its data itself, got {name!r} as a virtual data set")
    if dataset.dtype.kind not in "fiu" or dataset.dtype.subdtype is not None:
        raise refusal(source, f"must hold numbers, got {name!r} of type {str(dataset.dtype)[:40]}")
    if dataset.shape is None or len(dataset.shape) > MAX_DIMENSIONS:
        raise refusal(source, f"must hold arrays of at most {MAX_DIMENSIONS} dimensions, got {name!r}")
    if dataset.size and not dataset.id.get_storage_size():
        raise refusal(source, f"must hold the numbers of {name!r}, got a data set that was never written")
    creation = dataset.id.get_create_plist()
    filters = {creation.get_filter(index)[0] for index in range(creation.get_nfilters())}
    if not filters <= ALLOWED_FILTERS:
        raise refusal(source, f"must be stored plainly or with gzip, got {name!r} with filters {sorted(filters)}")
    if dataset.chunks and math.prod(dataset.chunks) > max(math.prod(dataset.shape), MAX_CHUNK_ELEMENTS):
        raise refusal(source, f"must be stored in sane pieces, got {name!r} in pieces of {dataset.chunks}")


def by_name(layers: tuple[StoredLayer, ...], source: str) -> Mapping[str, StoredLayer]:
    """The named layers; two of one name are refused."""
    named = {layer.name: layer for layer in layers if layer.name is not None}
    if len(named) != sum(layer.name is not None for layer in layers):
        raise refusal(source, "must name each layer once")
    return named
