"""Say what is on photos: python predict.py PHOTO…  Needs onnxruntime, Pillow and NumPy; one line of JSON a photo."""

import io
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image, ImageChops, ImageCms, ImageOps

HERE = Path(__file__).resolve().parent
EXPORT = json.loads((HERE / "export.json").read_text(encoding="utf-8"))
GIVEN, CLASSES, THRESHOLD = EXPORT["input"], EXPORT["classes"], EXPORT["threshold"]
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
CROP_SHARE = 224 / 256  # of the short side
Image.MAX_IMAGE_PIXELS = 25_000_000  # Pillow refuses twice as many


def load(data: bytes) -> np.ndarray:
    """An image file as (side, side, 3) uint8 RGB, prepared as in training."""
    side, crop = GIVEN["side_pixels"], GIVEN["geometry"] == "crop"
    file = Image.open(io.BytesIO(data), formats=FORMATS)
    file.draft(None, (round(2 * side / CROP_SHARE) if crop else 2 * side,) * 2)  # large JPEGs are decoded smaller
    file.load()
    image = to_rgb(ImageOps.exif_transpose(file), file.info.get("icc_profile"))
    if not crop:
        return np.array(image.resize((side, side), Image.Resampling.BILINEAR))
    edge = min(image.size) * CROP_SHARE
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    box = (left, top, left + edge, top + edge)
    return np.array(image.resize((side, side), Image.Resampling.BILINEAR, box=box))


def to_rgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Any image as RGB: 16 bits scaled, transparency over white, a colour profile converted to sRGB."""
    if image.mode.startswith("I;16"):
        white = GIVEN["sixteen_bit_white"]
        image = Image.fromarray(np.rint(np.minimum(np.asarray(image), white) * (255 / white)).astype(np.uint8))
    alpha = None
    if image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info:
        image = image.convert("RGBA")
        alpha, image = image.getchannel("A"), image.convert("RGB")
    if profile and b"sRGB" not in profile.replace(b"\0", b""):
        try:
            source, target = ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB")
            image = ImageCms.profileToProfile(image, source, target, outputMode="RGB") or image
        except (ImageCms.PyCMSError, OSError, ValueError):
            print("The colour profile cannot be used and is left aside.", file=sys.stderr)
    image = image.convert("RGB")
    if alpha is not None:
        image.paste((255, 255, 255), mask=ImageChops.invert(alpha))
    return image


def main(paths: list[str]) -> None:
    """One line of JSON for each photo: the likeliest class and the probability of each."""
    network = onnxruntime.InferenceSession(str(HERE / EXPORT["file"]), providers=["CPUExecutionProvider"])
    for path in paths:
        chances = network.run(None, {GIVEN["name"]: load(Path(path).read_bytes())[None]})[0][0]
        every = {name: float(chance) for name, chance in zip(CLASSES, chances, strict=True)}
        label, probability = max(every.items(), key=lambda each: each[1])
        sure = None if THRESHOLD is None else probability >= THRESHOLD
        print(json.dumps({"photo": path, "label": label, "probability": probability, "sure": sure, "all": every}))


if __name__ == "__main__":
    main(sys.argv[1:])
