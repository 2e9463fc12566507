"""Every recipe trains a step on a few real photos, at its own size, with a small network where its own is large."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.bundle.bundle import Bundle
from graft.pipeline.run import Run
from graft.training.linear import as_sigmoid, as_softmax, probabilities
from graft.training.recipes.catalogue import catalogue
from graft.training.records import Plan
from graft.training.tuning.records import TuningSummary
from tests.pipeline.trained import Trained, train_in_child

PER_CLASS = {"train": 3, "validation": 2, "test": 2}
FOLDERS = {"sign_digits": "sign_digits", "santa": "santa", "cifar10": "cifar10_small/train"}
FEW = ("features-vgg16",)


def classes_of(data: Path, name: str) -> list[Path]:
    """The class folders of a recipe's own data."""
    return sorted(path for path in (data / FOLDERS.get(name, f"{name}/train")).iterdir() if path.is_dir())


def few_photos(data: Path, name: str, place: Path) -> Path:
    """Copies of a few photos of each class, in folders for their splits."""
    for folder in classes_of(data, name):
        photos = iter(sorted(folder.iterdir()))
        for split, count in PER_CLASS.items():
            target = place / name / split / folder.name
            target.mkdir(parents=True, exist_ok=True)
            for _ in range(count):
                shutil.copy(next(photos), target)
    return place / name


@pytest.fixture(scope="module")
def stepped(request: pytest.FixtureRequest, shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One epoch of each, in one process."""
    place = tmp_path_factory.mktemp("steps")
    stand_in = {
        "backbone": "mobilenet_0.25",
        "weights": str(shared / "weights" / "mobilenet_0.25_224_notop.weights.h5"),
    }
    jobs: list[dict[str, Any]] = []
    for name in request.param:
        recipe = catalogue()[name]
        data = few_photos(shared / "data", recipe.data, place / "data")
        words = {"data": str(data), "output": str(place / name), "recipe": name, "epochs": 1, "views": 1, "batch": 4}
        network = {} if recipe.weights == "random" else stand_in
        jobs.append({"name": name, "options": words | network | {"on_bad": "fail"}})
    return Trained(place, train_in_child(jobs))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "stepped",
    [
        pytest.param(FEW, id="few", marks=pytest.mark.wide),
        pytest.param(tuple(catalogue()), id="all", marks=pytest.mark.slow),
    ],
    indirect=True,
)
def test_a_step_of_each_recipe_on_real_photos(stepped: Trained) -> None:
    assert set(stepped.results) >= set(FEW)
    for name in stepped.results:
        assert stepped[name]["seen"]["tuned"] == len(catalogue()[name].phases)
        run, recipe = stepped.run(name), catalogue()[name]
        plan, summary = run.read(Plan), run.read(TuningSummary)
        assert (plan.recipe, plan.side_pixels) == (name, recipe.side_pixels)
        assert [epoch.phase for epoch in summary.epochs] == [phase.name for phase in recipe.phases]
        assert all(epoch.step >= 1 for epoch in summary.epochs)
        assert summary.kept == "finetune" and summary.reason == "the recipe was asked for"
        assert [len(schedule.trained) > 0 for schedule in plan.schedules] == [
            phase.freeze.kind != "none" for phase in recipe.phases
        ]
        assert (run.path / "phase-1.graft").is_file() == (len(recipe.phases) > 1)
        if recipe.classes == 2:
            assert_one_unit_equals_two(run)


def assert_one_unit_equals_two(run: Run) -> None:
    """The trained head with its Dense layer: one sigmoid unit, as two softmax units, and as one again."""
    one = Bundle.load(run.bundle)._classifier
    assert one.hidden and one.kernel.shape[1] == 1
    values = np.random.default_rng(0).normal(0, 1, (64, len(one.mean))).astype(np.float32)
    chances = probabilities(one, values)
    two = as_softmax(one)
    assert two.kernel.shape[1] == 2 and np.ptp(chances[:, 1]) > 0
    np.testing.assert_allclose(probabilities(two, values), chances, atol=1e-6)
    np.testing.assert_allclose(probabilities(as_sigmoid(two), values), chances, atol=1e-6)
