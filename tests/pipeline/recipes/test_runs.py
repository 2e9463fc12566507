"""Reference recipes as trainings, in short, on the built-in network and on small ones: whole runs in child processes.

`--epochs` makes them short. What takes long on the published networks takes seconds on photos of 46 to 112 pixels.
"""

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from graft.backbones.catalogue import find
from graft.backbones.initial import initial_weights
from graft.backbones.weights import builtin
from graft.bundle.bundle import Bundle
from graft.core import machine
from graft.core.hashing import sha256_file
from graft.core.tensors import read_tensors
from graft.data.records import Manifest
from graft.pipeline.run import Run
from graft.training.heads.records import Head
from graft.training.records import Plan
from graft.training.tuning.records import TuningSummary
from tests.pipeline.conftest import write_photos
from tests.pipeline.trained import FILES, LABELS, Trained, backbone_of, tensors_of, train_in_child

SPROUT: dict[str, Any] = {"backbone": "sprout", "image_size": 48}
SAME = ("classifier.graft", "phase-1.graft", "tuning.json", "history.csv", "plan.json", "evaluation.json")
slow = pytest.mark.slow
pytestmark = pytest.mark.timeout(1200)


def job(recipe: str, data: Path, output: Path, spoil: str = "", **words: Any) -> dict[str, Any]:
    """A recipe in short, with small batches of few photos."""
    usual = {"precision": "float32", "train_precision": "float32", "batch": 4, "epochs": 1}
    options = {"data": str(data), "output": str(output), "recipe": recipe, **usual, **words}
    return {"name": output.name, "spoil": spoil, "options": options}


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("three") / "photos", per_class=16)


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photos(tmp_path_factory.mktemp("two") / "photos", per_class=12, labels=("plain", "stripes"))


@pytest.fixture(scope="module")
def done(three: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """The upper layers after the head, and that head alone, which is a recipe of its own."""
    place = tmp_path_factory.mktemp("phases")
    jobs = [
        job("finetune-vgg16-block5", three, place / "both", epochs=(2, 1), views=2, **SPROUT),
        job("features-vgg16-augmented", three, place / "head alone", epochs=2, views=2, **SPROUT),
    ]
    return Trained(place, train_in_child(jobs))


@pytest.fixture(scope="module")
def halted(three: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Stopped in its second phase."""
    place = tmp_path_factory.mktemp("halted")
    words: dict[str, Any] = {"epochs": (2, 1), "views": 2, **SPROUT}
    return Trained(place, train_in_child([job("finetune-vgg16-block5", three, place / "both", "stop soon", **words)]))


@pytest.fixture(scope="module")
def heads(three: Path, two: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Classifiers on the network as it is, but for the averages."""
    place = tmp_path_factory.mktemp("heads")
    jobs = [
        job("features-vgg16", two, place / "stored", epochs=3, **SPROUT),
        job("santa-vgg19", two, place / "one unit", **SPROUT),
        job("santa-vgg19", two, place / "two units", binary_head="softmax", **SPROUT),
        job("sign-digits-vgg16", three, place / "averages", **SPROUT),
        job("features-vgg16", two, place / "leak", "leak", **SPROUT),
        following(two, place / "stored"),
    ]
    return Trained(place, train_in_child(jobs))


@pytest.fixture(scope="module")
def scratch(two: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """From random weights."""
    place = tmp_path_factory.mktemp("scratch")
    jobs = [
        job("scratch-cnn", two, place / "plain", image_size=46),
        job("scratch-cnn", two, place / "normalized", backbone="convnet_batch", image_size=64),
        following(two, place / "plain"),
    ]
    return Trained(place, train_in_child(jobs))


@pytest.fixture(scope="module")
def augmented(three: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A top of its own first, then everything; the photos that judge augmented, and not."""
    place = tmp_path_factory.mktemp("augmented")
    words: dict[str, Any] = {"backbone": "sprout", "image_size": 112, "epochs": (1, 1), "views": 2, "batch": 8}
    jobs = [
        job("cifar10-efficientnetb0", three, place / "published", **words),
        job("cifar10-efficientnetb0@corrected", three, place / "corrected", **words),
        job("cifar10-efficientnetb0", three, place / "judged plain", "judged plain", **words),
    ]
    return Trained(place, train_in_child(jobs))


def following(data: Path, first: Path) -> dict[str, Any]:
    """The same training, told by nothing but the first one's plan."""
    output = first.with_name(f"{first.name} followed")
    return {"name": output.name, "options": {"data": str(data), "output": str(output), "config": str(first)}}


def assert_same_files(trained: Trained, name: str) -> None:
    """Of a run and of that which followed its plan."""
    names = [each for each in SAME if each != "phase-1.graft"]
    first, second = (
        {each: sha256_file(trained.run(run).path / each) for each in names} for run in (name, f"{name} followed")
    )
    assert first == second and trained[f"{name} followed"]["seen"]["tuned"] == 1


def by_photo(run: Run) -> tuple[list[str], np.ndarray]:
    """The files of the photos that the run is judged by, and what was written down of each."""
    answers, photos = run.read_arrays("predictions"), run.read(Manifest).photos
    return [photos[row].path for row in answers["rows"]], answers["probabilities"]


def predicted(bundle: Path, root: Path, paths: list[str]) -> np.ndarray:
    """What a bundle answers for files, loaded with its golden check."""
    with Bundle.load(bundle, precision="float32") as loaded:
        answers = loaded.predict([root / path for path in paths], top=len(loaded.classes))
        order = [dict(each.top) for each in answers]  # type: ignore[union-attr]
        return np.array([[chances[label] for label in loaded.classes] for chances in order])


def start_of(backbone: str, side_pixels: int) -> dict[str, np.ndarray]:
    """The network's tensors before any training."""
    record, cache = find(backbone), machine.cache_directory()
    file = builtin(backbone, cache) if backbone == "sprout" else initial_weights(record, side_pixels, 0, cache)
    with read_tensors(file.path) as opened:
        return {name: np.array(opened.tensors[name], np.float32) for name in opened.tensors}


def changed(before: dict[str, np.ndarray], after: dict[str, np.ndarray]) -> set[str]:
    """Names of the tensors whose values are heads."""
    assert before.keys() == after.keys()
    return {name for name in before if not np.array_equal(before[name], after[name].astype(np.float32))}


@pytest.mark.wide
class TestTwoPhases:
    def test_the_run_holds_a_bundle_of_each(self, done: Trained) -> None:
        run = done.run("both")
        assert {path.name for path in run.path.iterdir() if path.name[0] != "."} == {*FILES, "phase-1.graft"}
        plan, summary = run.read(Plan), run.read(TuningSummary)
        assert plan.recipe == "finetune-vgg16-block5" and plan.tuning is not None
        assert isinstance(plan.tuning.head, Head)
        assert [each.phase.name for each in plan.schedules] == ["head", "block 5"]
        assert plan.schedules[0].trained == () and plan.schedules[1].trained == ("s3_down", "s3_a", "s3_b", "head")
        assert [(each.name, each.bundle) for each in summary.phases] == [("head", "phase-1.graft"), ("block 5", "")]
        assert (summary.finished, summary.kept) == (True, "finetune")

    def test_epochs_are_counted_on(self, done: Trained) -> None:
        summary = done.run("both").read(TuningSummary)
        told = [(epoch.number, epoch.phase, epoch.step) for epoch in summary.epochs]
        assert told == [(1, "head", 100), (2, "head", 200), (3, "block 5", 300)]  # 100 steps an epoch, as published
        assert [epoch.rate for epoch in summary.epochs] == [2e-5, 2e-5, 1e-5]
        assert [each.best_epoch for each in summary.phases][1] == summary.best_epoch == 3
        assert summary.phases[0].best_epoch in (1, 2)

    def test_the_history_is_that_of_the_summary(self, done: Trained) -> None:
        run = done.run("both")
        rows = list(csv.DictReader(io.StringIO((run.path / "history.csv").read_text(encoding="utf-8"))))
        epochs = run.read(TuningSummary).epochs
        assert [int(row["number"]) for row in rows] == [1, 2, 3]
        assert [row["phase"] for row in rows] == ["head", "head", "block 5"]
        assert [float(row["validation_loss"]) for row in rows] == [epoch.validation_loss for epoch in epochs]

    def test_the_first_phase_leaves_the_network_and_the_second_trains_its_upper_layers(self, done: Trained) -> None:
        run, before = done.run("both"), start_of("sprout", 48)
        assert changed(before, phase_tensors(run)) == set()
        trained = {name.split("/")[0] for name in changed(before, backbone_of(run))}
        assert trained == set(run.read(Plan).schedules[1].trained)
        proofs = [each.frozen_sha256 for each in run.read(TuningSummary).phases]
        assert len(set(proofs)) == 2 and {len(each) for each in proofs} == {64}

    def test_the_first_bundle_is_that_of_the_first_phase_alone(self, done: Trained) -> None:
        """As if there had been no second one: what it answers, to the last bit."""
        alone, found = tensors_of(done.run("head alone")), tensors_of_file(done.place / "both" / "phase-1.graft")
        assert alone.keys() == found.keys() and "head/hidden_0/kernel" in found
        assert [name for name in alone if not np.array_equal(alone[name], found[name])] == []
        epochs = [done.run(name).read(TuningSummary).epochs for name in ("head alone", "both")]
        assert epochs[0] == epochs[1][:2]

    def test_sabotage_the_second_bundle_is_another(self, done: Trained) -> None:
        last, first = tensors_of(done.run("both")), tensors_of_file(done.place / "both" / "phase-1.graft")
        assert not np.array_equal(last["head/hidden_0/kernel"], first["head/hidden_0/kernel"])
        assert not np.array_equal(last["golden/probabilities"], first["golden/probabilities"])

    def test_both_bundles_answer_as_was_measured(self, done: Trained, three: Path) -> None:
        """From the photos' files, without what trained them; the first as the run of its phase alone wrote it down."""
        for name, bundle in (("both", "classifier.graft"), ("head alone", "../both/phase-1.graft")):
            paths, chances = by_photo(done.run(name))
            found = predicted((done.place / name / bundle).resolve(), three, paths)
            np.testing.assert_allclose(found, chances, atol=5e-3)
        assert abs(by_photo(done.run("both"))[1] - by_photo(done.run("head alone"))[1]).max() > 1e-4

    def test_it_reads_training_photos_and_validation_photos_as_they_are(self, done: Trained) -> None:
        seen, n = done["both"]["seen"], done["both"]["summary"]["n"]
        assert [(each["splits"], each["n"], each["views"]) for each in seen["read"]] == [
            (["train"], n["train"], 2),
            (["validation"], n["validation"], 1),
        ] * 2
        assert seen["views"] == [[[0], [1]], [[0]]] * 2
        assert [each["views"] for each in seen["judged"]] == [[0]] * 2
        assert [LABELS.index(path.split("/")[0]) for path in seen["read"][0]["paths"]] == seen["labels"]

    @slow
    def test_stopped_in_the_second_phase_it_goes_on_and_the_first_bundle_stays(
        self, done: Trained, halted: Trained, three: Path
    ) -> None:
        run = halted.run("both")
        summary = run.read(TuningSummary)
        assert not summary.finished and {epoch.phase for epoch in summary.epochs} == {"head"}
        assert [(each.name, each.bundle) for each in summary.phases] == [("head", "phase-1.graft")]
        before = sha256_file(run.path / "phase-1.graft")
        assert (run.path / "report.html").is_file() and (run.path / "checkpoints").is_dir()
        words: dict[str, Any] = {"epochs": (2, 1), "views": 2, **SPROUT}
        found = train_in_child([job("finetune-vgg16-block5", three, run.path, **words)])["both"]
        assert "error" not in found, found
        assert sha256_file(run.path / "phase-1.graft") == before
        same = {name: sha256_file(run.path / name) == sha256_file(done.place / "both" / name) for name in SAME}
        assert all(same.values()), same
        assert not (run.path / "checkpoints").exists()


def tensors_of_file(path: Path) -> dict[str, np.ndarray]:
    """Copies of all tensors of a bundle."""
    with read_tensors(path) as file:
        return {name: np.array(file.tensors[name]) for name in file.tensors}


def phase_tensors(run: Run) -> dict[str, np.ndarray]:
    """The network's in the first phase's bundle."""
    every = tensors_of_file(run.path / "phase-1.graft")
    return {name.removeprefix("backbone/"): every[name] for name in every if name.startswith("backbone/")}


class TestStoredFeatures:
    """A head on maps that were computed once for each photo."""

    @slow
    def test_every_photo_is_stored_once_as_it_is(self, heads: Trained) -> None:
        schedule, seen = heads.run("stored").read(Plan).schedules[0], heads["stored"]["seen"]
        assert (schedule.cut, schedule.trained, schedule.views) == (("head_relu",), (), 1)
        assert seen["views"] == [[[0]], [[0]]]
        assert [epoch.step for epoch in heads.run("stored").read(TuningSummary).epochs] == [5, 10, 15]

    @slow
    def test_the_bundle_reads_the_map_and_answers_as_was_measured(self, heads: Trained, two: Path) -> None:
        run = heads.run("stored")
        assert changed(start_of("sprout", 48), backbone_of(run)) == set()
        every = tensors_of(run)
        assert every["head/hidden_0/kernel"].shape == (3 * 3 * 512, 256) and every["head/kernel"].shape == (256, 1)
        paths, chances = by_photo(run)
        np.testing.assert_allclose(predicted(run.bundle, two, paths), chances, atol=5e-3)

    @slow
    def test_a_plan_is_followed_to_the_same_bytes(self, heads: Trained) -> None:
        assert_same_files(heads, "stored")

    @slow
    def test_sabotage_test_photos_among_the_training_photos_are_seen(self, heads: Trained) -> None:
        seen = heads["leak"]["seen"]
        wrong = {photo.path for photo in heads.run("leak").read(Manifest).photos if photo.split == "test"}
        assert wrong <= set(seen["read"][0]["paths"])


class TestUnits:
    @slow
    @pytest.mark.parametrize(("name", "units"), [("one unit", 1), ("two units", 2)])
    def test_two_classes_have_one_sigmoid_unit_or_two(self, heads: Trained, two: Path, name: str, units: int) -> None:
        run = heads.run(name)
        every = tensors_of(run)
        assert every["head/hidden_0/kernel"].shape == (3 * 3 * 512, 132)
        assert every["head/kernel"].shape == (132, units)
        paths, chances = by_photo(run)
        np.testing.assert_allclose(predicted(run.bundle, two, paths), chances, atol=5e-3)
        np.testing.assert_allclose(chances.sum(axis=1), 1, atol=1e-5)

    @slow
    def test_a_softmax_on_averages(self, heads: Trained, three: Path) -> None:
        run = heads.run("averages")
        every = tensors_of(run)
        assert every["head/kernel"].shape == (512, 3) and not any("hidden" in name for name in every)
        trained = {name.split("/")[0] for name in changed(start_of("sprout", 48), backbone_of(run))}
        assert trained == set(run.read(Plan).schedules[0].trained) != set()
        paths, chances = by_photo(run)
        np.testing.assert_allclose(predicted(run.bundle, three, paths), chances, atol=5e-3)


class TestFromNothing:
    @slow
    @pytest.mark.parametrize(
        ("name", "backbone", "side"), [("plain", "convnet", 46), ("normalized", "convnet_batch", 64)]
    )
    def test_every_tensor_is_trained(self, scratch: Trained, two: Path, name: str, backbone: str, side: int) -> None:
        run, before = scratch.run(name), start_of(backbone, side)
        plan = run.read(Plan)
        assert "random" in plan.backbone_reason and plan.backbone == backbone
        schedule = plan.schedules[0]
        assert schedule.cut == () and schedule.n_trained_parameters == find(backbone).parameters - tracked(before)
        assert changed(before, backbone_of(run)) == set(before)
        paths, chances = by_photo(run)
        np.testing.assert_allclose(predicted(run.bundle, two, paths), chances, atol=5e-3)

    @slow
    def test_the_statistics_of_batch_normalization_move(self, scratch: Trained) -> None:
        after = backbone_of(scratch.run("normalized"))
        means = [np.abs(after[name]).max() for name in after if name.endswith("/moving_mean")]
        variances = [np.abs(after[name] - 1).max() for name in after if name.endswith("/moving_variance")]
        assert len(means) == len(variances) == 4
        assert min(*means, *variances) > 1e-3

    @slow
    def test_a_plan_is_followed_to_the_same_bytes(self, scratch: Trained) -> None:
        assert_same_files(scratch, "plain")

    @slow
    @pytest.mark.parametrize("name", ["plain", "normalized"])
    def test_it_reads_pixels_of_training_photos(self, scratch: Trained, name: str) -> None:
        seen, n = scratch[name]["seen"], scratch[name]["summary"]["n"]
        train, validation = seen["read"]
        assert (train["splits"], train["n"], train["views"]) == (["train"], n["train"], None)
        assert (validation["splits"], validation["n"], validation["views"]) == (["validation"], n["validation"], 1)
        # Without augmentation every view is the photo itself.
        assert seen["views"] == [[[0, 1, 2, 3]] * 3, [[0, 1, 2, 3]]]
        assert [("plain", "stripes").index(path.split("/")[0]) for path in train["paths"]] == seen["labels"]


def tracked(tensors: dict[str, np.ndarray]) -> int:
    """Numbers that are statistics, not learned."""
    return sum(each.size for name, each in tensors.items() if "/moving_" in name)


class TestAllAugmented:
    """As published, validation and test photos are augmented too: each is seen as its view 1, and never otherwise."""

    @slow
    def test_training_reads_augmented_views_and_validation_the_first_of_them(self, augmented: Trained) -> None:
        seen = augmented["published"]["seen"]
        stored, pixels = seen["views"][:2], seen["views"][2:]
        assert stored == [[[1], [2]], [[1]]], "phase 1: from what is stored"
        assert pixels == [[[1], [2], [3]], [[1]]], "phase 2: from pixels, new views each epoch"
        splits = [each["splits"] for each in seen["read"]]
        assert splits == [["train"], ["validation"]] * 2

    @slow
    def test_the_photos_that_judge_are_seen_as_view_1(self, augmented: Trained) -> None:
        judged = augmented["published"]["seen"]["judged"]
        assert [(each["splits"], each["views"]) for each in judged] == [(["test", "validation"], [1])] * 2

    @slow
    def test_corrected_only_training_photos_are_augmented(self, augmented: Trained) -> None:
        seen = augmented["corrected"]["seen"]
        assert seen["views"] == [[[0], [1]], [[0]], [[0], [1], [2]], [[0]]]
        assert [each["views"] for each in seen["judged"]] == [[0]] * 2

    @slow
    def test_sabotage_photos_that_judge_as_they_are_are_seen(self, augmented: Trained) -> None:
        seen = augmented["judged plain"]["seen"]
        assert [each[0] for each in seen["views"][1::2]] == [[0], [0]]
        assert [each["views"] for each in seen["judged"]] == [[0], [0]]

    @slow
    def test_batch_normalization_learns_in_the_first_phase_and_is_frozen_in_the_second(
        self, augmented: Trained
    ) -> None:
        """That of the top is folded into its affine layers; that of the network stays as it was, all the time."""
        run, before = augmented.run("published"), start_of("sprout", 112)
        assert changed(before, phase_tensors(run)) == set()
        after = changed(before, backbone_of(run))
        assert after and not any("_bn/" in name for name in after)
        every = tensors_of(run)
        assert every["head/hidden_0/kernel"].shape == (7 * 7 * 512, 7)
        assert every["head/hidden_1/kernel"].shape == (7, 512) and every["head/kernel"].shape == (512, 3)

    @slow
    def test_what_ships_answers_for_photos_as_they_are(self, augmented: Trained, three: Path) -> None:
        """So its answers are not those that the published system is judged by; the corrected one's are."""
        gaps = {}
        for name in ("published", "corrected"):
            paths, chances = by_photo(augmented.run(name))
            gaps[name] = float(np.abs(predicted(augmented.run(name).bundle, three, paths) - chances).max())
        assert gaps["corrected"] < 1e-4 < 3e-4 < gaps["published"], gaps
