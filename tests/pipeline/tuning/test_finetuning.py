"""Fine-tuning after the probe: whole runs in processes of their own, and the choice between the two."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from graft.bundle.format import read_bundle
from graft.core.hashing import sha256_file
from graft.core.records import record_hash
from graft.data.records import Manifest
from graft.evaluation.comparison import compare
from graft.evaluation.records import Evaluation
from graft.pipeline.run import Made, Run
from graft.pipeline.tuning.finetuning import best_phase, choose, is_asked_for, tuned_already
from graft.training.records import Plan, ProbeSummary
from graft.training.tuning.records import TuningSummary
from tests.pipeline.conftest import write_photos
from tests.pipeline.trained import FILES, LABELS, ROOT, Trained, backbone_of, tensors_of, train_in_child
from tests.pipeline.works import FixedClock

slow = pytest.mark.slow


def job(name: str, data: Path, output: Path, spoil: str = "", **words: Any) -> dict[str, Any]:
    """A short fine-tuning of the built-in network at its smallest."""
    options = {"data": str(data), "output": str(output), "backbone": "sprout", "image_size": 48, "epochs": 2}
    usual = {"views": 2, "recipe": "finetune", "precision": "float32", "train_precision": "float32"}
    return {"name": name, "spoil": spoil, "options": options | usual | words}


DIVERGING: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 10.0, "epochs": 30}


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small photos, on which the probe is not always right."""
    return write_photos(tmp_path_factory.mktemp("noisy") / "photos", per_class=16)


@pytest.fixture(scope="module")
def done(noisy: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """One process, which loads TensorFlow once."""
    place = tmp_path_factory.mktemp("tuned")
    config = {"data": str(noisy), "output": str(place / "followed"), "config": str(place / "first")}
    jobs = [
        job("first", noisy, place / "first"),
        job("rerun", noisy, place / "first"),
        {"name": "followed", "options": config},
        job("mismatch", noisy, place / "first", epochs=3),
        # With a rate at which nothing of what the network knew is left.
        job("worse", noisy, place / "worse", recipe="auto", time_budget="1h", epochs=1, learning_rate=3.0, averaging=0),
        job("pixels", noisy, place / "pixels", store="never", epochs=1),
        job("given up", noisy, place / "given up", recipe="auto", time_budget="1h", **DIVERGING),
        job("given up again", noisy, place / "given up", recipe="auto", time_budget="1h", **DIVERGING),
    ]
    return Trained(place, train_in_child(jobs))


@pytest.fixture(scope="module")
def others(noisy: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    place = tmp_path_factory.mktemp("words")
    two = write_photos(place / "two", per_class=12, labels=("plain", "stripes"))
    common = {"batch": 8}
    follow_bare = {"data": str(noisy), "output": str(place / "bare followed"), "config": str(place / "bare")}
    jobs = [
        job("trained", noisy, place / "trained", head="trained"),
        job("none", noisy, place / "none", unfreeze="none"),
        job("all", noisy, place / "all", unfreeze="all", epochs=1),
        job("sigmoid", two, place / "sigmoid", **common),
        job("softmax", two, place / "softmax", binary_head="softmax", **common),
        job("unseen", noisy, place / "unseen", split="80/0/20"),
        job("unseen auto", noisy, place / "unseen auto", split="80/0/20", recipe="auto", time_budget="1h"),
        job("diverged", noisy, place / "diverged", **DIVERGING),
        job("budget", noisy, place / "budget", epochs=None, views=None, time_budget="1s"),
        job("auto budget", noisy, place / "auto budget", recipe="auto", epochs=None, time_budget="1s"),
        bare(noisy, place / "bare"),
        {"name": "bare followed", "options": follow_bare},
    ]
    return Trained(place, train_in_child(jobs))


class TestRun:
    def test_it_holds_everything_and_its_records_name_their_parents(self, done: Trained) -> None:
        run = done.run("first")
        assert {path.name for path in run.path.iterdir() if not path.name.startswith(".")} == FILES
        plan, summary = run.read(Plan), run.read(TuningSummary)
        assert plan.recipe == "finetune" and plan.tuning is not None and plan.schedules
        assert (plan.tuning.epochs, plan.schedules[0].views) == (2, 2)
        assert plan.schedules[0].trained and plan.schedules[0].cut
        bundle, tensors = read_bundle(run.bundle)
        tensors.close()
        assert bundle.provenance.plan_hash == record_hash(plan)
        assert bundle.provenance.recipe == "finetune"
        assert bundle.provenance.manifest_hash == plan.manifest_hash == record_hash(run.read(Manifest))
        assert run.read(Evaluation).bundle_hash == sha256_file(run.bundle)
        assert summary.finished and len(summary.epochs) == 2 and len(summary.frozen_sha256) == 64

    def test_only_what_was_to_be_trained_has_changed(self, done: Trained) -> None:
        """Compared with the run that kept the network as it was."""
        schedule = done.run("first").read(Plan).schedules[0]
        tuned, untouched = backbone_of(done.run("first")), backbone_of(done.run("worse"))
        changed = {name.split("/")[0] for name in untouched if not np.array_equal(untouched[name], tuned[name])}
        assert tuned.keys() == untouched.keys() and changed == set(schedule.trained)

    def test_the_history_has_a_line_for_each_epoch(self, done: Trained) -> None:
        header, *lines = (done.place / "first" / "history.csv").read_text().splitlines()
        assert header.startswith("number,phase,step,rate,loss,accuracy,validation_loss")
        assert [line.split(",")[0] for line in lines] == ["1", "2"]

    def test_the_classifier_is_named_by_its_photos(self, done: Trained) -> None:
        """It was fitted on the training photos alone; the probe on the validation photos too."""
        n = done["first"]["summary"]["n"]
        for name, wanted in (("first", n["train"]), ("worse", n["train"] + n["validation"])):
            bundle, tensors = read_bundle(done.run(name).bundle)
            tensors.close()
            assert bundle.provenance.n_train == wanted

    def test_the_summary_tells_of_it(self, done: Trained) -> None:
        told = done["first"]["summary"]["finetuning"]
        assert (told["kept"], told["epochs"]) == ("finetune", 2)
        assert set(told["validation"]) == {"probe", "finetune"}
        assert "Fine-tuning" in done["first"]["text"]

    def test_no_checkpoint_is_left(self, done: Trained) -> None:
        assert not list((done.place / "first").glob("checkpoints/*"))

    def test_the_comparison_is_that_of_the_answers(self, done: Trained) -> None:
        """Honest on paper: what the summary counts for the test photos is what the stored answers give."""
        run = done.run("first")
        summary, answers = run.read(TuningSummary), run.read_arrays("predictions")
        photos = run.read(Manifest).photos
        labels = np.array([photos[row].label for row in answers["rows"]])
        assert {photos[row].split for row in answers["rows"]} == {"test"}
        right = float((answers["probabilities"].argmax(axis=1) == labels).mean())
        assert summary.comparison_on_test is not None and summary.comparison is not None
        assert summary.comparison_on_test.accuracy_second == pytest.approx(right)
        assert right == pytest.approx(done["first"]["summary"]["test"]["accuracy"])
        assert summary.comparison.n == done["first"]["summary"]["n"]["validation"]

    def test_the_probe_is_measured_as_it_was_before_it_saw_the_validation_photos(self, done: Trained) -> None:
        run = done.run("first")
        summary, probe = run.read(TuningSummary), run.read(ProbeSummary)
        assert summary.comparison is not None and probe.validation_accuracy is not None and probe.refitted
        assert summary.comparison.accuracy_first == pytest.approx(probe.validation_accuracy.value)


class TestAgain:
    def test_a_finished_run_trains_nothing(self, done: Trained) -> None:
        again = done["rerun"]
        assert again["seen"]["tuned"] == 0 and again["seen"]["read"] == []
        assert any("finished" in text for text in again["said"])
        assert again["bundle"] == done["first"]["bundle"]
        kept = {name: value for name, value in done["first"]["summary"].items() if name != "seconds"}
        assert {name: value for name, value in again["summary"].items() if name != "seconds"} == kept

    def test_a_plan_is_followed_to_the_same_bytes(self, done: Trained) -> None:
        """Equal runs are equal to the last byte; here the second is told by nothing but the first one's plan."""
        assert done["followed"]["seen"]["tuned"] == 1
        for name in ("classifier.graft", "tuning.json", "history.csv", "plan.json", "evaluation.json"):
            assert sha256_file(done.place / "followed" / name) == sha256_file(done.place / "first" / name), name

    @slow
    def test_the_same_words_in_another_process_give_the_same_bytes(
        self, done: Trained, noisy: Path, tmp_path: Path
    ) -> None:
        found = train_in_child([job("again", noisy, tmp_path / "run")])["again"]
        assert found["seen"]["tuned"] == 1
        assert found["bundle"] == done["first"]["bundle"]

    def test_another_plan_in_its_place_is_refused_by_the_field_that_differs(self, done: Trained) -> None:
        error = done.results["mismatch"]["error"]
        assert error["code"] == "resume_mismatch"
        assert "tuning.epochs (2 there, 3 now)" in error["message"]

    @pytest.mark.parametrize("damage", ["bundle gone", "bundle cut", "unfinished", "no schedule", "no summary"])
    def test_what_is_not_whole_is_trained_again(self, done: Trained, tmp_path: Path, damage: str) -> None:
        run = Run(tmp_path / "run")
        shutil.copytree(done.place / "first", run.path)
        plan = run.read(Plan)
        assert tuned_already(run, plan)
        assert not tuned_already(run, replace(plan, seed=plan.seed + 1))
        if damage == "bundle gone":
            run.bundle.unlink()
        elif damage == "bundle cut":
            run.bundle.write_bytes(run.bundle.read_bytes()[:-1])
        elif damage == "unfinished":
            run.write(replace(run.read(TuningSummary), finished=False))
        elif damage == "no summary":
            (run.path / "tuning.json").unlink()
        assert not tuned_already(run, replace(plan, schedules=()) if damage == "no schedule" else plan)


class TestHonesty:
    @pytest.mark.parametrize(("name", "views"), [("first", 2), ("pixels", None), ("worse", 2)])
    def test_training_reads_training_photos_and_validation_photos_as_they_are(
        self, done: Trained, name: str, views: int | None
    ) -> None:
        train, validation = done[name]["seen"]["read"]
        n = done[name]["summary"]["n"]
        assert (train["splits"], train["n"], train["views"]) == (["train"], n["train"], views)
        assert (validation["splits"], validation["n"], validation["views"]) == (["validation"], n["validation"], 1)

    @pytest.mark.parametrize("name", ["first", "pixels"])
    def test_each_photo_has_its_own_label(self, done: Trained, name: str) -> None:
        seen = done[name]["seen"]
        assert [LABELS.index(path.split("/")[0]) for path in seen["read"][0]["paths"]] == seen["labels"]

    @pytest.mark.parametrize("name", ["first", "worse"])
    def test_it_begins_with_the_head_that_never_saw_the_validation_photos(self, done: Trained, name: str) -> None:
        seen = done[name]["seen"]
        assert seen["start"]["kernel"] == pytest.approx(seen["heads"]["held_out"]["kernel"], rel=1e-5)
        assert seen["start"]["kernel"] != pytest.approx(seen["heads"]["classifier"]["kernel"], rel=1e-3), "refitted"

    @slow
    def test_sabotage_test_photos_among_the_training_photos_are_seen(self, noisy: Path, tmp_path: Path) -> None:
        found = train_in_child([job("leak", noisy, tmp_path / "run", spoil="leak", epochs=1)])["leak"]
        assert found["seen"]["read"][0]["n"] > found["summary"]["n"]["train"]
        wrong = {photo.path for photo in Run.open(tmp_path / "run").read(Manifest).photos if photo.split == "test"}
        assert wrong <= set(found["seen"]["read"][0]["paths"])

    @slow
    def test_labels_of_test_photos_change_nothing(self, noisy: Path, done: Trained, tmp_path: Path) -> None:
        """Every test photo has another label: the network learns the same to the last bit, and its score falls."""
        photos = done.run("first").read(Manifest).photos
        jobs = []
        for name, shift in (("honest", 0), ("swapped", 1)):
            rows = [
                f"photos/{photo.path},{LABELS[(photo.label + shift * (photo.split == 'test')) % 3]},{photo.split}"
                for photo in photos
            ]
            table = noisy.parent / f"{tmp_path.name}-{name}.csv"
            table.write_text("\n".join(["path,label,split", *rows]))
            jobs.append(job(name, table, tmp_path / name))
        found = Trained(tmp_path, train_in_child(jobs))
        summaries = [found.run(name).read(TuningSummary) for name in ("honest", "swapped")]
        assert summaries[0].epochs == summaries[1].epochs
        assert summaries[0].comparison == summaries[1].comparison
        first, second = (found[name]["summary"]["test"]["accuracy"] for name in ("honest", "swapped"))
        assert second < first
        answers = [found.run(name).read_arrays("predictions")["probabilities"] for name in ("honest", "swapped")]
        np.testing.assert_array_equal(*answers)


class TestChoice:
    def test_where_it_is_worse_the_probe_is_kept_and_told(self, done: Trained) -> None:
        run = done.run("worse")
        summary, plan = run.read(TuningSummary), run.read(Plan)
        assert summary.comparison is not None
        assert summary.comparison.accuracy_second < summary.comparison.accuracy_first
        assert summary.kept == "probe" and "fewer of" in summary.reason
        assert plan.recipe == "auto" and plan.schedules
        bundle, tensors = read_bundle(run.bundle)
        tensors.close()
        assert bundle.provenance.recipe == "probe"
        assert bundle.weights_sha256 == plan.weights_sha256
        assert "Fine-tuning" in done["worse"]["text"]
        assert tuned_already(run, plan), "a rerun must not try again"

    def test_what_is_asked_for_is_kept(self, done: Trained) -> None:
        summary = done.run("first").read(TuningSummary)
        assert (summary.kept, summary.reason) == ("finetune", "fine-tuning was asked for")

    def test_the_report_shows_it(self, done: Trained) -> None:
        for name in ("first", "worse"):
            page = (done.place / name / "report.html").read_text(encoding="utf-8")
            assert "Fine-tuning" in page and "<svg" in page

    # First the answers that are right with the probe, then with fine-tuning, and how much the loss of each falls.
    @pytest.mark.parametrize(
        ("before", "after", "gains", "kept", "why"),
        [
            ("100000", "111100", (0,) * 6, "finetune", "right on 3 more of 6"),
            ("1100", "1111", (0, 0, 0, 0), "probe", "right on 2 more of 4 validation photos, which may be chance"),
            ("1100", "1110", (0, 0, 0, 0), "probe", "right on 1 more of 4 validation photos, which may be chance"),
            ("1100", "1110", (0.5, 0.5, 0.5, 0.4), "finetune", "right on 1 more of 4 validation photos, and surer"),
            ("11000000", "00111000", (0,) * 8, "probe", "right on 1 more of 8 validation photos, which may be chance"),
            ("00000000", "11110000", (-9,) * 8, "finetune", "right on 4 more of 8"),
            ("1100", "1000", (9, 9, 9, 9), "probe", "right on 1 fewer of 4"),
            ("1100", "0011", (0, 0, 0, 0), "probe", "the simpler one is kept"),
            ("1100", "1100", (0.5, 0.5, 0.5, 0.4), "finetune", "right on as many of 4 validation photos, and surer"),
            ("1100", "1100", (0.9, 0.1, 0.1, 0.1), "probe", "the simpler one is kept"),
            ("1100", "1100", (5, -1, -1, -1), "probe", "the simpler one is kept"),
            ("1100", "1100", (-0.5, -0.5, -0.5, -0.4), "probe", "the simpler one is kept"),
            ("1100", "1100", (0, 0, 0, 0), "probe", "the simpler one is kept"),
            ("1", "1", (5,), "probe", "the simpler one is kept"),
        ],
    )
    def test_clearly_more_right_answers_or_clearly_surer_ones(
        self, before: str, after: str, gains: tuple[float, ...], kept: str, why: str
    ) -> None:
        compared = compare(np.ones(len(before), int), digits(before), digits(after))
        found, reason = choose(compared, np.array(gains, float), asked=False)
        assert found == kept and why in reason
        asked, reason = choose(compared, np.array(gains, float), asked=True)
        assert (asked, reason) == ("finetune", "fine-tuning was asked for")

    def test_sabotage_the_two_exchanged(self) -> None:
        """The first is the probe, the second is fine-tuned; exchanged, the other one would be kept."""
        probe, tuned = digits("1000"), digits("1111")
        right = compare(np.ones(4, int), probe, tuned)
        wrong = compare(np.ones(4, int), tuned, probe)
        assert choose(right, np.zeros(4), asked=False)[0] != choose(wrong, np.zeros(4), asked=False)[0]

    @pytest.mark.parametrize(
        ("recipe", "accuracy", "budget", "why"),
        [
            ("auto", 1.0, None, "all 7 validation photos"),
            ("auto", 0.9, None, ""),
            ("auto", 0.9, 60.0, ""),
            ("auto", 0.9, 30.0, "nothing can be trained in what is left of the 30"),
            ("auto", None, None, ""),
            ("finetune", 1.0, 1.0, ""),
        ],
    )
    def test_auto_leaves_it_out_where_nothing_could_be_better_or_be_done(
        self, recipe: str, accuracy: float | None, budget: float | None, why: str
    ) -> None:
        from graft.pipeline.tuning.finetuning import _nothing_to_gain

        score = None if accuracy is None else SimpleNamespace(value=accuracy)
        photos = [SimpleNamespace(split="validation")] * 7
        work = SimpleNamespace(
            resolved=SimpleNamespace(plan=SimpleNamespace(recipe=recipe)),
            intake=SimpleNamespace(manifest=SimpleNamespace(photos=photos)),
            tuning=SimpleNamespace(time_budget_seconds=budget),
            clock=FixedClock(passed=25.0),
        )
        probed = SimpleNamespace(result=SimpleNamespace(summary=SimpleNamespace(validation_accuracy=score)))
        reason = _nothing_to_gain(work, probed)  # type: ignore[arg-type]
        assert bool(reason) is bool(why) and why in reason


@pytest.mark.parametrize(
    ("losses", "named", "kept"),
    [
        ((0.5, 0.4), False, 1),
        ((0.4, 0.5), False, 0),
        ((0.4, 0.5), True, 1),
        ((0.4, 0.4), False, 1),
        ((None, None), False, 1),
        ((0.4,), False, 0),
    ],
)
def test_of_several_phases_the_best_is_kept_unless_a_recipe_says_the_last(
    losses: tuple[float | None, ...], named: bool, kept: int
) -> None:
    """The best epoch is the second of three in each phase."""
    done = []
    for loss in losses:
        epochs = [SimpleNamespace(validation_loss=value) for value in (9.0, loss, 0.0)]
        done.append(SimpleNamespace(tuned=SimpleNamespace(epochs=epochs, best_epoch=2)))
    assert best_phase(done, named=named) is done[kept]  # type: ignore[arg-type]


class TestGivenUp:
    """Where the loss becomes infinite, auto keeps the probe, and the run is finished: no rerun tries again."""

    def test_the_probe_stands_under_the_plan_that_was_tried(self, done: Trained) -> None:
        run = done.run("given up")
        summary, plan = run.read(TuningSummary), run.read(Plan)
        assert summary.kept == "probe" and summary.reason.startswith("given up: The loss must stay a number")
        bundle, tensors = read_bundle(run.bundle)
        tensors.close()
        assert bundle.provenance.recipe == "probe"
        assert bundle.provenance.plan_hash == record_hash(plan)
        assert not (run.path / "checkpoints").exists()

    def test_it_is_not_tried_again(self, done: Trained) -> None:
        assert done["given up"]["seen"]["tuned"] == 1
        assert done["given up again"]["seen"]["tuned"] == 0
        assert any("finished" in text for text in done["given up again"]["said"])


@pytest.mark.parametrize(
    ("recipe", "stopped", "wanted"),
    [("finetune", False, True), ("finetune", True, False), ("auto", False, False), ("features-vgg16", False, True)],
)
def test_what_was_asked_for_is_kept_whatever_it_is_worth_once_it_is_whole(
    recipe: str, stopped: bool, wanted: bool
) -> None:
    """Stopped half-way it may be worse than the probe: then the better one is kept, as the message says."""
    assert is_asked_for(recipe, stopped=stopped) is wanted


def digits(text: str) -> np.ndarray:
    return np.array([int(letter) for letter in text])


def test_predicting_loads_no_training_library(done: Trained, noisy: Path) -> None:
    """A fine-tuned classifier is used as any other is."""
    words = ["predict", str(done.place / "first"), str(noisy / "plain" / "000.png"), "--json"]
    code = (
        f"import sys\nfrom graft.cli.main import main\nassert main({words!r}) == 0\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & {'tensorflow', 'keras', 'jax', 'torch'}))"
    )
    environment = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=ROOT
    )
    assert ended.returncode == 0, ended.stderr
    answer, loaded = ended.stdout.strip().splitlines()
    assert loaded == "[]"
    assert "plain" in answer


class TestWords:
    """Other words, each with a run of its own."""

    @slow
    def test_a_head_from_zero_is_trained_before_the_rest(self, others: Trained) -> None:
        summary = others.run("trained").read(TuningSummary)
        assert [epoch.phase for epoch in summary.epochs] == ["head"] * 5 + ["upper layers"] * 2
        assert others["trained"]["seen"]["start"]["kernel"] == 0

    @slow
    def test_the_head_alone_leaves_the_network_as_it_is(self, others: Trained) -> None:
        run = others.run("none")
        plan = run.read(Plan)
        assert plan.schedules and plan.schedules[0].trained == ()
        assert {epoch.phase for epoch in run.read(TuningSummary).epochs} == {"head"}
        bundle, tensors = read_bundle(run.bundle)
        tensors.close()
        assert bundle.provenance.recipe == "finetune"

    @slow
    def test_everything_is_trained_from_pixels(self, others: Trained) -> None:
        schedule = others.run("all").read(Plan).schedules[0]
        assert schedule.cut == () and schedule.trained[0] == "stem"
        assert others["all"]["seen"]["read"][0]["views"] is None

    @slow
    def test_two_classes_with_one_unit_and_with_two(self, others: Trained) -> None:
        answers = []
        for name, units in (("sigmoid", 1), ("softmax", 2)):
            run = others.run(name)
            assert tensors_of(run)["head/kernel"].shape[1] == units
            answers.append(run.read_arrays("predictions")["probabilities"])
        np.testing.assert_allclose(answers[0], answers[1], atol=1e-3)

    @slow
    def test_without_validation_photos_the_last_epoch_is_kept(self, others: Trained) -> None:
        run = others.run("unseen")
        summary = run.read(TuningSummary)
        assert others["unseen"]["summary"]["n"]["validation"] == 0
        assert (summary.kept, summary.best_epoch, summary.comparison) == ("finetune", 2, None)
        assert all(epoch.validation_loss is None for epoch in summary.epochs)
        assert "no validation photos" in summary.reason
        assert len(others["unseen"]["seen"]["read"]) == 1

    @slow
    def test_without_validation_photos_auto_is_the_probe(self, others: Trained) -> None:
        found = others["unseen auto"]
        assert found["seen"]["tuned"] == 0
        assert any("no validation photos" in text for text in found["said"])

    @slow
    def test_a_loss_that_is_no_number_ends_it_and_the_probe_stands(self, others: Trained) -> None:
        found = others.results["diverged"]
        assert found.get("error", {}).get("code") == "diverged", found
        assert Run.open(others.place / "diverged").bundle.is_file()

    @slow
    def test_a_budget_that_is_too_short_takes_the_least(self, others: Trained) -> None:
        plan = others.run("budget").read(Plan)
        assert plan.schedules and "more than the budget" in plan.schedules[0].reason
        assert plan.schedules[0].trained == ("head",)

    @slow
    def test_auto_without_time_says_so_and_leaves_a_whole_run(self, others: Trained) -> None:
        found = others["auto budget"]
        assert found["seen"]["tuned"] == 0
        run = others.run("auto budget")
        bundle, tensors = read_bundle(run.bundle)
        tensors.close()
        assert bundle.provenance.recipe == "probe" and run.has(Made)
        assert any("left out" in text for text in found["said"])

    @slow
    def test_a_plan_of_auto_is_followed_to_the_same_bytes(self, others: Trained) -> None:
        assert others["bare followed"]["bundle"] == others["bare"]["bundle"]

    @slow
    @pytest.mark.parametrize("missing", [("made.json", "evaluation.json"), ("classifier.graft",)])
    def test_a_run_that_was_killed_while_the_probe_was_left_goes_on(
        self, others: Trained, noisy: Path, tmp_path: Path, missing: tuple[str, ...]
    ) -> None:
        run = Run(tmp_path / "run")
        shutil.copytree(others.place / "bare", run.path)
        for name in (*missing, "tuning.json", "history.csv", "report.html", "report.json"):
            (run.path / name).unlink(missing_ok=True)
        found = train_in_child([bare(noisy, run.path)])["bare"]
        assert "error" not in found, found
        assert found["seen"]["tuned"] == 1
        assert found["bundle"] == others["bare"]["bundle"]

    @slow
    def test_a_run_whose_probe_is_damaged_has_a_good_one_before_fine_tuning_begins(
        self, others: Trained, noisy: Path, tmp_path: Path
    ) -> None:
        """The classifier that is there while fine-tuning goes on must be one."""
        run = Run(tmp_path / "run")
        shutil.copytree(others.place / "bare", run.path)
        (run.path / "tuning.json").unlink()
        run.bundle.write_bytes(run.bundle.read_bytes()[:-1])
        found = train_in_child([bare(noisy, run.path, spoil="stop before")])["bare"]
        assert found["error"]["code"] == "stopped by the test"
        read_bundle(run.bundle)[1].close()


def bare(data: Path, output: Path, spoil: str = "") -> dict[str, Any]:
    """Both recipes in short."""
    return job("bare", data, output, spoil, recipe="auto", epochs=1, views=1, time_budget="1h")
