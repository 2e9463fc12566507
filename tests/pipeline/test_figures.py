"""`--plots DIR`: which files a run gives, that nothing else is touched, and that they are drawn from the run alone."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from graft.core.errors import BadInput, IntegrityProblem
from graft.core.progress import SilentProgress
from graft.data.augmentation import sheet
from graft.data.augmentation.presets import parse
from graft.data.augmentation.views import make_view
from graft.data.images import decode, load_pixels
from graft.data.records import ImageRules
from graft.pipeline.figures import ANSWERS, KINDS, VIEWS, answers_sheet, check_folder, views_sheet, write_figures
from graft.pipeline.intake import Intake
from graft.pipeline.planning import resolve_plan
from graft.pipeline.report import rebuild_report
from graft.pipeline.reporting import report_data
from graft.pipeline.run import Run
from graft.pipeline.thumbnails import VIEWS_SHOWN, drawn_rows, view_arrays, viewed
from graft.pipeline.train import train
from graft.report.data import ReportData
from graft.report.figures import AGAIN, CONFUSION, LEARNING, TIMING
from graft.training.records import Plan
from tests.pipeline.conftest import options
from tests.pipeline.works import intake_of
from tests.report.factory import make_asked, make_report, make_schedule, make_tuned_report

PROGRESS = SilentProgress()


def planned(intake: Intake, photos: Path, augment: str, **schedule: object) -> Plan:
    """A plan of a fine-tuning that was decided."""
    plan = resolve_plan(options(photos, photos / "run", recipe="probe"), intake.manifest).plan
    return replace(plan, tuning=make_asked(augmentation=parse(augment)), schedules=(make_schedule(**schedule),))


@pytest.fixture(scope="module")
def data() -> ReportData:
    return make_tuned_report(seconds={"features": 2.0, AGAIN: 0.1}, n_computed=100)


def test_a_fine_tuned_run_has_every_figure(data: ReportData, tmp_path: Path) -> None:
    files = write_figures(data, tmp_path / "deep" / "figures", PROGRESS)
    assert {file.name for file in files} == set(KINDS)
    assert all(
        kind.is_ours((tmp_path / "deep/figures" / name).read_bytes()[: kind.head_bytes]) for name, kind in KINDS.items()
    )


def test_figures_of_another_run_take_their_place(data: ReportData, tmp_path: Path) -> None:
    write_figures(data, tmp_path, PROGRESS)
    (tmp_path / "mine.txt").write_text("kept")
    probe = make_report(("a", "b"), per_class=60)
    written = write_figures(probe, tmp_path, PROGRESS)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {*(path.name for path in written), "mine.txt"}
    assert not {LEARNING, TIMING, VIEWS} & left
    assert write_figures(probe, tmp_path, PROGRESS) == written


@pytest.mark.parametrize("name", [LEARNING, ANSWERS, VIEWS])
def test_files_of_others_are_left_alone(data: ReportData, name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(BadInput, match="a figure that graft train --plots wrote before") as caught:
        write_figures(data, tmp_path, PROGRESS)
    assert caught.value.code == "already_exists"
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"precious"


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "figures").write_text("x")
    with pytest.raises(BadInput, match="--plots must be a folder"):
        check_folder(tmp_path / "figures")


def test_the_place_is_looked_at_before_anything_is_computed(photos: Path, tmp_path: Path) -> None:
    (tmp_path / CONFUSION).write_text("x")
    with pytest.raises(BadInput, match="--plots"):
        train(options(photos, tmp_path / "run", recipe="probe", plots=str(tmp_path)), progress=PROGRESS)
    assert not (tmp_path / "run").exists()


def test_training_draws_and_tells(photos: Path, tmp_path: Path) -> None:
    asked = options(photos, tmp_path / "run", recipe="probe", plots=str(tmp_path / "figures"))
    result = train(asked, progress=PROGRESS)
    files = [Path(name) for name in result.summary["figures"]]
    assert {file.name for file in files} == set(KINDS) - {LEARNING, VIEWS}
    assert all(file.is_file() for file in files)
    assert result.text.splitlines()[-1].split() == ["Figures", str(tmp_path / "figures")]
    assert report_data(Run(result.run)).seconds[AGAIN] > 0


def test_a_report_draws_without_the_photos(finished, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(finished.run, moved)
    assert rebuild_report(moved, progress=PROGRESS).figures == ()
    made = rebuild_report(moved, plots=tmp_path / "figures", progress=PROGRESS)
    assert {file.name for file in made.figures} >= {CONFUSION, ANSWERS}


def test_a_run_from_before_answers_were_kept_still_has_its_charts(finished, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(finished.run, moved)
    run = Run(moved)
    arrays = {name: array for name, array in run.read_arrays("thumbnails").items() if name != "answers"}
    run.write_arrays("thumbnails", arrays)
    made = rebuild_report(moved, plots=tmp_path / "figures", progress=PROGRESS)
    assert ANSWERS not in {file.name for file in made.figures}
    assert b'id="answers"' not in made.page.read_bytes()


def test_answers_are_of_the_scored_photos_as_the_evaluation_has_them(finished) -> None:
    data = report_data(Run(finished.run))
    scored = {photo.path: photo for photo in data.manifest.photos if photo.split == data.evaluation.split}
    assert len(data.answers) == min(25, len(scored)) == len({item.path for item in data.answers})
    for item in data.answers:
        assert data.manifest.classes[scored[item.path].label] == item.true
    if len(scored) <= 25:
        right = sum(item.true == item.predicted for item in data.answers)
        assert right == sum(data.evaluation.confusion[i][i] for i in range(3))


def test_answers_are_drawn_by_chance_and_the_same_again() -> None:
    rows = np.arange(100, 400)
    assert drawn_rows(rows, 0).tolist() == drawn_rows(rows, 0).tolist() != drawn_rows(rows, 1).tolist()
    assert len(set(drawn_rows(rows, 0).tolist())) == 25
    assert sorted(drawn_rows(rows[:7], 0).tolist()) == rows[:7].tolist()


def test_the_sheet_of_answers_frames_each_wrong_one(data: ReportData) -> None:
    n_wrong = sum(item.true != item.predicted for item in data.answers)
    marked = [
        (decode(answers_sheet(each), rules=ImageRules()) == sheet.WRONG).all(axis=-1).sum()
        for each in (data, replace(data, answers=tuple(item for item in data.answers if item.true == item.predicted)))
    ]
    frame = (sheet.TILE_PIXELS + 2 * sheet.FRAME) ** 2 - sheet.TILE_PIXELS**2
    assert marked[0] >= n_wrong * frame > 0
    assert marked[1] == 0


def test_the_sheet_of_views_has_a_row_for_each_photo(data: ReportData) -> None:
    made = decode(views_sheet(data), rules=ImageRules())
    assert made.shape[1] == 2 * sheet.MARGIN + 6 * sheet.TILE_PIXELS + 5 * sheet.GAP
    framed = (made[:, sheet.MARGIN - 1] == sheet.ACCENT).all(axis=-1).sum()
    assert framed == 4 * (sheet.TILE_PIXELS + 2 * sheet.FRAME)


def test_the_views_kept_are_those_of_the_training(photos: Path) -> None:
    intake = intake_of(photos)
    plan = planned(intake, photos, "classic", views=3)
    rows = list(viewed(intake.manifest, view_arrays(intake, plan)))
    by_path = {photo.path: photo for photo in intake.manifest.photos}
    assert [len(row.pictures) for row in rows] == [3] * 4
    assert len({row.label for row in rows}) == 3  # every class, then once more
    for row in rows:
        photo = by_path[row.path]
        assert photo.split == "train"
        source = load_pixels((photos / row.path).read_bytes(), side_pixels=64, geometry="squash", rules=ImageRules())
        wanted = make_view(source, parse("classic"), sha256=photo.sha256, view=2, seed=plan.seed)
        found = decode(row.pictures[2][0], rules=ImageRules()).astype(float)
        assert np.abs(found - wanted).mean() < np.abs(found - source).mean() / 2
        assert row.pictures[0][1] == "" and row.pictures[2][1]


@pytest.mark.parametrize(
    ("augment", "schedule", "shown"),
    [
        ("none", {}, 0),
        ("classic", {"views": 1}, 0),
        ("classic", {"views": 40}, VIEWS_SHOWN),
        ("classic", {"views": 1, "cut": ()}, VIEWS_SHOWN),  # fresh ones in each epoch
    ],
)
def test_views_are_kept_where_there_were_any(photos, augment: str, schedule: dict, shown: int) -> None:
    intake = intake_of(photos)
    arrays = view_arrays(intake, planned(intake, photos, augment, **schedule))
    assert len([name for name in arrays if name.startswith("view/")]) == 4 * shown


def test_sabotage_views_of_a_test_photo_cannot_be_made(photos, monkeypatch) -> None:
    intake = intake_of(photos)
    plan = planned(intake, photos, "classic")
    test = [row for row, photo in enumerate(intake.manifest.photos) if photo.split == "test"]
    monkeypatch.setattr("graft.pipeline.thumbnails._viewed_rows", lambda manifest, seed: test[:1])
    with pytest.raises(IntegrityProblem, match="training photos only"):
        view_arrays(intake, plan)
