"""TIFF files written by hand: strips or tiles, either byte order, the usual packings."""

import struct
import zlib
from collections.abc import Callable, Mapping

import numpy as np

ROWS_A_STRIP = 5
TILE_SIDE = 16


def lzw(data: bytes) -> bytes:
    """Codes of 9 bits only: the table is cleared before it would need more."""
    codes: list[int] = []
    for start in range(0, len(data), 200):
        codes += [256, *data[start : start + 200]]
    bits = "".join(f"{code:09b}" for code in [*codes, 257])
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def packbits(data: bytes) -> bytes:
    """Literal runs and, for four equal bytes, a repeated one."""
    packed = b""
    for start in range(0, len(data), 4):
        part = data[start : start + 4]
        packed += bytes((257 - len(part), part[0])) if len(part) > 1 and len(set(part)) == 1 else b""
        packed += bytes((len(part) - 1,)) + part if len(part) == 1 or len(set(part)) > 1 else b""
    return packed


PACKINGS: Mapping[str, tuple[int, Callable[[bytes], bytes]]] = {
    "none": (1, bytes),
    "lzw": (5, lzw),
    "deflate": (8, zlib.compress),
    "packbits": (32_773, packbits),
}


def make_tiff(
    samples: np.ndarray, *, order: str = "<", packing: str = "none", tiles: bool = False, white: bool = False
):
    """A TIFF of (height, width, channels) uint8 or uint16; with `white` zero is white."""
    height, width, channels = samples.shape
    bits = samples.dtype.itemsize * 8
    number, pack = PACKINGS[packing]
    parts = [_bytes(part, order) for part in (_tiles(samples) if tiles else _strips(samples))]
    if packing == "packbits" and not tiles:  # each row by itself, as the format wants it
        stride = width * channels * bits // 8
        packed = [b"".join(pack(part[at : at + stride]) for at in range(0, len(part), stride)) for part in parts]
    else:
        packed = [pack(part) for part in parts]
    places, position = [], 8
    for part in packed:
        places.append(position)
        position += len(part)
    photometric = 2 if channels == 3 else 0 if white else 1
    tags = {256: [width], 257: [height], 258: [bits] * channels, 259: [number], 262: [photometric], 277: [channels]}
    sizes = [len(part) for part in packed]
    layout = {322: [TILE_SIDE], 323: [TILE_SIDE], 324: places, 325: sizes}
    tags |= layout if tiles else {273: places, 278: [ROWS_A_STRIP], 279: sizes}
    return _header(order, position) + b"".join(packed) + _directory(tags, order, position)


def _strips(samples: np.ndarray) -> list[np.ndarray]:
    return [samples[at : at + ROWS_A_STRIP] for at in range(0, len(samples), ROWS_A_STRIP)]


def _tiles(samples: np.ndarray) -> list[np.ndarray]:
    height, width = samples.shape[:2]
    padded = np.pad(samples, ((0, -height % TILE_SIDE), (0, -width % TILE_SIDE), (0, 0)))
    places = [(y, x) for y in range(0, height, TILE_SIDE) for x in range(0, width, TILE_SIDE)]
    return [padded[y : y + TILE_SIDE, x : x + TILE_SIDE] for y, x in places]


def _bytes(part: np.ndarray, order: str) -> bytes:
    return part.astype(part.dtype.newbyteorder(order)).tobytes()


def _header(order: str, directory_at: int) -> bytes:
    return (b"II\x2a\x00" if order == "<" else b"MM\x00\x2a") + struct.pack(order + "I", directory_at)


def _directory(tags: dict[int, list[int]], order: str, position: int) -> bytes:
    """All numbers as 32 bits; those that do not fit into an entry follow the directory."""
    behind_at = position + 2 + 12 * len(tags) + 4
    entries, behind = b"", b""
    for tag, values in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(values)}I", *values)
        value = packed if len(values) == 1 else struct.pack(order + "I", behind_at + len(behind))
        behind += packed if len(values) > 1 else b""
        entries += struct.pack(order + "HHI", tag, 4, len(values)) + value
    return struct.pack(order + "H", len(tags)) + entries + struct.pack(order + "I", 0) + behind
