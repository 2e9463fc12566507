"""What may be done to a photo to make another view of it: the classic option set as one record."""

from typing import Annotated, ClassVar, Literal

from annotated_types import Interval, Predicate

from graft.core.records import record

FillMode = Literal["nearest", "reflect", "wrap", "constant"]


def lowest_first(numbers: tuple[float, float]) -> bool:
    """Whether a range begins with its lower end."""
    return numbers[0] <= numbers[1]


# The bounds keep what a view needs in memory below about thirty times the photo.
Share = Annotated[float, Interval(ge=0, le=0.5)]
Zoom = Annotated[float, Interval(ge=0.1, le=2)]
Factor = Annotated[float, Interval(ge=0, le=10)]


@record
class Augmentation:
    """Ranges from which each view's changes are drawn, evenly; the default changes nothing.

    Names and meanings are those of Keras' ImageDataGenerator, with the unit in the name where it had none: its shear
    is an angle, so the much copied `shear_range=0.2` leans a photo by a fifth of a degree, which nobody sees.
    """

    SCHEMA: ClassVar[str] = "graft/augmentation/1"
    rotation_degrees: Annotated[float, Interval(ge=0, le=180)] = 0.0  # either way
    width_shift: Share = 0.0  # of the width, either way
    height_shift: Share = 0.0
    shear_degrees: Annotated[float, Interval(ge=0, le=89)] = 0.0  # either way
    # each side by its own factor of what is shown; below 1 less of the photo, larger
    zoom: Annotated[tuple[Zoom, Zoom], Predicate(lowest_first)] = (1.0, 1.0)
    horizontal_flip: bool = False  # every other view is mirrored left to right
    vertical_flip: bool = False
    turn_degrees: Literal[0, 90, 180, 270] = 0  # every view, counter-clockwise, after the flips
    quarter_turns: bool = False  # by 0, 90, 180 or 270 degrees more
    brightness: Annotated[tuple[Factor, Factor], Predicate(lowest_first)] = (1.0, 1.0)  # factors
    # levels, either way, each channel by its own number; in Keras by one number for all, which brightness does better
    channel_shift: Annotated[float, Interval(ge=0, le=255)] = 0.0
    fill_mode: FillMode = "nearest"  # what stands where the photo does not reach
    fill_value: Annotated[int, Interval(ge=0, le=255)] = 0  # for "constant"

    @property
    def changes_nothing(self) -> bool:
        """Whether every view is the photo itself."""
        return self == Augmentation(fill_mode=self.fill_mode, fill_value=self.fill_value)
