"""The table of trained and frozen layers."""

from itertools import pairwise

import pytest

from graft.backbones.freezing import Freeze, cut_at, resolve
from graft.report.freezing import MOST_ROWS, freezing_text, normalization_policy
from tests.backbones.helpers import table

WIDEST = 120


def text(name: str, side: int, freeze: Freeze, *, every: bool = False, tap: str | None = None) -> str:
    found = table(name, side)
    return freezing_text(found, resolve(found, freeze, profile_layer=tap), every=every)


def test_vgg16_as_the_lecture_freezes_it():
    said = text("vgg16", 224, Freeze(kind="last", count=5)).splitlines()
    assert said[0] == "Training of VGG16 begins at block5_conv1, layer 15."
    rows = [line.split() for line in said[3:8]]
    assert rows[0] == [
        *("0-14", "input", "...", "block4_pool", "15", "layers", "14", "x", "14", "x", "512", "7,635,264"),
        *("frozen,", "computed", "once"),
    ]
    assert rows[1] == ["15", "block5_conv1", "Conv2D", "14", "x", "14", "x", "512", "2,359,808", "trained"]
    assert rows[4] == ["18", "block5_pool", "MaxPooling2D", "7", "x", "7", "x", "512", "0"]
    assert said[9:] == [
        "trained  7,079,424 of 14,714,688 parameters, in 3 layers, and the new classifier",
        "frozen   7,635,264 parameters; 91 % of the work is done once for each view, up to block4_pool",
        "VGG16 has no BatchNormalization.",
    ]


def test_every_layer_has_its_line():
    said = text("vgg16", 224, Freeze(kind="last", count=5), every=True).splitlines()
    rows = said[3 : said.index("", 3)]
    assert [line.split()[1] for line in rows] == [layer.name for layer in table("vgg16", 224).layers]
    assert sum(line.endswith("computed once") for line in rows) == 15
    assert sum(line.endswith("trained") for line in rows) == 3


@pytest.mark.parametrize("name", ["mobilenet_v2_0.35", "efficientnet_b0", "nasnet_mobile"])
def test_the_largest_networks_fit_on_a_screen(name):
    found = table(name)
    for freeze in (Freeze(kind="all"), Freeze(kind="level", count=3), Freeze(kind="none")):
        freezing = resolve(found, freeze)
        said = freezing_text(found, freezing).splitlines()
        rows = said[3 : said.index("", 3)]
        assert len(rows) <= MOST_ROWS and max(map(len, said)) <= WIDEST
        numbers = [row.split()[0].split("-") for row in rows]
        # each layer once: a row begins right after the one above it
        assert numbers[0][0] == "0" and numbers[-1][-1] == str(len(found.layers) - 1)
        assert all(int(below[0]) == int(above[-1]) + 1 for above, below in pairwise(numbers))
        assert sum(row.endswith("  trained") for row in rows) + sum(
            int(row.split()[-4]) for row in rows if row.endswith("of them trained")
        ) == len(freezing.trained)


def test_what_is_computed_again_is_told_apart():
    said = text("resnet50", 224, Freeze(kind="until", layer="conv5_block3_3_conv"))
    rows = [line.split() for line in said.splitlines()]
    assert next(row for row in rows if row[:1] == ["165-170"])[-4:] == ["frozen,", "in", "each", "step"]
    assert "94 % of the work is done once for each view, up to conv5_block2_out" in said
    assert "All 53 BatchNormalization layers stay frozen (statistics, gamma, beta), also the 1 above the" in said


def test_from_pixels_nothing_is_computed_once():
    found = table("vgg16", 150)
    freezing = cut_at(found, resolve(found, Freeze(kind="last", count=5)), ())
    said = freezing_text(found, freezing)
    assert "once" not in said and "step" not in said
    assert next(line for line in said.splitlines() if line.startswith("0-14")).endswith("  frozen")
    assert "\nfrozen   7,635,264 parameters\n" in said


def test_the_classifier_alone():
    said = text("vgg16", 150, Freeze(kind="none"))
    assert said.startswith("VGG16 stays as it is: the new classifier alone is trained.")
    assert "\ntrained  the new classifier\n" in said


def test_where_the_profile_chose():
    said = text("mobilenet_0.25", 128, Freeze(), tap="conv_pw_7_relu")
    assert said.startswith("Training of MobileNet 0.25 begins at conv_dw_8, layer 49, as the depth profile advises.")


@pytest.mark.parametrize(
    ("freeze", "policy"),
    [
        (Freeze(kind="none"), "All 27 BatchNormalization layers stay frozen (statistics, gamma, beta)."),
        (Freeze(kind="all"), "All 27 BatchNormalization layers stay frozen (statistics, gamma, beta)."),
        (
            Freeze(kind="last", count=5),
            "All 27 BatchNormalization layers stay frozen (statistics, gamma, beta), also the 1 above",
        ),
    ],
)
def test_the_policy_is_told(freeze, policy):
    found = table("mobilenet_0.25", 128)
    assert normalization_policy(found, resolve(found, freeze)).startswith(policy)
