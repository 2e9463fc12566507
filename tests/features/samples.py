"""Small programs, weights and photos that the tests of this folder share."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from graft.backbones.catalogue import find
from graft.backbones.networks import build
from graft.backbones.weights import WeightsFile, builtin
from graft.core.hashing import sha256_bytes
from graft.core.randomness import stream
from graft.core.telemetry import without_telemetry
from graft.core.tensors import tensors_sha256, write_tensors
from graft.data.images import encode_png
from graft.data.records import ImageFacts, Photo
from graft.features.records import Output, Program

SIDE = 48
OUTPUTS = (
    Output(layer="s1_out"),
    Output(layer="s3_down_relu"),  # as wide as s3_out: only values tell them apart
    Output(layer="s3_out"),
    Output(layer="head_relu"),
    Output(layer="s3_out", pooling="none"),
    Output(layer="s3_out", pooling="max"),
)


def sprout(folder: Path, **changes) -> tuple[Program, WeightsFile]:
    """A program on the built-in backbone at its smallest size, and its weights."""
    weights = builtin("sprout", folder)
    program = Program(
        backbone="sprout",
        weights_sha256=weights.sha256,
        side_pixels=SIDE,
        preprocessing=find("sprout").preprocessing,
        outputs=OUTPUTS,
    )
    return replace(program, **changes), weights


def random_program(name: str, side_pixels: int, folder: Path) -> tuple[Program, WeightsFile]:
    """A program on any network of the catalogue with random weights, statistics of normalisation included."""
    record = find(name)
    weights = random_weights(name, side_pixels, folder)
    taps = tuple(Output(layer=layer) for layer in record.taps)
    cut = Output(layer=record.taps[len(record.taps) // 2], pooling="none")
    program = Program(
        backbone=name,
        weights_sha256=weights.sha256,
        side_pixels=side_pixels,
        preprocessing=record.preprocessing,
        outputs=(*taps, cut),
    )
    return program, weights


def random_weights(name: str, side_pixels: int, folder: Path) -> WeightsFile:
    """Weights of plausible size: activations neither die nor explode."""
    with without_telemetry():
        import keras  # noqa: F401 (first here, so that its backend is imported inside this block)
    network = build(find(name), side_pixels=side_pixels)
    tensors = {}
    for layer in network.layers:
        for variable in layer.weights:
            key = f"{layer.name}/{variable.name}"
            tensors[key] = _random_tensor(key, tuple(variable.shape))
    path = folder / f"{name}-random.safetensors"
    write_tensors(path, tensors, metadata={}, writer="weights")
    return WeightsFile(path, "", tensors_sha256(tensors))


def _random_tensor(key: str, shape: tuple[int, ...]) -> np.ndarray:
    generator = stream(7, key)
    kind = key.rpartition("/")[2]
    if kind in ("gamma", "moving_variance", "variance"):
        return generator.uniform(0.6, 1.4, shape).astype(np.float32)
    if kind == "count":
        return np.zeros(shape, np.float32)
    fan_in = max(int(np.prod(shape[:-1])), 1) if "depthwise" not in kind else int(np.prod(shape[:2]))
    deviation = (2 / fan_in) ** 0.5 if "kernel" in kind else 0.1
    if "_se_reduce/" in key:  # gates that are neither shut nor open, as trained ones: others amplify every rounding
        deviation *= 0.1
    return generator.normal(0, deviation, shape).astype(np.float32)


def pictures(count: int, side_pixels: int = SIDE, seed: int = 0) -> np.ndarray:
    """(count, side, side, 3) uint8: coarse colour patches with noise, each picture another."""
    return np.stack([picture(number, side_pixels, seed) for number in range(count)])


def picture(number: int, side_pixels: int, seed: int) -> np.ndarray:
    generator = stream(seed, "picture", str(number))
    where = np.arange(side_pixels) * 6 // side_pixels
    patches = generator.integers(0, 200, (6, 6, 3))[where][:, where]
    return (patches + generator.integers(0, 56, (side_pixels, side_pixels, 3))).astype(np.uint8)


def write_photos(folder: Path, count: int, *, seed: int = 0, height: int = 60, width: int = 80) -> tuple[Photo, ...]:
    """PNG files and their records."""
    folder.mkdir(parents=True, exist_ok=True)
    photos = []
    for number in range(count):
        content = encode_png(picture(number, max(height, width), seed)[:height, :width])
        name = f"photo{number:03}.png"
        (folder / name).write_bytes(content)
        photos.append(photo_record(name, content, height=height, width=width))
    return tuple(photos)


def photo_record(name: str, content: bytes, *, height: int = 60, width: int = 80) -> Photo:
    facts = ImageFacts(format="PNG", width=width, height=height, mode="RGB", bytes=len(content))
    digest = sha256_bytes(content)
    return Photo(path=name, label=0, split="train", sha256=digest, group=digest, facts=facts)
