"""A contact sheet: one PNG with a heading, and a row or a grid of captioned pictures."""

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont, features
from PIL.PngImagePlugin import PngInfo

VIEWS, TRAINING_VIEWS, ANSWERS = "Graft augmented views", "Graft training views", "Graft answers"  # in its head
HEAD_BYTES = 200  # of a PNG, in which its generator stands
TILE_PIXELS = 208
MARGIN, GAP, LINE = 28, 16, 20
TITLE_SIZE, TEXT_SIZE, CAPTION_SIZE = 26, 16, 14
PAPER, INK, PALE, ACCENT, WRONG = (255, 255, 255), (24, 30, 40), (92, 102, 117), (11, 114, 133), (190, 84, 8)
RAISED = (240, 238, 232)  # beside a picture that is no square
FRAME = 3  # around the photos themselves, and around wrong answers
MAX_LETTERS = 400  # of one text
_MARK = b"tEXtSoftware\0"


@dataclass(frozen=True)
class Tile:
    """One picture of a sheet: (height, width, 3) uint8, what it is, and what was done to it or said of it.

    `is_photo` frames a photo among its views, `is_wrong` an answer that is wrong.
    """

    pixels: np.ndarray
    caption: str
    detail: str = ""
    is_photo: bool = False
    is_wrong: bool = False

    @property
    def frame(self) -> tuple[int, int, int] | None:
        """The colour of the frame, also of the line of text that it is about; None where there is none."""
        return WRONG if self.is_wrong else ACCENT if self.is_photo else None


def make_sheet(rows: Sequence[Sequence[Tile]], *, title: str, lines: Sequence[str], generator: str = VIEWS) -> bytes:
    """The sheet as PNG bytes: `title` and `lines` above the rows of tiles. `generator` says what wrote it."""
    columns = max(len(row) for row in rows)
    width = 2 * MARGIN + columns * TILE_PIXELS + (columns - 1) * GAP
    text = [line for each in lines for line in _wrapped(_plain(each), _font(TEXT_SIZE), width - 2 * MARGIN)]
    top = MARGIN + TITLE_SIZE + 14 + len(text) * (TEXT_SIZE + 7) + 14
    step = TILE_PIXELS + 2 * LINE + GAP + 4
    sheet = Image.new("RGB", (width, top + len(rows) * step + MARGIN - GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text(
        (MARGIN, MARGIN - 6), _fitted(_plain(title), _font(TITLE_SIZE), width - 2 * MARGIN), INK, _font(TITLE_SIZE)
    )
    for number, line in enumerate(text):
        pen.text((MARGIN, MARGIN + TITLE_SIZE + 12 + number * (TEXT_SIZE + 7)), line, PALE, _font(TEXT_SIZE))
    for down, row in enumerate(rows):
        for across, tile in enumerate(row):
            _put(sheet, pen, tile, MARGIN + across * (TILE_PIXELS + GAP), top + down * step)
    return _encoded(sheet, generator)


def is_sheet(head: bytes, generator: str = VIEWS) -> bool:
    """Whether a file that begins so is a PNG which `make_sheet` made for this generator."""
    return head.startswith(b"\x89PNG\r\n\x1a\n") and _MARK + generator.encode() in head


def grid(tiles: Sequence[Tile], columns: int) -> list[Sequence[Tile]]:
    """Tiles in rows of `columns`."""
    return [tiles[start : start + columns] for start in range(0, len(tiles), columns)]


def _put(sheet: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, left: int, top: int) -> None:
    """Draw one tile with its captions, and its frame where it has one."""
    if tile.frame:
        corner = (left - FRAME, top - FRAME)
        pen.rectangle((*corner, left + TILE_PIXELS + FRAME - 1, top + TILE_PIXELS + FRAME - 1), fill=tile.frame)
    sheet.paste(_shown(tile.pixels), (left, top))
    font, place = _font(CAPTION_SIZE), top + TILE_PIXELS + FRAME + 3
    captions = ((tile.caption, ACCENT if tile.is_photo else INK), (tile.detail, WRONG if tile.is_wrong else PALE))
    for number, (text, colour) in enumerate(captions):
        pen.text((left, place + number * LINE), _fitted(_plain(text), font, TILE_PIXELS), colour, font)


def _shown(pixels: np.ndarray) -> Image.Image:
    """The picture at a tile's size, whole and in its proportions; few pixels stay visible as squares."""
    height, width = pixels.shape[:2]
    scale = TILE_PIXELS / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    few = 2 * max(height, width) <= TILE_PIXELS
    image = Image.fromarray(np.ascontiguousarray(pixels)).resize(
        size, Image.Resampling.NEAREST if few else Image.Resampling.BICUBIC
    )
    if size == (TILE_PIXELS, TILE_PIXELS):
        return image
    tile = Image.new("RGB", (TILE_PIXELS, TILE_PIXELS), RAISED)
    tile.paste(image, ((TILE_PIXELS - size[0]) // 2, (TILE_PIXELS - size[1]) // 2))
    return tile


def _encoded(sheet: Image.Image, generator: str) -> bytes:
    info = PngInfo()
    info.add_text("Software", generator)
    file = io.BytesIO()
    sheet.save(file, "PNG", pnginfo=info)
    return file.getvalue()


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font; a Pillow built without FreeType has it in one small size."""
    return ImageFont.load_default(size) if features.check("freetype2") else ImageFont.load_default()


def _plain(text: str) -> str:
    """`text` in the letters of Pillow's own font: accents are taken off, anything else it lacks becomes `?`."""
    bare = (letter for letter in unicodedata.normalize("NFKD", text[:MAX_LETTERS]) if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" or letter == "°" else "?" for letter in bare)


def _fitted(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """`text`, or as much of it as fits with three dots behind."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """`text` in lines that fit."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return [_fitted(line, font, width) for line in lines if line]
