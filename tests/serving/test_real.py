"""The service as users run it: the real engine, the real command, nothing but what it needs in memory."""

import io
import itertools
import json
import random
import re
import socket
import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import psutil
import pytest
from PIL import Image

from graft.bundle.bundle import BATCH, Bundle
from graft.core.errors import ResourceProblem
from graft.core.progress import SilentProgress
from graft.features.engines import best_precision
from graft.pipeline.train import train
from graft.serving.server import _address, _listen
from graft.serving.worker import decoded
from tests.pipeline.conftest import CLASSES, draw_photo, options
from tests.serving.conftest import LIBRARIES
from tests.serving.running import Running, post_form, post_image, post_json, request, start

TRAINING = re.compile(r"-packages/(tensorflow|keras|torch|jax|jaxlib|sklearn)/[^ ]*\.so")
WITHIN = 1e-5  # of a probability, in float32
WITHIN_BFLOAT16 = 2e-2


def photo(number: int) -> bytes:
    file = io.BytesIO()
    draw_photo(CLASSES[number % len(CLASSES)], 100 + number).save(file, "PNG")
    return file.getvalue()


PHOTOS = [photo(number) for number in range(32)]


@pytest.fixture(scope="module")
def alone(real_service: Running) -> list[dict]:
    return [real_service.raw(post_image(data)).json for data in PHOTOS]


def same(first: dict, second: dict) -> bool:
    chances = [{each["label"]: each["probability"] for each in answer["top"]} for answer in (first, second)]
    return first["label"] == second["label"] and all(
        abs(chances[0][label] - chances[1][label]) <= WITHIN for label in CLASSES
    )


def test_the_answers_are_the_bundles(real_service, real_bundle, alone):
    with Bundle.load(real_bundle) as bundle:
        for data, answer in zip(PHOTOS, alone, strict=True):
            expected = bundle.predict_bytes(data)
            assert answer["label"] == expected.label
            assert abs(answer["probability"] - expected.probability) <= WITHIN


@pytest.mark.parametrize("count", [2, 3, 7, 8, 9, 15, 16, 17, 31, 32])
def test_an_image_is_answered_alike_in_any_company(real_service, alone, count):
    draw = random.Random(count)
    places = draw.sample(range(len(PHOTOS)), count)
    answers = real_service.raw(post_form(*[PHOTOS[place] for place in places])).json
    assert all(same(answer, alone[place]) for answer, place in zip(answers, places, strict=True))


def test_an_image_is_answered_alike_beside_bad_ones(real_service, alone):
    bad = (b"nothing", PHOTOS[0][:200], b"", PHOTOS[0] + b"more")
    files = list(itertools.chain.from_iterable(zip(PHOTOS[:8], bad * 2, strict=True)))
    answers = real_service.raw(post_form(*files)).json
    assert all(same(answer, alone[place]) for place, answer in enumerate(answers[::2]))
    assert [answer["code"] for answer in answers[1::2]] == [
        "not_an_image",
        "truncated",
        "not_an_image",
        "trailing_bytes",
    ] * 2


@pytest.mark.skipif(best_precision() != "bfloat16", reason="this processor does not compute in bfloat16")
def test_in_bfloat16_an_image_is_answered_alike_in_any_company(real_bundle, tmp_path):
    """By every shape of batch that the service uses."""
    told = options(real_bundle.parents[1] / "photos", tmp_path / "run", precision="bfloat16", recipe="probe")
    train(told, progress=SilentProgress())
    with Bundle.load(tmp_path / "run" / "classifier.graft", threads=2) as bundle:
        assert bundle.precision == "bfloat16"
        pixels = np.stack([decoded(bundle, "file", data) for data in PHOTOS])
        lone = np.concatenate([bundle.predict_pixels(each[None]) for each in pixels])
        for apart, size in itertools.product((False, True), (1, 2, BATCH, 2 * BATCH)):
            groups = range(0, len(pixels), size)
            answers = np.concatenate([bundle.predict_pixels(pixels[at : at + size], apart=apart) for at in groups])
            assert np.abs(answers - lone).max() <= WITHIN_BFLOAT16
            assert np.array_equal(answers.argmax(axis=1), lone.argmax(axis=1))


def test_sabotage_another_photo_is_no_same_answer(alone):
    assert not same(alone[0], alone[1])


def test_neither_process_holds_a_training_library(real_service):
    assert TRAINING.search("/lib/site-packages/tensorflow/x.so")
    worker, front = real_service.worker(), real_service.front()
    maps = {process.pid: " ".join(each.path for each in process.memory_maps()) for process in (worker, front)}
    assert all(TRAINING.search(text) is None for text in maps.values())
    assert "openvino" in maps[worker.pid]
    assert "openvino" not in maps[front.pid]


@pytest.mark.parametrize("module", ["graft.serving.server", "graft.serving.worker"])
def test_loading_the_service_loads_no_training_library(module):
    """By name, for what is pure Python maps no file."""
    code = f"import {module}, sys, json; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    found = set(json.loads(ended.stdout))
    assert found & {"tensorflow", "keras", "jax", "torch", "sklearn"} == set()
    assert ("numpy" in found) == (module == "graft.serving.worker")


def test_the_worker_loads_none_even_when_it_answers(real_bundle):
    code = (
        "import sys; from graft.bundle.bundle import Bundle; from graft.serving.worker import _warm_up, decoded\n"
        f"bundle = Bundle.load({str(real_bundle)!r}); _warm_up(bundle)\n"
        f"bundle.predict_pixels(decoded(bundle, 'file', {PHOTOS[0]!r})[None])\n"
        "sys.exit(bool({'tensorflow', 'keras', 'jax', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_command(real_bundle, alone, tmp_path):
    """`graft serve RUN`, from its first line to its end."""
    run = real_bundle.parent
    words = [
        sys.executable,
        "-m",
        "graft",
        "serve",
        str(run),
        "--port",
        "0",
        "--json",
        "--threads",
        "2",
        "--name",
        "photos",
    ]
    with start(words, tmp_path) as service:
        assert service.raw(post_image(PHOTOS[0])).json["label"] == alone[0]["label"]
        assert service.raw(request("GET", "/v2/models/photos/ready")).json == {"name": "photos", "ready": True}
        assert service.raw(post_json({}, "/v2/models/classifier/infer")).status == 404
        about = service.raw(request("GET", "/about")).json
        assert (about["name"], about["classes"], about["backbone"]) == ("photos", list(CLASSES), "sprout")
        children = psutil.Process(service.process.pid).children(recursive=True)
        assert service.stop() == 0
        assert not any(child.is_running() for child in children)
        assert "Loading" in service.log
        assert str(tmp_path) not in service.log


def command(*words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "graft", "serve", *words], capture_output=True, text=True, check=False, timeout=60
    )


@pytest.mark.parametrize(
    ("host", "shown"),
    [("0.0.0.0", "127.0.0.1"), ("", "127.0.0.1"), ("127.0.0.1", "127.0.0.1"), ("::", "[::1]"), ("::1", "[::1]")],
)
def test_the_address_that_is_told_can_be_opened(host, shown):
    try:
        listener = _listen(host, 0)
    except ResourceProblem:
        pytest.skip("this machine has no such address")
    with listener:
        port = listener.getsockname()[1]
        assert _address(listener) == f"http://{shown}:{port}/"
        socket.create_connection((shown.strip("[]"), port), 5).close()


@pytest.mark.parametrize(("host", "shown"), [("0.0.0.0", "127.0.0.1"), ("127.0.0.1", "127.0.0.1")])
def test_who_can_ask_is_told(real_bundle, tmp_path, host, shown):
    words = ["serve", str(real_bundle), "--host", host, "--port", "0", "--json", "--threads", "1"]
    with start([sys.executable, "-m", "graft", *words], tmp_path) as service:
        assert service.raw(request("GET", "/v2/health/live")).status == 200
        told = f"Everybody who reaches port {service.port} of this machine can ask: the service knows no users.\n"
        assert (told in service.log) == (host != shown)


def test_a_taken_address_is_told(real_service, real_bundle):
    ended = command(str(real_bundle), "--port", str(real_service.port))
    assert (ended.returncode, "must be free" in ended.stderr) == (3, True)
    assert "--port" in ended.stderr and "while attempting" not in ended.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--port", "70000"], "0 to 65535"),
        (["--queue", "0"], "at least 1"),
        (["--max-body", "0"], "0.001"),
        (["--host", "300.1.2.3"], "300.1.2.3"),
        (["--host", "example.invalid"], "example.invalid:8000 must be free and this machine's, but: "),
        (["--name", ""], "--name must have 1 to 64 characters, got none."),
        (["--name", "x" * 65], "--name must have 1 to 64 characters, got 65."),
    ],
)
def test_wrong_options_are_told(real_bundle, words, said):
    ended = command(str(real_bundle), *words)
    assert ended.returncode in (2, 3)
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr and "while attempting" not in ended.stderr


def test_a_damaged_bundle_ends_the_command(real_bundle, tmp_path):
    path = tmp_path / "classifier.graft"
    content = bytearray(real_bundle.read_bytes())
    content[-1000] ^= 1
    path.write_bytes(content)
    ended = command(str(path), "--port", "0")
    assert ended.returncode == 4
    assert "Traceback" not in ended.stderr


def test_without_its_libraries_the_command_says_what_to_type(real_bundle, monkeypatch):
    from graft.cli import serve
    from graft.cli.main import main

    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "fastapi" else find_spec(name))
    assert {"fastapi"} < set(LIBRARIES)
    assert main(["serve", str(real_bundle)]) == 2


def test_a_photo_as_large_as_allowed_is_answered(real_service):
    file = io.BytesIO()
    Image.new("L", (7000, 7000)).save(file, "PNG")
    assert real_service.raw(post_image(file.getvalue())).status == 200
    Image.new("1", (7100, 7100)).save(file := io.BytesIO(), "PNG")
    assert real_service.raw(post_image(file.getvalue())).status == 413
