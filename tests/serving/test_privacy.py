"""What the service does not say, do, or open."""

import re
import socket

import psutil
import pytest

from graft.serving.records import Settings
from tests.serving.conftest import GREEN_PNG, RED_PNG
from tests.serving.odd_worker import EXIT, RAISE
from tests.serving.running import ODD, REAL, post_form, post_image, post_json, request, running
from tests.serving.test_malformed import MALFORMED

SECRET = "s3cret"
LEAKS = {
    "a path": re.compile(r"(?<![\w<:/])/(tmp|usr|home|etc|proc|var|lib|opt)/|\.py\b|site-packages"),
    "a traceback": re.compile(r"Traceback|File \"|line \d+"),
    "an address in memory": re.compile(r"0x[0-9a-f]{6,}"),
    "a client's words": re.compile(SECRET),
    "a client's bytes": re.compile(r"\\x[0-9a-f]{2}|b'|IHDR"),
}


def leaks(text: str) -> list[str]:
    """What is in a text that should not be."""
    return [name for name, pattern in LEAKS.items() if pattern.search(text)]


def test_error_bodies_tell_nothing(service):
    for name, (sent, status) in MALFORMED.items():
        reply = service.raw(sent)
        assert leaks(reply.body.decode()) == [], name
        assert reply.status == status or status == 413, name


@pytest.mark.parametrize(
    "sent",
    [
        request("GET", f"/{SECRET}"),
        request("GET", f"/about?{SECRET}={SECRET}", cookie=SECRET),
        request(SECRET, "/about"),
        post_image(SECRET.encode()),
        post_image(RED_PNG, f"/predict?top={SECRET}"),
        post_image(RED_PNG[:100] + SECRET.encode() + RED_PNG[100:]),
        post_form(RED_PNG, name=SECRET),
        post_form(SECRET.encode(), filename=f"/etc/{SECRET}"),
        post_json({SECRET: SECRET}),
        post_json({"inputs": [{"name": SECRET, "shape": [1], "datatype": SECRET, "data": [SECRET]}]}),
        post_json({}, f"/v2/models/{SECRET}/infer"),
        post_image(RAISE + SECRET.encode()),
        post_image(RAISE),
        post_image(EXIT),
        f"GET / HTTP/1.1\r\nhost: x\r\n{SECRET}\r\n\r\n".encode(),
    ],
)
def test_what_a_client_says_is_not_repeated(service, sent):
    reply = service.raw(sent)
    assert leaks(reply.body.decode()) == []
    assert leaks(service.log) == []


def test_the_log_has_one_line_a_request(tiny_bundle, tmp_path):
    with running(tiny_bundle, tmp_path) as service:
        for _ in range(3):
            service.raw(post_image(RED_PNG))
        service.raw(b"nothing\r\n\r\n")
        lines = service.log.splitlines()
    assert len(lines) == 3
    assert all(re.fullmatch(r"[\d :,-]+ POST /predict 200 \d+ ms", line) for line in lines)


def test_a_quiet_service_writes_nothing(tiny_bundle, tmp_path):
    with running(tiny_bundle, tmp_path, quiet=True) as service:
        service.raw(post_image(RED_PNG))
        service.raw(b"nothing\r\n\r\n")
        assert service.log == ""


def test_sabotage_leaks_are_noticed():
    for text in ("/tmp/x", 'File "a"', "<Image at 0x7f0000001234>", SECRET, "got b'\\x89PNG'"):
        assert len(leaks(text)) >= 1, text


def test_it_listens_to_this_machine_alone(tiny_bundle, tmp_path):
    assert Settings(bundle="x").host == "127.0.0.1"
    with running(tiny_bundle, tmp_path) as service:
        listening = [each for each in service.front().net_connections("tcp") if each.status == psutil.CONN_LISTEN]
        assert [each.laddr.ip for each in listening] == ["127.0.0.1"]
        own = socket.gethostbyname(socket.gethostname())
        if not own.startswith("127."):
            with pytest.raises(OSError), socket.socket() as client:
                client.connect((own, service.port))


def test_no_route_manages_or_writes(service):
    """Every route reads, or answers for images; of what the protocol's servers offer beside, nothing is there."""
    paths = service.raw(request("GET", "/openapi.json")).json["paths"]
    writing = {path for path, methods in paths.items() if set(methods) != {"get"}}
    assert writing == {"/predict", "/v2/models/{name}/infer"}
    for path in (
        "/v2/repository/index",
        "/v2/models/classifier/load",
        "/v2/systemsharedmemory/status",
        "/debug",
        "/shutdown",
    ):
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert service.raw(request(method, path, b"" if method != "GET" else None)).status == 404, path


@pytest.mark.parametrize("worker", [REAL, ODD])
def test_nothing_is_written(real_bundle, tiny_bundle, tmp_path, worker):
    """Answering leaves no open file for writing and no new file behind."""
    bundle = real_bundle if worker == REAL else tiny_bundle
    with running(bundle, tmp_path, worker=worker) as service:
        service.raw(post_form(RED_PNG, GREEN_PNG))
        before = sorted(bundle.parent.rglob("*")), sorted(tmp_path.rglob("*"))
        service.raw(post_form(*[RED_PNG] * 30))
        written = [
            each.path
            for process in (service.front(), service.worker())
            for each in process.open_files()
            if each.mode != "r"
        ]
        assert (sorted(bundle.parent.rglob("*")), sorted(tmp_path.rglob("*"))) == before
    assert [path for path in written if path != str(service.log_file)] == []
