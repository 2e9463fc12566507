"""Every kind of image file that people and attackers hand in, generated, with the outcome that is promised for it."""

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

WIDTH, HEIGHT = 48, 36


@dataclass(frozen=True)
class Kind:
    """One row of the table: how to make the file, and what must come of it ("" means accepted)."""

    name: str
    make: Callable[[np.random.Generator], bytes]
    code: str = ""
    flags: tuple[str, ...] = ()
    file: str = "photo.jpg"


def picture(random: np.random.Generator, channels: int = 3, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A smooth, coloured, lopsided picture: (height, width, channels) uint8, or (height, width) for one channel."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = []
    for _ in range(channels):
        slow, wide, shift = random.uniform(5, 12), random.uniform(5, 12), random.uniform(0, 3)
        waves.append(127 + 120 * np.sin(rows / slow + shift) * np.cos(columns / wide))
    pixels = np.clip(np.stack(waves, axis=-1) + random.normal(0, 2, (height, width, channels)), 0, 255).astype(np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def saved(pixels: np.ndarray | Image.Image, kind: str, mode: str | None = None, **options: object) -> bytes:
    """Encode pixels with Pillow."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    file = io.BytesIO()
    (image if mode is None else image.convert(mode)).save(file, kind, **options)
    return file.getvalue()


def jpeg(random: np.random.Generator, **options: object) -> bytes:
    return saved(picture(random), "JPEG", **{"quality": 92, **options})


def png(random: np.random.Generator) -> bytes:
    return saved(picture(random), "PNG")


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def raw_png(
    width: int, height: int, depth: int, colour: int, samples: bytes | None = None, extra: tuple[bytes, ...] = ()
) -> bytes:
    """A PNG written by hand: `samples` are the rows without filter bytes; None leaves the pixels out."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    body = b""
    if samples is not None:
        stride = len(samples) // height
        rows = b"".join(b"\x00" + samples[row * stride : (row + 1) * stride] for row in range(height))
        body = chunk(b"IDAT", zlib.compress(rows))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + body + chunk(b"IEND", b"")


def deep_png(values: np.ndarray, colour: int) -> bytes:
    """A 16-bit PNG of (height, width, channels) uint16."""
    height, width = values.shape[:2]
    return raw_png(width, height, 16, colour, values.astype(">u2").tobytes())


def deep_picture(random: np.random.Generator, channels: int, top: int = 65_535) -> np.ndarray:
    return random.integers(0, top + 1, (HEIGHT, WIDTH, channels), dtype=np.uint16)


def tiff(
    samples: bytes,
    width: int = WIDTH,
    height: int = HEIGHT,
    *,
    bits: tuple[int, ...] = (8,),
    photometric: int = 1,
    sample_format: int = 1,
    order: str = "<",
    following: int = 0,
    **tags: int,
) -> bytes:
    """A TIFF written by hand, its one strip first and its directory last. `tags` override as `compression=5`."""
    numbers = {"compression": 259, "offset": 273, "bytes": 279, "tile_width": 322, "tile_height": 323, "planes": 284}
    bits_at = 8 + len(samples)
    values = {256: width, 257: height, 259: 1, 262: photometric, 273: 8, 277: len(bits), 278: height, 279: len(samples)}
    values |= {339: sample_format} | {numbers[name]: value for name, value in tags.items()}
    entries = [(tag, 4, 1, value) for tag, value in values.items()]
    if len(bits) <= 2:
        packed = struct.pack(order + "HH", bits[0], bits[-1] if len(bits) == 2 else 0)
        entries.append((258, 3, len(bits), struct.unpack(order + "I", packed)[0]))
    else:
        entries.append((258, 3, len(bits), bits_at))
    table = b"".join(struct.pack(order + "HHII", *entry) for entry in sorted(entries))
    long_bits = struct.pack(f"{order}{len(bits)}H", *bits) if len(bits) > 2 else b""
    directory_at = bits_at + len(long_bits)
    header = (b"II\x2a\x00" if order == "<" else b"MM\x00\x2a") + struct.pack(order + "I", directory_at)
    directory = struct.pack(order + "H", len(entries)) + table + struct.pack(order + "I", following)
    return header + samples + long_bits + directory


def looped_tiff() -> bytes:
    samples = bytes(WIDTH * HEIGHT)
    return tiff(samples, following=8 + len(samples))


def linear_profile() -> bytes:
    """An ICC profile with the primaries of sRGB and a straight tone curve, called "Linear test"."""
    xyz = {b"wtpt": (0.9642, 1.0, 0.8249)}
    xyz |= {b"rXYZ": (0.4361, 0.2225, 0.0139), b"gXYZ": (0.3851, 0.7169, 0.0971), b"bXYZ": (0.1431, 0.0606, 0.7141)}
    tags = {
        name: b"XYZ \x00\x00\x00\x00" + b"".join(struct.pack(">i", round(v * 65_536)) for v in value)
        for name, value in xyz.items()
    }
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), b"curv" + bytes(8))
    tags[b"desc"] = b"desc\x00\x00\x00\x00" + struct.pack(">I", 12) + b"Linear test\x00" + bytes(78)
    tags[b"cprt"] = b"text\x00\x00\x00\x00none\x00"
    body, table, position = b"", struct.pack(">I", len(tags)), 128 + 4 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        table += struct.pack(">4sII", name, position + len(body), len(content))
        body += content
    header = struct.pack(">I4sI4s4s4s", position + len(body), b"\0\0\0\0", 0x02400000, b"mntr", b"RGB ", b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">iii", 63_190, 65_536, 54_061) + bytes(48)
    return header[:128] + table + body


def ycck(random: np.random.Generator) -> bytes:
    """A CMYK JPEG whose Adobe marker says that the inks are stored as YCCK."""
    data = saved(Image.fromarray(picture(random, 4), "CMYK"), "JPEG", quality=95)
    place = data.index(b"Adobe") + 11
    return data[:place] + b"\x02" + data[place + 1 :]


def animation(kind: str) -> Callable[[np.random.Generator], bytes]:
    def make(random: np.random.Generator) -> bytes:
        frames = [Image.fromarray(picture(random)) for _ in range(3)]
        return saved(frames[0], kind, save_all=True, append_images=frames[1:])

    return make


def film_gif(frames: int) -> bytes:
    """A GIF of many frames: the pixels of the first only, then the shortest frames there are."""
    first = saved(np.zeros((HEIGHT, WIDTH), np.uint8), "GIF")
    frame = b"\x2c" + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02\x4c\x01\x00"
    return first[:-1] + frame * frames + b"\x3b"


def webp_canvas(width: int, height: int) -> bytes:
    """A WebP that claims a huge canvas around a small picture."""
    inner = saved(np.zeros((16, 16, 3), np.uint8), "WEBP")[12:]
    head = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (width - 1).to_bytes(3, "little")
    body = b"WEBP" + head + (height - 1).to_bytes(3, "little") + inner
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flipped(data: bytes, place: int) -> bytes:
    return data[:place] + bytes((data[place] ^ 0x10,)) + data[place + 1 :]


def zeroed_middle(random: np.random.Generator) -> bytes:
    data = jpeg(random)
    middle = data.index(b"\xff\xda") + 200
    return data[:middle] + bytes(200) + data[middle + 200 :]


def bitmap(compression: int, width: int = 16, height: int = 16) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, compression, 0, 0, 0, 256, 0)
    pixels = b"\x10\x00\x00\x00" * 16 + b"\x00\x01"
    return b"BM" + struct.pack("<IHHI", 2000, 0, 0, 54 + 1024) + head + bytes(1024) + pixels


def wide_gif() -> bytes:
    """A GIF of 16×16 pixels whose first frame says 65,535×65,535."""
    screen = struct.pack("<6sHHBBB", b"GIF89a", 16, 16, 0, 0, 0)
    return screen + b"\x2c" + struct.pack("<HHHHB", 0, 0, 65_535, 65_535, 0) + bytes(9)


def huge_jpeg(random: np.random.Generator) -> bytes:
    """A small JPEG whose header says 65,500×65,500."""
    data = jpeg(random)
    place = data.index(b"\xff\xc0") + 5
    return data[:place] + struct.pack(">HH", 65_500, 65_500) + data[place + 4 :]


def many_passes(passes: int, *, lost: bool = False, side_pixels: int = 1_500) -> Callable[[np.random.Generator], bytes]:
    """A progressive JPEG with its last pass repeated; `lost` puts stray bytes between its parts."""

    def make(random: np.random.Generator) -> bytes:
        data = saved(Image.new("RGB", (side_pixels,) * 2, (90, 120, 30)), "JPEG", progressive=True)
        last = data[data.rindex(b"\xff\xda") : -2]
        return data[:-2] + (b"\x00\x01" if lost else b"") + last * passes + b"\xff\xd9"

    return make


def late_sum_png(pixels: np.ndarray) -> bytes:
    """A gray PNG with zlib's own sum in a second chunk: a decoder has all pixels before it comes to that sum."""
    rows = b"".join(b"\x00" + row.tobytes() for row in pixels)
    packed = zlib.compress(rows, 0)
    head = raw_png(pixels.shape[1], pixels.shape[0], 8, 0, None)[:33]
    return head + chunk(b"IDAT", packed[:-4]) + chunk(b"IDAT", packed[-4:]) + chunk(b"IEND", b"")


def box(brand: bytes) -> bytes:
    return struct.pack(">I4s4sI", 20, b"ftyp", brand, 0) + brand + bytes(100)


def text_bomb() -> bytes:
    packed = zlib.compress(bytes(64_000_000), 9)
    return raw_png(16, 16, 8, 0, bytes(256), extra=(chunk(b"zTXt", b"Comment\x00\x00" + packed),))


def _gray(random: np.random.Generator) -> np.ndarray:
    return picture(random, 1)


def _cut(make: Callable[[np.random.Generator], bytes], share: float) -> Callable[[np.random.Generator], bytes]:
    def cut(random: np.random.Generator) -> bytes:
        data = make(random)
        return data[: int(len(data) * share)]

    return cut


def _tiff_gray(random: np.random.Generator) -> bytes:
    return tiff(_gray(random).tobytes())


GOOD = (
    Kind("jpeg", jpeg),
    Kind("jpeg progressive", lambda r: jpeg(r, progressive=True)),
    Kind("jpeg full chroma", lambda r: jpeg(r, subsampling=0)),
    Kind("jpeg restarts", lambda r: jpeg(r, restart_marker_blocks=1)),
    Kind("png", png, file="photo.png"),
    Kind("png named jpg", png, flags=("extension_mismatch",)),
    Kind("jpeg without ending", jpeg, file="photo"),
    Kind("webp", lambda r: saved(picture(r), "WEBP"), file="a.webp"),
    Kind("webp lossless", lambda r: saved(picture(r), "WEBP", lossless=True), file="a.webp"),
    Kind("bmp", lambda r: saved(picture(r), "BMP"), file="a.BMP"),
    Kind("bmp gray", lambda r: saved(_gray(r), "BMP"), file="a.bmp"),
    Kind("gif", lambda r: saved(picture(r), "GIF"), file="a.gif"),
    Kind("tiff", lambda r: saved(picture(r), "TIFF"), file="a.tif"),
    Kind("tiff lzw", lambda r: saved(picture(r), "TIFF", compression="tiff_lzw"), file="a.tiff"),
    Kind("tiff deflate", lambda r: saved(picture(r), "TIFF", compression="tiff_adobe_deflate"), file="a.tif"),
    Kind("jpeg zeroed middle", zeroed_middle),
    Kind("jpeg with a zip behind", lambda r: jpeg(r) + b"PK\x03\x04" + bytes(40) + b"end", flags=("trailing_bytes",)),
    Kind("jpeg with padding", lambda r: jpeg(r) + bytes(40)),
    Kind("png with a script behind", lambda r: png(r) + b"<script>", file="a.png", flags=("trailing_bytes",)),
    Kind("webp with more behind", lambda r: saved(picture(r), "WEBP") + b"more!!", "", ("trailing_bytes",), "a.webp"),
    Kind("cmyk", lambda r: saved(Image.fromarray(picture(r, 4), "CMYK"), "JPEG")),
    Kind("ycck", ycck),
    Kind("gray jpeg", lambda r: saved(_gray(r), "JPEG")),
    Kind("gray alpha png", lambda r: saved(Image.fromarray(picture(r, 2), "LA"), "PNG"), file="a.png"),
    Kind("rgba png", lambda r: saved(picture(r, 4), "PNG"), file="a.png"),
    Kind("rgba webp", lambda r: saved(picture(r, 4), "WEBP"), file="a.webp"),
    Kind("palette with transparency", lambda r: saved(picture(r, 4), "PNG", "P", transparency=3), file="a.png"),
    Kind("1-bit", lambda r: saved(_gray(r), "PNG", "1"), file="a.png"),
    Kind("1-bit fax tiff", lambda r: saved(_gray(r), "TIFF", "1", compression="group4"), file="a.tif"),
    Kind("16-bit gray png", lambda r: deep_png(deep_picture(r, 1), 0), flags=("sixteen_bit",), file="a.png"),
    Kind("16-bit rgb png", lambda r: deep_png(deep_picture(r, 3), 2), flags=("sixteen_bit",), file="a.png"),
    Kind("12 in 16 bits", lambda r: deep_png(deep_picture(r, 1, 4095), 0), "", ("low_range", "sixteen_bit"), "a.png"),
    Kind("16-bit tiff", lambda r: tiff(deep_picture(r, 1).tobytes(), bits=(16,)), "", ("sixteen_bit",), "a.tif"),
    Kind("animated gif", animation("GIF"), flags=("frames_ignored",), file="a.gif"),
    Kind("animated webp", animation("WEBP"), flags=("frames_ignored",), file="a.webp"),
    Kind("animated png", animation("PNG"), flags=("frames_ignored",), file="a.png"),
    Kind("mpo", animation("MPO"), flags=("frames_ignored",)),
    Kind("linear profile", lambda r: jpeg(r, icc_profile=linear_profile()), flags=("icc_profile",)),
    Kind("broken profile", lambda r: jpeg(r, icc_profile=b"\x00" * 300), flags=("icc_profile_ignored",)),
)

BAD = (
    Kind("empty", lambda r: b"", "not_an_image"),
    Kind("web page", lambda r: b"<!DOCTYPE html><html><body>404</body></html>", "not_an_image"),
    Kind("svg", lambda r: b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"/>', "not_an_image"),
    Kind("zip", lambda r: b"PK\x03\x04" + bytes(200), "not_an_image"),
    Kind("jpeg header only", lambda r: jpeg(r)[:100], "not_an_image"),
    Kind("jpeg magic only", lambda r: b"\xff\xd8\xff", "not_an_image"),
    Kind("png header only", lambda r: png(r)[:33], "not_an_image"),
    Kind("gif header only", lambda r: saved(_gray(r), "GIF")[:13], "not_an_image"),
    Kind("tiff header only", lambda r: _tiff_gray(r)[:8], "not_an_image"),
    Kind("0x0 png", lambda r: raw_png(0, 0, 8, 2, None), "not_an_image"),
    Kind("jpeg half", _cut(jpeg, 0.5), "truncated"),
    Kind("jpeg 90 %", _cut(jpeg, 0.9), "truncated"),
    Kind("jpeg without last 2 bytes", lambda r: jpeg(r)[:-2], "truncated"),
    Kind("jpeg progressive half", lambda r: jpeg(r, progressive=True)[:-300], "truncated"),
    Kind("png half", _cut(png, 0.5), "truncated"),
    Kind("png 90 %", _cut(png, 0.9), "truncated"),
    Kind("png without IEND", lambda r: png(r)[:-12], "truncated"),
    Kind("webp half", _cut(lambda r: saved(picture(r), "WEBP"), 0.5), "truncated"),
    Kind("bmp 90 %", _cut(lambda r: saved(picture(r), "BMP"), 0.9), "truncated"),
    Kind("gif half", _cut(lambda r: saved(picture(r), "GIF"), 0.5), "truncated"),
    Kind("tiff 90 %", _cut(lambda r: saved(picture(r), "TIFF"), 0.9), "truncated"),
    Kind("tiff directory lost", _cut(_tiff_gray, 0.5), "truncated"),
    Kind("png bit flip", lambda r: flipped(png(r), 700), "corrupt"),
    Kind("png header flip", lambda r: flipped(png(r), 29), "corrupt"),
    Kind("eps", lambda r: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "format_not_allowed"),
    Kind("psd", lambda r: b"8BPS\x00\x01" + bytes(60), "format_not_allowed"),
    Kind("icon", lambda r: saved(picture(r), "ICO", sizes=[(16, 16)]), "format_not_allowed"),
    Kind("pdf", lambda r: b"%PDF-1.7\n" + bytes(60), "format_not_allowed"),
    Kind("heic", lambda r: box(b"heic"), "format_not_allowed"),
    Kind("avif", lambda r: box(b"avif"), "format_not_allowed"),
    Kind("jpeg 2000", lambda r: b"\x00\x00\x00\x0cjP  \r\n\x87\n" + bytes(60), "format_not_allowed"),
    Kind("netpbm", lambda r: saved(picture(r), "PPM"), "format_not_allowed"),
    Kind("dicom", lambda r: bytes(128) + b"DICM" + bytes(60), "format_not_allowed"),
    Kind("float tiff", lambda r: saved(np.ones((9, 9), np.float32), "TIFF"), "format_not_allowed"),
    Kind("NaN tiff", lambda r: saved(np.full((9, 9), np.nan, np.float32), "TIFF"), "format_not_allowed"),
    Kind("32-bit tiff", lambda r: saved(np.ones((9, 9), np.int32), "TIFF"), "format_not_allowed"),
    Kind("pages", animation("TIFF"), "format_not_allowed"),
    Kind("packed bmp", lambda r: bitmap(1), "format_not_allowed"),
    Kind("1x1", lambda r: saved(picture(r, 3, 1, 1), "PNG"), "too_small"),
    Kind("1xN", lambda r: saved(picture(r, 3, 1, 90), "JPEG"), "too_small"),
    Kind("7xN", lambda r: saved(picture(r, 3, 90, 7), "JPEG"), "too_small"),
)

BOMBS = (
    Kind("png 20000x20000", lambda r: raw_png(20_000, 20_000, 1, 0, bytes(40)), "too_many_pixels"),
    Kind("png 13000x13000", lambda r: raw_png(13_000, 13_000, 8, 2, bytes(40)), "too_many_pixels"),
    Kind("png 65500x1", lambda r: raw_png(65_500, 1, 8, 0, bytes(65_500)), "too_small"),
    Kind("gif of 10,000 frames", lambda r: film_gif(10_000), "too_many_pixels"),
    Kind("gif large first frame", lambda r: wide_gif(), "too_many_pixels"),
    Kind("tiff directory loop", lambda r: looped_tiff(), "format_not_allowed"),
    Kind("tiff huge", lambda r: tiff(bytes(99), 60_000, 60_000), "too_many_pixels"),
    Kind("tiff huge tile", lambda r: tiff(bytes(99), 16, 16, tile_width=60_000, tile_height=60_000), "too_many_pixels"),
    Kind("png of packed text", lambda r: text_bomb(), "too_many_pixels"),
    Kind("webp canvas", lambda r: webp_canvas(16_000, 16_000), "too_many_pixels"),
    Kind("avif canvas", lambda r: box(b"avif"), "format_not_allowed"),
    Kind("bmp huge", lambda r: bitmap(0, 30_000, 30_000), "too_many_pixels"),
    Kind("jpeg huge", huge_jpeg, "too_many_pixels"),
    Kind("jpeg of many passes", many_passes(500), "too_many_pixels"),
    Kind("jpeg of many passes, stray bytes", many_passes(500, lost=True), "too_many_pixels"),
    Kind("gif of 1,000 frames", lambda r: film_gif(999), flags=("frames_ignored",)),  # as long as an animation may be
)
