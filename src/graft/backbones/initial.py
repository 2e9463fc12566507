"""Random initial weights: what a network begins with that is trained from nothing.

The numbers follow the initialisers that the network's layers name (Keras' defaults: Glorot's uniform distribution for
kernels), but are drawn here, by Graft's own random streams: one for each layer, so that they are the same on every
backend, in either data format and whatever else the network has. Building a network takes Keras, so a child process
does it, once: the weights are kept in the cache.
"""

import math
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.records import BackboneRecord
from graft.backbones.weights import WeightsFile
from graft.core.child import run_child, serve_child
from graft.core.errors import GraftError
from graft.core.files import make_directory, mark_used
from graft.core.hashing import sha256_json
from graft.core.randomness import stream
from graft.core.telemetry import without_telemetry
from graft.core.tensors import read_tensors, tensors_sha256, write_tensors

VERSION = 1  # raise it when the same network and seed would begin with other numbers
BUILD_SECONDS = 600.0
WRITER = "weights"
TRUNCATION = 2.0  # deviations beyond which a truncated normal number is drawn again, as Keras does
# The deviation that is left of a normal distribution cut off there: Keras divides by it.
TRUNCATED_DEVIATION = 0.87962566103423978
Array = np.ndarray[Any, np.dtype[Any]]


def initial_weights(record: BackboneRecord, side_pixels: int, seed: int, cache: Path) -> WeightsFile:
    """The network's weights before any training, from `cache`, made there first where they are missing or damaged.

    They depend on the network and `seed` alone, to the last bit; without the network's own classifier.

    Raises: `BadInput` where the network cannot have this size, `ResourceProblem` where it cannot be built here.
    """
    # Beside the imported files, under a name that no import has: whoever looks for imported weights must not find them.
    path = cache / "weights" / f"random-{_key(record, side_pixels, seed)[:32]}.safetensors"
    known = _remembered(path)
    if known is not None:
        mark_used(path)
        return known
    make_directory(path.parent)
    job = {"backbone": record.name, "side_pixels": side_pixels, "seed": seed, "target": str(path.absolute())}
    answer = run_child(
        "graft.backbones.initial",
        job,
        environment={"KERAS_BACKEND": "openvino", "KERAS_HOME": str(cache / "keras")},
        timeout_seconds=BUILD_SECONDS,
        task=f"Drawing the initial weights of {record.title}",
    )
    return WeightsFile(path, "", answer["sha256"])


def drawn_tensors(record: BackboneRecord, side_pixels: int, seed: int) -> dict[str, Array]:
    """The initial value of each of the network's tensors by full name, float32. Imports Keras."""
    with without_telemetry():
        import keras

    from graft.backbones.networks import build

    with keras.StatelessScope(initialize_variables=False):  # names, shapes and initialisers, but no numbers
        network = build(record, side_pixels=side_pixels)
    return {
        f"{layer.name}/{weight.name}": initial_value(
            weight._initializer, tuple(weight.shape), stream(seed, "initial weights", layer.name, weight.name)
        )
        for layer in network.layers
        for weight in layer.weights
    }


def initial_value(initializer: Any, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """What one of Keras' initialisers stands for, drawn by `generator` where it is random: float32 of `shape`.

    Raises:
        ValueError: it is random in a way that is not known here.
    """
    import keras

    known: dict[str, Callable[[], Array]] = {
        "RandomNormal": lambda: generator.normal(initializer.mean, initializer.stddev, shape),
        "RandomUniform": lambda: generator.uniform(initializer.minval, initializer.maxval, shape),
        "TruncatedNormal": lambda: initializer.mean + initializer.stddev * _truncated(shape, generator),
    }
    if isinstance(initializer, keras.initializers.VarianceScaling):  # Glorot's, He's and LeCun's too
        value = _scaled(initializer, shape, generator)
    elif (name := type(initializer).__name__) in known:
        value = known[name]()
    elif hasattr(initializer, "seed"):
        raise ValueError(f"the initialiser {name} is not known")
    else:
        value = keras.ops.convert_to_numpy(initializer(shape, dtype="float32"))
    return np.ascontiguousarray(value, np.float32)


def _scaled(initializer: Any, shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Numbers whose variance is the initialiser's scale by the number of inputs, of outputs, or their mean."""
    inputs, outputs = _fans(shape, initializer)
    fan = {"fan_in": inputs, "fan_out": outputs, "fan_avg": (inputs + outputs) / 2}[initializer.mode]
    deviation = math.sqrt(initializer.scale / max(1.0, fan))
    if initializer.distribution == "uniform":
        limit = math.sqrt(3) * deviation
        return generator.uniform(-limit, limit, shape)
    if initializer.distribution == "truncated_normal":
        return deviation / TRUNCATED_DEVIATION * _truncated(shape, generator)
    return generator.normal(0.0, deviation, shape)


def _fans(shape: tuple[int, ...], initializer: Any) -> tuple[int, int]:
    """How many numbers each output is made of, and each input goes into, as Keras counts them by the shape."""
    if initializer.input_axes is not None and initializer.output_axes is not None:
        axes = (initializer.input_axes, initializer.output_axes)
        inputs, outputs = (math.prod(shape[axis] for axis in each) for each in axes)
        return inputs, outputs
    if len(shape) < 2:
        return (shape[0], shape[0]) if shape else (1, 1)
    positions = math.prod(shape[:-2])
    return positions * shape[-2], positions * shape[-1]


def _truncated(shape: tuple[int, ...], generator: np.random.Generator) -> Array:
    """Standard normal numbers, those further out than `TRUNCATION` drawn again."""
    values = generator.standard_normal(shape)
    while (outside := np.abs(values) > TRUNCATION).any():
        values[outside] = generator.standard_normal(int(outside.sum()))
    return values


def main(job: dict[str, Any]) -> dict[str, Any]:
    """Answer `initial_weights`: write the file and give its hash."""
    tensors = drawn_tensors(find(job["backbone"]), job["side_pixels"], job["seed"])
    digest = tensors_sha256(tensors)
    described = {"backbone": job["backbone"], "seed": str(job["seed"]), "tensors_sha256": digest}
    write_tensors(Path(job["target"]), tensors, metadata=described, writer=WRITER)
    return {"sha256": digest}


def _remembered(path: Path) -> WeightsFile | None:
    """What was drawn before, if it is there and sound."""
    try:
        with read_tensors(path) as file:
            digest = tensors_sha256(file.tensors)
            return WeightsFile(path, "", digest) if file.metadata.get("tensors_sha256") == digest else None
    except (OSError, GraftError):
        return None  # made again


def _key(record: BackboneRecord, side_pixels: int, seed: int) -> str:
    return sha256_json(
        {
            "constructor": record.constructor,
            "options": [list(option) for option in record.options],
            "side_pixels": side_pixels,
            "seed": seed,
            "keras": metadata.version("keras"),  # which says what the initialisers are
            "version": VERSION,
        }
    )


if __name__ == "__main__":
    serve_child(main)
