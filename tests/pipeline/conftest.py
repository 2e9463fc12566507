"""Generated photos of three classes, and one finished run on them that the tests of this folder share."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.core.progress import SilentProgress
from graft.pipeline.options import TrainOptions
from graft.pipeline.train import TrainResult, train

CLASSES = ("checks", "plain", "stripes")
SIDE_PIXELS = 64


def draw_photo(label: str, number: int) -> Image.Image:
    """A pattern of the class in random colours under noise."""
    draw = np.random.default_rng([CLASSES.index(label), number])
    rows, columns = np.indices((SIDE_PIXELS, SIDE_PIXELS))
    period = int(draw.integers(6, 12))
    pattern = {"checks": (rows // period + columns // period) % 2, "plain": rows * 0, "stripes": rows // period % 2}[
        label
    ]
    colours = draw.integers(0, 256, (2, 3))
    pixels = colours[pattern] + draw.normal(0, 30, (SIDE_PIXELS, SIDE_PIXELS, 3))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def write_photos(folder: Path, per_class: int = 20, labels: tuple[str, ...] = CLASSES) -> Path:
    """Class folders of PNGs."""
    for label in labels:
        (folder / label).mkdir(parents=True, exist_ok=True)
        for number in range(per_class):
            draw_photo(label, number).save(folder / label / f"{number:03d}.png")
    return folder


def options(data: Path, output: Path, **changes: object) -> TrainOptions:
    """The built-in backbone at its smallest, in float32."""
    values = {"data": str(data), "output": str(output), "backbone": "sprout", "image_size": 64, "precision": "float32"}
    return TrainOptions(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def photos(tmp_path_factory) -> Path:
    return write_photos(tmp_path_factory.mktemp("photos"))


@pytest.fixture(scope="session")
def finished(photos, tmp_path_factory) -> TrainResult:
    return train(options(photos, tmp_path_factory.mktemp("runs") / "run"), progress=SilentProgress())
