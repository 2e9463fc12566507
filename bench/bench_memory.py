"""Peak anonymous memory and time of whole trainings against the number of photos, on generated photos.

Needs a weights file of MobileNet 1.0 for the wide case; without the folder `shared` the built-in backbone is used.

    python bench/bench_memory.py [NUMBER ...]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sides import SHARED, table, train

NUMBERS = (500, 2_000, 20_000)
CLASSES = 20
SIDE_PIXELS = 96


def write_photos(folder: Path, number: int) -> None:
    """Class folders of JPEGs: a coarse pattern for each class under strong noise."""
    draw = np.random.default_rng(0)
    patterns = draw.integers(0, 256, (CLASSES, 6, 6, 3))
    for index in range(number):
        label = index % CLASSES
        noisy = np.clip(0.5 * patterns[label] + 0.5 * draw.integers(0, 256, (6, 6, 3)), 0, 255).astype(np.uint8)
        place = folder / f"class-{label:02d}"
        place.mkdir(parents=True, exist_ok=True)
        image = Image.fromarray(noisy).resize((SIDE_PIXELS, SIDE_PIXELS), Image.Resampling.BICUBIC)
        image.save(place / f"{index:06d}.jpg", quality=85)


def measure(number: int, cache: Path, weights: Path) -> dict[str, object]:
    """Generate, train, report."""
    words = ["--recipe", "probe", "--image-size", str(SIDE_PIXELS)]
    if weights.is_file():
        words += ["--backbone", "mobilenet", "--weights", str(weights)]
    with tempfile.TemporaryDirectory() as folder:
        write_photos(Path(folder), number)
        result = train([folder, *words], cache=cache)
    return {
        "photos": f"{number:,}",
        "backbone": result["backbone"],
        "anonymous memory at its peak": f"{result['anonymous'] / 2**20:.0f} MiB",
        "seconds": f"{result['wall']:.1f}",
        "of which features": result["seconds"]["features"],
        "of which head": result["seconds"]["head"],
    }


def main() -> None:
    """Measure the numbers given, or all."""
    numbers = [int(word) for word in sys.argv[1:]] or list(NUMBERS)
    weights = SHARED / "weights" / "mobilenet_1.0_224_notop.weights.h5"
    with tempfile.TemporaryDirectory() as cache:
        table([measure(number, Path(cache), weights) for number in numbers])


if __name__ == "__main__":
    main()
