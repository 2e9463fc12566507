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
    """One format. `backend` is what Keras runs on while it is made; `modules` must be there, each with its package.

    In int8 it may be made of another format's files, `of_in_int8`, and then needs what that needs.
    """

    file: str
    title: str
    numbers: tuple[Numbers, ...]
    backend: Literal["tensorflow", "openvino"]
    modules: Mapping[str, str]
    extra: str = ""  # of graft-vision, that brings them all; "": the base does
    of_in_int8: Format | None = None


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
        "openvino": Kind("model.xml", "OpenVINO", _EVERY, "openvino", {}, of_in_int8="onnx"),
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
# layers that are not Keras' own, or that it does not register. By family, and where it is one network, by its name.
UNABLE: Mapping[str, tuple[Format, ...]] = MappingProxyType(
    {
        "convnext": ("onnx", "folder", "keras", "h5"),
        "vit": ("onnx", "folder", "keras", "h5"),
        "convnet_weight": ("keras", "h5"),
    }
)


def made_of(format: Format, numbers: Numbers) -> Format:
    """The format that the network is converted to first: `format` itself, or another whose files it is made of."""
    return (numbers == "int8" and KINDS[format].of_in_int8) or format


def unable(record: BackboneRecord) -> tuple[Format, ...]:
    """The formats that do not hold a network."""
    return UNABLE.get(record.name) or UNABLE.get(record.family, ())


def check_network(format: Format, numbers: Numbers, record: BackboneRecord) -> None:
    """Refuse (`BadInput`) a network that a format does not hold in these numbers."""
    not_these = unable(record)
    first = made_of(format, numbers)
    if first in not_these:
        which, why = (f" in {numbers}", f"it is made of {first}, which") if first != format else ("", "it")
        raise BadInput(
            f"--format {format}{which} must be of another network, for {why} cannot hold {record.title}.",
            hint=_instead(format, numbers, not_these),
        )


def _instead(format: Format, numbers: Numbers, not_these: tuple[Format, ...]) -> str:
    """The formats that hold these numbers of such a network, and the numbers that this format holds of it."""
    formats = [name for name in KINDS if numbers in KINDS[name].numbers and made_of(name, numbers) not in not_these]
    others = [name for name in KINDS[format].numbers if made_of(format, name) not in not_these]
    more = f", or --numbers {' or '.join(others)}" if others else ""
    return f"Use --format {' or '.join(formats)}{more}."


def check_possible(format: Format, numbers: Numbers) -> None:
    """Refuse (`BadInput`) numbers that a format does not hold here, and (extra_missing) what is not installed."""
    kind = KINDS[format]
    if numbers not in kind.numbers:
        able = ", ".join(name for name in KINDS if numbers in KINDS[name].numbers)
        raise BadInput(
            f"--format {format} can only be written in {' or '.join(kind.numbers)}, got {numbers}.",
            hint=f"{numbers} can be had as {able}.",
        )
    maker = KINDS[made_of(format, numbers)]
    missing = [package for module, package in maker.modules.items() if importlib.util.find_spec(module) is None]
    if missing:
        what = format if maker is kind else f"{format} in {numbers}"
        lacking = f"{' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed"
        raise BadInput(
            f"--format {what} needs {lacking}.",
            hint=f"Type: pip install 'graft-vision[{maker.extra}]'. Without it there are keras, h5, and openvino in "
            "float32 and float16.",
            code="extra_missing",
        )
