"""Compiled forms: a program's network as an OpenVINO graph, made once in a child process and kept."""

import os
from contextlib import suppress
from pathlib import Path

from graft.backbones.catalogue import find
from graft.backbones.weights import WeightsFile
from graft.core.child import run_child
from graft.core.errors import IntegrityProblem, ResourceProblem
from graft.core.files import Lock, make_directory, remove_file, require_space, sweep_stray, write_atomic
from graft.core.hashing import CHUNK_BYTES
from graft.core.records import to_value
from graft.features.forms import RECORD_FILE, Form, converted_program, form_key, stored_form
from graft.features.records import Program

WORKER = "graft.features.compile_worker"
LEASE_SECONDS = 30.0
COPIES = 3  # of the weights, on the disk at the same time: as exported, as bound, in place
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
        with suppress(OSError, ResourceProblem):  # a cache that can only be read is still a cache
            os.utime(folder / RECORD_FILE)  # for the eviction order
            sweep_stray(folder, COMPILE_SECONDS)  # of a process that was killed when the form was just in place
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


def described(program: Program, weights: WeightsFile) -> dict[str, dict[str, str] | None]:
    """The weights a program needs as a child process's job names them."""

    def file(each: WeightsFile | None) -> dict[str, str] | None:
        return {"path": str(each.path), "prefix": each.prefix, "sha256": each.sha256} if each else None

    return {
        "weights": file(weights),
        "top": file(weights.top) if program.top_sha256 else None,
        "whitening": file(weights.whitening) if program.preprocessing.whitening_sha256 else None,
    }


def child_environment(cache: Path) -> dict[str, str]:
    """For a child process that runs Keras on OpenVINO.

    KERAS_HOME: the user's Keras settings (half precision, other epsilon) must not reach it, and Keras must not write
    into the home folder.
    """
    return {"KERAS_BACKEND": "openvino", "KERAS_HOME": str(cache / "keras")}


def _make(program: Program, weights: WeightsFile, folder: Path, key: str) -> None:
    """Convert in a child process: Keras' backend is chosen for a whole process, and this one's may be another."""
    record = find(program.backbone)
    task = f"Compiling {record.title}"
    needed = COPIES * 4 * (record.parameters_with_top or record.parameters)
    require_space(folder, needed, task)
    try:
        run_child(
            WORKER,
            {
                "program": to_value(converted_program(program)),
                **described(program, weights),
                "folder": str(folder),
                "key": key,
            },
            environment=child_environment(folder.parents[1]),
            timeout_seconds=COMPILE_SECONDS,
            task=task,
        )
    except ResourceProblem:
        _check_room(folder, needed)
        raise


def _check_room(folder: Path, needed: int) -> None:
    """Raise `disk_full` where that is why a compilation failed: the engine's own words for it help nobody."""
    room = folder / "room"
    write_atomic(room, (bytes(CHUNK_BYTES) for _ in range(-(-needed // CHUNK_BYTES))), writer="room")
    remove_file(room)
