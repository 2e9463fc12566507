"""Views: pure functions, each change what it is called, nothing outside its range."""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given, settings
from hypothesis import strategies as some

from graft.data.augmentation.presets import PRESETS
from graft.data.augmentation.records import Augmentation
from graft.data.augmentation.transforms import N_DRAWS, Draw, apply, draw, matrix
from graft.data.augmentation.views import AUGMENTATION_VERSION, draw_view, make_view
from graft.data.augmentation.wording import describe, describe_draw

SHA = "ab" * 32
SIDE = 24
GOLDEN = "f0f78e4a7b7e4d8922dc61e10ab6ec3d36332e3ce6b1fe99d07ac1662d8eeac6"
ANY_DRAW = some.builds(
    Draw,
    rotation_degrees=some.floats(-180, 180),
    row_shift=some.floats(-0.5, 0.5),
    column_shift=some.floats(-0.5, 0.5),
    shear_degrees=some.floats(-89, 89),
    row_zoom=some.floats(0.1, 2),
    column_zoom=some.floats(0.1, 2),
    mirrored=some.booleans(),
    upside_down=some.booleans(),
    quarter_turns=some.integers(0, 3),
)
# scipy's names of our fill modes; its own "wrap" and "constant" treat the last pixel differently
SCIPY_MODES = {"nearest": "nearest", "reflect": "reflect", "wrap": "grid-wrap", "constant": "grid-constant"}


@pytest.fixture
def noise() -> np.ndarray:
    """Pixels without any neighbour alike."""
    return np.random.default_rng(5).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def smooth() -> np.ndarray:
    """A soft picture of all levels, unlike itself mirrored or turned."""
    values = scipy.ndimage.gaussian_filter(np.random.default_rng(6).normal(size=(SIDE, SIDE, 3)), (3, 3, 0))
    values -= values.min()
    return (values / values.max() * 255).round().astype(np.uint8)


def reference(pixels: np.ndarray, drawn: Draw, mode: str, fill_value: int = 0) -> np.ndarray:
    """The same view by scipy, in rows and columns, as floats."""
    (xx, xy, x), (yx, yy, y) = matrix(drawn)
    linear, middle = np.array([[yy, yx], [xy, xx]]), np.full(2, (len(pixels) - 1) / 2)
    offset = middle + np.array([y, x]) * len(pixels) - linear @ middle
    channels = [
        scipy.ndimage.affine_transform(
            pixels[..., channel].astype(float), linear, offset, order=1, mode=SCIPY_MODES[mode], cval=fill_value
        )
        for channel in range(3)
    ]
    return np.stack(channels, axis=-1)


@pytest.mark.parametrize("name", PRESETS)
def test_view_0_is_the_photo(name, noise):
    assert make_view(noise, PRESETS[name], sha256=SHA, view=0, seed=3) is noise
    assert draw_view(PRESETS[name], sha256=SHA, view=0, seed=3) == Draw()


def test_none_changes_no_view(noise):
    assert all(make_view(noise, PRESETS["none"], sha256=SHA, view=view, seed=3) is noise for view in range(5))
    assert draw_view(PRESETS["none"], sha256=SHA, view=4, seed=3) == Draw()


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"none"}))
def test_a_view_is_a_function_of_its_arguments(name, smooth):
    def view(sha256: str = SHA, number: int = 1, seed: int = 0) -> bytes:
        before = smooth.copy()
        made = make_view(smooth, PRESETS[name], sha256=sha256, view=number, seed=seed)
        assert (smooth == before).all()
        assert made.shape == smooth.shape
        assert made.dtype == np.uint8
        assert made.flags.c_contiguous
        assert made.flags.writeable
        return made.tobytes()

    assert view() == view()
    assert len({view(), view(number=2), view(seed=1), view(sha256="cd" * 32), smooth.tobytes()}) == 5
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda number: view(number=number), range(1, 40))) == [
            view(number=number) for number in range(1, 40)
        ]


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_fixed_turn_turns_every_view_after_the_flips(degrees, noise):
    turned = Augmentation(turn_degrees=degrees)
    for view in range(1, 5):
        made = make_view(noise, turned, sha256=SHA, view=view, seed=3)
        assert (made == np.rot90(noise, degrees // 90)).all()
    flips = Augmentation(horizontal_flip=True, vertical_flip=True)
    for view in range(1, 9):
        flipped = make_view(noise, flips, sha256=SHA, view=view, seed=3)
        both = make_view(noise, replace(flips, turn_degrees=degrees), sha256=SHA, view=view, seed=3)
        assert (both == np.rot90(flipped, degrees // 90)).all()
    assert describe(turned) == f"turned left by {degrees}°, edges drawn out"
    quarters = [draw_view(Augmentation(quarter_turns=True), sha256=SHA, view=view, seed=3) for view in range(1, 40)]
    more = replace(turned, quarter_turns=True)
    shifted = [draw_view(more, sha256=SHA, view=view, seed=3) for view in range(1, 40)]
    assert [(each.quarter_turns + degrees // 90) % 4 for each in quarters] == [each.quarter_turns for each in shifted]


def test_golden_view():
    """Another hash: raise AUGMENTATION_VERSION, or stored activations of old views are taken for new ones."""
    rows, columns = np.mgrid[0:32, 0:32]
    pixels = np.stack([rows * 8, columns * 8, (rows + columns) * 4], axis=-1).astype(np.uint8)
    everything = replace(PRESETS["strong"], vertical_flip=True, quarter_turns=True)
    views = [make_view(pixels, everything, sha256=SHA, view=view, seed=7) for view in (1, 2, 3)]
    assert AUGMENTATION_VERSION == "1"
    assert hashlib.sha256(np.stack(views).tobytes()).hexdigest() == GOLDEN


def test_symbols_are_never_mirrored_nor_turned_over():
    drawn = [draw_view(PRESETS["symbols"], sha256=SHA, view=view, seed=0) for view in range(1, 10_001)]
    assert np.linalg.det([matrix(each)[:, :2] for each in drawn]).min() > 0
    assert max(abs(each.rotation_degrees) for each in drawn) <= 20
    assert not any(each.quarter_turns or each.upside_down or each.mirrored for each in drawn)


@pytest.mark.parametrize("name", ["light", "classic", "strong"])
def test_sabotage_mirrored_views_are_noticed(name):
    drawn = [draw_view(PRESETS[name], sha256=SHA, view=view, seed=0) for view in range(1, 101)]
    assert 25 < sum(np.linalg.det(matrix(each)[:, :2]) < 0 for each in drawn) < 75


def test_draws_fill_their_ranges_and_keep_to_them():
    ranges = Augmentation(
        rotation_degrees=30,
        width_shift=0.1,
        height_shift=0.3,
        shear_degrees=7,
        zoom=(0.8, 1.5),
        vertical_flip=True,
        quarter_turns=True,
        brightness=(0.5, 2),
        channel_shift=9,
    )
    drawn = [draw_view(ranges, sha256=SHA, view=view, seed=1) for view in range(1, 2001)]
    bounds = {
        "rotation_degrees": (-30, 30),
        "column_shift": (-0.1, 0.1),
        "row_shift": (-0.3, 0.3),
        "shear_degrees": (-7, 7),
        "row_zoom": (0.8, 1.5),
        "column_zoom": (0.8, 1.5),
        "brightness": (0.5, 2),
    }
    for name, (low, high) in bounds.items():
        values = [getattr(each, name) for each in drawn]
        assert low <= min(values) < low + 0.01 * (high - low), name
        assert high - 0.01 * (high - low) < max(values) <= high, name
    shifts = np.array([each.channel_shifts for each in drawn])
    assert np.abs(shifts).max() <= 9
    assert np.abs(np.corrcoef(shifts.T) - np.eye(3)).max() < 0.1  # each channel by its own
    assert {each.quarter_turns for each in drawn} == {0, 1, 2, 3}
    assert {each.upside_down for each in drawn} == {True, False}
    assert {each.mirrored for each in drawn} == {False}


def test_one_range_leaves_the_other_draws_alone():
    narrow = Augmentation(rotation_degrees=30, brightness=(0.5, 2))
    wide = replace(narrow, width_shift=0.2, horizontal_flip=True)
    for view in range(1, 20):
        first, second = (draw_view(each, sha256=SHA, view=view, seed=0) for each in (narrow, wide))
        assert (first.rotation_degrees, first.brightness) == (second.rotation_degrees, second.brightness)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize("upside_down", [False, True])
def test_flips_and_quarter_turns_move_whole_pixels(noise, turns, mirrored, upside_down):
    drawn = Draw(mirrored=mirrored, upside_down=upside_down, quarter_turns=turns)
    flipped = noise[:: -1 if upside_down else 1, :: -1 if mirrored else 1]
    wanted = np.rot90(flipped, turns)
    assert (apply(noise, drawn, "nearest", 0) == wanted).all()
    assert (np.rint(reference(noise, drawn, "nearest")) == wanted).all()  # the matrix means the same


@pytest.mark.parametrize("mode", SCIPY_MODES)
@settings(deadline=None)
@given(drawn=ANY_DRAW)
def test_geometry_and_fill_modes_are_scipy_s(mode, drawn):
    values = scipy.ndimage.gaussian_filter(np.random.default_rng(6).normal(size=(SIDE, SIDE, 3)), (3, 3, 0))
    pixels = ((values - values.min()) / (values.max() - values.min()) * 255).round().astype(np.uint8)
    made = apply(pixels, drawn, mode, 77).astype(float)
    assert np.abs(made - reference(pixels, drawn, mode, 77)).max() <= 1.001  # Pillow drops fractions


def test_sabotage_another_geometry_is_noticed(smooth):
    drawn = Draw(rotation_degrees=20, column_shift=0.1)
    for other in (replace(drawn, rotation_degrees=-20), replace(drawn, column_shift=0, row_shift=0.1)):
        assert np.abs(apply(smooth, drawn, "nearest", 0) - reference(smooth, other, "nearest")).max() > 5


@pytest.mark.parametrize(
    ("drawn", "where"),
    [(Draw(column_shift=0.25), (12, 6)), (Draw(row_shift=-0.25), (18, 12))],  # read further right: the photo moves left
)
def test_shifts_move_along_their_axes(drawn, where):
    pixels = np.zeros((SIDE, SIDE, 3), np.uint8)
    pixels[12, 12] = 200
    moved = apply(pixels, drawn, "constant", 0)[..., 0]
    assert moved[where] == 200
    assert (moved > 0).sum() == 1


def test_a_positive_angle_turns_counter_clockwise(smooth):
    exact = np.rot90(smooth).astype(float)
    assert np.abs(apply(smooth, Draw(rotation_degrees=90), "nearest", 0) - exact).max() <= 1


@pytest.mark.parametrize("mode", ["nearest", "reflect", "wrap"])
@settings(deadline=None)
@given(drawn=ANY_DRAW, level=some.integers(0, 255))
def test_nothing_but_the_photo_fills_a_view(mode, drawn, level):
    flat = np.full((9, 9, 3), level, np.uint8)
    assert (apply(flat, drawn, mode, 13) == level).all()


def test_constant_fills_with_its_level():
    flat = np.full((16, 16, 3), 200, np.uint8)
    moved = apply(flat, Draw(column_shift=0.5), "constant", 13)
    assert (moved[:, :8] == 200).all()
    assert (moved[:, 8:] == 13).all()


def test_levels_are_shifted_then_scaled_and_cut_off():
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    pixels = np.stack([levels, levels, levels], axis=-1)
    made = apply(pixels, Draw(brightness=1.5, channel_shifts=(10.0, 0.0, -300.0)), "nearest", 0)
    assert (made[..., 0] == np.clip(np.rint(np.clip(levels + 10.0, 0, 255) * 1.5), 0, 255)).all()
    assert (made[..., 1] == np.clip(np.rint(levels * 1.5), 0, 255)).all()
    assert (made[..., 2] == 0).all()


@settings(deadline=None)
@given(drawn=ANY_DRAW)
def test_what_a_draw_is_called_is_what_is_seen(drawn):
    """The degrees and the mirror of the caption, done to the photo, are the geometry of the view."""
    moved, _ = describe_draw(replace(drawn, shear_degrees=0.0))
    words = moved.split(", ") if moved else []
    turn = np.radians(next((float(word[:-1]) for word in words if word.endswith("°")), 0.0))
    mirror = {"mirrored": (-1, 1), "mirrored down": (1, -1)}.get(words[-1] if words else "", (1, 1))
    forward = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag(mirror)
    plain = replace(drawn, shear_degrees=0.0, row_zoom=1.0, column_zoom=1.0)
    assert np.abs(np.linalg.inv(matrix(plain)[:, :2]) - forward).max() < 0.01


def test_captions_say_size_and_light():
    drawn = Draw(row_zoom=0.8, column_zoom=0.8, brightness=0.9, channel_shifts=(1.0, 0.0, 0.0))
    assert describe_draw(drawn) == ("", "size +25 %, light -10 %, colours")
    assert describe_draw(Draw()) == ("", "")


def test_presets_in_words():
    assert describe(PRESETS["none"]) == "left as it is"
    assert describe(PRESETS["classic"]) == (
        "turned by up to 40°, moved by up to 20 %, leaned by up to 0.2°, showing 0.8 to 1.2 of each side, "
        "mirrored left to right or not, edges drawn out"
    )
    odd = Augmentation(width_shift=0.1, vertical_flip=True, fill_mode="constant", fill_value=9)
    assert describe(odd) == (
        "moved by up to 10 % across and 0 % down, mirrored top to bottom or not, edges filled with level 9"
    )


def test_every_number_of_a_view_is_drawn_at_once():
    everything = replace(PRESETS["strong"], vertical_flip=True, quarter_turns=True)
    low, high = draw(everything, np.zeros(N_DRAWS)), draw(everything, np.full(N_DRAWS, 1 - 2**-53))
    assert (low.rotation_degrees, low.mirrored, low.upside_down, low.quarter_turns) == (-40, True, True, 0)
    assert (high.mirrored, high.upside_down, high.quarter_turns) == (False, False, 3)
    assert high.rotation_degrees <= 40
