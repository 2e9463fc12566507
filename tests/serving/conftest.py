"""Bundles for the service's tests, and a service that tests share where they leave it as it was."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from graft.data.images import encode_png
from tests.bundle.making import GREEN, RED, install_tiny, solid, solid_png, write_tiny

LIBRARIES = ("fastapi", "h11", "httpx", "prometheus_client", "python_multipart", "uvicorn")
MISSING = [name for name in LIBRARIES if find_spec(name) is None]

if MISSING:
    collect_ignore_glob = ["test_*.py"]

if not MISSING:
    from tests.serving.running import REAL, Running, running

RED_PNG, GREEN_PNG = solid_png(RED), solid_png(GREEN)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny network's bundle: tells red, green and blue apart."""
    with pytest.MonkeyPatch.context() as patch:
        install_tiny(patch.setattr)
        return write_tiny(tmp_path_factory.mktemp("tiny") / "classifier.graft")


@pytest.fixture(scope="session")
def real_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained one with the built-in network."""
    from graft.core.progress import SilentProgress
    from graft.pipeline.train import train
    from tests.pipeline.conftest import options, write_photos

    folder = tmp_path_factory.mktemp("real")
    train(options(write_photos(folder / "photos"), folder / "run"), progress=SilentProgress())
    return folder / "run" / "classifier.graft"


@pytest.fixture(scope="module")
def service(tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Running]":
    """A service of the tiny network with small limits."""
    limits = {"body_bytes": 4 << 20, "json_bytes": 1 << 20, "slow_seconds": 1.0, "keep_alive_seconds": 1.0}
    with running(tiny_bundle, tmp_path_factory.mktemp("service"), limits=limits) as process:
        yield process


@pytest.fixture(scope="module")
def real_service(real_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Running]":
    """A service with the engine that users have."""
    with running(real_bundle, tmp_path_factory.mktemp("service"), worker=REAL, threads=2) as process:
        yield process


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real one, where there is one."""
    from tests.serving.browsing import chromium

    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module")
def address(browser: Any, tiny_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a service of the tiny network answers, whose limits are those that users have."""
    with running(tiny_bundle, tmp_path_factory.mktemp("service")) as process:
        yield f"{process.url}/"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two photos of common size."""
    folder = tmp_path_factory.mktemp("photos")
    for name, colour in (("green.png", GREEN), ("red.png", RED)):
        (folder / name).write_bytes(encode_png(solid(colour, 600, 800)))
    return sorted(folder.iterdir())


@pytest.fixture(scope="module")
def window(browser: Any) -> Any:
    """One window for the tests that need nothing special: opening one takes longer than most of them."""
    from tests.serving.browsing import new_window

    return new_window(browser)


@pytest.fixture
def view(window: Any, address: str) -> Iterator[Any]:
    """The page, freshly opened."""
    from tests.serving.browsing import watched

    with watched(window, address):
        window.goto(address)
        yield window
    window.unroute_all()
