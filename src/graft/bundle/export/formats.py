"""The formats: which file each is, which numbers it can hold, and what has to be installed to make it."""

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

from graft.backbones.records import BackboneRecord
from graft.bundle.export.records import Form, Format, Numbers
from graft.core.errors import BadInput


@dataclass(frozen=True)
class Kind:
    """One format. `backend` is what Keras runs on while it is made; `modules` must be there, each with its package."""

    file: str
    title: str
    numbers: tuple[Numbers, ...]
    backend: Literal["tensorflow", "openvino"]
    modules: Mapping[str, str]
    extra: str = ""  # of graft-vision, that brings them all; "": the base does


# What is written of each: first the float32 form, which must answer the golden examples, then what is asked for, where
# there are several ways the quickest network first. The first that keeps enough of the accuracy is left.
FORMS: Mapping[Numbers, tuple[Form, ...]] = MappingProxyType(
    {"float32": ("float32",), "float16": ("float32", "float16"), "int8": ("float32", "int8", "int8-weights")}
)
_ONNX: Final = {
    "tensorflow": "TensorFlow",
    "tf2onnx": "tf2onnx",
    "onnx": "onnx",
    "onnxruntime": "onnxruntime",
}
_EVERY: Final[tuple[Numbers, ...]] = ("float32", "float16", "int8")
KINDS: Mapping[Format, Kind] = MappingProxyType(
    {
        "onnx": Kind("model.onnx", "ONNX", _EVERY, "tensorflow", _ONNX, "export,finetune"),
        "openvino": Kind("model.xml", "OpenVINO", ("float32", "float16"), "openvino", {}),
        "keras": Kind("model.keras", "Keras", ("float32",), "openvino", {}),
        "h5": Kind("model.h5", "Keras HDF5", ("float32",), "openvino", {}),
        "saved-model": Kind(
            "saved_model", "TensorFlow SavedModel", ("float32",), "tensorflow", {"tensorflow": "TensorFlow"}, "finetune"
        ),
        "litert": Kind(
            "model.tflite",
            "LiteRT",
            _EVERY,
            "tensorflow",
            {"tensorflow": "TensorFlow", "ai_edge_litert": "ai-edge-litert"},
            "export,finetune",
        ),
        "folder": Kind("model.onnx", "a folder to deploy", _EVERY, "tensorflow", _ONNX, "export,finetune"),
    }
)


# What converters cannot write (tf2onnx: ConvNeXt's depthwise convolutions, GELU), and what Keras' files cannot hold:
# layers that are not Keras' own, or that it does not register.
UNABLE: Mapping[str, tuple[Format, ...]] = MappingProxyType(
    {"convnext": ("onnx", "folder", "keras", "h5"), "vit": ("onnx", "folder", "keras", "h5")}
)


def check_network(format: Format, record: BackboneRecord) -> None:
    """Refuse (`BadInput`) a network that a format does not hold."""
    unable = UNABLE.get(record.family, ())
    if format in unable:
        *first, last = [name for name in KINDS if name not in unable]
        raise BadInput(
            f"--format {format} must be of another network, for it cannot hold {record.title}.",
            hint=f"Use --format {', '.join(first)} or {last}.",
        )


def check_possible(format: Format, numbers: Numbers) -> None:
    """Refuse (`BadInput`) numbers that a format does not hold here, and (extra_missing) what is not installed."""
    kind = KINDS[format]
    if numbers not in kind.numbers:
        able = ", ".join(name for name in KINDS if numbers in KINDS[name].numbers)
        raise BadInput(
            f"--format {format} must be of {' or '.join(kind.numbers)}, got {numbers}.",
            hint=f"{numbers} can be had as {able}.",
        )
    missing = [package for module, package in kind.modules.items() if importlib.util.find_spec(module) is None]
    if missing:
        without = "openvino, keras and h5 need none of it"
        raise BadInput(
            f"--format {format} needs {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not "
            "installed.",
            hint=f"Type: pip install 'graft-vision[{kind.extra}]'. Of the other formats {without}.",
            code="extra_missing",
        )
