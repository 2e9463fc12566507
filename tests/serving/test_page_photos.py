"""The page at `/` with a classifier that was trained on real photos, asked about others of them."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from graft.core.progress import SilentProgress
from graft.pipeline.train import train
from tests.pipeline.conftest import options
from tests.serving.browsing import asked_directly, check_shown, expect, opened
from tests.serving.running import REAL, running

pytestmark = pytest.mark.page
CLASSES = ("not_santa", "santa")
N_TRAINING, N_ASKED = 60, 4  # of each class


@pytest.fixture(scope="module")
def asked(shared: Path) -> list[Path]:
    """Photos that it was not trained on."""
    return [photo for name in CLASSES for photo in of_class(shared, name)[N_TRAINING:][:N_ASKED]]


@pytest.fixture(scope="module")
def santa_address(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("santa")
    for name in CLASSES:
        (folder / "photos" / name).mkdir(parents=True)
        for photo in of_class(shared, name)[:N_TRAINING]:
            shutil.copy(photo, folder / "photos" / name)
    train(options(folder / "photos", folder / "run"), progress=SilentProgress())
    with running(folder / "run" / "classifier.graft", folder, worker=REAL, threads=2) as process:
        yield f"{process.url}/"


def of_class(shared: Path, name: str) -> list[Path]:
    return sorted((shared / "data" / "santa" / name).iterdir())


def test_real_photos_one_by_one_and_together(browser: Any, santa_address: str, asked: list[Path]) -> None:
    with opened(browser, santa_address) as view:
        answers = [asked_directly(santa_address, photo) for photo in asked]
        for photo, answer in zip(asked, answers, strict=True):
            view.set_input_files("#files", photo)
            expect(view.locator("#photo-name")).to_have_text(photo.name)
            check_shown(view, answer)
        view.set_input_files("#files", asked)
        expect(view.locator("#past > li")).to_have_count(2 * len(asked))
    right = [answer["label"] == photo.parent.name for photo, answer in zip(asked, answers, strict=True)]
    assert sum(right) >= 2 * N_ASKED - 1
