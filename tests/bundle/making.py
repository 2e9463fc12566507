"""Tiny bundles for tests: a network of twenty numbers that the catalogue does not know, and an engine for it."""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import graft.bundle.bundle
import graft.bundle.checks
import graft.bundle.golden
from graft.backbones.catalogue import catalogue
from graft.backbones.records import BackboneRecord, Preprocessing
from graft.backbones.weights import WeightsFile
from graft.bundle.bundle import save_bundle
from graft.bundle.format import content_hashes
from graft.bundle.golden import make_golden
from graft.bundle.records import Provenance
from graft.core.hashing import sha256_bytes
from graft.core.randomness import stream
from graft.core.tensors import read_tensors, tensors_sha256, write_tensors
from graft.data.images import encode_png
from graft.data.records import ImageRules
from graft.features.preprocessing import network_input, whitening_of
from graft.features.records import Output, Pooling, Precision, Program
from graft.training.heads.records import Activation
from graft.training.records import Classifier, Hidden

TINY = BackboneRecord(
    name="tiny",
    family="tiny",
    title="Tiny",
    constructor="tiny",
    side_pixels=32,
    min_side_pixels=8,
    preprocessing=Preprocessing(scale=(1 / 64,) * 3, offset=(-2.0,) * 3),
    parameters=20,
    width=3,
    taps=("low", "middle", "high"),
    tap_widths=(2, 3, 3),
    licence="Apache-2.0",
    paper="",
)
PROVENANCE = Provenance(
    graft_version="0.1.0",
    recipe="probe",
    manifest_hash="m" * 64,
    plan_hash="p" * 64,
    n_train=70,
    scored_on="test",
    n_scored=15,
    accuracy=0.9,
    accuracy_interval=(0.7, 0.97),
)
COLOURS = ("red", "green", "blue")
SIDE = 32


class TinyEngine:
    """Averages of the preprocessed pixels times the first weights: wrong pixels, input or weights change the answer."""

    name, identity, events = "tiny", "tiny 1", ()

    def __init__(self, program: Program, weights: WeightsFile) -> None:
        self.program = program
        self.calls: list[int] = []
        self.closed = False
        self.whitening = whitening_of(program.preprocessing, weights)
        with read_tensors(weights.path) as file:
            self.factor = np.array(file.tensors[f"{weights.prefix}stem/kernel"]).reshape(-1)[:3]

    def run(self, batches: Iterable[tuple[Any, np.ndarray]]) -> Iterator[tuple[Any, dict[str, np.ndarray]]]:
        for rows, pixels in batches:
            assert 1 <= len(pixels) <= self.program.batch_images
            self.calls.append(len(pixels))
            values = network_input(pixels, self.program.preprocessing, self.whitening) * self.factor
            quarters = values.reshape(len(values), 2, SIDE // 2, 2, SIDE // 2, 3).mean(axis=(2, 4))
            taps = {
                "low:avg": values.mean(axis=(1, 2))[:, :2],
                "middle:avg": values[:, : SIDE // 2].mean(axis=(1, 2)),
                "high:avg": quarters.mean(axis=(1, 2)),
                "high:max": quarters.max(axis=(1, 2)),
                "high:none": quarters,
            }
            yield rows, {output.name: taps[output.name].astype(np.float32) for output in self.program.outputs}

    def close(self) -> None:
        self.closed = True

    def __enter__(self) -> "TinyEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_tiny(program: Program, weights: WeightsFile, *, threads: int, cache: Path, apart: bool = False) -> TinyEngine:
    assert weights.sha256 == program.weights_sha256
    return TinyEngine(program, weights)


def install_tiny(patch: Callable[[Any, str, Any], None]) -> None:
    """Let the catalogue know the tiny network, and run it by `TinyEngine`."""
    extended = {**catalogue(), TINY.name: TINY}
    patch(graft.bundle.checks, "catalogue", lambda: extended)
    patch(graft.bundle.bundle, "catalogue", lambda: extended)
    patch(graft.bundle.bundle, "open_engine", open_tiny)
    patch(graft.bundle.golden, "open_engine", open_tiny)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A good bundle of the tiny network, which tells red, green and blue photos apart."""
    install_tiny(monkeypatch.setattr)
    return write_tiny(tmp_path / "classifier.graft")


def tiny_weights(folder: Path) -> WeightsFile:
    tensors = {
        "stem/kernel": np.linspace(1, 2, 12, dtype=np.float32).reshape(3, 4),
        "stem/bias": np.zeros(4, np.float32),
        "top/kernel": np.ones((2, 2), np.float16),
    }
    path = folder / "tiny.safetensors"
    write_tensors(path, tensors, metadata={}, writer="weights")
    return WeightsFile(path, "", tensors_sha256(tensors))


def tiny_program(weights: WeightsFile) -> Program:
    return Program(
        backbone=TINY.name,
        weights_sha256=weights.sha256,
        side_pixels=SIDE,
        preprocessing=TINY.preprocessing,
        outputs=(Output(layer="middle"), Output(layer="high")),
    )


def colour_classifier() -> Classifier:
    """Each class likes its own channel, in both taps."""
    kernel = np.concatenate([np.eye(3), np.eye(3)]).astype(np.float32) * 0.6
    return Classifier(
        taps=("middle", "high"),
        mean=np.zeros(6, np.float32),
        scale=np.ones(6, np.float32),
        kernel=kernel,
        bias=np.zeros(3, np.float32),
        temperature=1.0,
    )


def layered_classifier(pooling: Pooling = "none", units: tuple[int, ...] = (5, 4)) -> Classifier:
    """Hidden layers on the last layer's map of 2 x 2, or with another pooling on its averages or maxima."""
    draw = stream(0, "layered", pooling)
    widths = (12 if pooling == "none" else 3, *units, 3)
    kernels = [
        draw.normal(0, 1 / np.sqrt(below), (below, above)).astype(np.float32)
        for below, above in itertools.pairwise(widths)
    ]
    biases = [draw.normal(0, 0.1, above).astype(np.float32) for above in widths[1:]]
    activations: tuple[Activation, ...] = ("relu", "linear")
    return Classifier(
        taps=("high",),
        mean=np.zeros(widths[0], np.float32),
        scale=np.ones(widths[0], np.float32),
        kernel=kernels[-1],
        bias=biases[-1],
        temperature=1.5,
        pooling=pooling,
        hidden=tuple(
            Hidden(kernel, bias, activations[number % 2])
            for number, (kernel, bias) in enumerate(zip(kernels[:-1], biases[:-1], strict=True))
        ),
    )


def write_tiny(
    path: Path,
    classifier: Classifier | None = None,
    classes: tuple[str, ...] = COLOURS,
    precision: Precision = "float32",
) -> Path:
    weights = tiny_weights(path.parent)
    program, classifier = replace(tiny_program(weights), precision=precision), classifier or colour_classifier()
    photos = stream(0, "tiny golden").integers(0, 256, size=(3, SIDE, SIDE, 3)).astype(np.uint8)
    golden = make_golden(program, weights, classifier, photos, threads=1, cache=path.parent)
    save_bundle(
        path,
        program=program,
        weights=weights,
        classifier=classifier,
        classes=classes,
        golden=golden,
        provenance=PROVENANCE,
        licences=(("tiny", "Apache-2.0"),),
        rules=ImageRules(),
    )
    return path


def solid(colour: tuple[int, int, int], height: int = 40, width: int = 60) -> np.ndarray:
    return np.broadcast_to(np.array(colour, np.uint8), (height, width, 3)).copy()


def solid_png(colour: tuple[int, int, int]) -> bytes:
    return encode_png(solid(colour))


RED, GREEN, BLUE = (220, 20, 30), (20, 210, 30), (15, 30, 230)


def contents(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Manifest and tensors of a bundle, to be changed."""
    with read_tensors(path) as file:
        return json.loads(file.metadata["graft"]), {name: np.array(array) for name, array in file.tensors.items()}


def rewrite(
    path: Path, manifest: dict[str, Any] | str, tensors: Mapping[str, np.ndarray], *, rehash: bool = True
) -> None:
    """Write a bundle as an attacker would: with hashes that fit unless `rehash` is off."""
    if isinstance(manifest, dict):
        if rehash:
            manifest["weights_sha256"], manifest["tensors_sha256"] = content_hashes(tensors)
        manifest = json.dumps(manifest)
    metadata = {"graft": manifest, "graft_sha256": sha256_bytes(manifest.encode(errors="surrogatepass"))}
    write_tensors(path, tensors, metadata=metadata, writer="test")
