"""The words for augmentations: presets, changes, mistakes, and the way back to words."""

import re
from dataclasses import fields, replace
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.records import construct, from_json, to_json
from graft.data.augmentation.presets import DEFAULT, MAX_TEXT, PRESETS, WORDS, parse, to_words
from graft.data.augmentation.records import Augmentation, FillMode


def ranges(least: float, most: float) -> some.SearchStrategy[tuple[float, float]]:
    return some.lists(some.floats(least, most), min_size=2, max_size=2).map(lambda pair: (min(pair), max(pair)))


ANY = some.builds(
    Augmentation,
    rotation_degrees=some.floats(0, 180),
    width_shift=some.floats(0, 0.5),
    height_shift=some.floats(0, 0.5),
    shear_degrees=some.floats(0, 89),
    zoom=ranges(0.1, 2),
    horizontal_flip=some.booleans(),
    vertical_flip=some.booleans(),
    quarter_turns=some.booleans(),
    brightness=ranges(0, 10),
    channel_shift=some.floats(0, 255),
    fill_mode=some.sampled_from(get_args(FillMode)),
    fill_value=some.integers(0, 255),
)


def test_classic_is_the_lectures_option_set():
    assert PRESETS["classic"] == Augmentation(
        rotation_degrees=40,
        width_shift=0.2,
        height_shift=0.2,
        shear_degrees=0.2,
        zoom=(0.8, 1.2),
        horizontal_flip=True,
        fill_mode="nearest",
    )


def test_presets_by_name():
    assert tuple(PRESETS) == ("none", "light", "classic", "strong", "symbols")
    assert {name: parse(name) for name in PRESETS} == dict(PRESETS)
    assert {name: to_words(each) for name, each in PRESETS.items()} == {name: name for name in PRESETS}
    assert PRESETS["none"].changes_nothing
    assert Augmentation(fill_mode="wrap", fill_value=3).changes_nothing
    assert not any(PRESETS[name].changes_nothing for name in PRESETS if name != "none")


def test_symbols_and_the_default_never_mirror():
    for name in ("symbols", DEFAULT):
        each = PRESETS[name]
        assert not (each.horizontal_flip or each.vertical_flip or each.quarter_turns)
        assert each.rotation_degrees <= 20


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("classic, Rotation = 30 ,flip=none,fill=reflect", {"rotation_degrees": 30, "horizontal_flip": False}),
        ("classic,shift=.1", {"width_shift": 0.1, "height_shift": 0.1}),
        ("classic,width_shift=0,height-shift=0.5", {"width_shift": 0, "height_shift": 0.5}),
        ("classic,zoom=0.3", {"zoom": (0.7, 1.3)}),
        ("classic,zoom=0.5-0.9,brightness=1:1.5", {"zoom": (0.5, 0.9), "brightness": (1, 1.5)}),
        ("classic,flip=both,quarter-turns=yes", {"vertical_flip": True, "quarter_turns": True}),
        ("classic,channel-shift=12,shear=10", {"channel_shift": 12, "shear_degrees": 10}),
        ("classic,fill=constant,fill-value=127", {"fill_mode": "constant", "fill_value": 127}),
        ("classic,rotation=10,rotation=20", {"rotation_degrees": 20}),
    ],
)
def test_changes_to_a_preset(text, changes):
    fill = {"fill_mode": "reflect"} if "fill=reflect" in text else {}
    assert parse(text) == replace(PRESETS["classic"], **changes, **fill)


def test_changes_alone_are_made_to_none():
    assert parse("rotation=5,flip=vertical") == Augmentation(rotation_degrees=5, vertical_flip=True)


def test_every_field_has_a_word():
    assert {name for word in WORDS.values() for name in word.fields} == {field.name for field in fields(Augmentation)}


@settings(deadline=None)
@given(augmentation=ANY)
def test_words_lead_back(augmentation):
    assert parse(to_words(augmentation)) == augmentation


def test_words_are_short():
    assert to_words(replace(PRESETS["classic"], rotation_degrees=30)) == "classic,rotation=30"
    assert to_words(parse("light,shift=0.4")) == "light,shift=0.4"
    assert to_words(parse("light,width-shift=0.4")) == "light,width-shift=0.4"
    assert to_words(parse("light,width-shift=0.4,height-shift=0.3")) == "light,width-shift=0.4,height-shift=0.3"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("clasic", "must begin with one of none, light, .* got 'clasic'. Did you mean classic?"),
        ("", "must begin with one of"),
        ("classic,", "A change to an augmentation must be one of rotation, .* got ''."),
        ("classic,rotatoin=3", "got 'rotatoin=3'. Did you mean rotation?"),
        ("classic,light", "got 'light'"),
        ("classic,rotation", "rotation must be a number of degrees from 0 to 180, got ''"),
        ("classic,rotation=-5", "got '-5'"),
        ("classic,rotation=200", "got '200'. For example: rotation=40."),
        ("classic,rotation=nan", "got 'nan'"),
        ("classic,rotation=٣", "got '٣'"),
        ("classic,shift=1", "shift must be a share of the side from 0 to 0.5, got '1'"),
        ("classic,zoom=1.2-0.8", "zoom must be a range of factors .* got '1.2-0.8'"),
        ("classic,zoom=3", "from 0.1 to 2, got '3'"),
        ("classic,flip=horizntal", "Did you mean horizontal?"),
        ("classic,quarter-turns=90", "must be one of no, yes, got '90'"),
        ("classic,fill=mirror", "must be one of nearest, reflect, wrap, constant, got 'mirror'"),
        ("classic,fill-value=256", "a whole number from 0 to 255, got '256'"),
        ("classic," * MAX_TEXT, "at most 1000 letters"),
    ],
)
def test_mistakes_are_one_sentence(text, says):
    with pytest.raises(BadInput, match=re.sub(r"(?<!\.)([?])", r"\\\1", says)) as caught:
        parse(text)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("word", sorted(set(WORDS) - {"flip", "turn", "quarter-turns", "fill", "shift"}))
def test_words_allow_what_the_record_allows(word):
    """The bounds stand in two places, for the sentences: here they are held together."""
    name = WORDS[word].fields[0]
    low, high = (float(number) for number in re.findall(r"from ([\d.]+) to ([\d.]+)", WORDS[word].wanted)[0])
    if name in ("zoom", "brightness"):
        assert getattr(parse(f"{word}={low:g}-{high:g}"), name) == (low, high)
        with pytest.raises(BadInput):
            construct(Augmentation, **{name: (1.0, high + 0.01)})
        with pytest.raises(BadInput):
            construct(Augmentation, **{name: (low - 0.01, 1.0)})
        return
    number = int if name == "fill_value" else float
    assert getattr(parse(f"{word}={high:g}"), name) == high
    for beyond in (number(high) + 1, -1):
        with pytest.raises(BadInput):
            construct(Augmentation, **{name: number(beyond)})


def test_a_range_begins_with_its_lower_end():
    with pytest.raises(BadInput, match="zoom"):
        construct(Augmentation, zoom=(1.2, 0.8))


@settings(deadline=None)
@given(augmentation=ANY)
def test_an_augmentation_survives_its_file(augmentation):
    assert from_json(Augmentation, to_json(augmentation), source="it") == augmentation


def test_sabotage_a_changed_file_is_refused():
    with pytest.raises(IntegrityProblem):
        from_json(Augmentation, to_json(PRESETS["light"]).replace(b'"fill_mode"', b'"fill"'), source="it")
