"""How Keras writes names."""

import re


def snake_case(class_name: str) -> str:
    """A class name as Keras' weight files write it: `DepthwiseConv2D` becomes `depthwise_conv2d`."""
    apart = re.sub(r"(?<=.)([A-Z][a-z]+)", r"_\1", class_name)
    return re.sub(r"(?<=[a-z])([A-Z])", r"_\1", apart).lower()
