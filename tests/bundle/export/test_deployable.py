"""The folder that answers by itself: its program prepares photos as Graft does, and no sabotage of it gets through."""

import importlib.util
import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from graft.bundle.export import deployable
from graft.bundle.export.deployable import check_program
from graft.bundle.golden import PHOTO
from graft.core.errors import IntegrityProblem
from graft.data.images import check, load_pixels
from graft.data.records import ImageRules
from tests.data.tiffs import make_tiff
from tests.hostile.image_kinds import BAD, BOMBS, GOOD, animation, deep_picture, deep_png, linear_profile, tiff

pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")
SIDE = 48


def described(folder: Path, geometry: str = "squash", white: int = 65_535) -> Path:
    """A folder with the program and as much of a description as preparing photos needs."""
    folder.mkdir(exist_ok=True)
    given = {"side_pixels": SIDE, "geometry": geometry, "sixteen_bit_white": white, "name": "pixels"}
    given |= {"max_pixels": ImageRules().max_pixels, "min_side_pixels": ImageRules().min_side_pixels}
    export = {"input": given, "classes": ["a", "b"], "threshold": 0.5, "file": "model.onnx"}
    (folder / "export.json").write_text(json.dumps(export))
    for name in ("predict.py", "prepare.py"):
        (folder / name).write_bytes((deployable.ASSETS / name).read_bytes())
    return folder


def program(folder: Path):
    """What prepares photos in the folder, loaded."""
    found = importlib.util.spec_from_file_location(f"prepare_{folder.name}", folder / "prepare.py")
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def gray_profile() -> bytes:
    return linear_profile().replace(b"RGB XYZ ", b"GRAYXYZ ").replace(b"rTRC", b"kTRC")


def swapped_profile() -> bytes:
    """Red and green take each other's place."""
    return linear_profile().replace(b"rXYZ", b"tXYZ").replace(b"gXYZ", b"rXYZ").replace(b"tXYZ", b"gXYZ")


def ink_profile() -> bytes:
    """A CMYK profile of one table in Lab whose corners are of any colour."""
    corners = np.random.default_rng(3).integers(60, 200, 2**4 * 3, np.uint8).tobytes()
    straight = bytes(range(256))
    matrix = struct.pack(">9i", *np.eye(3, dtype=int).ravel() * 65_536)
    table = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + matrix + straight * 4 + corners + straight * 3
    head = linear_profile()[:128].replace(b"mntrRGB XYZ ", b"prtrCMYKLab ")
    entry = struct.pack(">I4sII", 1, b"A2B0", 128 + 16, len(table))
    return struct.pack(">I", 128 + 16 + len(table)) + head[4:] + entry + table


PROFILES = {"RGB": linear_profile(), "swapped": swapped_profile(), "gray": gray_profile(), "inks": ink_profile()}
PROFILES |= {"damaged": bytes(300), "only named sRGB": linear_profile().replace(bytes(4) + b"none", bytes(4) + b"sRGB")}


def pictures() -> dict[str, Image.Image]:
    """A picture in each of Pillow's modes that a PNG, JPEG or TIFF can hold."""
    draw = np.random.default_rng(0)
    coarse = Image.fromarray(draw.integers(0, 256, (9, 12, 3), np.uint8)).resize((180, 130), Image.Resampling.BICUBIC)
    found = {mode: coarse.convert(mode) for mode in ("RGB", "P", "L", "1", "CMYK", "YCbCr")}
    found["I;16"] = Image.fromarray(np.asarray(found["L"]).astype(np.uint16) * 257)
    alpha = coarse.convert("RGBA")
    alpha.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 180).astype(np.uint8), (130, 1))))
    return {**found, "RGBA": alpha, "LA": alpha.convert("LA")}


def photos() -> dict[str, bytes]:
    """Files of many kinds."""
    own = pictures()
    coarse = own["RGB"]
    kinds = {"P": "GIF", "CMYK": "JPEG", "YCbCr": "TIFF"}
    found = {f"mode {mode}": encoded(image, kinds.get(mode, "PNG")) for mode, image in own.items()}
    found |= {f"format {kind}": encoded(coarse, kind) for kind in ("JPEG", "WEBP", "BMP", "TIFF")}
    found["golden"] = PHOTO.read_bytes()
    found["large jpeg"] = encoded(coarse.resize((900, 700)), "JPEG")
    found["palette"] = encoded(own["P"], "PNG")
    for mode, clear in (("P", 3), ("L", 90), ("RGB", coarse.getpixel((0, 0)))):
        found[f"transparent {mode}"] = encoded(own[mode], "PNG", transparency=clear)
        found[f"transparent {mode} and profile"] = encoded(
            own[mode], "PNG", transparency=clear, icc_profile=swapped_profile()
        )
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        found[f"exif {orientation}"] = encoded(coarse, "JPEG", exif=exif)
    for name, profile in PROFILES.items():
        for mode, image in own.items():
            found[f"{mode}, profile {name}"] = encoded(image, "TIFF" if mode in kinds else "PNG", icc_profile=profile)
        found[f"palette, profile {name}"] = encoded(own["P"], "PNG", icc_profile=profile)
    for order in "<>":
        for packing in ("none", "lzw"):
            deep = np.asarray(own["I;16"])[..., np.newaxis]
            found[f"16-bit TIFF {order} {packing}"] = make_tiff(deep, order=order, packing=packing)
    draw = np.random.default_rng(7)
    for kind in GOOD:
        found[f"corpus: {kind.name}"] = kind.make(draw)
    del found["corpus: 16-bit rgb png"]  # refused, see below
    return found


@pytest.fixture(scope="module")
def files() -> dict[str, bytes]:
    return photos()


@pytest.mark.parametrize("geometry", ["squash", "crop"])
def test_photos_are_prepared_to_the_same_bit(tmp_path, files, geometry):
    module = program(described(tmp_path / geometry, geometry))
    for name, data in files.items():
        own = load_pixels(data, side_pixels=SIDE, geometry=geometry, rules=ImageRules())
        assert np.array_equal(module.load(io.BytesIO(data)), own), name
    assert len(files) >= 130


@pytest.mark.parametrize(
    ("name", "mode"), [("RGB", "P"), ("swapped", "RGBA"), ("gray", "L"), ("gray", "I;16"), ("inks", "CMYK")]
)
def test_the_profiles_of_these_photos_do_something(files, name, mode):
    assert "icc_profile" in check(files[f"{mode}, profile {name}"], rules=ImageRules()).flags


@pytest.mark.parametrize("white", [255, 1_000, 4_095])
def test_another_white_level_is_kept(tmp_path, white):
    module = program(described(tmp_path / str(white), white=white))
    levels = np.tile(np.linspace(0, 1.2 * white, 180).astype(np.uint16), (130, 1))
    data = encoded(Image.fromarray(levels), "PNG")
    own = load_pixels(data, side_pixels=SIDE, geometry="squash", rules=ImageRules(sixteen_bit_white=white))
    assert np.abs(module.load(io.BytesIO(data)).astype(int) - own).max() <= 1


def refused_files() -> dict[str, bytes]:
    """Files of kinds that the program refuses; of these Graft reads colours and white zeros of 16 bits."""
    draw = np.random.default_rng(7)
    rgb = Image.fromarray(draw.integers(0, 256, (30, 40, 3), np.uint8))
    to_lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    return {
        "16-bit RGB": deep_png(deep_picture(draw, 3), 2),
        "16-bit gray and alpha": deep_png(deep_picture(draw, 2), 4),
        "16-bit RGBA": deep_png(deep_picture(draw, 4), 6),
        "16-bit RGB TIFF": make_tiff(deep_picture(draw, 3)),
        "16-bit RGB TIFF, packed": make_tiff(deep_picture(draw, 3), packing="lzw", order=">"),
        "16-bit TIFF, zero is white": make_tiff(deep_picture(draw, 1), white=True),
        "12-bit TIFF": tiff(bytes(48 * 36 * 3 // 2), bits=(12,)),
        "LAB": encoded(ImageCms.profileToProfile(rgb, *to_lab, outputMode="LAB"), "TIFF"),
        "floats": encoded(rgb.convert("F"), "TIFF"),
        "whole numbers": encoded(rgb.convert("I"), "TIFF"),
        "pages": animation("TIFF")(draw),
    }


def test_other_depths_and_several_pages_are_refused(tmp_path):
    module = program(described(tmp_path / "export"))
    for name, data in refused_files().items():
        with pytest.raises(ValueError, match="must be one page of 8-bit colours"):
            module.load(io.BytesIO(data))
            pytest.fail(name)


LENIENT = {"png without IEND", "packed bmp"}  # whose damage only Graft's own reading finds


def test_what_graft_refuses_is_refused(tmp_path):
    module = program(described(tmp_path / "export"))
    draw = np.random.default_rng(7)
    huge = [kind for kind in BOMBS if kind.code == "too_many_pixels" and kind.name.split()[-1] in ("huge", "canvas")]
    assert len(huge) >= 4
    for kind in (*BAD, *huge):
        data = kind.make(draw)
        if kind.name not in LENIENT:
            with pytest.raises((OSError, ValueError, SyntaxError)):
                module.load(io.BytesIO(data))
                pytest.fail(kind.name)


def test_limits_hold_exactly(tmp_path):
    module = program(described(tmp_path / "export"))
    data = encoded(Image.new("RGB", (40, 30)), "PNG")
    for limit, good, bad in (("max_pixels", 1_200, 1_199), ("min_side_pixels", 30, 31)):
        before = module.GIVEN[limit]
        module.GIVEN[limit] = good
        assert module.load(io.BytesIO(data)).shape == (SIDE, SIDE, 3)
        module.GIVEN[limit] = bad
        with pytest.raises(ValueError, match="too large or too small: 40 x 30 pixels"):
            module.load(io.BytesIO(data))
        module.GIVEN[limit] = before


def answered(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """The program run by itself; instead of onnxruntime there is a network of two lines."""
    away = folder.parent / "stub"
    away.mkdir(exist_ok=True)
    lines = [
        "import numpy",
        "class InferenceSession:",
        "    def __init__(self, path, providers): pass",
        "    def run(self, names, given): return [numpy.array([[0.25, 0.75]], numpy.float32)]",
    ]
    (away / "onnxruntime.py").write_text("\n".join(lines))
    command = [sys.executable, "-B", str(folder / "predict.py"), *words]
    environment = {"PYTHONPATH": str(away), "PYTHONIOENCODING": "utf-8"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)


def test_one_bad_photo_keeps_no_other_from_its_answer(tmp_path):
    folder = described(tmp_path / "export")
    (tmp_path / "cut.jpg").write_bytes(PHOTO.read_bytes()[:900])
    (tmp_path / "text.jpg").write_text("no photo")
    bad = [str(tmp_path / name) for name in ("missing.jpg", "cut.jpg", "text.jpg", "")]
    ended = answered(folder, *bad, str(PHOTO))
    assert (ended.returncode, ended.stderr) == (1, "")
    *errors, good = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [each["photo"] for each in errors] == bad and all(set(each) == {"photo", "error"} for each in errors)
    assert errors[0]["error"].startswith("FileNotFoundError: ") and "0x" not in errors[2]["error"]
    expected = {"label": "b", "probability": 0.75, "sure": True, "all": {"a": 0.25, "b": 0.75}}
    assert good == {"photo": str(PHOTO), **expected}
    assert answered(folder, str(PHOTO)).returncode == 0


@pytest.mark.parametrize(("words", "status"), [((), 2), (("--help",), 0), (("--wrong",), 2)])
def test_usage(tmp_path, words, status):
    ended = answered(described(tmp_path / "export"), *words)
    assert ended.returncode == status
    assert (ended.stdout if status == 0 else ended.stderr).startswith("usage: predict.py [-h] PHOTO [PHOTO ...]")
    assert "Traceback" not in ended.stderr


SABOTAGE = {
    "another resize": ("Image.Resampling.BILINEAR", "Image.Resampling.NEAREST"),
    "channels swapped": (
        '    image = image.convert("RGB")\n',
        '    image = Image.merge("RGB", image.convert("RGB").split()[::-1])\n',
    ),
    "no EXIF": ("ImageOps.exif_transpose(file)", "file"),
}


@pytest.mark.parametrize("what", SABOTAGE)
def test_sabotaged_preparation_does_not_pass(tmp_path, what):
    folder = described(tmp_path / "export")
    text = (folder / "prepare.py").read_text()
    good, bad = SABOTAGE[what]
    assert good in text
    (folder / "prepare.py").write_text(text.replace(good, bad))
    refused(folder, tmp_path, "squash")


def test_a_forgotten_crop_does_not_pass(tmp_path):
    folder = described(tmp_path / "export", "crop")
    text = (folder / "prepare.py").read_text()
    (folder / "prepare.py").write_text(text.replace(" if crop else None", " if False else None"))
    refused(folder, tmp_path, "crop")


def refused(folder: Path, scratch: Path, geometry: str) -> None:
    pixels = load_pixels(PHOTO.read_bytes(), side_pixels=SIDE, geometry=geometry, rules=ImageRules())
    with pytest.raises(IntegrityProblem, match="must prepare a photo to within 1 level") as caught:
        check_program(folder, PHOTO, pixels, np.array([0.5, 0.5]), scratch)
    assert caught.value.code == "golden_mismatch"


def test_a_program_that_does_not_run_is_refused(tmp_path):
    folder = described(tmp_path / "export")
    (folder / "prepare.py").write_text("import nothing_of_that_name")
    with pytest.raises(IntegrityProblem, match="must run by itself, got: ModuleNotFoundError"):
        check_program(folder, PHOTO, np.zeros((SIDE, SIDE, 3), np.uint8), np.array([0.5, 0.5]), tmp_path)


def test_the_programs_are_short_and_need_three_packages():
    texts = [(deployable.ASSETS / name).read_text() for name in ("predict.py", "prepare.py")]
    lines = [line for text in texts for line in text.splitlines()]
    imported = {line.split()[1].split(".")[0] for line in lines if line.startswith(("import", "from"))}
    standard = {"argparse", "contextlib", "io", "json", "pathlib", "sys"}
    assert imported == {*standard, "numpy", "onnxruntime", "PIL", "prepare"}
    assert all(len(text.splitlines()) <= 60 for text in texts)
    needed = (deployable.ASSETS / "requirements.txt").read_text()
    assert {line.split(">=")[0] for line in needed.split()} == {"numpy", "onnxruntime", "pillow"}
