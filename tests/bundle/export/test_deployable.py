"""The folder that answers by itself: its program prepares photos as Graft does, and no sabotage of it gets through."""

import importlib.util
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from graft.bundle.export import deployable
from graft.bundle.export.deployable import check_program
from graft.bundle.golden import PHOTO
from graft.core.errors import IntegrityProblem
from graft.data.images import load_pixels
from graft.data.records import ImageRules

pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")
SIDE = 48


def described(folder: Path, geometry: str = "squash") -> Path:
    """A folder with the program and as much of a description as preparing photos needs."""
    folder.mkdir(exist_ok=True)
    given = {"side_pixels": SIDE, "geometry": geometry, "sixteen_bit_white": 65535, "name": "pixels"}
    export = {"input": given, "classes": ["a", "b"], "threshold": 0.5, "file": "model.onnx"}
    (folder / "export.json").write_text(json.dumps(export))
    (folder / "predict.py").write_bytes((deployable.ASSETS / "predict.py").read_bytes())
    return folder


def program(folder: Path):
    """The folder's program, loaded."""
    found = importlib.util.spec_from_file_location(f"predict_{folder.name}", folder / "predict.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def photos() -> dict[str, tuple[bytes, int]]:
    """Files of many kinds, each with the levels that the program may be off by."""
    draw = np.random.default_rng(0)
    coarse = Image.fromarray(draw.integers(0, 256, (9, 12, 3), np.uint8)).resize((180, 130), Image.Resampling.BICUBIC)
    large = coarse.resize((900, 700))
    found = {
        "golden": (PHOTO.read_bytes(), 0),
        "jpeg": (encoded(coarse, "JPEG", quality=90), 0),
        "large jpeg": (encoded(large, "JPEG"), 0),
        "png": (encoded(coarse, "PNG"), 0),
        "webp": (encoded(coarse, "WEBP"), 0),
        "bmp": (encoded(coarse, "BMP"), 0),
        "gif": (encoded(coarse.convert("P"), "GIF"), 0),
        "tiff": (encoded(coarse, "TIFF"), 0),
        "grey": (encoded(coarse.convert("L"), "PNG"), 0),
        "one bit": (encoded(coarse.convert("1"), "PNG"), 0),
        "palette": (encoded(coarse.convert("P"), "PNG"), 0),
        "cmyk": (encoded(coarse.convert("CMYK"), "JPEG"), 0),
        "16-bit grey": (encoded(Image.fromarray(np.asarray(coarse.convert("L")).astype(np.uint16) * 257), "PNG"), 0),
    }
    alpha = coarse.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 180).astype(np.uint8), (130, 1))))
    found["alpha"] = (encoded(alpha, "PNG"), 0)
    found["grey and alpha"] = (encoded(alpha.convert("LA"), "PNG"), 0)
    found["transparent palette"] = (encoded(coarse.convert("P"), "PNG", transparency=3), 0)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found[f"exif {orientation}"] = (encoded(coarse, "JPEG", exif=exif), 0)
    return found


@pytest.mark.parametrize("geometry", ["squash", "crop"])
def test_photos_are_prepared_to_the_same_bit(tmp_path, geometry):
    module = program(described(tmp_path / geometry, geometry))
    for name, (data, levels) in photos().items():
        own = load_pixels(data, side_pixels=SIDE, geometry=geometry, rules=ImageRules())
        assert np.abs(module.load(data).astype(int) - own).max() <= levels, name
    assert len(photos()) >= 24


SABOTAGE = {
    "another resize": ("Image.Resampling.BILINEAR", "Image.Resampling.NEAREST"),
    "channels swapped": ('    image = image.convert("RGB")', '    image = Image.merge("RGB", image.split()[::-1])'),
    "no EXIF": ("ImageOps.exif_transpose(file)", "file"),
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_sabotaged_preparation_does_not_pass(tmp_path, what):
    folder = described(tmp_path / "export")
    text = (folder / "predict.py").read_text()
    good, bad = SABOTAGE[what]
    assert good in text
    (folder / "predict.py").write_text(text.replace(good, bad))
    refused(folder, tmp_path, "squash")


def test_a_forgotten_crop_does_not_pass(tmp_path):
    folder = described(tmp_path / "export", "crop")
    text = (folder / "predict.py").read_text()
    (folder / "predict.py").write_text(text.replace("if not crop:", "if True:"))
    refused(folder, tmp_path, "crop")


def refused(folder: Path, scratch: Path, geometry: str) -> None:
    pixels = load_pixels(PHOTO.read_bytes(), side_pixels=SIDE, geometry=geometry, rules=ImageRules())
    with pytest.raises(IntegrityProblem, match="must prepare a photo to within 1 level") as caught:
        check_program(folder, PHOTO, pixels, np.array([0.5, 0.5]), scratch)
    assert caught.value.code == "golden_mismatch"


def test_a_program_that_does_not_run_is_refused(tmp_path):
    folder = described(tmp_path / "export")
    (folder / "predict.py").write_text("import nothing_of_that_name")
    with pytest.raises(IntegrityProblem, match="must run by itself, got: ModuleNotFoundError"):
        check_program(folder, PHOTO, np.zeros((SIDE, SIDE, 3), np.uint8), np.array([0.5, 0.5]), tmp_path)


def test_the_program_is_short_and_needs_three_packages():
    text = (deployable.ASSETS / "predict.py").read_text()
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import", "from"))}
    assert imported == {"io", "json", "sys", "pathlib", "numpy", "onnxruntime", "PIL"}
    assert sum(bool(line.strip()) for line in text.splitlines()) <= 60
    needed = (deployable.ASSETS / "requirements.txt").read_text()
    assert {line.split(">=")[0] for line in needed.split()} == {"numpy", "onnxruntime", "pillow"}
