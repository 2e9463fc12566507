"""What is done with a finished run: predict, evaluate, report, load."""

import json
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
from graft.evaluation.records import Evaluation
from graft.pipeline.evaluate import evaluate
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
    assert set(lines[0]) == {"path", "label", "probability", "top"}
    assert set(lines[0]["top"][0]) == {"label", "probability"}


def test_a_missing_photo_is_a_failure(finished):
    (answer,) = predict(finished.run, ["no such photo.jpg"], top=1, progress=PROGRESS)
    assert isinstance(answer, Failure)


def test_nothing_to_look_at_is_refused(finished, tmp_path):
    with pytest.raises(BadInput, match="at least one photo"):
        list(predict(finished.run, [str(tmp_path)], top=1, progress=PROGRESS))


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


def test_an_unknown_class_is_refused(finished, tmp_path):
    later = write_photos(tmp_path / "later", per_class=5, labels=("plain", "stripes"))
    (later / "stripes").rename(later / "dots")
    with pytest.raises(BadInput, match="got dots") as caught:
        evaluate(finished.run, later, progress=PROGRESS)
    assert caught.value.code == "class_set_changed"


def test_the_report_can_be_made_again_without_the_photos(finished, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(finished.run, moved)
    before = (moved / "report.html").read_bytes()
    (moved / "report.html").unlink()
    assert rebuild_report(moved, progress=PROGRESS).read_bytes().count(b"data:image/jpeg") == before.count(
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
