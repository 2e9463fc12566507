"""The Open Inference Protocol, version 2: requests with tensors in JSON, and their answers.

https://github.com/kserve/open-inference-protocol
"""

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from graft.core.version import __version__
from graft.serving.answers import best, refusal_of
from graft.serving.errors import Refusal
from graft.serving.records import Limits
from graft.serving.waiting import Answer, Image, ImageRefusal

FILES, PIXELS = "image", "pixels"
PROBABILITIES, LABEL = "probabilities", "label"
OUTPUTS = (PROBABILITIES, LABEL)
REQUEST_KEYS = {"id", "parameters", "inputs", "outputs"}
TENSOR_KEYS = {"name", "shape", "datatype", "parameters", "data"}
MOST_ID_CHARACTERS = 256
VERSION = "1"


@dataclass(frozen=True)
class Inference:
    """One request that was understood."""

    id: str | None
    images: Sequence[Image]
    outputs: Sequence[str]


def server_metadata() -> Mapping[str, Any]:
    """What the server is."""
    return {"name": "graft", "version": __version__, "extensions": []}


def model_metadata(name: str, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the model takes (one of both inputs) and gives; -1 stands for any number of images."""
    side, n_classes = about["side_pixels"], len(about["classes"])
    return {
        "name": name,
        "versions": [VERSION],
        "platform": "graft",
        "inputs": [
            {"name": FILES, "datatype": "BYTES", "shape": [-1]},
            {"name": PIXELS, "datatype": "UINT8", "shape": [-1, side, side, 3]},
        ],
        "outputs": [
            {"name": PROBABILITIES, "datatype": "FP32", "shape": [-1, n_classes]},
            {"name": LABEL, "datatype": "BYTES", "shape": [-1]},
        ],
    }


def understand(value: Any, about: Mapping[str, Any], limits: Limits) -> Inference:
    """Check a request's JSON, strictly; raises `Refusal` for what is not as it must be."""
    if not isinstance(value, dict) or not set(value) <= REQUEST_KEYS or "inputs" not in value:
        raise Refusal("The body must be an object with 'inputs' and, at will, 'id', 'parameters' and 'outputs'.")
    identity = value.get("id")
    if identity is not None and not (isinstance(identity, str) and len(identity) <= MOST_ID_CHARACTERS):
        raise Refusal(f"'id' must be a text of at most {MOST_ID_CHARACTERS} characters.")
    _check_parameters(value)
    inputs = value["inputs"]
    if not isinstance(inputs, list) or len(inputs) != 1:
        raise Refusal(f"'inputs' must be a list of one tensor, {FILES!r} or {PIXELS!r}.")
    return Inference(identity, _images(inputs[0], about, limits), _outputs(value.get("outputs")))


def answer(inference: Inference, answers: Sequence[Answer], name: str, classes: Sequence[str]) -> Mapping[str, Any]:
    """The answer's JSON; raises `Refusal` where an image has none, for the protocol knows no errors of single ones."""
    chances: list[Sequence[float]] = []
    for place, each in enumerate(answers):
        if isinstance(each, ImageRefusal):
            raise refusal_of(each, place=place)
        chances.append(each)
    tensors = {
        PROBABILITIES: {
            "shape": [len(chances), len(classes)],
            "datatype": "FP32",
            "data": [probability for row in chances for probability in row],
        },
        LABEL: {
            "shape": [len(chances)],
            "datatype": "BYTES",
            "data": [classes[best(row, 1)[0]] for row in chances],
        },
    }
    echoed = {} if inference.id is None else {"id": inference.id}
    outputs = [{"name": output, **tensors[output]} for output in inference.outputs]
    return {"model_name": name, "model_version": VERSION, **echoed, "outputs": outputs}


def _outputs(wanted: Any) -> Sequence[str]:
    if wanted is None or wanted == []:
        return OUTPUTS
    if not isinstance(wanted, list) or not all(isinstance(each, dict) for each in wanted):
        raise Refusal("'outputs' must be a list of objects.")
    names = [each.get("name") for each in wanted]
    if not all(name in OUTPUTS for name in names) or len(set(names)) < len(names):
        raise Refusal(f"Each of 'outputs' must be named {' or '.join(OUTPUTS)}, and none twice.")
    return names


def _images(tensor: Any, about: Mapping[str, Any], limits: Limits) -> list[Image]:
    if (
        not isinstance(tensor, dict)
        or not set(tensor) <= TENSOR_KEYS
        or not {"name", "shape", "datatype"} <= set(tensor)
    ):
        raise Refusal("A tensor must be an object with 'name', 'shape', 'datatype' and 'data'.")
    _check_parameters(tensor)
    known = {FILES: ("BYTES", ()), PIXELS: ("UINT8", (about["side_pixels"], about["side_pixels"], 3))}
    name = tensor["name"]
    if not isinstance(name, str) or name not in known:
        raise Refusal(f"The tensor must be named {FILES!r} or {PIXELS!r}.")
    datatype, rest = known[name]
    if tensor["datatype"] != datatype:
        raise Refusal(f"The tensor {name!r} must have the datatype {datatype}.")
    count = _count(name, tensor["shape"], rest, limits.images)
    if name == FILES:
        return _files(tensor.get("data"), count)
    return _pixels(tensor.get("data"), count, rest)


def _count(name: str, shape: Any, rest: tuple[int, ...], most: int) -> int:
    whole = isinstance(shape, list) and all(type(size) is int for size in shape)
    if not whole or len(shape) != 1 + len(rest) or tuple(shape[1:]) != rest or shape[0] < 1:
        raise Refusal(f"The tensor {name!r} must have the shape {['n', *rest]}, n at least 1.".replace("'n'", "n"))
    if shape[0] > most:
        raise Refusal(f"A request must hold at most {most} images, got more.", status=413, code="too_many_images")
    return int(shape[0])


def _files(data: Any, count: int) -> list[Image]:
    if not isinstance(data, list) or len(data) != count:
        raise Refusal(f"The tensor {FILES!r} must have as many elements as its shape says.")
    return [Image("file", _bytes(element)) for element in data]


def _bytes(element: Any) -> bytes:
    try:
        return base64.b64decode(element, validate=True) if isinstance(element, str) else _no_base64()
    except (binascii.Error, ValueError):  # ValueError: letters beyond ASCII
        return _no_base64()


def _no_base64() -> bytes:
    raise Refusal(f"Each element of the tensor {FILES!r} must be an image file's content in base64.")


def _pixels(data: Any, count: int, shape: tuple[int, ...]) -> list[Image]:
    size = shape[0] * shape[1] * shape[2]
    try:
        content = bytes(_flat(data, (count, *shape)))
    except (TypeError, ValueError):
        content = b""
    if len(content) != count * size:
        raise Refusal(
            f"The tensor {PIXELS!r} must have as many elements as its shape says, each a whole number from 0 to 255."
        )
    return [Image("pixels", content[start : start + size]) for start in range(0, len(content), size)]


def _flat(data: Any, shape: tuple[int, ...]) -> list[int]:
    """The elements in a row, whether they came so or in lists of lists; raises ValueError or TypeError."""
    if not isinstance(data, list):
        raise TypeError
    return _nested(data, shape) if data and isinstance(data[0], list) else data


def _nested(data: Any, shape: tuple[int, ...]) -> list[int]:
    if not isinstance(data, list) or len(data) != shape[0]:
        raise ValueError
    if len(shape) == 1:
        return data
    return [number for row in data for number in _nested(row, shape[1:])]


def _check_parameters(value: Mapping[str, Any]) -> None:
    if not isinstance(value.get("parameters", {}), dict):
        raise Refusal("'parameters' must be an object.")
