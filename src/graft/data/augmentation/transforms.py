"""One view's changes, drawn, and their application: all geometry in one resampling, all colour in one table."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np
from PIL import Image

from graft.data.augmentation.records import Augmentation, FillMode

N_DRAWS = 16  # numbers for each view, one place for each purpose: adding a purpose never changes the others
LEVELS = 256
_QUARTER = np.array([[0.0, -1.0], [1.0, 0.0]])  # numpy.rot90's: counter-clockwise
_PADDING: Mapping[FillMode, Literal["edge", "symmetric", "wrap"]] = MappingProxyType(
    {"nearest": "edge", "reflect": "symmetric", "wrap": "wrap"}
)


@dataclass(frozen=True)
class Draw:
    """What is done to one view: the angles, shares and factors that were drawn; the default changes nothing.

    As in Keras, the photo is turned, moved, leaned and zoomed, in this order from the photo to the view, then mirrored.
    Angles are counter-clockwise.
    """

    rotation_degrees: float = 0.0
    row_shift: float = 0.0  # shares of the side
    column_shift: float = 0.0
    shear_degrees: float = 0.0
    row_zoom: float = 1.0
    column_zoom: float = 1.0
    mirrored: bool = False
    upside_down: bool = False
    quarter_turns: int = 0
    brightness: float = 1.0
    channel_shifts: tuple[float, float, float] = (0.0, 0.0, 0.0)  # levels


def draw(augmentation: Augmentation, uniform: np.ndarray) -> Draw:
    """The changes that `N_DRAWS` even numbers in [0, 1) choose from the ranges of `augmentation`."""
    u = [float(number) for number in uniform]
    shift = augmentation.channel_shift
    return Draw(
        rotation_degrees=_between(-augmentation.rotation_degrees, augmentation.rotation_degrees, u[0]),
        row_shift=_between(-augmentation.height_shift, augmentation.height_shift, u[1]),
        column_shift=_between(-augmentation.width_shift, augmentation.width_shift, u[2]),
        shear_degrees=_between(-augmentation.shear_degrees, augmentation.shear_degrees, u[3]),
        row_zoom=_between(*augmentation.zoom, u[4]),
        column_zoom=_between(*augmentation.zoom, u[5]),
        mirrored=augmentation.horizontal_flip and u[6] < 0.5,
        upside_down=augmentation.vertical_flip and u[7] < 0.5,
        quarter_turns=(augmentation.turn_degrees // 90 + (int(4 * u[8]) if augmentation.quarter_turns else 0)) % 4,
        brightness=_between(*augmentation.brightness, u[9]),
        channel_shifts=(_between(-shift, shift, u[10]), _between(-shift, shift, u[11]), _between(-shift, shift, u[12])),
    )


def matrix(drawn: Draw) -> np.ndarray:
    """Where in the photo a place of the view is read: (2, 3) float64, for (column, row, 1) measured from the middle.

    The last column is in sides. This is Keras' `apply_affine_transform` (rotation · shift · shear · zoom), then flips,
    but for one slip there: its `width_shift_range` moves photos up and down.
    """
    turn, lean = math.radians(drawn.rotation_degrees), math.radians(drawn.shear_degrees)
    rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
    shear = np.array([[1.0, -math.sin(lean)], [0.0, math.cos(lean)]])
    zoom = np.diag([drawn.column_zoom, drawn.row_zoom])
    flips = np.diag([-1.0 if drawn.mirrored else 1.0, -1.0 if drawn.upside_down else 1.0])
    linear = rotation @ shear @ zoom @ flips @ np.linalg.matrix_power(_QUARTER, drawn.quarter_turns)
    shift = rotation @ np.array([drawn.column_shift, drawn.row_shift])
    return np.column_stack([linear, shift])


def apply(pixels: np.ndarray, drawn: Draw, fill_mode: FillMode, fill_value: int) -> np.ndarray:
    """The changed picture: (side, side, 3) uint8, from one of the same shape, which is left as it is.

    Flips and quarter turns alone move pixels without resampling; everything else is one bilinear resampling. Levels
    are then shifted and scaled, and cut off at 0 and 255.
    """
    if _moves_pixels_only(drawn):
        moved = pixels[:: -1 if drawn.upside_down else 1, :: -1 if drawn.mirrored else 1]
        image = Image.fromarray(np.ascontiguousarray(np.rot90(moved, drawn.quarter_turns)))
    else:
        image = _resampled(pixels, matrix(drawn), fill_mode, fill_value)
    if drawn.brightness != 1 or any(drawn.channel_shifts):
        image = image.point(_level_table(drawn).ravel().tolist())
    return np.array(image)


def _moves_pixels_only(drawn: Draw) -> bool:
    still = (drawn.rotation_degrees, drawn.row_shift, drawn.column_shift, drawn.shear_degrees)
    return not any(still) and drawn.row_zoom == drawn.column_zoom == 1


def _resampled(pixels: np.ndarray, places: np.ndarray, fill_mode: FillMode, fill_value: int) -> Image.Image:
    """The view by Pillow's bilinear affine transform, of the photo continued on all sides as far as is read.

    Pillow drops the fractions of a level, so a view is darker by half a level of 255 on average.
    """
    side = pixels.shape[0]
    linear, shift = places[:, :2], places[:, 2] * side
    half = (side - 1) / 2
    reach = np.abs(linear).sum(axis=1) * half  # of the outermost pixels' middles, from the shifted middle
    before = np.maximum(np.ceil(reach - shift - half), 0).astype(int) + 1
    after = np.maximum(np.ceil(reach + shift - half), 0).astype(int) + 1
    widths = [[int(before[axis]), int(after[axis])] for axis in (1, 0)] + [[0, 0]]  # numpy's axes are rows first
    if fill_mode == "constant":
        continued = np.pad(pixels, widths, "constant", constant_values=fill_value)
    else:
        continued = np.pad(pixels, widths, _PADDING[fill_mode])
    corner = shift + side / 2 + before - linear @ np.full(2, side / 2)  # Pillow measures from it, not from the middle
    coefficients = tuple(np.column_stack([linear, corner]).ravel().tolist())
    return Image.fromarray(continued).transform(
        (side, side), Image.Transform.AFFINE, coefficients, Image.Resampling.BILINEAR
    )


def _level_table(drawn: Draw) -> np.ndarray:
    """The new level of each level of each channel: (3, 256) uint8."""
    levels = np.arange(LEVELS) + np.array(drawn.channel_shifts)[:, None]
    changed = np.rint(np.clip(levels, 0, LEVELS - 1) * drawn.brightness)
    table: np.ndarray = np.clip(changed, 0, LEVELS - 1).astype(np.uint8)
    return table


def _between(low: float, high: float, share: float) -> float:
    return low + (high - low) * share
