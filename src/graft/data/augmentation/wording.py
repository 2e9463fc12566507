"""What an augmentation allows and what one view got, in words for people; letters that any font has."""

from graft.data.augmentation.records import Augmentation
from graft.data.augmentation.transforms import Draw

FILLS = {
    "nearest": "edges drawn out",
    "reflect": "edges mirrored",
    "wrap": "edges wrapped around",
}
SMALLEST_PART = 0.005  # of a factor: less is not worth a word


def describe(augmentation: Augmentation) -> str:
    """What may happen to a view, as `turned by up to 40°, mirrored left to right`."""
    if augmentation.changes_nothing:
        return "left as it is"
    parts = [
        f"turned by up to {augmentation.rotation_degrees:g}°" if augmentation.rotation_degrees else "",
        _shifts(augmentation),
        f"leaned by up to {augmentation.shear_degrees:g}°" if augmentation.shear_degrees else "",
        _range("showing {} to {} of each side", augmentation.zoom),
        "mirrored left to right or not" if augmentation.horizontal_flip else "",
        "mirrored top to bottom or not" if augmentation.vertical_flip else "",
        f"turned left by {augmentation.turn_degrees}°" if augmentation.turn_degrees else "",
        "turned by quarters" if augmentation.quarter_turns else "",
        _range("brightness {} to {}", augmentation.brightness),
        f"colours shifted by up to {augmentation.channel_shift:g} levels" if augmentation.channel_shift else "",
        FILLS.get(augmentation.fill_mode, f"edges filled with level {augmentation.fill_value}"),
    ]
    return ", ".join(part for part in parts if part)


def describe_draw(drawn: Draw) -> tuple[str, str]:
    """What was done to one view, in a few letters: `-23°, mirrored` and `size +4 %, light -12 %`.

    Degrees are as seen, clockwise.
    """
    one_mirror = drawn.mirrored != drawn.upside_down  # a mirror after a turn is a turn the other way after the mirror
    turn = (drawn.rotation_degrees if one_mirror else -drawn.rotation_degrees) - 90 * drawn.quarter_turns
    turn = _turn(turn + 180 * drawn.upside_down)  # upside down in a mirror is mirrored and turned by half
    down = one_mirror and abs(turn) > 90
    turn = _turn(turn + 180 * down)
    zoom = (drawn.row_zoom * drawn.column_zoom) ** -0.5  # how much larger things look
    mirrored = "mirrored down" if down else "mirrored"
    moved = [f"{turn:+.0f}°" if abs(turn) >= 0.5 else "", mirrored if one_mirror else ""]
    coloured = [
        f"size {_percent(zoom)}" if abs(zoom - 1) >= SMALLEST_PART else "",
        f"light {_percent(drawn.brightness)}" if abs(drawn.brightness - 1) >= SMALLEST_PART else "",
        "colours" if any(drawn.channel_shifts) else "",
    ]
    return ", ".join(filter(None, moved)), ", ".join(filter(None, coloured))


def _shifts(augmentation: Augmentation) -> str:
    across, down = augmentation.width_shift, augmentation.height_shift
    if across == down:
        return f"moved by up to {100 * across:g} %" if across else ""
    return f"moved by up to {100 * across:g} % across and {100 * down:g} % down"


def _range(text: str, numbers: tuple[float, float]) -> str:
    low, high = numbers
    return text.format(f"{low:g}", f"{high:g}") if (low, high) != (1.0, 1.0) else ""


def _turn(degrees: float) -> float:
    """The same angle, more than -180 and at most 180."""
    return 180 - (180 - degrees) % 360


def _percent(factor: float) -> str:
    return f"{100 * (factor - 1):+.0f} %"
