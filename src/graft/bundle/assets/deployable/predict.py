"""Say what is on photos: one line of JSON for each. Needs onnxruntime, Pillow, NumPy and the files beside this one."""

import argparse
import json
import sys
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageChops, ImageCms, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

HERE = Path(__file__).resolve().parent
EXPORT = json.loads((HERE / "export.json").read_text(encoding="utf-8"))
GIVEN, CLASSES, THRESHOLD = EXPORT["input"], EXPORT["classes"], EXPORT["threshold"]
CROP_SHARE = 224 / 256  # of the short side
SRGB = ImageCms.createProfile("sRGB")
Image.MAX_IMAGE_PIXELS = None  # not Pillow's limit but the classifier's


def load(path: str) -> np.ndarray:
    """A photo as (side, side, 3) uint8 RGB, prepared as in training; raises where that is impossible."""
    side, crop = GIVEN["side_pixels"], GIVEN["geometry"] == "crop"
    file = Image.open(path, formats=("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"))
    if file.width * file.height > GIVEN["max_pixels"] or min(file.size) < GIVEN["min_side_pixels"]:
        raise ValueError(f"The photo is too large or too small: {file.width} x {file.height} pixels.")
    deep = file.mode.startswith("I;16")
    odd = file.mode in ("I", "F", "LAB") or (file.format != "BMP" and deep != (";16" in str(file.tile)))
    if odd or (isinstance(file, TiffImageFile) and (file.n_frames > 1 or (deep and file.tag_v2.get(262) == 0))):
        raise ValueError("The photo must be one page of 8-bit colours, or of 8- or 16-bit gray in which zero is black.")
    file.draft(None, (round(2 * side / CROP_SHARE) if crop else 2 * side,) * 2)  # large JPEGs are decoded smaller
    image = to_rgb(ImageOps.exif_transpose(file), file.info.get("icc_profile") or b"")
    edge = min(image.size) * CROP_SHARE
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    box = (left, top, left + edge, top + edge) if crop else None
    return np.array(image.resize((side, side), Image.Resampling.BILINEAR, box=box))


def to_rgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Any image as RGB: 16 bits scaled, transparency over white, a colour profile converted to sRGB."""
    if image.mode.startswith("I;16"):
        levels = np.asarray(image) * (255 / GIVEN["sixteen_bit_white"])
        image = Image.fromarray((np.minimum(levels, 255) + 0.5).astype(np.uint8))
    alpha, space = image.has_transparency_data and image.convert("RGBA").getchannel("A"), profile[16:20]
    if alpha or (space == b"RGB " and image.mode not in ("RGB", "CMYK")):
        image = image.convert("RGBA").convert("RGB")
    with suppress(ImageCms.PyCMSError):  # a profile that is damaged or of other pixels is left aside
        fits = space == {"RGB": b"RGB ", "L": b"GRAY", "CMYK": b"CMYK"}.get(image.mode)
        if fits and "sRGB" not in ImageCms.getProfileDescription(BytesIO(profile)):
            image = ImageCms.profileToProfile(image, BytesIO(profile), SRGB, outputMode="RGB") or image
    image = image.convert("RGB")
    if alpha:
        image.paste((255, 255, 255), mask=ImageChops.invert(alpha))
    return image


def main() -> int:
    """For each photo one line: the likeliest class and the probability of each, or what is wrong with it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", nargs="+", metavar="PHOTO")
    photos, failed = parser.parse_args().photos, 0
    network = onnxruntime.InferenceSession(str(HERE / EXPORT["file"]), providers=["CPUExecutionProvider"])
    for path in photos:
        try:
            chances = network.run(None, {GIVEN["name"]: load(path)[None]})[0][0].tolist()
            every = dict(zip(CLASSES, chances, strict=True))
            label = max(CLASSES, key=every.__getitem__)
            sure = None if THRESHOLD is None else every[label] >= THRESHOLD
            answer = {"label": label, "probability": every[label], "sure": sure, "all": every}
        except Exception as error:  # noqa: BLE001 (whatever is wrong with one photo, the others are answered)
            answer, failed = {"error": f"{type(error).__name__}: {error}"}, 1
        print(json.dumps({"photo": path, **answer}))
    return failed


if __name__ == "__main__":
    sys.exit(main())
