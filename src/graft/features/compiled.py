"""Compiled forms: a program's network as an OpenVINO graph, made once in a child process and kept."""

from pathlib import Path

from graft.backbones.catalogue import find
from graft.backbones.weights import WeightsFile
from graft.core.child import run_child
from graft.core.errors import IntegrityProblem
from graft.core.files import Lock, make_directory, sweep_stray
from graft.core.records import to_value
from graft.features.forms import RECORD_FILE, Form, converted_program, form_key, stored_form
from graft.features.records import Program

WORKER = "graft.features.compile_worker"
LEASE_SECONDS = 30.0
COMPILE_SECONDS = 1800.0  # the largest network on a slow, busy machine


def compiled_form(program: Program, weights: WeightsFile, cache: Path) -> Form:
    """The program's form from `cache/compiled/KEY`, made there first where it is missing or damaged.

    The form holds neither precision nor batch size: both are chosen when it is loaded. Several processes that need the
    same form wait for the first of them.

    Raises: `ResourceProblem` cannot_compile where the graph does not reproduce the network.
    """
    key = form_key(program)
    folder = cache / "compiled" / key
    form, _ = stored_form(folder, key)
    if form is not None:
        return form
    make_directory(folder)
    with Lock(folder / "lock", lease_seconds=LEASE_SECONDS, wait_seconds=COMPILE_SECONDS):
        form, damage = stored_form(folder, key)
        if form is not None:
            return form  # made by the process that this one waited for
        sweep_stray(folder, LEASE_SECONDS)
        _make(program, weights, folder, key)
        form, left = stored_form(folder, key)
    if form is None:
        raise IntegrityProblem(
            f"The compiled form in {folder} must read back as written, got: {left or 'nothing'}.",
            hint="The disk returns other bytes than were written to it; check it.",
        )
    events = (f"The compiled form of {program.backbone} was damaged ({damage}) and was made again.",) if damage else ()
    return Form(form.graph, form.record, events)


def is_compiled(program: Program, cache: Path) -> bool:
    """Whether a form is there, so that the engine opens in a moment (its hashes are not checked here)."""
    try:
        return (cache / "compiled" / form_key(program) / RECORD_FILE).exists()
    except OSError:
        return False  # whoever opens it is told why


def _make(program: Program, weights: WeightsFile, folder: Path, key: str) -> None:
    """Convert in a child process: Keras' backend is chosen for a whole process, and this one's may be another."""
    title = find(program.backbone).title
    run_child(
        WORKER,
        {
            "program": to_value(converted_program(program)),
            "weights": {"path": str(weights.path), "prefix": weights.prefix, "sha256": weights.sha256},
            "folder": str(folder),
            "key": key,
        },
        # KERAS_HOME: the user's Keras settings (half precision, other epsilon) must not reach the conversion, and
        # Keras must not write into the home folder.
        environment={"KERAS_BACKEND": "openvino", "KERAS_HOME": str(folder.parents[1] / "keras")},
        timeout_seconds=COMPILE_SECONDS,
        task=f"Compiling {title}",
    )
