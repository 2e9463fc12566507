"""A photo as the network was trained to see it. Needs Pillow, NumPy and the export.json beside this file."""

import json
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps
from PIL.TiffImagePlugin import TiffImageFile

HERE = Path(__file__).resolve().parent
EXPORT = json.loads((HERE / "export.json").read_text(encoding="utf-8"))
GIVEN = EXPORT["input"]
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
