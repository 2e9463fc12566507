"""What may be done to a photo to make another view of it: the classic option set, and presets by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, ClassVar, Literal

from annotated_types import Ge, Interval

from graft.core.records import record

FillMode = Literal["nearest", "reflect", "wrap", "constant"]
Share = Annotated[float, Interval(ge=0, le=1)]
Factor = Annotated[float, Interval(ge=0.1, le=10)]


@record
class Augmentation:
    """Ranges from which each view's changes are drawn, evenly; the default changes nothing.

    Names and meanings are those of Keras' ImageDataGenerator, with the unit in the name where it had none.
    """

    SCHEMA: ClassVar[str] = "graft/augmentation/1"
    rotation_degrees: Annotated[float, Interval(ge=0, le=180)] = 0.0  # either way
    width_shift: Share = 0.0  # of the width, either way
    height_shift: Share = 0.0
    shear_degrees: Annotated[float, Interval(ge=0, le=89)] = 0.0  # either way
    zoom: tuple[Factor, Factor] = (1.0, 1.0)  # each side by its own factor; below 1 shows less of the photo, larger
    horizontal_flip: bool = False
    vertical_flip: bool = False
    quarter_turns: bool = False  # by 0, 90, 180 or 270 degrees
    brightness: tuple[float, float] = (1.0, 1.0)  # factors
    channel_shift: Annotated[float, Interval(ge=0, le=255)] = 0.0  # levels, each channel by its own, either way
    fill_mode: FillMode = "nearest"  # what stands where the photo does not reach
    fill_value: Annotated[int, Ge(0), Interval(ge=0, le=255)] = 0  # for "constant"


PRESETS: Mapping[str, Augmentation] = MappingProxyType({"none": Augmentation()})
