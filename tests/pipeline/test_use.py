"""What is done with a finished run: predict, evaluate, report, load."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import graft
from graft.bundle.records import Failure, Prediction
from graft.cli.main import main
from graft.core.errors import BadInput
from graft.core.progress import SilentProgress
from graft.core.records import from_json
from graft.data.records import Manifest
from graft.evaluation.records import Evaluation
from graft.pipeline import demo as demo_module
from graft.pipeline.evaluate import evaluate
from graft.pipeline.inspect import inspect
from graft.pipeline.intake import read_data
from graft.pipeline.predict import predict
from graft.pipeline.report import rebuild_report
from graft.pipeline.run import Run
from tests.pipeline.conftest import CLASSES, draw_photo, write_photos

PROGRESS = SilentProgress()


def test_folders_and_files_are_answered_in_order(finished, tmp_path):
    folder = tmp_path / "new"
    for label in CLASSES:
        (folder / label).mkdir(parents=True)
        draw_photo(label, 700).save(folder / label / "photo.png")
    alone = str(folder / "stripes" / "photo.png")
    answers = list(predict(finished.bundle, [str(folder), alone], top=2, progress=PROGRESS))
    assert all(isinstance(answer, Prediction) for answer in answers)
    assert [answer.label for answer in answers] == [*CLASSES, "stripes"]
    assert all(len(answer.top) == 2 for answer in answers)


def test_one_bad_photo_fails_alone_and_the_exit_status_says_so(finished, tmp_path, capsys):
    draw_photo("plain", 1).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no photo")
    draw_photo("checks", 1).save(tmp_path / "c.png")
    assert main(["predict", str(finished.run), str(tmp_path), "--json"]) == 2
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line.get("label") for line in lines] == ["plain", None, "checks"]
    assert lines[1]["error"]["code"] == "not_an_image"
    assert set(lines[0]) == {"path", "label", "probability", "sure", "top"}
    assert set(lines[0]["top"][0]) == {"label", "probability"}


def test_a_missing_photo_is_a_failure(finished):
    (answer,) = predict(finished.run, ["no such photo.jpg"], top=1, progress=PROGRESS)
    assert isinstance(answer, Failure)


def test_nothing_to_look_at_is_refused(finished, tmp_path):
    (tmp_path / "notes.txt").write_text("no photo by name")
    with pytest.raises(BadInput, match="PHOTO must name at least one photo, got none in ") as caught:
        list(predict(finished.run, [str(tmp_path)], top=1, progress=PROGRESS))
    assert caught.value.code == "no_photos" and str(tmp_path) in caught.value.message
    with pytest.raises(BadInput, match="got an empty list of paths"):
        list(predict(finished.run, [], top=1, progress=PROGRESS))
    assert list(predict(finished.run, iter([]), top=1, progress=PROGRESS)) == []  # a list that a program makes


def test_only_photos_by_name_are_taken_from_folders_but_named_files_always(finished, tmp_path):
    draw_photo("plain", 1).save(tmp_path / "a.png")
    notes = tmp_path / "notes.txt"
    notes.write_text("no photo")
    (only,) = predict(finished.run, [str(tmp_path)], top=1, progress=PROGRESS)
    assert isinstance(only, Prediction)
    (named,) = predict(finished.run, [str(notes)], top=1, progress=PROGRESS)
    assert isinstance(named, Failure) and named.code == "not_an_image"


def test_a_folder_that_cannot_be_read_fails_alone(finished, tmp_path, monkeypatch):
    for name in ("a", "b", "c"):
        (tmp_path / name).mkdir()
        draw_photo("plain", 1).save(tmp_path / name / "photo.png")
    closed, scandir = str(tmp_path / "b"), os.scandir

    def refuse(path):
        if str(path) == closed:
            raise PermissionError(13, "Permission denied", closed)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    first, failed, last = predict(finished.run, [str(tmp_path)], top=1, progress=PROGRESS)
    assert isinstance(first, Prediction) and isinstance(last, Prediction)
    assert failed == Failure(closed, "unreadable", "The folder must be readable, got: Permission denied.")


def test_a_run_that_is_not_there_is_told_as_such(tmp_path):
    with pytest.raises(BadInput, match=r"RUN must be a run's folder or a classifier\.graft file") as caught:
        list(predict(tmp_path / "nowhere", ["a.png"], top=1, progress=PROGRESS))
    assert caught.value.code == "not_found"


def test_measuring_again_from_the_files_gives_the_same_score(finished):
    found = evaluate(finished.run, None, progress=PROGRESS)
    stored = Run.open(finished.run).read(Evaluation)
    assert found.n == stored.n and found.confusion == stored.confusion
    assert found.log_loss.value == pytest.approx(stored.log_loss.value, abs=1e-4)


def test_other_photos_are_matched_by_class_name(finished, tmp_path, capsys):
    later = write_photos(tmp_path / "later", per_class=5, labels=("plain", "stripes"))
    found = evaluate(finished.run, later, progress=PROGRESS)
    assert found.n == 10 and found.split == "given" and found.classes == CLASSES
    assert main(["evaluate", str(finished.run), str(later), "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert {"accuracy", "interval", "per_class", "confusion", "ece", "log_loss"} <= set(values)
    assert values["accuracy"] == found.accuracy.value and values["interval"][0] == found.accuracy.low


def test_one_class_with_a_single_photo_is_measured(finished, tmp_path):
    later = tmp_path / "later" / "stripes"
    later.mkdir(parents=True)
    draw_photo("stripes", 800).save(later / "photo.png")
    found = evaluate(finished.run, later.parent, progress=PROGRESS)
    assert (found.n, found.n_quarantined, found.n_seen_in_training) == (1, 0, 0)


def test_photos_of_the_training_and_left_out_files_are_counted(finished, photos, tmp_path):
    trained = sum(photo.split != "test" for photo in Run.open(finished.run).read(Manifest).photos)
    data = shutil.copytree(photos, tmp_path / "data")
    (data / "plain" / "broken.png").write_text("no photo")
    found = evaluate(finished.run, data, progress=PROGRESS)
    assert (found.n, found.n_quarantined, found.n_seen_in_training) == (60, 1, trained)
    assert evaluate(finished.bundle, data, progress=PROGRESS).n_seen_in_training == 0


def test_a_split_of_other_photos_is_honoured(finished, tmp_path):
    data = tmp_path / "data"
    for split, count in (("train", 5), ("test", 3)):
        write_photos(data / split, per_class=count)
    assert evaluate(finished.run, data, progress=PROGRESS).n == 9
    assert evaluate(finished.run, data, split="train", progress=PROGRESS).n == 15
    with pytest.raises(BadInput, match="DATA must have validation photos"):
        evaluate(finished.run, data, split="validation", progress=PROGRESS)
    with pytest.raises(BadInput, match="got photos without splits"):
        evaluate(finished.run, data / "test", split="test", progress=PROGRESS)


def test_a_bundle_alone_has_no_photos_to_measure_on(finished):
    with pytest.raises(BadInput, match="RUN must be a run's folder where no DATA is given"):
        evaluate(finished.bundle, None, progress=PROGRESS)


def test_inspect_lists_everything_also_where_much_is_bad(tmp_path):
    data = write_photos(tmp_path / "data", per_class=3)
    for number in range(4):
        (data / "plain" / f"bad{number}.png").write_text("no photo")
    assert len(inspect(data, progress=PROGRESS).quarantined) == 4


def test_a_run_inside_the_data_does_not_change_the_manifest(tmp_path):
    data = write_photos(tmp_path / "data", per_class=3)
    before = read_data(data, split="70/15/15", seed=0, on_bad="quarantine", progress=PROGRESS)
    (data / "data-run").mkdir()
    (data / "data-run" / "made.json").write_text("{}")
    assert read_data(data, split="70/15/15", seed=0, on_bad="quarantine", progress=PROGRESS) == before


def test_the_demo_leaves_another_run_alone(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits-run").mkdir()
    asked = []

    def train(options, *, progress):
        asked.append(Path(options.output).name)
        if len(asked) == 1:
            raise BadInput("--output must be new.", code="already_exists")
        return "trained"

    monkeypatch.setattr(demo_module, "train", train)
    assert demo_module.demo(tmp_path, progress=PROGRESS) == "trained"
    assert asked == ["digits-run", "digits-run-2"]


def test_an_unknown_class_is_refused(finished, tmp_path):
    later = write_photos(tmp_path / "later", per_class=5, labels=("plain", "stripes"))
    (later / "stripes").rename(later / "dots")
    with pytest.raises(BadInput, match="got dots") as caught:
        evaluate(finished.run, later, progress=PROGRESS)
    assert caught.value.code == "class_set_changed"


def test_what_the_folders_were_meant_as_is_told(finished, tmp_path):
    """A folder around the classes, folders by date, and photos in no folder are three different mistakes."""
    later = write_photos(tmp_path / "around" / "later", per_class=5, labels=("plain", "stripes"))
    with pytest.raises(BadInput, match="got later") as around:
        evaluate(finished.run, tmp_path / "around", progress=PROGRESS)
    assert around.value.hint == f"Did you mean {str(later)!r}?"
    dates = tmp_path / "dates"
    dates.mkdir()
    shutil.copytree(later / "plain", dates / "May")
    shutil.copytree(later / "stripes", dates / "June")
    with pytest.raises(BadInput, match="got June, May") as dated:
        evaluate(finished.run, dates, progress=PROGRESS)
    assert f"graft predict {finished.run} {dates}" in dated.value.hint
    with pytest.raises(BadInput, match="got 5 in no such folder") as flat:
        evaluate(finished.run, later / "plain", progress=PROGRESS)
    assert flat.value.hint.endswith(f"graft predict {finished.run} {later / 'plain'}")


def test_other_photos_need_no_train_split_and_not_every_class(finished, tmp_path):
    later = write_photos(tmp_path / "later" / "test", per_class=5, labels=("plain", "stripes"))
    assert evaluate(finished.run, tmp_path / "later", progress=PROGRESS).n == 10
    for photo in (later / "plain").iterdir():
        photo.unlink()
    assert evaluate(finished.run, tmp_path / "later", progress=PROGRESS).n == 5
    table = tmp_path / "table.csv"
    rows = [f"{photo.relative_to(tmp_path).as_posix()};stripes;test" for photo in (later / "stripes").iterdir()]
    table.write_text("\n".join(["path;label;split", *rows]), encoding="utf-8")
    assert evaluate(finished.run, table, progress=PROGRESS).n == 5


def test_the_report_can_be_made_again_without_the_photos(finished, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(finished.run, moved)
    before = (moved / "report.html").read_bytes()
    (moved / "report.html").unlink()
    assert rebuild_report(moved, progress=PROGRESS).page.read_bytes().count(b"data:image/jpeg") == before.count(
        b"data:image/jpeg"
    )


def test_what_is_no_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(BadInput, match="RUN must"):
            rebuild_report(path, progress=PROGRESS)


def test_load_answers_for_paths_and_arrays(finished, photos):
    path = photos / "stripes" / "000.png"
    with graft.load(finished.run) as classifier:
        from_path, from_array = classifier.predict([path, np.asarray(draw_photo("stripes", 0))])
        assert classifier.classes == CLASSES
    assert from_path.label == from_array.label == "stripes"
    assert from_path.probability == pytest.approx(from_array.probability, abs=1e-5)


def test_records_of_the_run_are_the_documented_json(finished):
    text = (finished.run / "evaluation.json").read_bytes()
    assert from_json(Evaluation, text, source="evaluation.json").n == 9
    assert json.loads(text)["schema"] == "graft/evaluation/1"


def test_a_linked_bundle_works_for_the_user_who_made_the_link(finished, photos, tmp_path):
    link = tmp_path / "link.graft"
    try:
        link.symlink_to(Path(finished.bundle).resolve())
    except OSError:
        pytest.skip("links cannot be made here")
    (answer,) = predict(link, [str(photos / "plain" / "000.png")], top=1, progress=PROGRESS)
    assert answer.label == "plain"
