"""How a compiled form lies on disk: its name, its files, and the check before it is used."""

from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

from graft.backbones.catalogue import find
from graft.core.errors import IntegrityProblem, ResourceProblem
from graft.core.hashing import sha256_file, sha256_json
from graft.core.records import from_json, to_value
from graft.features.records import CompiledForm, Output, Program

COMPILE_VERSION = 1  # raise it when the same program would be converted to another graph
GRAPH_FILE = "network.xml"
CONSTANTS_FILE = "network.bin"
RECORD_FILE = "form.json"  # written last: a form without it does not exist


@dataclass(frozen=True)
class Form:
    """A compiled form that was just verified. `events` say what had to be repaired, one sentence each."""

    graph: Path
    record: CompiledForm
    events: tuple[str, ...] = ()


def converted_program(program: Program) -> Program:
    """What is converted for a program. Where it reads nothing but taps: all taps of its backbone.

    So one form serves the extraction, which reads every tap, and each classifier, which reads some of them.
    """
    taps = tuple(Output(layer=layer) for layer in find(program.backbone).taps)
    return replace(program, outputs=taps) if set(program.outputs) <= set(taps) else program


def form_key(program: Program) -> str:
    """Everything the graph depends on, as one hash; photos are resized before it, so their geometry is no part."""
    record = find(program.backbone)
    described = to_value(converted_program(program))
    del described["preprocessing"]["geometry"]
    parts = {name: described[name] for name in ("weights_sha256", "side_pixels", "preprocessing", "outputs")}
    if program.top_sha256:
        parts["top_sha256"] = program.top_sha256
    return sha256_json(
        {
            **parts,
            "constructor": record.constructor,
            "options": [list(option) for option in record.options],
            "openvino": metadata.version("openvino"),
            "keras": metadata.version("keras"),
            "version": COMPILE_VERSION,
        }
    )


def stored_form(folder: Path, key: str) -> tuple[Form | None, str]:
    """The verified form, or None and what is damaged about it (empty where there simply is none).

    Raises: `ResourceProblem` where the cache does not let itself be read.
    """
    try:
        stored = (folder / RECORD_FILE).read_bytes()
    except FileNotFoundError:
        return None, ""
    except OSError as error:
        raise _unreadable(folder, error) from error
    try:
        record = from_json(CompiledForm, stored, source=RECORD_FILE)
        graph = sha256_file(folder / GRAPH_FILE)
        constants = sha256_file(folder / CONSTANTS_FILE)
    except (IntegrityProblem, FileNotFoundError) as error:
        return None, str(error)
    except OSError as error:
        raise _unreadable(folder, error) from error
    if record.key != key:
        return None, f"{RECORD_FILE} belongs to another form"
    if graph != record.graph_sha256:
        return None, f"{GRAPH_FILE} does not match its hash"
    if constants != record.constants_sha256:
        return None, f"{CONSTANTS_FILE} does not match its hash"
    return Form(folder / GRAPH_FILE, record), ""


def _unreadable(folder: Path, error: OSError) -> ResourceProblem:
    """`folder` is `CACHE/compiled/KEY`."""
    return ResourceProblem(
        f"The cache folder {folder.parents[1]} must be readable, got: {error.strerror}.",
        hint="Make it a folder of your own, or name another with the environment variable GRAFT_CACHE.",
    )
