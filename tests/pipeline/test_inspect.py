"""`graft inspect` on real folders: the page it writes, what it never destroys, and the report that shows the same."""

import shutil
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from graft.cli.main import main
from graft.core.errors import BadInput, IntegrityProblem
from graft.core.progress import SilentProgress
from graft.data.images import encode_png
from graft.pipeline import thumbnails
from graft.pipeline.inspect import inspect
from graft.pipeline.intake import read_data
from graft.pipeline.places import INSPECTION, check_place
from graft.pipeline.thumbnails import LEAST_OF_A_CLASS, group_rows, make_thumbnails, sheet_rows
from tests.report.reading import dangers, read

PROGRESS = SilentProgress()


@pytest.fixture
def folder(photos: Path, tmp_path: Path) -> Path:
    """The generated photos with a leak, a doubtful label, files left out, an empty class and odd names."""
    data = tmp_path / "data"
    for split in ("train", "test"):
        shutil.copytree(photos, data / split)
    for path in sorted((data / "test").rglob("*.png"))[::2]:
        path.unlink()
    shutil.copy(data / "train/plain/003.png", data / "train/checks/plain.png")
    (data / "train/plain/broken <b>.jpg").write_bytes(b"\xff\xd8\xff\xe0 no more")
    (data / "train/plain/notes.txt").write_text("nothing", encoding="utf-8")
    (data / "train/nothing").mkdir()
    return data


def test_the_page_shows_what_the_text_says(folder: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "new" / "inspect.html"
    assert main(["inspect", str(folder), "-o", str(output)]) == 0
    told = capsys.readouterr().out
    assert f"Page: {output}" in told
    page = read(output.read_text(encoding="utf-8"))
    assert dangers(page) == []
    for text in ("3 things to look at first", "split_leak", "'nothing' has none", "train/plain/broken <b>.jpg"):
        assert text in told
        assert text in page.text
    assert "notes.txt" in page.text
    assert page.all("section", id="duplicates")[0].all("img")
    sheets = page.all("figure", class_="sheet")
    assert [len(sheet.all("img")) for sheet in sheets] == [24, 24, 24]
    assert all(image.attributes["src"].startswith("data:image/jpeg;base64,/9j/") for image in page.all("img"))
    assert not [path for path in output.parent.iterdir() if path != output]


def test_its_own_page_is_replaced_and_anything_else_is_not(photos: Path, tmp_path: Path) -> None:
    output = tmp_path / "inspect.html"
    inspect(photos, output=output, progress=PROGRESS)
    before = output.read_bytes()
    inspect(photos, output=output, command="another", progress=PROGRESS)
    assert output.read_bytes() != before
    mine = tmp_path / "mine.html"
    mine.write_text("<html>my own page</html>", encoding="utf-8")
    for path, code in (
        (mine, "already_exists"),
        (tmp_path / "run", "bad_input"),
        (tmp_path / "photo.png", "bad_input"),
    ):
        with pytest.raises(BadInput) as caught:
            inspect(photos, output=path, progress=PROGRESS)
        assert caught.value.code == code
    assert mine.read_text(encoding="utf-8") == "<html>my own page</html>"
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(BadInput, match="must be a new file"):
        check_place(tmp_path / "folder.html", INSPECTION)


def test_a_page_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="must be an HTML file"):
        inspect(tmp_path / "no such data", output=tmp_path / "run", progress=PROGRESS)


@pytest.mark.skipif(sys.platform == "win32", reason="such a name cannot be made on Windows")
def test_names_that_a_training_refuses_are_told(tmp_path: Path, photos: Path) -> None:
    for name, source in (("<b>x", "plain"), ("c", "stripes")):
        shutil.copytree(photos / source, tmp_path / name)
    found = inspect(tmp_path, progress=PROGRESS)
    assert found.concerns[0].kind == "class_names"
    assert found.notes[0] == found.concerns[0].sentence
    assert "<b>x" in found.notes[0]


def test_thumbnails_do_not_depend_on_the_number_of_threads(photos: Path, monkeypatch) -> None:
    intake = read_data(photos, split="70/15/15", seed=0, on_bad="fail", progress=PROGRESS)
    made = {}
    for threads in (1, 4):
        monkeypatch.setattr(thumbnails.machine, "threads", lambda threads=threads: threads)
        made[threads] = make_thumbnails(intake, [3, 1, 3, 40], PROGRESS)
    assert made[1] == made[4]
    assert list(made[1]) == [1, 3, 40]
    assert make_thumbnails(intake, [], PROGRESS) == {}


def test_a_photo_that_changed_is_noticed_and_no_thread_stays(folder: Path) -> None:
    intake = read_data(
        folder, split="70/15/15", seed=0, on_bad="quarantine", most_bad=1, least_photos=0, progress=PROGRESS
    )
    (folder / intake.manifest.photos[7].path).write_bytes(encode_png(np.zeros((9, 9, 3), np.uint8)))
    with pytest.raises(IntegrityProblem, match="must be the photo that was scanned"):
        make_thumbnails(intake, range(20), PROGRESS)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("graft-thumbnail")]


def test_the_sheet_is_spread_over_each_class(photos: Path) -> None:
    manifest = read_data(photos, split="70/15/15", seed=0, on_bad="fail", progress=PROGRESS).manifest
    rows = sheet_rows(manifest, of_each=5, together=100)
    names = [manifest.photos[row].path for row in rows]
    assert [name.split("/")[1] for name in names[:5]] == ["000.png", "005.png", "010.png", "014.png", "019.png"]
    assert len(names) == len(set(names)) == 15
    assert len(sheet_rows(manifest, of_each=24, together=30)) == 30
    assert len(sheet_rows(manifest, of_each=24, together=9)) == 2 * LEAST_OF_A_CLASS
    assert len(sheet_rows(manifest, of_each=500, together=5000)) == len(manifest.photos)


def test_copies_have_pictures(folder: Path) -> None:
    intake = read_data(
        folder, split="70/15/15", seed=0, on_bad="quarantine", most_bad=1, least_photos=0, progress=PROGRESS
    )
    inspection = inspect(folder, progress=PROGRESS)
    shown = {intake.manifest.photos[row].path for row in group_rows(intake.manifest, inspection)}
    assert {"train/plain/003.png", "train/checks/plain.png"} <= shown


def test_the_report_of_a_training_shows_the_same_section(finished) -> None:
    page = read(finished.report.read_text(encoding="utf-8"))
    assert len(page.all("figure", class_="sheet")) == 3
    assert all(len(sheet.all("img")) == 16 for sheet in page.all("figure", class_="sheet"))
