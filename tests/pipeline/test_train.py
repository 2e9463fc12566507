"""The whole path on generated photos."""

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.hashing import sha256_file
from graft.core.progress import SilentProgress
from graft.core.records import record_hash
from graft.data.records import Manifest
from graft.evaluation.records import Evaluation
from graft.pipeline.options import TrainOptions
from graft.pipeline.run import Made, Run
from graft.pipeline.train import train
from graft.training.records import Plan, ProbeSummary
from tests.pipeline.conftest import CLASSES, draw_photo, options, write_photos

FILES = {
    "classifier.graft",
    "comparison.json",
    "evaluation.json",
    "inspection.json",
    "made.json",
    "manifest.json",
    "plan.json",
    "predictions.safetensors",
    "probe.json",
    "report.html",
    "report.json",
    "thumbnails.safetensors",
}


def run(data: Path, output: Path, **changes: object):
    return train(options(data, output, **changes), progress=SilentProgress())


def test_a_run_holds_everything_and_its_records_name_their_parents(finished):
    kept = Run.open(finished.run)
    assert {path.name for path in finished.run.iterdir() if not path.name.startswith(".")} == FILES
    manifest, plan = kept.read(Manifest), kept.read(Plan)
    assert manifest.classes == CLASSES
    assert plan.manifest_hash == record_hash(manifest) == kept.read(Evaluation).manifest_hash
    assert kept.read(Evaluation).bundle_hash == sha256_file(finished.bundle)


def test_the_summary_has_the_promised_shape(finished):
    summary = json.loads(json.dumps(finished.summary))
    assert set(summary) == {
        *("run", "bundle", "report", "recipe", "backbone", "backbone_reason"),
        *("classes", "n", "validation", "test", "finetuning", "seconds", "figures"),
    }
    assert summary["n"] == {"train": 42, "validation": 9, "test": 9, "quarantined": 0}
    low, high = summary["test"]["interval"]
    assert 0 <= low <= summary["test"]["accuracy"] <= high <= 1
    assert set(summary["seconds"]) >= {"total", "scan", "features", "head", "evaluate", "bundle", "report"}


@pytest.mark.skipif(find_spec("tensorflow") is None, reason="needs a library to train with")
def test_words_that_fit_no_layer_are_refused_before_anything_is_written(photos, tmp_path):
    for words in ({"freeze_until": "block9_conv1"}, {"unfreeze_last": 999}, {"freeze_level": 9}):
        with pytest.raises(BadInput):
            run(photos, tmp_path / "run", recipe="finetune", **words)
        assert not (tmp_path / "run").exists()


def test_it_learns(finished):
    assert finished.summary["test"]["accuracy"] == 1.0


def test_the_text_says_how_good_and_what_next(finished):
    assert "100" in finished.text.splitlines()[0]
    assert str(finished.report) in finished.text and "Backbone" in finished.text
    assert finished.next_command[0].startswith("graft predict")


def test_one_more_photo_is_one_photo_more_to_compute(tmp_path):
    data = write_photos(tmp_path / "photos", per_class=12)
    first = Run.open(run(data, tmp_path / "first").run).read(Made)
    draw_photo("plain", 999).save(data / "plain" / "new.png")
    second = Run.open(run(data, tmp_path / "second").run).read(Made)
    assert (second.n_computed, second.n_reused) == (1, first.n_computed + first.n_reused)


def test_an_earlier_run_keeps_its_splits_when_data_grow(finished, photos, tmp_path):
    data = tmp_path / "photos"
    shutil.copytree(photos, data)
    for number in range(500, 510):
        draw_photo("checks", number).save(data / "checks" / f"{number}.png")
    grown = Run.open(run(data, tmp_path / "run", split_from=str(finished.run)).run).read(Manifest)
    before = {photo.path: photo.split for photo in Run.open(finished.run).read(Manifest).photos}
    after = {photo.path: photo.split for photo in grown.photos}
    assert {path: after[path] for path in before} == before


def test_given_splits_without_test_are_scored_as_validation(tmp_path):
    for split in ("train", "valid"):
        write_photos(tmp_path / "photos" / split, per_class=8 if split == "train" else 3)
    for number, path in enumerate(sorted((tmp_path / "photos" / "valid").rglob("*.png"))):
        draw_photo(path.parent.name, 100 + number).save(path)
    result = run(tmp_path / "photos", tmp_path / "run")
    kept = Run.open(result.run)
    assert result.summary["test"] is None
    assert kept.read(Evaluation).split == "validation"
    assert not kept.read(Plan).refit and not kept.read(ProbeSummary).refitted
    assert "validation" in result.report.read_text(encoding="utf-8").lower()


def test_a_bad_file_is_left_out_and_named(tmp_path):
    data = write_photos(tmp_path / "photos", per_class=12)
    (data / "plain" / "broken.png").write_bytes((data / "plain" / "000.png").read_bytes()[:200])
    result = run(data, tmp_path / "run")
    assert result.summary["n"]["quarantined"] == 1
    page = result.report.read_text(encoding="utf-8").replace("<wbr>", "")
    assert "plain/broken.png" in page and "truncated" in page


def test_a_plan_is_followed_or_refused(finished, photos, tmp_path):
    plan = str(finished.run / "plan.json")
    again = run(photos, tmp_path / "again", config=plan)
    assert sha256_file(again.bundle) == sha256_file(finished.bundle)
    with pytest.raises(BadInput, match=r"manifest_hash is .* there and"):
        run(photos, tmp_path / "other", config=plan, seed=5)
    assert not (tmp_path / "other").exists()


def test_a_plan_carries_every_choice(photos, tmp_path):
    """The second command names nothing but the data and the plan, by its run's folder."""
    first = run(photos, tmp_path / "first", seed=3, split="40/10/10", binary_head="softmax")
    bare = TrainOptions(data=str(photos), output=str(tmp_path / "second"), config=str(first.run))
    second = train(bare, progress=SilentProgress())
    assert sha256_file(second.bundle) == sha256_file(first.bundle)


def test_a_split_without_photos_to_measure_on_is_refused_at_once(photos, tmp_path):
    with pytest.raises(BadInput, match="got only training photos"):
        run(photos, tmp_path / "run", split="100/0/0")
    assert not (tmp_path / "run").exists()


def test_the_folder_of_another_run_is_left_alone(finished, photos):
    before = sha256_file(finished.bundle)
    with pytest.raises(BadInput, match=r"differs in .*seed \(0 there, 9 now\)") as caught:
        run(photos, finished.run, seed=9)
    assert caught.value.code == "resume_mismatch"
    assert sha256_file(finished.bundle) == before


def test_class_names_that_cannot_travel_are_refused_before_training(tmp_path):
    data = write_photos(tmp_path / "photos", per_class=4, labels=("plain", "stripes"))
    (data / "plain").rename(data / "<b>plain")
    with pytest.raises(BadInput, match="markup"):
        run(data, tmp_path / "run")


def test_two_softmax_units_give_the_probabilities_of_one_sigmoid(tmp_path):
    data = write_photos(tmp_path / "photos", per_class=12, labels=("plain", "stripes"))
    answers = []
    for head in ("sigmoid", "softmax"):
        result = run(data, tmp_path / head, binary_head=head)
        answers.append(Run.open(result.run).read_arrays("predictions")["probabilities"])
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)


def test_test_photos_do_not_touch_the_classifier(finished, photos, tmp_path):
    """Give every test photo another label: the head stays the same to the last bit, the score falls."""
    manifest = Run.open(finished.run).read(Manifest)
    rows = ["path,label,split"]
    for photo in manifest.photos:
        label = (photo.label + 1) % 3 if photo.split == "test" else photo.label
        rows.append(f"{photos / photo.path},{CLASSES[label]},{photo.split}")
    honest = ["path,label,split"] + [
        f"{photos / photo.path},{CLASSES[photo.label]},{photo.split}" for photo in manifest.photos
    ]
    results = []
    for name, lines in (("honest", honest), ("swapped", rows)):
        table = photos.parent / f"{tmp_path.name}-{name}.csv"
        table.write_text("\n".join(line.replace(f"{photos.parent}/", "") for line in lines))
        results.append(run(table, tmp_path / name))
    heads = [Run.open(result.run).read(ProbeSummary) for result in results]
    assert heads[0] == heads[1]
    assert results[0].summary["test"]["accuracy"] == 1.0 and results[1].summary["test"]["accuracy"] == 0.0


def test_a_photo_that_changes_while_a_run_is_under_way_stops_it(tmp_path, monkeypatch):
    from graft.pipeline import train as module

    data = write_photos(tmp_path / "photos", per_class=12)
    draw_photo("plain", 4000).save(data / "plain" / "003.png")  # no earlier test has computed this one
    genuine = module.resolve_plan

    def change(*arguments, **named):
        draw_photo("plain", 4321).save(data / "plain" / "003.png")
        return genuine(*arguments, **named)

    monkeypatch.setattr(module, "resolve_plan", change)
    with pytest.raises(IntegrityProblem, match=r"003\.png") as caught:
        run(data, tmp_path / "run", seed=77)
    assert caught.value.code == "changed_since_scan"


@pytest.mark.parametrize("environment", [{"PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"}])
def test_the_same_plan_gives_the_same_bundle_bytes_in_another_process(finished, photos, tmp_path, environment):
    """Another hash seed, time zone, locale, folder, order of file creation and an empty store."""
    data = tmp_path / "copied"
    for path in sorted(photos.rglob("*.png"), reverse=True):
        target = data / path.relative_to(photos)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)
    words = [
        "train",
        str(data),
        "-o",
        "elsewhere",
        "--backbone",
        "sprout",
        "--image-size",
        "64",
        "--precision",
        "float32",
    ]
    done = subprocess.run(
        [sys.executable, "-m", "graft", *words, "--json"],
        cwd=tmp_path,
        env=os.environ | environment | {"GRAFT_CACHE": str(tmp_path / "cache")},
        stdout=subprocess.PIPE,
        check=True,
    )
    summary = json.loads(done.stdout)
    assert summary["test"] == finished.summary["test"]
    assert sha256_file(tmp_path / summary["bundle"]) == sha256_file(finished.bundle)
