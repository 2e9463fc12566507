"""Programs on Keras itself: the reference that the fast engine is compared with, and a way out where it fails."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from types import TracebackType
from typing import Any, Self

import numpy as np

from graft.backbones.weights import WeightsFile
from graft.core import machine
from graft.core.errors import BadInput
from graft.core.telemetry import without_telemetry
from graft.data.augmentation.normalization import Whitening
from graft.features.graphs import exact_forward, joined_outputs, loaded_network, separate
from graft.features.preprocessing import network_input, whitening_of
from graft.features.protocol import Batch, Outputs, Rows, check_finite, padded
from graft.features.records import Program

BACKEND_PACKAGES = {"tensorflow": ("tensorflow_cpu", "tensorflow"), "jax": ("jax",), "torch": ("torch",)}


@dataclass(frozen=True)
class KerasEngine:
    """A Keras model with all outputs in one tensor, on whatever backend Keras uses in this process."""

    program: Program
    identity: str
    forward: Callable[[np.ndarray], np.ndarray]
    shapes: dict[str, tuple[int, ...]]
    whitening: Whitening | None
    name: str = "keras"
    events: tuple[str, ...] = ()

    @classmethod
    def open(cls, program: Program, weights: WeightsFile) -> Self:
        """Build the network from the catalogue and load its weights."""
        import_keras()
        model, shapes = joined_outputs(loaded_network(program, weights), program.outputs)
        forward = exact_forward(model, program.batch_images)
        whitening = whitening_of(program.preprocessing, weights)
        return cls(program=program, identity=keras_identity(), forward=forward, shapes=shapes, whitening=whitening)

    def run(self, batches: Iterable[Batch]) -> Iterator[tuple[Rows, Outputs]]:
        """See `Engine.run`."""
        for rows, pixels in batches:
            given = network_input(padded(pixels, self.program), self.program.preprocessing, self.whitening)
            values = self.forward(given)
            outputs = separate(values[: len(rows)].astype(np.float32), self.shapes)
            check_finite(outputs, rows)
            yield rows, outputs

    def close(self) -> None:
        """Nothing to give back."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def import_keras() -> Any:
    """Keras, or one sentence about the missing backend."""
    try:
        with without_telemetry():
            import keras
    except ImportError as error:
        raise BadInput(
            f"The engine 'keras' must find a backend for Keras, got: {error}.",
            hint="Type: pip install 'graft-vision[finetune]'.",
            code="extra_missing",
        ) from error
    return keras


def keras_identity() -> str:
    """Versions of Keras and its backend, and what the processor can do."""
    backend = import_keras().backend.backend()
    packages = BACKEND_PACKAGES.get(backend, (backend,))
    installed = {distribution.metadata["Name"]: distribution.version for distribution in metadata.distributions()}
    found = [f"{name} {installed[name]}" for name in packages if name in installed]
    return ", ".join([f"keras {metadata.version('keras')}", *(found or [backend]), *machine.cpu_features()])
