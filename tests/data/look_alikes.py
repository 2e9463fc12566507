"""Photos like natural ones, made up, and copies of them as people make them: resized, stored anew, cropped."""

import io
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from graft.core.progress import SilentProgress
from graft.data.duplicates.search import find_near
from graft.data.scan import Scan
from tests.data.folders import scanned

FILTERS = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def natural(number: int, width: int = 160, height: int = 120) -> Image.Image:
    """Clouds whose strength falls with the frequency, as in photos, and a few flat shapes with sharp edges."""
    draw = np.random.default_rng(number)
    rows, columns = np.fft.fftfreq(height)[:, None] * height, np.fft.fftfreq(width) * width
    strength = 1 / np.maximum(np.sqrt(rows**2 + columns**2), 1) ** 1.2
    waves = np.fft.fft2(draw.normal(size=(3, height, width)))
    pixels = np.fft.ifft2(waves * strength).real
    pixels = 128 + 45 * (0.8 * pixels[:1] / pixels[0].std() + 0.3 * pixels / pixels.std()).transpose(1, 2, 0)
    places = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1)
    for _ in range(4):
        inside = ((places - draw.uniform(0, [width, height])) / draw.uniform(8, 40, 2)) ** 2
        pixels[inside.sum(axis=-1) < 1] = draw.uniform(0, 255, 3)
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def on_one_wall(number: int) -> Image.Image:
    """The same wall each time, and before it something like a hand: a blob with a few fingers."""
    draw = np.random.default_rng(number)
    places = np.stack(np.meshgrid(np.linspace(-1, 1, 100), np.linspace(-1, 1, 100)), axis=-1)
    wall = 190 - 40 * (places**2).sum(axis=-1) + 10 * places[..., 0]
    middle = np.array([0.0, 0.45]) + draw.uniform(-0.12, 0.12, 2)
    hand = (((places - middle) / draw.uniform(0.22, 0.34, 2)) ** 2).sum(axis=-1) < 1
    for angle in np.linspace(-0.9, 0.9, 5)[draw.random(5) < 0.5] + draw.uniform(-0.12, 0.12):
        way = np.array([np.sin(angle), -np.cos(angle)])
        along = (places - middle) @ way
        across = (places - middle) @ np.array([way[1], -way[0]])
        hand |= (np.abs(across) < 0.07) & (along > 0) & (along < draw.uniform(0.6, 0.9))
    wall[hand] = 90 + 30 * places[hand][:, 0]
    noisy = wall[..., None] + draw.normal(0, 2, (100, 100, 3)) + [8, 0, -8]
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def stored(image: Image.Image, kind: str = "PNG", quality: int = 90) -> bytes:
    """The bytes of a file."""
    file = io.BytesIO()
    image.save(file, kind, quality=quality)
    return file.getvalue()


def resized(image: Image.Image, factor: float, draw: np.random.Generator) -> Image.Image:
    """Another size, by a filter drawn from those in use."""
    size = (round(image.width * factor), round(image.height * factor))
    return image.resize(size, FILTERS[draw.integers(3)])


def cropped(image: Image.Image, draw: np.random.Generator) -> Image.Image:
    """Up to 5 % less on each side."""
    left, top, right, bottom = draw.uniform(0, 0.05, 4) * [*image.size, *image.size]
    return image.crop((round(left), round(top), round(image.width - right), round(image.height - bottom)))


COPIES: Mapping[str, Callable[[Image.Image, np.random.Generator], bytes]] = {
    "half the size": lambda image, draw: stored(resized(image, 0.5, draw), "JPEG"),
    "twice the size": lambda image, draw: stored(resized(image, 2.0, draw), "JPEG"),
    "another size": lambda image, draw: stored(resized(image, draw.uniform(0.5, 2), draw), "JPEG"),
    "JPEG of quality 30": lambda image, draw: stored(image, "JPEG", 30),
    "JPEG of quality 95": lambda image, draw: stored(image, "JPEG", 95),
    "PNG": lambda image, draw: stored(image),
    "WebP": lambda image, draw: stored(image, "WEBP", int(draw.integers(50, 95))),
    "cropped": lambda image, draw: stored(cropped(image, draw)),
    "cropped, another size, JPEG": lambda image, draw: stored(
        resized(cropped(image, draw), draw.uniform(0.5, 2), draw), "JPEG", int(draw.integers(30, 96))
    ),
}


def write(folder: Path, files: Mapping[str, bytes]) -> Path:
    """Write files by their path below `folder`; returns it."""
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)
    return folder


def look_alike_paths(scan: Scan, *, workers: int = 2) -> set[tuple[str, str]]:
    """The pairs of paths that are near duplicates."""
    path = {item.sha256: item.entry.path for item in scan.good}
    pairs = find_near(scan, workers=workers, progress=SilentProgress())
    return {tuple(sorted((path[pair.first], path[pair.second]))) for pair in pairs}


def scanned_with_fingerprints(folder: Path, **options: object) -> Scan:
    return scanned(folder, fingerprints=True, **options)
