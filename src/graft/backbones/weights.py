"""Weights on this machine: the built-in ones, imported files, and how they get into a network."""

import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from graft.backbones.catalogue import BUILTIN, candidates, catalogue
from graft.backbones.families.sprout import WEIGHTS_FILE
from graft.backbones.reading.conversion import HDF5, TOP_KEY, TORCH, VERSION
from graft.backbones.reading.torch_files import looks_like_torch
from graft.backbones.records import BackboneRecord
from graft.core.child import run_child
from graft.core.errors import BadInput, GraftError, IntegrityProblem, ResourceProblem
from graft.core.files import make_directory, remove_file, sweep_stray
from graft.core.hashing import sha256_file
from graft.core.tensors import TensorFile, read_tensors, tensors_sha256
from graft.core.version import REINSTALL

ASSETS = Path(__file__).parent / "assets"
CONVERSION_SECONDS = 600.0
# A file may hold the weights, two slots of an optimiser and a top; more than this is something else.
MAX_FILE_FACTOR = 4
FILE_SLACK_BYTES = 64 << 20
HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"
TAR_PLACE = 257  # of the word by which an archive of tar is known
HEAD_BYTES = 512
KERAS_HINT = "Graft opens weights only, never models. In Keras: model.save_weights('name.weights.h5')."
# Numbers in both directions are no plug-ins' business; other processes' locks do not matter to a reader.
CHILD_ENVIRONMENT = {"HDF5_PLUGIN_PRELOAD": "::", "HDF5_USE_FILE_LOCKING": "FALSE"}
Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class WeightsFile:
    """Converted weights: tensors `<prefix><layer>/<weight>` of one file.

    `prefix` is "" for a file of weights alone and "backbone/" inside a bundle; `sha256` is that of
    `core.tensors.tensors_sha256` over the tensors without the prefix.
    """

    path: Path
    prefix: str
    sha256: str
    top: "WeightsFile | None" = None  # the tensors of the network's own classifier, a file of their own
    whitening: "WeightsFile | None" = None  # the matrices that its photos are whitened with, a file of their own


@contextmanager
def open_weights(weights: WeightsFile) -> Iterator[dict[str, Array]]:
    """The tensors by name without the prefix, as views of the mapped file; their hash is checked first.

    Raises:
        IntegrityProblem: `hash_mismatch`, or the file is damaged.
    """
    with read_tensors(weights.path, follow_links=True) as file:
        tensors = _without_prefix(file, weights.prefix)
        if tensors_sha256(tensors) != weights.sha256:
            raise IntegrityProblem(
                f"The weights in {weights.path.name} must have the hash {weights.sha256[:12]}…, got another.",
                hint="Remove the file, or fetch it again.",
                code="hash_mismatch",
            )
        yield tensors
        tensors.clear()


def load_into(model: Any, weights: WeightsFile, *, include_top: bool = False) -> None:
    """Set all weights of a network built by `graft.backbones.networks.build`, of either data format.

    With `include_top` the network was built so, and its classifier's weights come from `weights.top`.

    Raises:
        BadInput: `weights_refused`, naming the first layer that differs and both shapes; `weights_missing`, no top.
        IntegrityProblem: the file is damaged.
    """
    variables = {f"{layer.name}/{each.name}": each for layer in model.layers for each in layer.weights}
    if include_top and weights.top is None:
        raise BadInput(f"The weights {weights.path.name} must have their top beside them.", code="weights_missing")
    with ExitStack() as files:
        tensors = dict(files.enter_context(open_weights(weights)))
        if include_top and weights.top is not None:
            tensors |= files.enter_context(open_weights(weights.top))
        _assign(variables, tensors, weights.path)
        tensors.clear()
    for layer in model.layers:
        if hasattr(layer, "finalize_state"):  # Normalization computes with copies made when it was built
            layer.finalize_state()


def _assign(variables: Mapping[str, Any], tensors: Mapping[str, Array], path: Path) -> None:
    """Every variable its tensor; both must have the same names and shapes."""
    for name, variable in variables.items():
        got = tensors[name].shape if name in tensors else None
        if got != tuple(variable.shape):
            _refuse(path, f"must have {name} of shape {tuple(variable.shape)}, got {got or 'none'}")
    surplus = sorted(set(tensors) - set(variables))
    if surplus:
        _refuse(path, f"must have no tensor besides the network's own, got {surplus[0][:80]!r}")
    for name, variable in variables.items():
        variable.assign(tensors[name].astype(variable.dtype))


def builtin(name: str, cache: Path) -> WeightsFile:
    """The weights that ship with Graft; nothing is written to `cache`.

    Raises:
        BadInput: `weights_missing`, there are none for this backbone.
        IntegrityProblem: `hash_mismatch`, the installed file is damaged.
    """
    if name != BUILTIN:
        _missing(name, (name,))
    path = ASSETS / WEIGHTS_FILE
    if not path.is_file() or sha256_file(path) != catalogue()[name].weights[0].sha256:
        raise IntegrityProblem(
            f"The built-in weights {WEIGHTS_FILE} must be as they were published, got a damaged file.",
            hint=REINSTALL,
            code="hash_mismatch",
        )
    with read_tensors(path, follow_links=True) as file:
        return WeightsFile(path, "", tensors_sha256(file.tensors))


def import_weights(path: Path, names: Sequence[str], cache: Path) -> tuple[BackboneRecord, WeightsFile]:
    """Weights from a user's file for one of the networks `names`, found by names and shapes.

    Reads Keras' HDF5 files of both layouts, with or without the network's top, Graft's own safetensors, and torch's
    state dicts and safetensors as torchvision and timm publish them for the networks that `translation` knows. The
    file is converted once into `cache` and remembered by its content. The top is kept apart: whether the file has one
    makes no difference to what is computed without it.

    Raises:
        BadInput: `weights_refused` (another network, links, damage), `format_not_allowed`, `not_found`, `unreadable`.
        IntegrityProblem: `weights_not_finite`.
        ResourceProblem: the cache cannot be written.
    """
    kind = _file_kind(path, names)
    source_sha256 = sha256_file(path)
    target = cache / "weights" / f"{source_sha256}-{VERSION}.safetensors"
    known = _remembered(target, whole_top=True)
    if known is None or known.unsure_of_top:
        known = _converted(path, kind, names, source_sha256, target)
    record, weights = known.record, known.weights
    if record.name not in names:
        _refuse(path, f"does not fit {names[0]}: it holds {record.name}", f"Use --backbone {record.name}.")
    return record, weights


def imported(cache: Path) -> tuple[tuple[BackboneRecord, WeightsFile], ...]:
    """What was imported into `cache` before, in the catalogue's order; each set of weights once.

    Where several files held the same weights, the top is the one among theirs whose hash comes first.
    """
    found: dict[str, tuple[BackboneRecord, WeightsFile]] = {}
    for path in sorted((cache / "weights").glob(f"*-{VERSION}.safetensors")):
        known = _remembered(path)
        if known is None:
            continue
        record, weights = found.setdefault(known.weights.sha256, (known.record, known.weights))
        tops = [top for top in (weights.top, known.weights.top) if top is not None]
        found[weights.sha256] = (record, replace(weights, top=min(tops, key=lambda top: top.sha256, default=None)))
    order = list(catalogue())
    return tuple(sorted(found.values(), key=lambda pair: (order.index(pair[0].name), pair[1].sha256)))


def resolve(backbone: str, weights: Path | None, cache: Path) -> tuple[BackboneRecord, WeightsFile]:
    """The network and its weights for what a user typed: a name, a family or `auto`, and maybe a file.

    Without a file: the built-in backbone for `auto`, else the weights that were imported for this name before.

    Raises:
        BadInput: as `import_weights`; `not_found` for the name; `weights_missing`, saying what to do.
    """
    names = candidates(backbone or "auto")
    if weights is not None:
        return _import_for(backbone, weights, names, cache)
    if BUILTIN in names:
        return catalogue()[BUILTIN], builtin(BUILTIN, cache)
    known = [pair for pair in imported(cache) if pair[0].name in names]
    if not known:
        _missing(backbone, names)
    if len(known) > 1:
        fitting = ", ".join(dict.fromkeys(record.name for record, _ in known))
        raise BadInput(
            f"The weights must be one set, got {len(known)} on this machine that fit {backbone}: {fitting}.",
            hint="Say which with --weights FILE, or with the full name.",
            code="weights_missing",
        )
    return known[0]


def _import_for(asked: str, path: Path, names: Sequence[str], cache: Path) -> tuple[BackboneRecord, WeightsFile]:
    """`import_weights`; where a family was asked for, a refusal names it beside the member that came nearest."""
    try:
        return import_weights(path, names, cache)
    except BadInput as error:
        message = error.message
        if asked in {catalogue()[name].family for name in names} and asked not in names:
            for name in names:
                message = message.replace(f"does not fit {name}:", f"does not fit {asked} (nearest: {name}):")
        raise BadInput(message, hint=error.hint, code=error.code) from None


@dataclass(frozen=True)
class _Known:
    """A converted file. `unsure_of_top`: the file it was made from may have a top that is not here."""

    record: BackboneRecord
    weights: WeightsFile
    unsure_of_top: bool = False


def _converted(path: Path, kind: str, names: Sequence[str], source_sha256: str, target: Path) -> _Known:
    make_directory(target.parent)
    sweep_stray(target.parent, CONVERSION_SECONDS)
    job = {
        "path": str(path.absolute()),
        "kind": kind,
        "names": list(names),
        "source_sha256": source_sha256,
        "target": str(target.absolute()),
        "top_target": str(_top_path(target).absolute()),
    }
    try:
        answer = run_child(
            "graft.backbones.reading.conversion",
            job,
            environment=CHILD_ENVIRONMENT,
            timeout_seconds=CONVERSION_SECONDS,
            task=f"Reading the weights file {path.name}",
            code="weights_refused",
        )
    except ResourceProblem as error:
        if error.code != "weights_refused":
            raise
        # The reader crashed or hung on this file: the file is to blame, not the machine.
        raise BadInput(error.message, hint=error.hint, code="weights_refused") from None
    top = WeightsFile(_top_path(target), "", answer["top_sha256"]) if answer["top_sha256"] else None
    return _Known(catalogue()[answer["backbone"]], WeightsFile(target, "", answer["sha256"], top))


def _remembered(target: Path, *, whole_top: bool = False) -> _Known | None:
    """An earlier conversion, if it is there and sound; a damaged one is removed, to be made anew.

    A top may be large and is not always used: unless `whole_top`, its content is left to be checked by who opens it.
    """
    if not target.is_file():
        return None
    try:
        with read_tensors(target) as file:
            name, digest = file.metadata.get("backbone", ""), file.metadata.get("tensors_sha256", "")
            if name in catalogue() and tensors_sha256(file.tensors) == digest:
                top = _remembered_top(_top_path(target), file.metadata.get(TOP_KEY, ""), whole=whole_top)
                unsure = top is None and file.metadata.get(TOP_KEY) != ""
                return _Known(catalogue()[name], WeightsFile(target, "", digest, top), unsure)
    except GraftError:
        if not target.exists():
            return None  # another process removed it meanwhile
    remove_file(target)
    return None


def _remembered_top(path: Path, digest: str, *, whole: bool) -> WeightsFile | None:
    """The top beside a conversion, None where there is none or it is damaged."""
    if not digest:
        return None
    try:
        with read_tensors(path) as file:
            sound = file.metadata.get("tensors_sha256") == digest
            sound = sound and (not whole or tensors_sha256(file.tensors) == digest)
    except GraftError:
        return None
    return WeightsFile(path, "", digest) if sound else None


def _top_path(target: Path) -> Path:
    return target.with_name(f"{target.stem}-top{target.suffix}")


def _without_prefix(file: TensorFile, prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): array for name, array in file.tensors.items() if name.startswith(prefix)}


def _file_kind(path: Path, names: Sequence[str]) -> str:
    """`hdf5`, `torch` or `safetensors`, judged by content. Nothing that could hold code is opened."""
    _check_plain_file(path, names)
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(HDF5_MAGIC):
        return HDF5
    if head[8:9] == b"{":
        return "safetensors"
    if looks_like_torch(head):
        return TORCH
    kind = "something else"
    if head.startswith(b"PK"):
        kind = "a zip archive (.keras or .npz)"
    elif head[TAR_PLACE:].startswith(b"ustar"):
        kind = "a tar archive, which may be torch's oldest form"
    elif head[:1] == b"\x80":
        kind = "a pickle"
    raise BadInput(
        f"The weights file {path.name} must be Keras weights (.h5), a torch state dict or .safetensors, got {kind}.",
        hint=KERAS_HINT,
        code="format_not_allowed",
    )


def _check_plain_file(path: Path, names: Sequence[str]) -> None:
    try:
        status = path.stat()
    except OSError as error:
        code = "not_found" if isinstance(error, FileNotFoundError) else "unreadable"
        raise BadInput(f"The weights file must be a readable file, got {path}: {error.strerror}.", code=code) from None
    if stat.S_ISDIR(status.st_mode):
        raise BadInput(
            f"The weights must be a file, got the folder {path.name}.",
            hint=KERAS_HINT,
            code="format_not_allowed",
        )
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(f"The weights must be a file, got a device or pipe: {path.name}.", code="not_a_file")
    records = [catalogue()[name] for name in names]
    parameters = max(record.parameters_with_top or record.parameters for record in records)
    limit = MAX_FILE_FACTOR * 4 * parameters + FILE_SLACK_BYTES
    if status.st_size > limit:
        _refuse(path, f"must have at most {limit} bytes to be one of {', '.join(names[:3])}, got {status.st_size}")


def _refuse(path: Path, problem: str, hint: str = "") -> NoReturn:
    raise BadInput(f"The weights file {path.name} {problem}.", hint=hint, code="weights_refused")


def _missing(asked: str, names: Sequence[str]) -> NoReturn:
    """Refuse what was asked for, a network or a family, as it was typed."""
    sources = catalogue()[names[0]].weights
    published = f" They are published as {sources[0].url}." if sources else ""
    fetch = f"Type: graft backbones fetch {names[0] if len(names) == 1 else 'NAME'}. Or give" if sources else "Give"
    if len(names) > 1:
        published = f" See graft backbones show NAME for where they are published, NAME being {' or '.join(names)}."
    raise BadInput(
        f"The weights of {asked} must be on this machine, got none.",
        hint=f"{fetch} a file with --weights FILE.{published} Or use --backbone {BUILTIN}, which needs no file.",
        code="weights_missing",
    )
