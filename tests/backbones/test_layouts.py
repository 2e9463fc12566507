import dataclasses

import pytest

from graft.backbones.catalogue import catalogue, find
from graft.backbones.layouts import layout, measure
from graft.backbones.naming import snake_case


def test_class_names_are_written_as_keras_writes_them() -> None:
    pairs = {
        "Conv2D": "conv2d",
        "ReLU": "re_lu",
        "DepthwiseConv2D": "depthwise_conv2d",
        "BatchNormalization": "batch_normalization",
    }
    assert {name: snake_case(name) for name in pairs} == pairs


@pytest.mark.parametrize("name", catalogue())
def test_shapes_add_up_to_the_parameters(name: str) -> None:
    total = 0
    for shape in layout(find(name)).shapes().values():
        count = 1
        for side in shape:
            count *= side
        total += count
    assert total == find(name).parameters


def test_a_network_outside_the_table_is_measured() -> None:
    stranger = dataclasses.replace(find("sprout"), name="stranger")
    assert layout(stranger) == layout(find("sprout"))


def test_the_top_is_known() -> None:
    top = layout(find("vgg16")).top
    assert [(layer.name, layer.kind) for layer in top] == [("fc1", "dense"), ("fc2", "dense"), ("predictions", "dense")]
    assert top[-1].weights == (("kernel", (4096, 1000)), ("bias", (1000,)))
    assert layout(find("convnext_tiny")).top[0].name == "convnext_tiny_head_dense"
    assert layout(find("sprout")).top == ()


def test_measuring_reads_names_in_order() -> None:
    first = measure(find("sprout")).layers[0]
    assert (first.name, first.kind, first.weights) == ("stem", "conv2d", (("kernel", (3, 3, 3, 32)),))
