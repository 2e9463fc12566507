"""What the routes answer to what they are meant for."""

import base64
import html
import json
import os
import re
import shutil
import subprocess

import httpx
import numpy as np
import pytest

from graft.serving import documentation
from tests.bundle.making import BLUE, GREEN, RED, solid, solid_png
from tests.serving.conftest import GREEN_PNG, RED_PNG
from tests.serving.running import Running, post_image, read_reply, request

BLUE_PNG = solid_png(BLUE)


@pytest.fixture(scope="module")
def client(service: Running):
    with httpx.Client(base_url=service.url, trust_env=False) as client:
        yield client


def test_one_image_in_a_form(client):
    answer = client.post("/predict", files={"image": ("a.png", RED_PNG)}).json()
    assert answer["label"] == "red"
    assert answer["probability"] == answer["top"][0]["probability"]
    assert answer["top"][0]["label"] == "red"
    assert len(answer["top"]) == 3
    assert abs(sum(each["probability"] for each in answer["top"]) - 1) < 1e-6


def test_several_images_in_a_form_are_answered_in_order(client):
    files = [("image", ("x.png", data)) for data in (RED_PNG, GREEN_PNG, BLUE_PNG)]
    assert [each["label"] for each in client.post("/predict", files=files).json()] == ["red", "green", "blue"]


@pytest.mark.parametrize("content_type", ["image/png", "image/jpeg", "application/octet-stream"])
def test_one_image_as_the_body(client, content_type):
    answer = client.post("/predict", content=GREEN_PNG, headers={"content-type": content_type})
    assert answer.json()["label"] == "green"


def test_top(client):
    answer = client.post("/predict?top=1", files={"image": RED_PNG}).json()
    assert answer["top"] == [{"label": "red", "probability": answer["probability"]}]


@pytest.mark.parametrize("top", ["4", "9" * 5000])
def test_more_labels_than_classes_are_all_of_them(client, top):
    answer = client.post("/predict", params={"top": top}, files={"image": RED_PNG}).json()
    assert len(answer["top"]) == 3


@pytest.mark.parametrize("top", ["0", "-1", "x", "", "1.0", "²"])
def test_top_must_be_a_number_of_classes(client, top):
    answer = client.post("/predict", params={"top": top}, files={"image": RED_PNG})
    assert (answer.status_code, answer.json()["code"]) == (400, "request_invalid")


def test_a_bad_image_fails_alone(client):
    files = [("image", ("x.png", data)) for data in (RED_PNG, b"nothing", GREEN_PNG)]
    first, second, third = client.post("/predict", files=files).json()
    assert (first["label"], second["code"], third["label"]) == ("red", "not_an_image", "green")


def test_what_follows_an_image_is_refused(client):
    answer = client.post("/predict", files={"image": RED_PNG + b"PK\x03\x04 a hidden archive"})
    assert (answer.status_code, answer.json()["code"]) == (422, "trailing_bytes")


def test_about(client):
    about = client.get("/about").json()
    assert about["classes"] == ["red", "green", "blue"]
    assert about["accuracy_interval"] == [0.7, 0.97]
    assert about["limits"]["max_images"] == 32
    assert about["licences"] == [{"what": "tiny", "terms": "Apache-2.0"}]


@pytest.mark.parametrize("path", ["/", "/page.css", "/page/start.js", "/docs"])
def test_the_page_may_load_only_its_own(client, path):
    answer = client.get(path)
    policy = answer.headers["content-security-policy"]
    assert answer.status_code == 200
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert "http://" not in answer.text.replace("http://www.w3.org/", "")
    assert "https://" not in answer.text


def test_the_documentation_names_every_route(client):
    paths = client.get("/openapi.json").json()["paths"]
    page = client.get("/docs").text
    assert set(paths) == {
        *("/about", "/predict", "/metrics", "/v2", "/v2/health/live", "/v2/health/ready"),
        *("/v2/models/{name}", "/v2/models/{name}/ready", "/v2/models/{name}/infer"),
    }
    assert all(path in page for path in paths)


@pytest.mark.skipif(os.name == "nt" or shutil.which("curl") is None, reason="needs a shell and curl")
def test_the_documentation_says_how_to_ask(service, client, tmp_path):
    """Its lines are typed as they stand, and the answers have the form of those that it shows."""
    page = client.get("/docs").text
    assert "`" not in page and "<code>image</code>" in page and "application/octet-stream" in page
    (tmp_path / "cat.jpg").write_bytes(RED_PNG)
    blocks = [html.unescape(text) for text in re.findall(r"<pre>(.*?)</pre>", page, re.DOTALL)]
    assert len(blocks) == 4
    for ask, shown in zip(blocks[::2], blocks[1::2], strict=True):
        lines = ask.replace("\\\n", "").splitlines()
        assert all(documentation.ADDRESS in line for line in lines)
        for line in lines:
            typed = line.replace(documentation.ADDRESS, f"127.0.0.1:{service.port}").replace("curl ", "curl -s ")
            told = subprocess.run(["sh", "-c", typed], cwd=tmp_path, capture_output=True, check=True).stdout
            assert _form(json.loads(told)) == _form(json.loads(shown))


def _form(value):
    """The keys of objects, at all depths; of lists the first element's."""
    if isinstance(value, dict):
        return {key: _form(each) for key, each in value.items()}
    return [_form(value[0])] if isinstance(value, list) else type(value)


def test_the_documentation_types_the_models_own_name():
    route = {"/v2/models/{name}/infer": {"post": {"summary": "x", "responses": {}}}}
    page = documentation.page({"info": {"title": "x"}, "paths": route}, "my <cats>")
    assert "/v2/models/my%20%3Ccats%3E/infer" in page


def test_the_protocols_health_and_metadata(client):
    assert client.get("/v2/health/live").json() == {"live": True}
    assert client.get("/v2/health/ready").json() == {"ready": True}
    assert client.get("/v2/models/classifier/ready").json() == {"name": "classifier", "ready": True}
    assert set(client.get("/v2").json()) == {"name", "version", "extensions"}
    model = client.get("/v2/models/classifier").json()
    assert set(model) == {"name", "versions", "platform", "inputs", "outputs"}
    for tensor in (*model["inputs"], *model["outputs"]):
        assert set(tensor) == {"name", "datatype", "shape"}


def test_inference_of_files(client):
    data = [base64.b64encode(each).decode() for each in (RED_PNG, GREEN_PNG)]
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES", "data": data, "parameters": {"content_type": "x"}}
    answer = client.post("/v2/models/classifier/infer", json={"id": "42", "inputs": [tensor], "parameters": {}}).json()
    assert (answer["id"], answer["model_name"]) == ("42", "classifier")
    probabilities, label = answer["outputs"]
    assert (probabilities["name"], probabilities["datatype"], probabilities["shape"]) == (
        "probabilities",
        "FP32",
        [2, 3],
    )
    assert len(probabilities["data"]) == 6
    assert label == {"name": "label", "shape": [2], "datatype": "BYTES", "data": ["red", "green"]}


@pytest.mark.parametrize("nested", [True, False])
def test_inference_of_pixels(client, nested):
    pixels = np.stack([solid(colour, 32, 32) for colour in (BLUE, RED)])
    data = pixels.tolist() if nested else pixels.ravel().tolist()
    tensor = {"name": "pixels", "shape": [2, 32, 32, 3], "datatype": "UINT8", "data": data}
    asked = {"inputs": [tensor], "outputs": [{"name": "label"}]}
    answer = client.post("/v2/models/classifier/infer", json=asked).json()
    assert "id" not in answer
    assert [each["name"] for each in answer["outputs"]] == ["label"]
    assert answer["outputs"][0]["data"] == ["blue", "red"]


def test_files_and_pixels_of_one_photo_give_one_answer(client):
    """The decoded photo goes the same way: what is asked in pixels is what is asked in files."""
    pixels = {
        "name": "pixels",
        "shape": [1, 32, 32, 3],
        "datatype": "UINT8",
        "data": solid(GREEN, 32, 32)[None].tolist(),
    }
    file = {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(GREEN_PNG).decode()]}
    first, second = (
        client.post("/v2/models/classifier/infer", json={"inputs": [tensor]}).json()["outputs"][0]["data"]
        for tensor in (pixels, file)
    )
    assert np.allclose(first, second, atol=1e-6)


def test_a_bad_image_fails_an_inference_and_is_named(client):
    data = [base64.b64encode(each).decode() for each in (RED_PNG, b"nothing")]
    tensor = {"name": "image", "shape": [2], "datatype": "BYTES", "data": data}
    answer = client.post("/v2/models/classifier/infer", json={"inputs": [tensor]})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("Image 1: ")


def test_metrics(service, client):
    before = service.metric("graft_images_total")
    client.post("/predict", files=[("image", RED_PNG), ("image", b"x")])
    assert service.metric("graft_images_total") == before + 2
    assert service.metric("graft_ready") == 1
    assert service.metric("graft_body_bytes") == 0
    assert service.metric("graft_waiting_images") == 0


def test_a_connection_is_used_again(service):
    with service.connect() as connection:
        for _ in range(3):
            connection.sendall(post_image(RED_PNG))
            assert read_reply(connection).json["label"] == "red"


def test_pipelined_requests_are_answered_in_order(service):
    with service.connect() as connection:
        connection.sendall(request("GET", "/v2/health/live") + request("GET", "/nothing"))
        received = b""
        while received.count(b"HTTP/1.1 ") < 2 or not received.endswith(b"}"):
            received += connection.recv(65536)
        assert received.index(b"200") < received.index(b"404")
