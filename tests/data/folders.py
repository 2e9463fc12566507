"""Small data folders for tests."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from graft.core.progress import SilentProgress
from graft.data.images import encode_png
from graft.data.manifest import build_manifest
from graft.data.records import ImageRules, Manifest
from graft.data.scan import Scan, scan
from graft.data.sources import read_source

RULES = ImageRules()


def photo_bytes(number: int, side: int = 12) -> bytes:
    """A PNG that is like no other number's."""
    return encode_png(np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8))


def make_folder(root: Path, counts: Mapping[str, int], *, first: int = 0) -> Path:
    """Write `counts[name]` photos into each folder `name` (which may hold slashes), all different; returns `root`."""
    number = first
    for name, count in counts.items():
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            (folder / f"photo_{index:03}.png").write_bytes(photo_bytes(number))
            number += 1
    return root


def scanned(data: Path, **options: object) -> Scan:
    settings = {"rules": RULES, "on_bad": "quarantine", "progress": SilentProgress(), "workers": 2, "cache": None}
    return scan(read_source(data), **{**settings, **options})


def manifest_of(data: Path, *, seed: int = 0, split_from: Manifest | None = None, **options: object) -> Manifest:
    return build_manifest(scanned(data, **options), fractions=(0.7, 0.15, 0.15), seed=seed, split_from=split_from)
