"""What clients of the Open Inference Protocol are answered, held against the schemas of its REST specification.

https://github.com/kserve/open-inference-protocol, specification/protocol/open_inference_rest.yaml
"""

import base64
from typing import Any, NotRequired

import pytest
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config
from typing_extensions import TypedDict  # Pydantic takes Python's own from 3.12 on

from tests.serving.conftest import RED_PNG
from tests.serving.running import Running, post_json, request

Strict = with_config(ConfigDict(strict=True))
Parameters = dict[str, Any]
BASES = ("/v2/models/classifier", "/v2/models/classifier/versions/1")


@Strict
class ServerMetadata(TypedDict):
    name: str
    version: str
    extensions: list[str]


@Strict
class TensorMetadata(TypedDict):
    name: str
    datatype: str
    shape: list[int]


@Strict
class ModelMetadata(TypedDict):
    name: str
    platform: str
    versions: NotRequired[list[str]]
    inputs: NotRequired[list[TensorMetadata]]
    outputs: NotRequired[list[TensorMetadata]]


@Strict
class ResponseOutput(TypedDict):
    name: str
    shape: list[int]
    datatype: str
    data: list[float | str | bool]
    parameters: NotRequired[Parameters]


@Strict
class InferenceResponse(TypedDict):
    model_name: str
    outputs: list[ResponseOutput]
    model_version: NotRequired[str]
    id: NotRequired[str]
    parameters: NotRequired[Parameters]


@Strict
class ErrorResponse(TypedDict):
    error: str


def check(schema: type, service: Running, data: bytes, status: int = 200) -> Any:
    reply = service.raw(data)
    assert reply.status == status
    return TypeAdapter(schema).validate_python(reply.json)


def asked(n: int = 1, **more: Any) -> dict[str, Any]:
    image = base64.b64encode(RED_PNG).decode()
    return {"inputs": [{"name": "image", "shape": [n], "datatype": "BYTES", "data": [image] * n}], **more}


@pytest.mark.parametrize("path", ["/v2", "/v2/"])
def test_the_server(service, path):
    assert check(ServerMetadata, service, request("GET", path))["name"] == "graft"


@pytest.mark.parametrize("base", BASES)
def test_the_model(service, base):
    told = check(ModelMetadata, service, request("GET", base))
    assert (told["name"], told["versions"]) == ("classifier", ["1"])
    assert service.raw(request("GET", f"{base}/ready")).status == 200


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("n", [1, 3])
def test_an_inference(service, base, n):
    answer = check(InferenceResponse, service, post_json(asked(n, id="42"), f"{base}/infer"))
    assert (answer["id"], answer["model_version"]) == ("42", "1")
    assert [output["shape"] for output in answer["outputs"]] == [[n, 3], [n]]
    assert answer["outputs"][1]["data"] == ["red"] * n


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (post_json({}, f"{BASES[0]}/infer"), 400),
        (post_json(asked(), "/v2/models/other/infer"), 404),
        (request("GET", "/v2/models/other"), 404),
        (request("GET", "/v2/models/classifier/versions/2"), 404),
        (request("GET", f"{BASES[1]}/infer"), 405),
    ],
)
def test_errors(service, data, status):
    check(ErrorResponse, service, data, status)


def test_sabotage_another_shape_is_noticed():
    good = {"name": "a", "shape": [1], "datatype": "FP32", "data": [0.5]}
    adapter = TypeAdapter(InferenceResponse)
    adapter.validate_python({"model_name": "x", "outputs": [good]})
    for bad in ({**good, "shape": ["1"]}, {**good, "data": 0.5}, {"name": "a"}):
        with pytest.raises(ValidationError):
            adapter.validate_python({"model_name": "x", "outputs": [bad]})
