"""Malformed requests: each one's exact status, in one table. Sent byte by byte: no client library would."""

import base64
import gzip
from typing import Any

import pytest

from tests.serving.conftest import RED_PNG
from tests.serving.running import BOUNDARY, form, post_form, post_image, post_json, read_reply, request

FORM = f"multipart/form-data; boundary={BOUNDARY.decode()}"
RED = base64.b64encode(RED_PNG).decode()
LIMIT = 4 << 20  # of the fixture `service`
SIDE = 32


def tensor(**changes: Any) -> dict[str, Any]:
    return {"name": "image", "shape": [1], "datatype": "BYTES", "data": [RED], **changes}


def infer(*tensors: Any, **more: Any) -> bytes:
    return post_json({"inputs": list(tensors), **more})


def pixels(**changes: Any) -> bytes:
    good = {"name": "pixels", "shape": [1, SIDE, SIDE, 3], "datatype": "UINT8", "data": [0] * SIDE * SIDE * 3}
    return infer({**good, **changes})


def sized(boundary: str) -> bytes:
    body = form(RED_PNG, boundary=boundary.encode())
    return request("POST", "/predict", body, content_type=f"multipart/form-data; boundary={boundary}")


def posted(body: bytes, **headers: str) -> bytes:
    return request("POST", "/predict", body, **{"content_type": FORM, **headers})


def chunked(body: bytes) -> bytes:
    return request("POST", "/predict", body, content_type="image/png", transfer_encoding="chunked")


GOOD_FORM = form(RED_PNG)
LINES = b"\r\n" * (1 << 19)
MALFORMED = {
    # the body as a whole
    "no body": (request("POST", "/predict", content_type="image/png"), 400),
    "empty body": (post_image(b""), 400),
    "empty body of an inference": (post_json(b""), 400),
    "no content type": (request("POST", "/predict", RED_PNG), 415),
    "text": (request("POST", "/predict", RED_PNG, content_type="text/plain"), 415),
    "JSON instead of an image": (request("POST", "/predict", b"{}", content_type="application/json"), 415),
    "an address in JSON": (
        request("POST", "/predict", b'{"url":"http://192.0.2.1/a.png"}', content_type="application/json"),
        415,
    ),
    "an address to fetch from": (post_image(RED_PNG, "/predict?url=http://192.0.2.1/a.png"), 400),
    "an address in a form": (post_form(b"http://192.0.2.1/a.png", name="url"), 400),
    "an image to the inference": (post_image(RED_PNG, "/v2/models/classifier/infer"), 415),
    "one byte too many": (post_image(b"x" * (LIMIT + 1)), 413),
    "too many bytes in chunks": (chunked((b"100000\r\n" + b"x" * 0x100000 + b"\r\n") * 5 + b"0\r\n\r\n"), 413),
    "a body announced as huge": (request("POST", "/predict", b"x", content_length="9" * 18, content_type=FORM), 413),
    "compressed": (posted(gzip.compress(GOOD_FORM), content_encoding="gzip"), 415),
    "a gzip bomb": (
        request("POST", "/predict", gzip.compress(bytes(1 << 22)), content_type="image/png", content_encoding="gzip"),
        415,
    ),
    "a gzip bomb that says nothing of it": (post_image(gzip.compress(bytes(1 << 22))), 422),
    # JSON
    "no JSON": (post_json(b"{"), 400),
    "deep JSON": (post_json(b"[" * 200_000), 400),
    "deep JSON in its place": (infer(tensor(data="X")).replace(b'"X"', b"[" * 9), 400),
    "NaN": (post_json(b'{"inputs": [NaN]}'), 400),
    "a number without end": (post_json(b'{"inputs": ' + b"9" * 100_000 + b"}"), 400),
    "another encoding": (post_json("{}".encode("utf-16")), 400),
    "JSON above its limit": (post_json(b" " * ((1 << 20) + 1)), 413),
    "a list": (post_json([]), 400),
    "no inputs": (post_json({"id": "1"}), 400),
    "an unknown key": (infer(tensor(), url="http://192.0.2.1/"), 400),
    "a number as id": (infer(tensor(), id=5), 400),
    "a list as parameters": (infer(tensor(), parameters=[]), 400),
    "no tensor": (infer(), 400),
    "two tensors": (infer(tensor(), tensor()), 400),
    "a text as tensor": (infer("image"), 400),
    "wrong name": (infer(tensor(name="picture")), 400),
    "a list as name": (infer(tensor(name=["image"])), 400),
    "wrong datatype": (infer(tensor(datatype="FP32")), 400),
    "wrong datatype of pixels": (pixels(datatype="FP32"), 400),
    "no shape": (infer({"name": "image", "datatype": "BYTES", "data": [RED]}), 400),
    "no data": (infer({"name": "image", "datatype": "BYTES", "shape": [1]}), 400),
    "wrong shape": (infer(tensor(shape=[1, 1])), 400),
    "a shape of texts": (infer(tensor(shape=["1"])), 400),
    "a shape of truths": (infer(tensor(shape=[True])), 400),
    "negative": (infer(tensor(shape=[-1])), 400),
    "zero": (infer(tensor(shape=[0], data=[])), 400),
    "overflowing": (infer(tensor(shape=[2**63])), 413),
    "overflowing pixels": (pixels(shape=[2**32, 2**32, 3, 1]), 400),
    "fewer elements than the shape says": (infer(tensor(shape=[2])), 400),
    "more elements than the shape says": (infer(tensor(data=[RED, RED])), 400),
    "too many images": (infer(tensor(shape=[33], data=[RED] * 33)), 413),
    "too few pixels": (pixels(data=[0] * 5), 400),
    "pixels above 255": (pixels(data=[256] * SIDE * SIDE * 3), 400),
    "pixels below 0": (pixels(data=[-1] * SIDE * SIDE * 3), 400),
    "pixels with a point": (pixels(data=[0.5] * SIDE * SIDE * 3), 400),
    "pixels as text": (pixels(data="0" * SIDE * SIDE * 3), 400),
    "uneven pixels": (pixels(data=[[[[0, 0, 0]] * SIDE] * (SIDE - 1) + [[0]]]), 400),
    "no base64": (infer(tensor(data=["*"])), 400),
    "base64 with an address": (infer(tensor(data=["http://192.0.2.1/a.png"])), 400),
    "base64 beyond ASCII": (infer(tensor(data=["é"])), 400),
    "a number as base64": (infer(tensor(data=[5])), 400),
    "base64 of no image": (infer(tensor(data=[base64.b64encode(b"nothing").decode()])), 422),
    "an unknown output": (infer(tensor(), outputs=[{"name": "heatmap"}]), 400),
    "an output twice": (infer(tensor(), outputs=[{"name": "label"}] * 2), 400),
    # addresses and methods
    "unknown model": (post_json({}, "/v2/models/other/infer"), 404),
    "unknown model, metadata": (request("GET", "/v2/models/other"), 404),
    "unknown model, ready": (request("GET", "/v2/models/other/ready"), 404),
    "unknown address": (request("GET", "/admin"), 404),
    "a path upwards": (request("GET", "/..%2f..%2fetc%2fpasswd"), 404),
    "a plain path upwards": (request("GET", "/../pyproject.toml"), 404),
    "a NUL in the path": (request("GET", "/page%00.js"), 404),
    "model management": (request("POST", "/v2/repository/models/classifier/load", b"{}"), 404),
    "wrong method": (request("GET", "/predict"), 405),
    "wrong method, about": (request("DELETE", "/about"), 405),
    "an invented method": (request("BREW", "/predict"), 405),
    # the head
    "a header of 20 kB": (request("GET", "/about", x=20_000 * "a"), 431),
    "20 kB of headers": (request("GET", "/about", **{f"x{n}": "a" * 100 for n in range(190)}), 431),
    "an address of 20 kB": (request("GET", "/" + 20_000 * "a"), 431),
    "a header without end": (b"GET / HTTP/1.1\r\nx: " + b"a" * 100_000, 431),
    "no HTTP": (b"\x16\x03\x01 hello\r\n\r\n", 400),
    "no host": (b"GET /about HTTP/1.1\r\n\r\n", 400),
    "negative length": (posted(b"x", content_length="-1"), 400),
    "a length of letters": (posted(b"x", content_length="ten"), 400),
    "two lengths": (b"POST /predict HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", 400),
    "length and chunks": (posted(GOOD_FORM, transfer_encoding="chunked", content_length="5"), 400),
    "an unknown transfer encoding": (posted(GOOD_FORM, transfer_encoding="gzip"), 400),
    "a space before the colon": (b"GET /about HTTP/1.1\r\nhost : x\r\n\r\n", 400),
    # chunks
    "a chunk without size": (chunked(b"zz\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk's size overflows": (chunked(b"f" * 17 + b"\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk's size has 100 digits": (chunked(b"f" * 100 + b"\r\nabc\r\n0\r\n\r\n"), 400),
    "a chunk longer than it says": (chunked(b"2\r\nabcdef\r\n0\r\n\r\n"), 400),
    "a million chunks of one byte": (chunked(b"1\r\na\r\n" * 1_000_000 + b"0\r\n\r\n"), 400),
    # forms
    "no boundary": (posted(GOOD_FORM, content_type="multipart/form-data"), 400),
    "an empty boundary": (posted(GOOD_FORM, content_type="multipart/form-data; boundary="), 400),
    "a boundary of one character": (sized("x"), 400),
    "a boundary of 10 kB": (sized("x" * 10_000), 400),
    "another boundary": (posted(form(RED_PNG, boundary=b"other-boundary")), 400),
    "a megabyte of lines before": (posted(LINES + GOOD_FORM), 400),
    "a megabyte of lines after": (posted(GOOD_FORM + LINES), 400),
    "a megabyte of letters after": (posted(GOOD_FORM + b"x" * (1 << 20)), 400),
    "a megabyte of hyphens": (posted(b"-" * (1 << 20)), 400),
    "a form that ends too early": (posted(GOOD_FORM[:-6]), 400),
    "a form in the middle of a part": (posted(GOOD_FORM[:100]), 400),
    "a form without parts": (posted(b"--" + BOUNDARY + b"--\r\n"), 400),
    "no field named image": (post_form(RED_PNG, name="photo"), 400),
    "a part without headers": (
        posted(b"--" + BOUNDARY + b"\r\n\r\n" + RED_PNG + b"\r\n--" + BOUNDARY + b"--\r\n"),
        400,
    ),
    "a part's header without colon": (posted(b"--" + BOUNDARY + b"\r\nabc\r\n\r\nx\r\n--" + BOUNDARY + b"--\r\n"), 400),
    "a part's header of 1 MB": (posted(b"--" + BOUNDARY + b"\r\nx: " + b"a" * (1 << 20)), 400),
    "a part with 10,000 headers": (posted(b"--" + BOUNDARY + b"\r\n" + b"x: y\r\n" * 10_000), 400),
    "a field of 3 MB without a file name": (post_form(b"x" * (3 << 20), name="text", filename=None), 413),
    "10,001 parts": (post_form(*[b"x"] * 10_001), 413),
    "10,001 other parts": (post_form(*[b"x"] * 10_001, name="text", filename=None), 413),
    "33 images": (post_form(*[RED_PNG] * 33), 413),
    "no image in the form": (post_form(b"nothing"), 422),
    "an empty file": (post_form(b""), 422),
}
CODES = {400: "request_invalid", 404: "not_found", 405: "method_not_allowed", 415: "type_not_allowed"}
SECONDS = 1.0


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_request_is_refused(service, name):
    sent, status = MALFORMED[name]
    reply = service.raw(sent)
    assert reply.status == status, reply
    assert set(reply.json) == {"error", "code"}
    assert reply.headers["content-type"] == "application/json"
    assert reply.json["code"] == CODES.get(status, reply.json["code"])
    assert reply.seconds < SECONDS, "an attack must not keep the service busy"


def test_a_body_shorter_than_promised(service):
    reply = service.raw(posted(b"x", content_length="100"), shut=True)
    assert (reply.status, reply.json["code"]) == (400, "request_invalid")


def test_the_service_is_well_afterwards(service):
    for sent, _ in list(MALFORMED.values())[::3]:
        service.raw(sent)
    assert service.raw(post_form(RED_PNG)).json["label"] == "red"
    assert service.metric("graft_worker_restarts_total") == 0
    assert service.metric("graft_body_bytes") == 0
    assert "Traceback" not in service.log


def test_sabotage_what_is_not_malformed_is_answered(service):
    """The table's helpers make good requests where nothing is changed: each refusal has the reason it names."""
    good = (
        posted(GOOD_FORM),
        posted(b"\r\n".join([GOOD_FORM[:-2]])),
        post_image(RED_PNG),
        chunked(b"%x\r\n" % len(RED_PNG) + RED_PNG + b"\r\n0\r\n\r\n"),
        sized("x" * 70),
        infer(tensor()),
        pixels(),
        infer(tensor(shape=[32], data=[RED] * 32)),
        request("GET", "/about", x=15_000 * "a"),
        post_form(RED_PNG, filename="../../x"),
        post_form(*[RED_PNG] * 32),
    )
    assert [service.raw(each).status for each in good] == [200] * len(good)


def test_a_good_form_may_come_byte_by_byte(service):
    with service.connect() as client:
        for byte in posted(form(RED_PNG)):
            client.send(bytes([byte]))
        assert read_reply(client).json["label"] == "red"
