"""Networks that Keras builds, made to keep their names and to take either data format.

Keras numbers the layers that it gives no name by what the process built before. Here they are numbered by their place
in the network, as `conv2d_n7`: a form that Keras itself never gives, so that a name in a weights file cannot be
mistaken for one of these.
"""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from graft.backbones.naming import snake_case

# Constructor of a record: function of keras.applications. The record's options are given to it as they are.
FUNCTIONS: Mapping[str, str] = MappingProxyType(
    {
        "densenet121": "DenseNet121",
        "densenet169": "DenseNet169",
        "densenet201": "DenseNet201",
        "efficientnet_v2_b0": "EfficientNetV2B0",
        "efficientnet_v2_b1": "EfficientNetV2B1",
        "efficientnet_v2_b2": "EfficientNetV2B2",
        "efficientnet_v2_b3": "EfficientNetV2B3",
        "efficientnet_v2_s": "EfficientNetV2S",
        "efficientnet_v2_m": "EfficientNetV2M",
        "efficientnet_v2_l": "EfficientNetV2L",
        "inception_resnet_v2": "InceptionResNetV2",
        "inception_v3": "InceptionV3",
        "mobilenet": "MobileNet",
        "mobilenet_v2": "MobileNetV2",
        "mobilenet_v3_large": "MobileNetV3Large",
        "mobilenet_v3_small": "MobileNetV3Small",
        "nasnet_large": "NASNetLarge",
        "nasnet_mobile": "NASNetMobile",
        "resnet50": "ResNet50",
        "resnet101": "ResNet101",
        "resnet152": "ResNet152",
        "resnet50_v2": "ResNet50V2",
        "resnet101_v2": "ResNet101V2",
        "resnet152_v2": "ResNet152V2",
        "vgg16": "VGG16",
        "vgg19": "VGG19",
        "xception": "Xception",
    }
)
# Keras refuses to build these channels-first, though every layer of them can compute so.
TURNED = frozenset({"densenet121", "densenet169", "densenet201", "nasnet_large", "nasnet_mobile"})
# What those consist of: the layers by class, and all that these were told.
CONVOLUTION = ("filters", "kernel_size", "strides", "padding", "dilation_rate", "use_bias")
POOLING = ("pool_size", "strides", "padding")
ATTRIBUTES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Activation": ("activation",),
        "Add": (),
        "AveragePooling2D": POOLING,
        "BatchNormalization": ("momentum", "epsilon", "center", "scale"),
        "Concatenate": (),
        "Conv2D": (*CONVOLUTION, "groups"),
        "Cropping2D": ("cropping",),
        "Dense": ("units", "activation", "use_bias"),
        "GlobalAveragePooling2D": (),
        "MaxPooling2D": POOLING,
        "SeparableConv2D": (*CONVOLUTION, "depth_multiplier"),
        "ZeroPadding2D": ("padding",),
    }
)
FIRST_XCEPTION_SUM = 2  # block2 is the first of Xception's blocks that ends with an addition


def build_application(
    constructor: str, options: Mapping[str, float | int | str | bool], inputs: Any, *, include_top: bool
) -> Any:
    """The network of one of `FUNCTIONS` on a Keras tensor `inputs` in Keras' current data format."""
    import keras

    function = getattr(keras.applications, FUNCTIONS[constructor])
    if constructor not in TURNED or keras.config.image_data_format() == "channels_last":
        model = function(input_tensor=inputs, include_top=include_top, weights=None, **options)
        return _named(model, constructor)
    turned = keras.Input((*inputs.shape[2:], inputs.shape[1]), dtype=inputs.dtype, name=inputs.name)
    keras.config.set_image_data_format("channels_last")
    try:
        model = function(input_tensor=turned, include_top=include_top, weights=None, **options)
    finally:
        keras.config.set_image_data_format("channels_first")
    return channels_first(_named(model, constructor), inputs)


def channels_first(model: Any, inputs: Any) -> Any:
    """A copy of a channels-last network, with new weights, that computes channels-first on `inputs`.

    For networks of the layers in `ATTRIBUTES`. Their configurations would say all that is needed too, but to ask for
    one imports TensorFlow where it is installed: ten seconds.
    """
    import keras

    def turned(layer: Any) -> Any:
        kind = type(layer).__name__
        given = {name: getattr(layer, name) for name in ATTRIBUTES[kind]}
        if hasattr(layer, "data_format"):
            given["data_format"] = "channels_first"
        if kind in {"BatchNormalization", "Concatenate"}:
            given["axis"] = 1
        return type(layer)(name=layer.name, **given)

    return keras.models.clone_model(model, input_tensors=[inputs], clone_function=turned)


def _named(model: Any, constructor: str) -> Any:
    """The network with names that depend on nothing but the network."""
    counts: dict[str, int] = {}
    for operation in model.operations:
        kind = snake_case(type(operation).__name__)
        if re.fullmatch(rf"{kind}(_\d+)?", operation.name):
            counts[kind] = counts.get(kind, 0) + 1
            operation.name = f"{kind}_n{counts[kind]}"
    if constructor == "xception":
        _name_xception_sums(model)
    if constructor.startswith("mobilenet_v3"):
        _following(model, "conv_1_bn").name = "conv_1_activation"
    if constructor.startswith("nasnet"):
        last = [layer.name for layer in model.layers if layer.name.startswith("normal_concat_")][-1]
        _following(model, last).name = "out_relu"
    return model


def _name_xception_sums(model: Any) -> None:
    sums = [layer for layer in model.layers if layer.name.startswith("add_n")]
    for block, layer in enumerate(sums, FIRST_XCEPTION_SUM):
        layer.name = f"block{block}_add"


def _following(model: Any, name: str) -> Any:
    """The operation that comes after the named one, which nothing else reads."""
    names = [operation.name for operation in model.operations]
    return model.operations[names.index(name) + 1]
