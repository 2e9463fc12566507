"""Which library computes below Keras: TensorFlow, JAX or torch. Decided once, before Keras is imported."""

import importlib.util
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal, get_args

from graft.core.errors import BadInput
from graft.core.quiet import without_native_remarks
from graft.core.telemetry import without_telemetry
from graft.training.tuning.records import Backend

BACKENDS: tuple[Backend, ...] = get_args(Backend)  # in the order in which an installed one is taken
JAX_ON_GPU = ("jax_cuda13_plugin", "jax_cuda12_plugin", "jax_rocm7_plugin", "jax_rocm60_plugin")
INSTALL: Mapping[Backend, str] = MappingProxyType(
    {
        "tensorflow": "pip install 'graft-vision[finetune]'",
        "jax": "pip install 'graft-vision[jax]'",
        "torch": "pip install 'graft-vision[torch]'",
    }
)
VARIABLE = "KERAS_BACKEND"


def choose(wanted: Backend | Literal["auto"]) -> Backend:
    """The backend to compute with: `wanted`, or for "auto" the one that Keras runs on or shall, else an installed one.

    JAX comes first where it sees a GPU, otherwise TensorFlow, then JAX, then torch. Nothing is set here; to see a GPU
    JAX is imported, but only where its GPU part is installed.

    Raises: `BadInput` extra_missing, or where Keras already runs on another backend in this process.
    """
    running = _running()
    if running is not None and wanted in ("auto", running):
        return running
    if "keras" in sys.modules:
        found = sys.modules["keras"].backend.backend()
        raise BadInput(
            f"Keras must compute with {'one of ' + ', '.join(BACKENDS) if wanted == 'auto' else wanted} to fine-tune, "
            f"but in this process it was already loaded with {found}.",
            hint=f"Start again with the environment variable {VARIABLE}={BACKENDS[0] if wanted == 'auto' else wanted}.",
        )
    installed = [name for name in BACKENDS if importlib.util.find_spec(name) is not None]
    asked = next((name for name in installed if name == os.environ.get(VARIABLE)), None)
    if wanted == "auto" and asked:
        return asked
    if wanted == "auto" and installed:
        return "jax" if "jax" in installed and _jax_sees_gpu() else installed[0]
    if wanted not in installed:
        missing: Backend = "tensorflow" if wanted == "auto" else wanted
        raise BadInput(
            f"Fine-tuning must find {missing}, which is not installed.",
            hint=f"Type: {INSTALL[missing]}.",
            code="extra_missing",
        )
    return wanted


def prepare(backend: Backend, threads: int) -> None:
    """Load Keras on `backend`, with `threads` threads for its computations. Calling it again changes nothing.

    Threads are set while that is still possible: before the first computation of this process.
    """
    if "keras" not in sys.modules:
        os.environ[VARIABLE] = backend
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # what TensorFlow remarks on the processor helps nobody
    choose(backend)
    if backend == "jax":
        os.environ.setdefault("NPROC", str(threads))  # read by XLA when its thread pool is made
    try:
        with without_telemetry(), without_native_remarks():
            import keras  # noqa: F401
    except ImportError as error:
        raise BadInput(
            f"Fine-tuning must be able to load {backend}, got: {error}.",
            hint=f"Type: {INSTALL[backend]}.",
            code="extra_missing",
        ) from error
    if backend == "tensorflow":
        _set_tensorflow_threads(threads)
    elif backend == "torch":
        import torch

        torch.set_num_threads(threads)


def _running() -> Backend | None:
    """The backend of a Keras that is loaded already, where it can train."""
    if "keras" not in sys.modules:
        return None
    found = sys.modules["keras"].backend.backend()
    return next((name for name in BACKENDS if name == found), None)


def _jax_sees_gpu() -> bool:
    if all(importlib.util.find_spec(name) is None for name in JAX_ON_GPU):
        return False
    import jax

    return bool(jax.default_backend() == "gpu")


def _set_tensorflow_threads(threads: int) -> None:
    import tensorflow

    threading = tensorflow.config.threading
    try:
        threading.set_intra_op_parallelism_threads(threads)
        threading.set_inter_op_parallelism_threads(threads)
    except RuntimeError:  # it has computed already: its threads stay as they are
        return
