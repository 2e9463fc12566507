import dataclasses
import re

import pytest

from graft.backbones.catalogue import BUILTIN, candidates, catalogue, find
from graft.backbones.records import BackboneRecord
from graft.core.errors import BadInput
from graft.core.records import from_json, to_json


def test_all_networks_of_the_first_release_are_there() -> None:
    assert list(catalogue()) == [
        "sprout",
        *(f"mobilenet_{alpha}" for alpha in (0.25, 0.5, 0.75, 1.0)),
        *(f"mobilenet_v2_{alpha}" for alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)),
        "vgg16",
        "vgg19",
        "resnet50",
        "efficientnet_b0",
    ]


@pytest.mark.parametrize("name", catalogue())
def test_each_record_can_be_found_stored_and_read(name: str) -> None:
    record = find(name)
    assert record.name == name
    assert from_json(BackboneRecord, to_json(record), source="record") == record


@pytest.mark.parametrize("record", catalogue().values(), ids=lambda record: record.name)
def test_each_record_says_where_it_comes_from(record: BackboneRecord) -> None:
    assert record.licence
    assert record.paper
    assert record.weights
    for source in record.weights:
        assert source.licence
        published = source.url.startswith("https://storage.googleapis.com/") and source.url.endswith(source.file)
        assert published or (record.name, source.url) == (BUILTIN, "shipped with Graft")
        assert re.fullmatch(r"([0-9a-f]{64})?", source.sha256)
        assert re.fullmatch(r"([0-9a-f]{32})?", source.md5)


@pytest.mark.parametrize(
    ("name", "count", "first", "last"),
    [
        ("sprout", 8, "s1_out", "head_relu"),
        ("mobilenet_0.25", 13, "conv_pw_1_relu", "conv_pw_13_relu"),
        ("mobilenet_v2_1.0", 18, "expanded_conv_project_BN", "out_relu"),
        ("vgg16", 13, "block1_conv1", "block5_conv3"),
        ("vgg19", 16, "block1_conv1", "block5_conv4"),
        ("resnet50", 16, "conv2_block1_out", "conv5_block3_out"),
        ("efficientnet_b0", 17, "block1a_project_bn", "top_activation"),
    ],
)
def test_taps_go_from_the_first_block_to_the_last(name: str, count: int, first: str, last: str) -> None:
    taps = find(name).taps
    assert (len(taps), taps[0], taps[-1]) == (count, first, last)
    assert len(find(name).tap_widths) == count


def test_candidates_of_a_name_a_family_and_auto() -> None:
    assert candidates("vgg16") == ("vgg16",)
    assert candidates("mobilenet") == ("mobilenet_0.25", "mobilenet_0.5", "mobilenet_0.75", "mobilenet_1.0")
    assert candidates("auto") == tuple(catalogue())


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadInput, match=r"got 'Mobilnet_v2'\. Nearest: mobilenet_v2,") as caught:
        find("Mobilnet_v2")
    assert caught.value.code == "not_found"
    with pytest.raises(BadInput, match="graft backbones list"):
        find("#")


def test_a_family_of_several_is_no_network() -> None:
    with pytest.raises(BadInput, match=r"Choose one of: mobilenet_0\.25, "):
        find("mobilenet")


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        catalogue()["vgg16"] = find("vgg19")  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        find("vgg16").width = 3  # type: ignore[misc]
