"""Trainings on centred, scaled and whitened photos."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graft.backbones.records import Preprocessing
from graft.bundle.bundle import Bundle
from graft.core.errors import BadInput, ResourceProblem
from graft.core.progress import SilentProgress
from graft.data.augmentation import normalization as words_module
from graft.data.augmentation.normalization import Normalizer, parse_normalization
from graft.data.images import load_pixels
from graft.data.records import ImageRules, Manifest
from graft.evaluation.records import Evaluation
from graft.pipeline import normalizing as module
from graft.pipeline.intake import Intake
from graft.pipeline.normalizing import fitted
from graft.pipeline.planning import follow, read_plan
from graft.pipeline.run import Run
from graft.pipeline.train import train
from graft.training.records import Plan
from tests.pipeline.conftest import options
from tests.pipeline.works import intake_of

SIDE = 16


@pytest.fixture(scope="module")
def intake(photos: Path) -> Intake:
    return intake_of(photos)


def made(intake: Intake, words: str, **changes: int) -> Normalizer:
    keys = {"side_pixels": SIDE, "seed": 0, **changes}
    return fitted(parse_normalization(words), intake, preprocessing=Preprocessing(), progress=SilentProgress(), **keys)


def pixels_of(intake: Intake, split: str) -> np.ndarray:
    files = [intake.root / photo.path for photo in intake.manifest.photos if photo.split == split]
    return np.stack(
        [load_pixels(file.read_bytes(), side_pixels=SIDE, geometry="squash", rules=ImageRules()) for file in files]
    )


def test_it_is_fitted_on_all_training_photos_and_no_others(intake: Intake) -> None:
    seen = pixels_of(intake, "train").astype(np.float64)
    got = made(intake, "featurewise-std").fitted
    assert np.allclose(got.mean, seen.mean(axis=(0, 1, 2)), rtol=1e-6)
    assert np.allclose(got.deviation, seen.std(axis=(0, 1, 2)) + 1e-6, rtol=1e-6)
    others = np.concatenate([pixels_of(intake, "validation"), pixels_of(intake, "test")])
    assert not np.allclose(got.mean, others.mean(axis=(0, 1, 2)), rtol=1e-3)


def test_of_many_photos_some_are_drawn(intake: Intake) -> None:
    few = [made(intake, "featurewise-center", most_photos=5, seed=seed).fitted.mean for seed in (0, 0, 1)]
    assert few[0] == few[1] != few[2]
    assert made(intake, "zca", most_photos=5).whitening.gains.shape == (5,)  # type: ignore[union-attr]


def test_what_is_taken_of_each_photo_alone_needs_no_photos(intake: Intake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "stream_pixels", lambda *_, **__: pytest.fail("photos were read"))
    assert made(intake, "samplewise-std").fitted.mean == ()
    monkeypatch.setattr(words_module, "MAX_WHITENING_BYTES", 1000)
    with pytest.raises(ResourceProblem, match="ZCA whitening of 42 photos of 16 x 16 pixels"):
        made(intake, "zca")


@pytest.mark.parametrize(
    "words",
    ["featurewise-std", *(pytest.param(each, marks=pytest.mark.wide) for each in ("samplewise-std", "zca=100"))],
)
def test_a_classifier_answers_as_it_was_measured(photos: Path, tmp_path: Path, words: str) -> None:
    """Its file says how photos are prepared: where that was lost, its answers would be others."""
    asked = options(photos, tmp_path / "run", recipe="probe", normalize=words)
    result = train(asked, progress=SilentProgress())
    run = Run(result.run)
    plan, evaluation = run.read(Plan), run.read(Evaluation)
    assert plan.preprocessing.normalization is not None
    assert plan.preprocessing.normalization.normalization == parse_normalization(words)
    with Bundle.load(result.bundle) as bundle:
        assert bundle.manifest.preprocessing == plan.preprocessing
        judged = [photo for photo in run.read(Manifest).photos if photo.split == "test"]
        answers = bundle.predict([photos / photo.path for photo in judged], top=3)
    chances = [dict(answer.top)[evaluation.classes[photo.label]] for photo, answer in zip(judged, answers, strict=True)]
    assert float(-np.log(chances).mean()) == pytest.approx(evaluation.log_loss.value, abs=2e-3)
    page = result.report.read_text()
    assert f"then {words}" in page and "not the preprocessing that" in page


def test_a_plan_with_a_normalisation_is_followed(photos: Path, tmp_path: Path) -> None:
    asked = options(photos, tmp_path / "first", recipe="probe", normalize="zca=100")
    first = train(asked, progress=SilentProgress())
    plan = read_plan(first.run)
    assert follow(replace(asked, normalize=None), plan).normalize == "zca=100"
    again = train(options(photos, tmp_path / "again", recipe="probe", config=str(first.run)), progress=SilentProgress())
    assert again.bundle.read_bytes() == first.bundle.read_bytes()


def test_whitening_is_computed_in_float32(photos: Path, tmp_path: Path) -> None:
    asked = options(photos, tmp_path / "run", recipe="probe", normalize="zca", precision="bfloat16")
    with pytest.raises(BadInput, match="Whitened photos need --precision float32, got bfloat16"):
        train(asked, progress=SilentProgress())
    assert not (tmp_path / "run").exists()


def test_words_that_are_none_are_refused_at_once(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="A normalisation must be one of"):
        train(options(photos, tmp_path / "run", normalize="white"), progress=SilentProgress())
