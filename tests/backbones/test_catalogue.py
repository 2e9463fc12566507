import dataclasses
import re
from collections import Counter

import keras
import pytest

from graft.backbones.builders.applications import FUNCTIONS
from graft.backbones.catalogue import BUILTIN, candidates, catalogue, find
from graft.backbones.records import BackboneRecord
from graft.core.errors import BadInput
from graft.core.records import from_json, to_json
from tests.backbones.helpers import OWN_CONSTRUCTIONS

RECORDS = tuple(catalogue().values())
PUBLISHERS = (
    "https://storage.googleapis.com/",
    "https://download.pytorch.org/models/",
    "https://huggingface.co/timm/",
)


def test_every_network_of_keras_applications_is_there() -> None:
    known = {FUNCTIONS.get(record.constructor) or OWN_CONSTRUCTIONS.get(record.constructor) for record in RECORDS}
    offered = {name for name in dir(keras.applications) if name[0].isupper()}
    assert offered
    assert offered <= known


def test_families_have_all_their_members() -> None:
    counts = Counter(record.family for record in RECORDS)
    assert counts == {
        "sprout": 1,
        "mobilenet": 4,
        "mobilenet_v2": 6,
        "mobilenet_v3": 6,
        "vgg": 2,
        "resnet": 3,
        "resnet_v2": 3,
        "densenet": 3,
        "inception_v3": 1,
        "inception_resnet_v2": 1,
        "xception": 1,
        "nasnet": 2,
        "efficientnet": 8,
        "efficientnet_v2": 7,
        "convnext": 5,
        "se_resnet50": 1,
        "googlenet": 1,
        "vit": 1,
        "alexnet": 1,
        "lenet5": 1,
        "convnet": 7,
    }
    assert next(iter(catalogue())) == BUILTIN


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("EfficientNetB0", "efficientnet_b0"),
        ("efficientnet-b7", "efficientnet_b7"),
        ("EfficientNetV2S", "efficientnet_v2_s"),
        ("ResNet50V2", "resnet50_v2"),
        ("ResNet-50", "resnet50"),
        ("Inception v3", "inception_v3"),
        ("InceptionResNetV2", "inception_resnet_v2"),
        ("NASNetMobile", "nasnet_mobile"),
        ("ConvNeXtXLarge", "convnext_xlarge"),
        ("DenseNet121", "densenet121"),
        ("VGG-16", "vgg16"),
        ("MobileNet 1.0", "mobilenet_1.0"),
        ("LeNet-5", "lenet5"),
        ("AlexNet", "alexnet"),
        ("GoogLeNet", "googlenet"),
        ("SE-ResNet-50", "se_resnet50"),
        ("seresnet50", "se_resnet50"),
        ("ViT-B/16", "vit_b16"),
        ("vit_b_16", "vit_b16"),
        ("ConvNet-batch", "convnet_batch"),
    ],
)
def test_common_spellings_are_understood(written: str, name: str) -> None:
    assert find(written).name == name


def test_a_spelling_of_several_names_them() -> None:
    assert candidates("MobileNetV2") == candidates("mobilenet_v2")
    assert candidates("MobileNetV3Small") == ("mobilenet_v3_small_0.75", "mobilenet_v3_small_1.0")
    with pytest.raises(BadInput, match=r"got 'MobileNetV2'.*Choose one of: mobilenet_v2_0\.35, "):
        find("MobileNetV2")


def test_no_two_networks_are_spelt_alike() -> None:
    spellings = Counter(re.sub(r"[-_ ]", "", record.name.lower()) for record in RECORDS)
    assert max(spellings.values()) == 1


@pytest.mark.parametrize("name", catalogue())
def test_each_record_can_be_found_stored_and_read(name: str) -> None:
    record = find(name)
    assert record.name == name
    assert from_json(BackboneRecord, to_json(record), source="record") == record


@pytest.mark.parametrize("record", catalogue().values(), ids=lambda record: record.name)
def test_each_record_says_where_it_comes_from(record: BackboneRecord) -> None:
    assert record.licence
    assert record.paper
    assert record.weights or "no weights published by Graft" in record.licence
    for source in record.weights:
        assert source.licence
        published = source.url.startswith(PUBLISHERS) and source.url.endswith(source.file)
        assert published or (record.name, source.url) == (BUILTIN, "shipped with Graft")
        assert re.fullmatch(r"([0-9a-f]{8}|[0-9a-f]{64})?", source.sha256)  # torchvision states the first eight digits
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
        ("se_resnet50", 16, "conv2_block1_out", "conv5_block3_out"),
        ("googlenet", 11, "conv1_relu", "inception5b"),
        ("vit_b16", 13, "block1_mlp_add", "encoder_norm"),
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
    for nonsense in ("#", "nope"):
        with pytest.raises(BadInput, match=r"graft backbones list"):
            find(nonsense)


def test_only_a_network_with_a_top_has_classes_of_its_own() -> None:
    of_none_known = {record.family for record in catalogue().values() if not record.top_labels}
    assert of_none_known == {"sprout", "convnet", "lenet5"}  # no top, or one whose ten classes nobody published
    for record in catalogue().values():
        assert not record.top_labels or record.parameters_with_top is not None, record.name
        assert not record.top_labels or record.top_classes == 1000, record.name


def test_a_family_of_several_is_no_network() -> None:
    with pytest.raises(BadInput, match=r"Choose one of: mobilenet_0\.25, "):
        find("mobilenet")


def test_the_catalogue_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        catalogue()["vgg16"] = find("vgg19")  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        find("vgg16").width = 3  # type: ignore[misc]


@pytest.mark.parametrize(("name", "megabytes"), [("resnet50", 98), ("vgg16", 528)])
def test_the_weights_are_as_large_as_is_published(name: str, megabytes: int) -> None:
    """Four bytes a parameter, in units of 2**20 bytes, as Keras lists them; a file adds little."""
    n = find(name).parameters_with_top
    assert n is not None and round(4 * n / 2**20) == megabytes


def test_many_small_layers_make_a_larger_file() -> None:
    """NASNet-Mobile's file is listed with 23 MB: its weights fit, with room for the names of a thousand tensors."""
    n = find("nasnet_mobile").parameters_with_top
    assert n is not None and 0.85 < 4 * n / 2**20 / 23 < 1
