"""Whether the weights on this machine, and the networks compiled from them, are what they should be."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from graft.backbones.catalogue import BUILTIN, candidates, catalogue
from graft.backbones.layouts import layout
from graft.backbones.reading.conversion import TOP_KEY
from graft.backbones.records import BackboneRecord
from graft.backbones.weights import WeightsFile, builtin, imported
from graft.core import machine
from graft.core.errors import GraftError
from graft.core.progress import Progress
from graft.core.records import from_json
from graft.core.tensors import read_tensors, tensors_sha256
from graft.core.version import REINSTALL
from graft.features.forms import RECORD_FILE, stored_form
from graft.features.proof import TOLERANCE, proof_error
from graft.features.records import CompiledForm, Output, Program

WEIGHTS, TOP, FORM, PROOF = "weights", "top", "compiled form", "compared with Keras"


@dataclass(frozen=True)
class Checked:
    """One thing that was checked. `problem` is empty where it is sound; `hint` says what to do where it is not."""

    backbone: str  # "" where that can no longer be read
    part: str
    path: str
    checks: str  # what was looked at, for people
    problem: str = ""
    hint: str = ""

    @property
    def sound(self) -> bool:
        return not self.problem


def verify(names: Sequence[str], *, deep: bool, progress: Progress) -> list[Checked]:
    """Check what is here of the networks or families `names`; without names, everything.

    Raises: `BadInput` not_found for a name. What is damaged is told, not raised, and nothing is removed.
    """
    wanted = {name for each in names for name in candidates(each)}
    cache = machine.cache_directory()
    files = sorted((cache / "weights").glob("*.safetensors"))
    forms = sorted((cache / "compiled").glob(f"*/{RECORD_FILE}"))
    found = []
    with progress.stage("Checking", len(files) + len(forms) + 1, "files") as stage:
        for checked in _each(files, forms, cache):
            stage.advance()
            if not wanted or checked.backbone in wanted:
                found.append(checked)
    if deep and all(checked.sound for checked in found):
        found += _proofs(wanted, cache, progress)
    return found


def _each(files: Sequence[Path], forms: Sequence[Path], cache: Path) -> Iterator[Checked]:
    yield _builtin(cache)
    yield from map(_weights, files)
    yield from map(_form, forms)


def _builtin(cache: Path) -> Checked:
    try:
        path = builtin(BUILTIN, cache).path
        with read_tensors(path, follow_links=True) as file:
            problem = _tensors_problem(catalogue()[BUILTIN], file.tensors, top=False)
    except GraftError as error:
        return Checked(BUILTIN, WEIGHTS, "", "file hash", error.message, error.hint)
    hint = REINSTALL if problem else ""
    return Checked(BUILTIN, WEIGHTS, str(path), "file hash, shapes, finite", problem, hint)


def _weights(path: Path) -> Checked:
    """One converted file, of weights or of a top."""
    top = path.stem.endswith("-top")
    part, checks = TOP if top else WEIGHTS, "tensor hash, shapes, finite"
    name, problem = "", ""
    try:
        with read_tensors(path) as file:
            name = file.metadata.get("backbone", "")
            if name not in catalogue():
                problem = f"it is of {name[:80]!r}, which this version does not know"
            elif tensors_sha256(file.tensors) != file.metadata.get("tensors_sha256"):
                problem = "its numbers do not match their hash"
            else:
                problem = _tensors_problem(catalogue()[name], file.tensors, top=top)
            named = file.metadata.get(TOP_KEY, "")
            if not (problem or top or not named or path.with_name(f"{path.stem}-top{path.suffix}").is_file()):
                problem = "the top that belongs to it is gone"
    except GraftError as error:
        problem = error.message
    again = f"graft backbones fetch {name or 'NAME'}{' --top' if top else ''} --again"
    hint = f"Remove {path}; then give the file again with --weights, or type: {again}." if problem else ""
    return Checked(name, part, str(path), checks, problem, hint)


def _tensors_problem(record: BackboneRecord, tensors: Mapping[str, np.ndarray], *, top: bool) -> str:
    """What of shapes and numbers is not the network's, in words that follow "damaged: "."""
    expected = layout(record).top_shapes() if top else layout(record).shapes()
    for name in sorted(expected.keys() | tensors.keys()):
        got = tensors[name].shape if name in tensors else None
        if got != expected.get(name):
            return f"{name[:80]} must have the shape {expected.get(name) or 'none'}, got {got or 'none'}"
    return next((f"{name} holds NaN or infinity" for name in expected if not np.isfinite(tensors[name]).all()), "")


def _form(path: Path) -> Checked:
    """One compiled form; a damaged one is made again by whoever needs it next."""
    folder = path.parent
    name = ""
    try:
        name = from_json(CompiledForm, path.read_bytes(), source=path.name).backbone
        _, problem = stored_form(folder, folder.name)
    except (GraftError, OSError) as error:
        problem = str(error)
    hint = "Nothing needs to be done: it is made again when it is needed." if problem else ""
    return Checked(name, FORM, str(folder), "hashes of graph and constants", problem, hint)


def _proofs(wanted: set[str], cache: Path, progress: Progress) -> list[Checked]:
    """The engine against Keras for each set of weights, at the network's own size, and once more with a top."""
    here = [(catalogue()[BUILTIN], builtin(BUILTIN, cache)), *imported(cache)]
    programs = [
        (program, weights)
        for record, weights in here
        if not wanted or record.name in wanted
        for program in _programs(record, weights)
    ]
    found = []
    with progress.stage("Comparing with Keras", len(programs), "networks") as stage:
        for program, weights in programs:
            found.append(_proof(program, weights, cache))
            stage.advance()
    return found


def _programs(record: BackboneRecord, weights: WeightsFile) -> list[Program]:
    features = Program(
        backbone=record.name,
        weights_sha256=weights.sha256,
        side_pixels=record.side_pixels,
        preprocessing=record.preprocessing,
        outputs=tuple(Output(layer=layer) for layer in record.taps),
        precision="float32",
    )
    if weights.top is None:
        return [features]
    answers = (Output(layer=record.top_output, pooling="none"),)
    return [features, replace(features, top_sha256=weights.top.sha256, outputs=answers)]


def _proof(program: Program, weights: WeightsFile, cache: Path) -> Checked:
    part = f"{PROOF}, with top" if program.top_sha256 else PROOF
    try:
        error = proof_error(program, weights, threads=machine.threads(), cache=cache)
    except GraftError as problem:
        return Checked(program.backbone, part, str(weights.path), "outputs on pixels", problem.message, problem.hint)
    bad = not 0 <= error <= TOLERANCE
    return Checked(
        program.backbone,
        part,
        str(weights.path),
        f"outputs on pixels, relative error {error:.1e}",
        f"its outputs must be those of Keras within {TOLERANCE:g}, got {error:.3g}" if bad else "",
        f"Remove {cache / 'compiled'} and try again; --engine keras works meanwhile." if bad else "",
    )
